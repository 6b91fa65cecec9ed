"""Callers: a process of its own that places many calls at once and speaks recordings into them at 20 ms pace.

One loop serves all calls: what comes is answered, then each call does what its next 20 ms ask for. It shares
nothing with the engine; its mu-law (ITU-T G.711) and its SIP (RFC 3261) are opinions of their own. In a test:

    outcomes = place(engine.target, number, [Call(caller="15165550101", recording=path, hang_up_after_ms=4000)])
"""

import re
import socket
import struct
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

FRAME: Final = 160
FRAME_S: Final = 0.02
BETWEEN_CALLS_S: Final = 0.04
PATIENCE_S: Final = 10.0
"""For how long an INVITE may go unanswered."""

End = Literal["refused", "unanswered", "we hung up", "they hung up"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a caller does: waits after the answer, then speaks `recording` (8 kHz mono; without one no RTP goes out).

    After the recording it says nothing, and it hangs up `hang_up_after_ms` after it began to speak.
    """

    caller: str
    recording: str = ""
    wait_ms: int = 600
    hang_up_after_ms: int = 30000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call went: the final response to INVITE (0: none came), and who ended it when, since the answer."""

    caller: str
    status: int
    end: End
    lasted_s: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the process is told on its standard input."""

    target: str
    number: str
    calls: list[Call]


def place(target: str, number: str, calls: list[Call], *, timeout_s: float = 60.0) -> list[Outcome]:
    """Place `calls` to `number` at `target` (host:port), all at once, and return how each went once all are over."""
    plan = msgspec.json.encode(Plan(target=target, number=number, calls=calls))
    done = subprocess.run([sys.executable, __file__], input=plan, capture_output=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return msgspec.json.decode(done.stdout, type=list[Outcome])


class _Talk:
    """One call, from INVITE to its end. `step` is called every 20 ms."""

    def __init__(self, call: Call, index: int, target: tuple[str, int], number: str) -> None:
        self._call, self._target = call, target
        self._frames = _mulaw_frames(call.recording) if call.recording else []
        self._sip, self._rtp = _udp_socket(), _udp_socket()
        self._at = "{}:{}".format(*self._sip.getsockname())
        self._remote_uri = f"sip:{number}@{target[0]}:{target[1]}"
        self._to = f"<{self._remote_uri}>"
        self._contact = self._remote_uri
        self._audio: tuple[str, int] | None = None
        self._index = index
        self._id = uuid.uuid4().hex
        self._asked = self._answered = self._spoke = 0.0
        self._sent = 0  # frames
        self.outcome: Outcome | None = None

    def step(self, now: float) -> None:
        """Answer what has come, then do what is due at `now`."""
        while (message := _received(self._sip)) is not None:
            self._take(message, now)
        while _received(self._rtp) is not None:
            pass
        if self.outcome is not None:
            return
        if not self._asked:
            self._asked = now
            self._send_request("INVITE", self._remote_uri, cseq=1, body=_offer(self._rtp.getsockname()[1]))
        elif not self._answered:
            if now > self._asked + PATIENCE_S:
                self._end("unanswered", 0, now)
        elif now >= self._answered + self._call.wait_ms / 1000:
            self._speak(now)

    def _speak(self, now: float) -> None:
        self._spoke = self._spoke or now
        if now >= self._spoke + self._call.hang_up_after_ms / 1000:
            self._send_request("BYE", self._contact, cseq=2)
            self._end("we hung up", 200, now)
        elif self._sent < len(self._frames) and self._audio:
            stamp = struct.pack("!HII", 1000 + self._sent, self._sent * FRAME, 0x43414C00 + self._index)
            head = bytes([0x80, 0x80 if self._sent == 0 else 0])
            self._rtp.sendto(head + stamp + self._frames[self._sent], self._audio)
            self._sent += 1

    def _take(self, data: bytes, now: float) -> None:
        text = data.decode(errors="replace")
        first = text.partition("\r\n")[0]
        if first.startswith("BYE "):
            self._sip.sendto(_ok(text).encode(), self._target)
            self._end("they hung up", 200, now)
        elif first.startswith("SIP/2.0 ") and _header(text, "CSeq").endswith("INVITE") and first[8] != "1":
            self._conclude_invite(int(first[8:11]), text, now)

    def _conclude_invite(self, status: int, text: str, now: float) -> None:
        self._to = _header(text, "To")
        if status >= 300:
            self._end("refused", status, now)
            return
        contact = re.search(r"<([^>]*)>", _header(text, "Contact"))
        self._contact = contact[1] if contact else self._remote_uri
        self._send_request("ACK", self._contact, cseq=1)
        media = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
        self._audio = (self._target[0], int(media[1])) if media else None
        self._answered = self._answered or now

    def _send_request(self, method: str, uri: str, *, cseq: int, body: str = "") -> None:
        me = f"sip:{self._call.caller}@{self._at}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._at};branch=z9hG4bK-{self._id}-{method}",
            f"From: <{me}>;tag={self._id}",
            f"To: {self._to}",
            f"Call-ID: {self._id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <{me}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._sip.sendto("\r\n".join([*lines, "", body]).encode(), self._target)

    def _end(self, end: End, status: int, now: float) -> None:
        if self.outcome is None:
            lasted_s = now - self._answered if self._answered else 0.0
            self.outcome = Outcome(caller=self._call.caller, status=status, end=end, lasted_s=lasted_s)


def _udp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def _received(end: socket.socket) -> bytes | None:
    try:
        return end.recv(65536)
    except BlockingIOError:
        return None


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _ok(request: str) -> str:
    """200 with no more than RFC 3261 section 8.2.6.2 asks for."""
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    return "\r\n".join(["SIP/2.0 200 OK", *(f"{n}: {_header(request, n)}" for n in names), "Content-Length: 0", "", ""])


def _offer(port: int) -> str:
    lines = [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=audio {port} RTP/AVP 0",
        "a=ptime:20", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


def _mulaw_frames(recording: str) -> list[bytes]:
    """The whole frames of a recording in mu-law."""
    samples, rate_hz = soundfile.read(recording, dtype="int16")
    assert (rate_hz, samples.ndim) == (8000, 1), f"{recording}: expected 8 kHz mono"
    octets = mulaw(samples.astype(np.int32))
    return [octets[at : at + FRAME].tobytes() for at in range(0, octets.size - FRAME + 1, FRAME)]


def mulaw(samples: NDArray[np.int32]) -> NDArray[np.uint8]:
    """16-bit samples in mu-law: sign, the position of the highest bit of the biased magnitude, the next four bits."""
    magnitude = np.minimum(np.abs(samples), 32635) + 132
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    code = np.where(samples < 0, 0x80, 0) | segment << 4 | magnitude >> segment + 3 & 0x0F
    return (~code & 0xFF).astype(np.uint8)


def _run(plan: Plan) -> list[Outcome]:
    host, _, port = plan.target.rpartition(":")
    talks = [_Talk(call, at, (host, int(port)), plan.number) for at, call in enumerate(plan.calls)]
    began, tick = time.monotonic(), 0
    lingering = 0
    while lingering < 25:  # half a second for what is still on the way when the last call is over
        now = began + tick * FRAME_S
        time.sleep(max(0.0, now - time.monotonic()))
        for at, talk in enumerate(talks):
            if now >= began + at * BETWEEN_CALLS_S:
                talk.step(now)
        tick += 1
        lingering += all(talk.outcome for talk in talks)
    return [talk.outcome for talk in talks if talk.outcome]


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan))))
