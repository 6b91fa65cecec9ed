"""What SIPp plays for every call, as its XML, with the lines that it writes down on the way.

    up PORT CALL BEGUN ANSWERED RESPONSE :end     the call was answered; times as SECONDS MICROSECONDS
    aim PORT REQUEST :end                         the server's re-INVITE
    down PORT us|server TIME                      who said BYE, and when

PORT is our RTP port, CALL is SIPp's number of the call.

A call is held in slices: between them the time that has passed is known, so that a re-INVITE of the server does not
prolong the call by more than one. Message bodies are RFC 8866, the course of the call is RFC 3261 sections 13 to 15.
"""

from __future__ import annotations

from typing import Final

from .plan import LoadPlan

MOST_SLICES: Final = 10
ANSWER_MS: Final = 60_000
"""How long the server may ring."""

EVENT_TYPE: Final = 101
RESPONSE: Final = 64_000
"""Milliseconds for an answer within the dialog: twice what RFC 3261 gives a transaction."""

_HOLD, _TICK, _REINVITE, _SERVER_BYE, _CHALLENGED, _ANSWERED, _END = (str(number) for number in range(1, 8))
"""Labels."""

_TYPES: Final = {"PCMU": 0, "PCMA": 8}


def scenario(plan: LoadPlan) -> str:
    """Return the scenario of one call."""
    steps = [_begin(plan), _challenged(plan), _hold(plan), _hang_up(plan), _reinvited(plan), _bye(), _label(_END)]
    body = "\n".join(steps)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="load">\n{body}\n<nop/>\n</scenario>\n'


def description(plan: LoadPlan) -> str:
    """Return what we offer and answer: one codec and telephone-event, 20 ms."""
    number = _TYPES[plan.codec]
    return "\n".join(
        [
            "v=0", "o=load [pid] 1 IN IP4 [media_ip]", "s=-", "c=IN IP4 [media_ip]", "t=0 0",
            f"m=audio [field0] RTP/AVP {number} {EVENT_TYPE}", f"a=rtpmap:{number} {plan.codec}/8000",
            f"a=rtpmap:{EVENT_TYPE} telephone-event/8000", f"a=fmtp:{EVENT_TYPE} 0-15", "a=ptime:20", "a=sendrecv", "",
        ]
    )  # fmt: skip


def _begin(plan: LoadPlan) -> str:
    challenge = ""
    if plan.user:
        challenge = "\n".join(
            f'<recv response="{status}" optional="true" auth="true" next="{_CHALLENGED}"/>' for status in (401, 407)
        )
    return "\n".join(
        [
            '<nop><action><gettimeofday assign_to="begun_s,begun_us"/></action></nop>',
            _invite(plan, cseq=1),
            _provisional(),
            challenge,
            _answered(next_=_ANSWERED),
        ]
    )


def _challenged(plan: LoadPlan) -> str:
    """Say the INVITE again with credentials, where there are some; both ways come together at the ACK."""
    again = ""
    if plan.user:
        ack = _request(plan, "ACK", cseq="1 ACK", via="[last_Via:]", to_tag="[peer_tag_param]", within=False)
        credentials = f"[authentication username={plan.user} password={plan.password}]\n"
        again = "\n".join(
            [_label(_CHALLENGED), ack, _invite(plan, cseq=2, more=credentials), _provisional(), _answered()]
        )
    ack = _request(plan, "ACK", cseq="[last_cseq_number] ACK", to_tag="[peer_tag_param]")
    times = "[$begun_s] [$begun_us] [$answered_s] [$answered_us]"
    return "\n".join([again, _label(_ANSWERED), ack, _log(f"up [field0] [call_number] {times} [last_message] :end")])


def _hold(plan: LoadPlan) -> str:
    slices = min(max(int(plan.call_s), 1), MOST_SLICES)  # of a second or more: each is some ms longer than it should
    wait = f'timeout="{round(plan.call_s * 1000 / slices)}" ontimeout="{_TICK}"'
    return "\n".join(
        [
            _label(_HOLD),
            f'<recv request="INVITE" optional="true" next="{_REINVITE}" {wait}/>',
            f'<recv request="BYE" next="{_SERVER_BYE}" {wait}/>',
            _label(_TICK),
            '<nop><action><add assign_to="slices" value="1"/>'
            f'<test assign_to="more" variable="slices" compare="less_than" value="{slices}"/></action></nop>',
            f'<nop next="{_HOLD}" test="more"/>',
        ]
    )


