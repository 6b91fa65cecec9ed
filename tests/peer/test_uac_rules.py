"""The rules that the dialled parties hold the engine to: a right conversation passes, each wrong one is told."""

from __future__ import annotations

import pytest
from sipp import Message
from uac_rules import faults

URI, CONTACT = "sip:bob@127.0.0.1:5070", "sip:bob@127.0.0.1:5071"


def request(method: str, *, cseq: int = 1, uri: str = CONTACT, branch: str = "", tag: str = "b") -> Message:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK{branch or f'{method}{cseq}'}",
        "From: <sip:ann@127.0.0.1>;tag=a",
        f"To: <{URI}>{f';tag={tag}' if tag else ''}",
        "Call-ID: c",
        f"CSeq: {cseq} {method}",
    ]
    return Message(sent=False, text="\n".join([*lines, "", ""]))


def response(status: int, cseq: str = "1 INVITE", tag: str = "b") -> Message:
    lines = [
        f"SIP/2.0 {status} Whatever",
        "From: <sip:ann@127.0.0.1>;tag=a",
        f"To: <{URI}>;tag={tag}",
        "Call-ID: c",
        f"CSeq: {cseq}",
        f"Contact: <{CONTACT}>",
    ]
    return Message(sent=True, text="\n".join([*lines, "", ""]))


INVITE = request("INVITE", uri=URI, branch="1", tag="")
CANCEL = request("CANCEL", uri=URI, branch="1", tag="")
ACK_OF_REFUSAL = request("ACK", uri=URI, branch="1")
ACK, BYE = request("ACK"), request("BYE", cseq=2)
REFUSED = [INVITE, response(180), response(486), ACK_OF_REFUSAL]
CANCELLED = [INVITE, response(180), CANCEL, response(200, "1 CANCEL"), response(487), ACK_OF_REFUSAL]
TALKED = [INVITE, response(200), ACK, BYE, response(200, "2 BYE")]


@pytest.mark.parametrize("said", [REFUSED, CANCELLED, TALKED])
def test_what_is_right_has_no_faults(said: list[Message]) -> None:
    assert faults(said) == []


def changed(message: Message, old: str, new: str) -> Message:
    assert old in message.text
    return Message(sent=message.sent, text=message.text.replace(old, new))


WRONG: list[tuple[str, list[Message]]] = [
    ("has no ACK", REFUSED[:-1]),
    ("another branch", [*REFUSED[:-1], request("ACK", uri=URI, branch="2")]),
    ("no response", [*REFUSED[:-1], request("ACK", uri=URI, branch="1", tag="x")]),
    ("before any response", [INVITE, CANCEL, *CANCELLED[3:]]),
    ("not that of the INVITE", [*CANCELLED[:2], changed(CANCEL, "z9hG4bK1", "z9hG4bK2"), *CANCELLED[3:]]),
    ("not where the INVITE went", [*CANCELLED[:2], changed(CANCEL, ":5070 ", ":5079 "), *CANCELLED[3:]]),
    ("CANCEL of no INVITE", [*CANCELLED[:2], changed(CANCEL, "1 CANCEL", "2 CANCEL"), *CANCELLED[3:]]),
    ("with the branch of the INVITE", [INVITE, response(200), request("ACK", branch="1"), BYE]),
    ("not to the Contact", [INVITE, response(200), request("ACK", uri=URI), BYE]),
    ("not to <sip:bob", [*TALKED[:3], request("BYE", cseq=2, uri=URI)]),
    ("sent none", TALKED[:3]),
    ("got 2 BYE", [*TALKED, request("BYE", cseq=3)]),
    ("CSeq 1 after", [*TALKED[:3], request("PRACK", cseq=2), request("BYE", cseq=1)]),
    ("nobody has made", [*TALKED, request("BYE", cseq=3, tag="x")]),
    ("no magic cookie", [*TALKED[:3], changed(BYE, "z9hG4bK", "")]),
]


@pytest.mark.parametrize(("fault", "said"), WRONG)
def test_what_is_wrong_is_told(fault: str, said: list[Message]) -> None:
    assert any(fault in one for one in faults(said)), faults(said)
