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

from g711 import Codec
from raw_peer import RawPeer
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
        self.rtp = RtpEndpoint(codec=codec)
        self.sip: list[tuple[float, Message]] = []
        self._peer = RawPeer(target)
        self._number, self._codec, self._headers, self._longest_s = number, codec, headers, longest_s
        self._answered: Message | None = None

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
        invite = self._peer.request("INVITE", self._number, headers=self._headers, body=self._offer())
        self._peer.send(invite)
        deadline = time.monotonic() + self._longest_s
        while time.monotonic() < deadline:
            if hang_up_at is not None and self._answered is not None and self.rtp.elapsed_s >= hang_up_at:
                return self._hang_up(self._answered)
            message = self._peer.receive(POLL_S)
            if message is not None and (ending := self._take(message, invite)):
                return ending
        if self._answered is not None:
            self._hang_up(self._answered)
        raise AssertionError(f"{self._number}: not over after {self._longest_s:.0f} s, but {self.starts}")

    @property
    def starts(self) -> list[str]:
        """The first lines of what came."""
        return [message.start for _, message in self.sip]

    def at(self, start: str) -> float:
        """When the first message came that begins so."""
        return next(at for at, message in self.sip if message.start.startswith(start))

    def _take(self, message: Message, invite: str) -> Ending | None:
        self.sip.append((time.monotonic(), message))
        if message.start.startswith("BYE "):
            self._peer.send(_ok(message))
            return Ending(status=200, by="them")
        if not message.start.startswith("SIP/2.0 ") or not message.header("CSeq").endswith("INVITE"):
            return None
        status = int(message.start.split()[1])
        if status >= 300:
            self._peer.send(_ack_of_refusal(invite, message))
            return Ending(status=status, by="refused")
        if status >= 200:  # again and again, until it has our ACK
            self._answered = message
            self._peer.send(self._peer.request("ACK", self._number, answered=message))
        return None

    def _hang_up(self, answered: Message) -> Ending:
        self._peer.send(self._peer.request("BYE", self._number, cseq=2, answered=answered))
        deadline = time.monotonic() + BYE_ANSWER_S
        while time.monotonic() < deadline:
            message = self._peer.receive(POLL_S)
            if message is not None:
                self.sip.append((time.monotonic(), message))
                if message.header("CSeq") == "2 BYE":
                    break
        return Ending(status=200, by="us")

    def _offer(self) -> str:
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
            f"m=audio {self.rtp.port} RTP/AVP {self._codec} 101", "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15", "",
        ]  # fmt: skip
        return "\r\n".join(lines)


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
    """The CANCEL of an INVITE: its branch, no body (RFC 3261 section 9.1)."""
    head = invite.partition("\r\n\r\n")[0].replace("INVITE", "CANCEL")
    return re.sub(r"^Content-.*\r?\n?", "", head, flags=re.MULTILINE).rstrip("\r\n") + "\r\nContent-Length: 0\r\n\r\n"


def _ack_of_refusal(invite: str, refusal: Message) -> str:
    """The ACK of a final response other than 2xx: the INVITE's own branch (RFC 3261 section 17.1.1.3)."""
    head = invite.partition("\r\n\r\n")[0].replace("INVITE", "ACK")
    head = re.sub(r"^To: .*$", f"To: {refusal.header('To')}", head, flags=re.MULTILINE)
    head = re.sub(r"^Content-.*\r?\n?", "", head, flags=re.MULTILINE).rstrip("\r\n")
    return f"{head}\r\nContent-Length: 0\r\n\r\n"


def _ok(request: Message) -> str:
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    return "\r\n".join(
        ["SIP/2.0 200 OK", *(f"{name}: {request.header(name)}" for name in names), "Content-Length: 0", "", ""]
    )