def _hang_up(plan: LoadPlan) -> str:
    bye = _request(plan, "BYE", cseq="9 BYE", to_tag="[peer_tag_param]", retransmitted=True)
    # The server may have said BYE at the same moment.
    crossed = f'<recv request="BYE" optional="true" next="{_SERVER_BYE}"/>'
    return "\n".join([_down("us"), bye, crossed, f'<recv response="200" timeout="{RESPONSE}" next="{_END}"/>'])


def _reinvited(plan: LoadPlan) -> str:
    body = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{description(plan)}"
    return "\n".join(
        [
            _label(_REINVITE),
            _log("aim [field0] [last_message] :end"),
            _response(f"{_contact(plan)}\n{body}", retransmitted=True),
            f'<recv request="ACK" timeout="{RESPONSE}" next="{_HOLD}"/>',
        ]
    )


def _bye() -> str:
    return "\n".join([_label(_SERVER_BYE), _down("server"), _response("Content-Length: 0\n\n")])


def _label(number: str) -> str:
    return f'<label id="{number}"/>'


def _log(text: str) -> str:
    return f'<nop><action><log message="{text}"/></action></nop>'


def _down(by: str) -> str:
    clock = '<nop><action><gettimeofday assign_to="over_s,over_us"/></action></nop>'
    return f"{clock}\n{_log(f'down [field0] {by} [$over_s] [$over_us]')}"


def _provisional() -> str:
    return "\n".join(
        f'<recv response="{status}" optional="true" timeout="{ANSWER_MS}"/>' for status in (100, 180, 181, 182, 183)
    )


def _answered(next_: str = "") -> str:
    jump = f' next="{next_}"' if next_ else ""
    stamp = '<action><gettimeofday assign_to="answered_s,answered_us"/></action>'
    return f'<recv response="200" rrs="true" timeout="{ANSWER_MS}"{jump}>{stamp}</recv>'


def _contact(plan: LoadPlan) -> str:
    return f"Contact: <sip:{_user(plan)}@[local_ip]:[local_port];transport=[transport]>"


def _user(plan: LoadPlan) -> str:
    return plan.user or "load"


def _invite(plan: LoadPlan, *, cseq: int, more: str = "") -> str:
    headers = "".join(f"{name}: {value}\n" for name, value in plan.headers)
    more = f"{headers}{more}Content-Type: application/sdp\n"
    return _request(
        plan, "INVITE", cseq=f"{cseq} INVITE", within=False, more=more, body=description(plan), retransmitted=True
    )


def _request(
    plan: LoadPlan,
    method: str,
    *,
    cseq: str,
    to_tag: str = "",
    via: str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
    within: bool = True,
    more: str = "",
    body: str = "",
    retransmitted: bool = False,
) -> str:
    """Send a request: within the dialog by its route (RFC 3261 section 12.2.1.1), else to the number."""
    number = "sip:[service]@[remote_ip]:[remote_port]"
    head = [
        f"{method} {'[next_url]' if within else number} SIP/2.0", via, *(["[routes]"] if within else []),
        f"From: <sip:{_user(plan)}@[local_ip]:[local_port]>;tag=[pid]load[call_number]", f"To: <{number}>{to_tag}",
        "Call-ID: [call_id]", f"CSeq: {cseq}", _contact(plan), "Max-Forwards: 70",
    ]  # fmt: skip
    return _send("\n".join(head) + f"\n{more}Content-Length: [len]\n\n{body}", retransmitted=retransmitted)


def _response(rest: str, *, retransmitted: bool = False) -> str:
    """Send 200 to the request that came last."""
    head = "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
    return _send(head + rest, retransmitted=retransmitted)


def _send(text: str, *, retransmitted: bool) -> str:
    options = ' retrans="500"' if retransmitted else ""
    return f"<send{options}><![CDATA[\n{text}\n]]></send>"
