"""A telephone: one SIP call over UDP with its audio, from INVITE to its end, in a thread of its own (RFC 3261).

SIPp tests the signalling; this is for tests of what is heard and said, many calls at once.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from g711 import Codec, Samples
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Message

POLL_S: Final = 0.1
BYE_ANSWER_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a call ended: the final status of its INVITE, and who ended it."""

    status: int
    by: str  # "refused", "us", "them"


class Phone:
    """One call. `sip` is what came, with the time of each message in seconds of the monotonic clock."""

    def __init__(
        self, target: str, number: str, *, codec: Codec = 0, headers: str = "", longest_s: float = 45.0
    ) -> None:
        self.rtp = self.before = RtpEndpoint(codec=codec)
        self.sip: list[tuple[float, Message]] = []
        self._peer = RawPeer(target)
        self._number, self._headers, self._longest_s = number, headers, longest_s
        self._invite = ""
        self._answered: Message | None = None
        self._cseq = 1
        self._answers: dict[int, str] = {}
        self._acts: list[tuple[float, Callable[[Phone], None]]] = []
        self._leaving = False

    def __enter__(self) -> "Phone":
        self.rtp.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rtp.__exit__(kind, error, trace)
        self._peer.__exit__(kind, error, trace)

    def call(self, hang_up_at: float | None = None) -> Ending:
        """Call, and talk until the engine hangs up, or until so many seconds of audio have come in.

        Raises AssertionError where the call does not end within its longest time.
        """
        self._invite = self._peer.request("INVITE", self._number, headers=self._headers, body=self.sdp())
        self._peer.send(self._invite)
        began = time.monotonic()
        while time.monotonic() < began + self._longest_s:
            while self._acts and self._acts[0][0] <= time.monotonic() - began:
                self._acts.pop(0)[1](self)
            enough = hang_up_at is not None and self.rtp.elapsed_s >= hang_up_at
            if self._answered is not None and (enough or self._leaving):
                return self._hang_up(self._answered)
            message = self._peer.receive(POLL_S)
            if message is not None and (ending := self._take(message)):
                return ending
        if self._answered is not None:
            self._hang_up(self._answered)
        raise AssertionError(f"{self._number}: not over after {self._longest_s:.0f} s, but {self.starts}")

    # ---- what it does during the call -----------------------------------------------------------------------------

    def later(self, at_s: float, act: Callable[["Phone"], None]) -> None:
        """Have `act` done `at_s` seconds after the INVITE."""
        self._acts.append((at_s, act))
        self._acts.sort(key=lambda each: each[0])

    def leave(self) -> None:
        """Hang up; a call that has not been answered is, as soon as it is."""
        self._leaving = True

    def cancel(self) -> None:
        """Cancel the INVITE."""
        self._peer.send(cancel_of(self._invite))

    def move(self, codec: Codec, speech: Samples) -> None:
        """Go on with another socket and that codec, and say `speech` there; `before` is what was until then."""
        self.rtp.__exit__(None, None, None)
        self.before, self.rtp = self.rtp, RtpEndpoint(codec=codec)
        self.rtp.speak(speech)
        self.rtp.__enter__()

    def sdp(self, *lines: str) -> str:
        """A description of `rtp`, with more lines for its media."""
        return plain_sdp(self.rtp.port, *lines, codec=self.rtp.codec)

    def offer(self, body: str = "", *, answer: str = "") -> None:
        """Send a re-INVITE with that description; without one, `answer` goes into the ACK. What came is in `sip`."""
        self._cseq += 1
        self._answers[self._cseq] = answer
        self._peer.send(self._peer.request("INVITE", self._number, cseq=self._cseq, answered=self._answered, body=body))

    # ---- what it saw ----------------------------------------------------------------------------------------------

    @property
    def starts(self) -> list[str]:
        """The first lines of what came."""
        return [message.start for _, message in self.sip]

    def at(self, start: str) -> float:
        """When the first message came that begins so."""
        return next(at for at, message in self.sip if message.start.startswith(start))

    def _take(self, message: Message) -> Ending | None:
        self.sip.append((time.monotonic(), message))
        if message.start.startswith("BYE "):
            self._peer.send(_ok(message))
            return Ending(status=200, by="them")
        if not message.start.startswith("SIP/2.0 ") or not message.header("CSeq").endswith("INVITE"):
            return None
        status, cseq = int(message.start.split()[1]), int(message.header("CSeq").split()[0])
        if status >= 300:
            assert cseq == 1, f"{self._number}: a re-INVITE was refused with {status}"
            self._peer.send(_same_transaction(self._invite, "ACK", to=message.header("To")))
            return Ending(status=status, by="refused")
        if status >= 200:  # again and again, until it has our ACK
            self._answered = message
            body = self._answers.get(cseq, "")
            self._peer.send(self._peer.request("ACK", self._number, cseq=cseq, answered=message, body=body))
        return None

    def _hang_up(self, answered: Message) -> Ending:
        self._cseq += 1
        self._peer.send(self._peer.request("BYE", self._number, cseq=self._cseq, answered=answered))
        deadline = time.monotonic() + BYE_ANSWER_S
        while time.monotonic() < deadline:
            message = self._peer.receive(POLL_S)
            if message is not None:
                self.sip.append((time.monotonic(), message))
                if message.header("CSeq") == f"{self._cseq} BYE":
                    break
        return Ending(status=200, by="us")


class Talk(threading.Thread):
    """Something a phone does, in the background; `result` waits for it and raises what it raised."""

    def __init__(self, talk: Callable[[], Ending]) -> None:
        super().__init__(daemon=True)
        self._talk = talk
        self._ending: Ending | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._ending = self._talk()
        except BaseException as error:
            self._error = error

    def result(self) -> Ending:
        self.join()
        if self._error is not None:
            raise self._error
        assert self._ending is not None
        return self._ending


def cancel_of(invite: str) -> str:
    """The CANCEL of an INVITE (RFC 3261 section 9.1)."""
    return _same_transaction(invite, "CANCEL")


def _same_transaction(invite: str, method: str, *, to: str = "") -> str:
    """CANCEL, or the ACK of a refusal: the INVITE's own branch (RFC 3261 sections 9.1 and 17.1.1.3)."""
    head = invite.partition("\r\n\r\n")[0].replace("INVITE", method)
    if to:
        head = re.sub(r"^To: .*$", f"To: {to}", head, flags=re.MULTILINE)
    head = re.sub(r"^Content-.*\r?\n?", "", head, flags=re.MULTILINE).rstrip("\r\n")
    return f"{head}\r\nContent-Length: 0\r\n\r\n"


def _ok(request: Message) -> str:
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    return "\r\n".join(
        ["SIP/2.0 200 OK", *(f"{name}: {request.header(name)}" for name in names), "Content-Length: 0", "", ""]
    )
