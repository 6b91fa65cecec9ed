"""SIPp as a peer: scenarios put together from steps, and what was said as messages."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ports import free_block, free_port

CAPTURES: Final = Path("/usr/share/sip-tester")
TIMEOUT_S: Final = 30
_MESSAGE: Final = re.compile(r"^-{20,}.*\n(?:UDP|TCP) message (sent|received)[^\n]*\n\n", re.MULTILINE)
_DIALOG: Final = """\
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "Peer" <sip:15162065338@[local_ip]:[local_port]>;tag=[pid]peer[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{to_tag}
Call-ID: [call_id]
CSeq: {cseq}
Contact: <sip:15162065338@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
"""


@dataclass(frozen=True)
class Message:
    """One SIP message of the log."""

    sent: bool
    text: str

    @property
    def start(self) -> str:
        return self.text.partition("\n")[0].strip()

    def header(self, name: str) -> str:
        found = re.search(rf"^{re.escape(name)}:[ \t]*(.*?)\r?$", self.text, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""

    @property
    def body(self) -> str:
        return self.text.replace("\r\n", "\n").partition("\n\n")[2]


@dataclass(frozen=True)
class Outcome:
    """How a scenario went: SIPp's exit status (0 where all came as expected), its errors, the messages in order."""

    status: int
    errors: str
    messages: tuple[Message, ...]

    def answers(self, method: str = "INVITE") -> list[int]:
        """The statuses received for `method`, in order."""
        return [
            int(message.start.split()[1])
            for message in self.messages
            if not message.sent and message.start.startswith("SIP/2.0 ") and message.header("CSeq").endswith(method)
        ]

    def answer(self, status: int) -> Message:
        """The first response with that status."""
        for message in self.messages:
            if not message.sent and message.start.startswith(f"SIP/2.0 {status} "):
                return message
        raise AssertionError(f"no {status} among {[message.start for message in self.messages]}\n{self.errors}")


def sdp(*lines: str, formats: str = "0 101", port: str = "[rtp_port]", address: str = "127.0.0.1") -> str:
    """PCMU and telephone-event at the test's own RTP socket."""
    return "\n".join(
        [
            "v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0",
            f"m=audio {port} RTP/AVP {formats}", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", *lines, "",
        ]
    )  # fmt: skip


def request(
    method: str, *, body: str = "", cseq: int = 1, headers: str = "", within: bool = False, retrans: bool = True
) -> str:
    """Send a request: within the dialog (to the peer's Contact) or to the number called."""
    target = "[next_url]" if within else "sip:[service]@[remote_ip]:[remote_port]"
    dialog = _DIALOG.format(to_tag="[peer_tag_param]" if within else "", cseq=f"{cseq} {method}")
    return _send(method, target, dialog, headers=headers, body=body, retrans=retrans)


def ack(cseq: int = 1, body: str = "") -> str:
    """ACK of a 2xx: a transaction of its own, to the peer's Contact (RFC 3261 section 13.2.2.4)."""
    return request("ACK", within=True, cseq=cseq, body=body, retrans=False)


def same_transaction(method: str, cseq: int = 1) -> str:
    """CANCEL, or ACK of a refusal: the INVITE's own Via (RFC 3261 sections 9.1 and 17.1.1.3)."""
    to_tag = "[peer_tag_param]" if method == "ACK" else ""
    dialog = _DIALOG.format(to_tag=to_tag, cseq=f"{cseq} {method}").partition("\n")[2]
    target = "sip:[service]@[remote_ip]:[remote_port]"
    return _send(method, target, f"[last_Via:]\n{dialog}", retrans=method != "ACK")


def _send(method: str, target: str, dialog: str, *, headers: str = "", body: str = "", retrans: bool = True) -> str:
    kind = "Content-Type: application/sdp\n" if body else ""
    text = f"{method} {target} SIP/2.0\n{dialog}{headers}{kind}Content-Length: [len]\n\n{body}"
    options = ' retrans="500"' if retrans else ""
    return f"<send{options}><![CDATA[\n{text}\n]]></send>\n"


def receive(status: int, *, optional: bool = False, timeout_ms: int = 15000) -> str:
    """Expect a response. Its Contact becomes the target of what follows."""
    options = ' optional="true"' if optional else f' timeout="{timeout_ms}"'
    return f'<recv response="{status}" rrs="true"{options}/>\n'


def receive_request(method: str, *, timeout_ms: int = 15000) -> str:
    """Expect a request within the dialog, and answer it with 200."""
    reply = (
        "<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
        "Content-Length: 0\n\n]]></send>\n"
    )
    return f'<recv request="{method}" timeout="{timeout_ms}"/>\n{reply}'


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>\n'


def play_capture(name: str) -> str:
    """Send a packaged capture from SIPp's own media port."""
    return f'<nop><action><exec play_pcap_audio="{CAPTURES / name}"/></action></nop>\n'


PROVISIONAL: Final = "".join(receive(status, optional=True) for status in (100, 180, 183))


def call(*during: str, offer: str = "", hang_up: bool = True, headers: str = "") -> str:
    """A whole answered call: INVITE, 200, ACK, `during`, then BYE by us or by the engine."""
    end = request("BYE", within=True, cseq=9) + receive(200) if hang_up else receive_request("BYE")
    return "".join(
        [request("INVITE", body=offer or sdp(), headers=headers), PROVISIONAL, receive(200), ack(), *during, end]
    )


def refused(status: int, offer: str = "") -> str:
    """An INVITE that is answered with `status`, and the ACK of that."""
    return request("INVITE", body=offer or sdp()) + PROVISIONAL + receive(status) + same_transaction("ACK")


class Sipp:
    """Runs scenarios against one target."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder, self._target = folder, target

    def run(self, steps: str, *, number: str, rtp_port: int = 9, tcp: bool = False) -> Outcome:
        """Play `steps` once, to the end or for 30 s. `rtp_port` is what `[rtp_port]` in an SDP stands for."""
        scenario = self._folder / "scenario.xml"
        log, errors = self._folder / "messages.log", self._folder / "errors.log"
        scenario.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="peer">\n{steps}</scenario>\n')
        for old in (log, errors):
            old.unlink(missing_ok=True)
        command = [
            "sipp", self._target, "-sf", str(scenario), "-s", number, "-m", "1", "-nostdin", "-i", "127.0.0.1",
            "-p", str(free_port()), "-mi", "127.0.0.1", "-mp", str(free_block(4)),
            "-timeout", f"{TIMEOUT_S}s", "-timeout_error", "-trace_msg", "-message_file", str(log),
            "-trace_err", "-error_file", str(errors),
            "-key", "rtp_port", str(rtp_port), "-t", "t1" if tcp else "u1",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=self._folder, capture_output=True, timeout=TIMEOUT_S + 15, check=False)
        said = errors.read_text(errors="replace") if errors.exists() else ""
        said += done.stderr.decode(errors="replace")
        return Outcome(done.returncode, said, messages(log.read_text(errors="replace") if log.exists() else ""))


def messages(log: str) -> tuple[Message, ...]:
    parts = _MESSAGE.split(log)
    return tuple(Message(kind == "sent", text.strip("\n")) for kind, text in zip(parts[1::2], parts[2::2], strict=True))
