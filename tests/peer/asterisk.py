"""A carrier that behaves as Asterisk does, played by SIPp: what it challenges, offers and says when it hangs up.

Every nonce is good for one request; the first that answers it is told that it is stale. Once the call is answered the
audio is sent elsewhere by re-INVITE (Asterisk's direct media).
"""

import hashlib
import re
from typing import Final

from sipp import Message, pause, sdp
from sipp_server import answer, take

LOGIN: Final = ("engine", "secret")
OURS: Final = ";tag=[pid]carrier[call_number]"
TIMER: Final = "Session-Expires: 1800;refresher=uas\nRequire: timer\n"
COMMON: Final = (
    "Server: Asterisk PBX 20.5.0\n"
    "Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER\n"
    "Supported: 100rel, timer, replaces, norefersub\n"
)
CONTACT: Final = "Contact: <sip:[local_ip]:[local_port]>\n"
REMEMBER: Final = (
    '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="theirs"/>'
    '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="ours"/>'
)
ACKED: Final = '<recv request="ACK"/>\n'


STATUSES: Final = {
    401: ("Unauthorized", "WWW-Authenticate"),
    407: ("Proxy Authentication Required", "Proxy-Authenticate"),
}


def challenge(status: int, nonce: str, *, stale: bool = False) -> str:
    """401 or 407 with a nonce of its own."""
    reason, header = STATUSES[status]
    terms = (
        f'realm="asterisk",nonce="{nonce}",opaque="5e1f08f2",algorithm=MD5,qop="auth"{",stale=true" if stale else ""}'
    )
    return answer(f"{status} {reason}", headers=f"{header}: Digest {terms}\n{COMMON}")


def challenged(method: str, status: int) -> str:
    """A request without credentials, and one with credentials for a nonce that has become stale meanwhile."""
    acked = ACKED if method == "INVITE" else ""
    first, second = challenge(status, "first"), challenge(status, "second", stale=True)
    return take(method) + first + acked + take(method) + second + acked


def proof(request: Message) -> str:
    """The nonce that a request brings the right credentials for; empty where it brings none (RFC 2617, 3.2.2)."""
    given = request.header("Authorization") or request.header("Proxy-Authorization")
    if not given:
        return ""
    said: dict[str, str] = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
    secret = _md5(f"{LOGIN[0]}:asterisk:{LOGIN[1]}")
    what = _md5(f"{request.start.split()[0]}:{said['uri']}")
    wanted = _md5(":".join([secret, *(said[name] for name in ("nonce", "nc", "cnonce", "qop")), what]))
    assert (said["response"], said["username"], said["opaque"]) == (wanted, LOGIN[0], "5e1f08f2"), given
    return said["nonce"]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def within(method: str, cseq: int, *, headers: str = "", body: str = "", retrans: bool = True) -> str:
    """Send a request of the dialog that the engine's INVITE has made."""
    kind = "Content-Type: application/sdp\n" if body else ""
    options = ' retrans="500"' if retrans else ""
    return (
        f"<send{options}><![CDATA[\n{method} [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];"
        f"branch=[branch]\nFrom:[$ours]{OURS}\nTo:[$theirs]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n{CONTACT}"
        f"Max-Forwards: 70\nUser-Agent: Asterisk PBX 20.5.0\n{headers}{kind}Content-Length: [len]\n\n"
        f"{body}\n]]></send>\n"
    )


REGISTRAR: Final = (
    challenged("REGISTER", 401)
    + take("REGISTER")
    + answer("200 OK", headers="Contact: <sip:engine@127.0.0.1>;expires=300\n")
)


def call(status: int, early_port: int, direct_port: int) -> str:
    """A call to the carrier: `status` challenges, early media, the answer, direct media, and its hang-up."""
    elsewhere = sdp(port=str(direct_port)).replace("o=- 1 1 ", "o=- 1 2 ")
    return "".join(
        [
            challenged("INVITE", status),
            f'<recv request="INVITE" rrs="true"><action>{REMEMBER}</action></recv>\n',
            answer("100 Trying", tag=False),
            answer("183 Session Progress", headers=CONTACT + COMMON, body=sdp(port=str(early_port))),
            pause(800),
            answer("200 OK", headers=CONTACT + COMMON + TIMER, body=sdp(port=str(early_port))),
            ACKED,
            pause(600),
            within("INVITE", 102, headers=TIMER.replace("uas", "uac"), body=elsewhere),
            '<recv response="100" optional="true"/>\n<recv response="200" rrs="true"/>\n',
            within("ACK", 102, retrans=False),
            pause(1200),
            within(
                "BYE", 103,
                headers='Reason: Q.850;cause=16;text="Normal Clearing"\n'
                "X-Asterisk-HangupCause: Normal Clearing\nX-Asterisk-HangupCauseCode: 16\n",
            ),
            '<recv response="200"/>\n',
        ]
    )  # fmt: skip
