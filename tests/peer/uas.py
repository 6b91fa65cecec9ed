"""Called parties played by SIPp: what they do when the engine invites them, and what they were told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final

from ports import free_block, free_port
from sipp import Message, messages

WAIT_S: Final = 30.0

_SDP: Final = """\
v=0
o=- 1 1 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0 101
a=rtpmap:101 telephone-event/8000
"""


def receive(method: str, *, optional: bool = False) -> str:
    return f'<recv request="{method}" crlf="true"{" optional=" + chr(34) + "true" + chr(34) if optional else ""}/>\n'


def respond(status: int, reason: str, *, sdp: bool = False, retransmit: bool = False) -> str:
    """Answer the last request; a tag of ours in To (RFC 3261 section 8.2.6.2)."""
    body = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{_SDP}" if sdp else "Content-Length: 0\n\n"
    options = ' retrans="500"' if retransmit else ""
    return (
        f"<send{options}><![CDATA[\nSIP/2.0 {status} {reason}\n[last_Via:]\n[last_From:]\n"
        "[last_To:];tag=[pid]uas[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
        f"Contact: <sip:[local_ip]:[local_port];transport=[transport]>\n{body}\n]]></send>\n"
    )


def invited() -> str:
    """Take the INVITE, and keep its CSeq for `terminate`."""
    kept = '<ereg regexp="[0-9]+ INVITE" search_in="hdr" header="CSeq:" assign_to="cseq"/>'
    return f'<recv request="INVITE" crlf="true"><action>{kept}</action></recv>\n'


def terminate(status: int, reason: str) -> str:
    """Answer the INVITE for good although a CANCEL came after it; needs `invited`."""
    return respond(status, reason, retransmit=True).replace("[last_CSeq:]", "CSeq: [$cseq]")


def respond_within(status: int, reason: str) -> str:
    """Answer a request within the dialog, whose To has our tag already."""
    return (
        f"<send><![CDATA[\nSIP/2.0 {status} {reason}\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n"
        "[last_CSeq:]\nContent-Length: 0\n\n]]></send>\n"
    )


def quiet(milliseconds: int = 1000) -> str:
    """Wait, while nothing may come: whatever SIPp does not expect fails the scenario."""
    return pause(milliseconds)


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>\n'


RING: Final = receive("INVITE") + respond(180, "Ringing")
ANSWER: Final = RING + respond(200, "OK", sdp=True, retransmit=True) + receive("ACK")
TALK: Final = ANSWER + receive("BYE") + respond_within(200, "OK")
BUSY: Final = receive("INVITE") + respond(486, "Busy Here") + receive("ACK")
CANCELLED: Final = RING + receive("CANCEL") + respond_within(200, "OK")
"""The 487 to the INVITE itself is left out: the engine must not hang on it."""


class Uas:
    """A party that plays `steps` once. It echoes the audio that comes to it."""

    def __init__(self, folder: Path, steps: str) -> None:
        self._folder, self._complaints = folder, folder / "stderr.log"
        folder.mkdir()
        self.port = free_port()
        (folder / "uas.xml").write_text(f'<?xml version="1.0"?>\n<scenario name="party">\n{steps}</scenario>\n')
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"sip:party@127.0.0.1:{self.port}"

    def __enter__(self) -> Uas:
        command = [
            "sipp", "-sf", "uas.xml", "-i", "127.0.0.1", "-p", str(self.port), "-mi", "127.0.0.1",
            "-mp", str(free_block(4)), "-rtp_echo", "-nostdin", "-m", "1",
            "-trace_msg", "-message_file", "messages.log", "-timeout", f"{WAIT_S:.0f}s",
        ]  # fmt: skip
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=complaints)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def died(self) -> str:
        """Why it is not there any more; nothing while it is, or where it came to the end of its steps."""
        assert self._process is not None
        return f"SIPp ended: {self._complaints.read_text(errors='replace')}" if self._process.poll() else ""

    def done(self) -> tuple[Message, ...]:
        """What was said, once the party has come to the end of its steps; fails where it does not."""
        assert self._process is not None
        status = self._process.wait(WAIT_S)
        log = self._folder / "messages.log"
        said = messages(log.read_text(errors="replace") if log.exists() else "")
        assert status == 0, [message.start for message in said]
        return said
