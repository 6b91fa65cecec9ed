"""A called party: a SIP socket that is invited, and the audio of the call that comes of it (RFC 3261).

SIPp (see `uas`) plays parties for their signalling; this one is for what a party hears, says and presses. It takes one
call, in a thread of its own.
"""

import re
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from g711 import Codec, Samples
from hearing import Span, tones
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Message

POLL_S: Final = 0.02
END_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """What a party does when it is invited. It rings, then says `status`; where that is a 2xx, it talks.

    `after` is in seconds since the INVITE, None where it lets the phone ring; `hang_up_after` in seconds since the
    ACK; `speech` and `keys` in seconds since the first packet came in. With `early_media` it rings by 183 with SDP,
    not by 180, so that what it hears and says may begin then.
    """

    after: float | None = 0.5
    status: str = "200 OK"
    early_media: bool = False
    hang_up_after: float | None = None
    speech: tuple[tuple[float, Samples], ...] = ()
    keys: tuple[tuple[float, str], ...] = ()
    codec: Codec = 0


class Callee:
    """One party. `sip` is what came, with the time of each message in seconds of the monotonic clock."""

    def __init__(self, name: str, conduct: Conduct, target: str, *, port: int = 0) -> None:
        """`target` is the engine; without a `port`, any that is free."""
        self.rtp = RtpEndpoint(codec=conduct.codec)
        self.sip: list[tuple[float, Message]] = []
        self._name, self._conduct = name, conduct
        self._peer = RawPeer(target, port=port)
        self._concluded = False  # its final response is out
        self._talking_since: float | None = None
        self._hung_up = False
        self._ending = ""
        self._over, self._leaving = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        for at, samples in conduct.speech:
            self.rtp.speak(samples, at)
        for at, keys in conduct.keys:
            self.rtp.press(keys, at)

    def __enter__(self) -> "Callee":
        self.rtp.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._thread.join()
        self.rtp.__exit__(kind, error, trace)
        self._peer.__exit__(kind, error, trace)

    @property
    def uri(self) -> str:
        return f"sip:{self._name}@127.0.0.1:{self._peer.port}"

    # ---- what came of it ----------------------------------------------------------------------------------------

    @property
    def invited(self) -> bool:
        return bool(self.sip)

    @property
    def invite(self) -> Message:
        """The INVITE, which must have come."""
        return self.sip[0][1]

    @property
    def ending(self) -> str:
        """How it ended: `refused`, `cancelled`, or who hung up, `us` or `them`. Waits for that."""
        assert self._over.wait(END_S), [message.start for _, message in self.sip]
        return self._ending

    def at(self, start: str) -> float:
        """When the first message came that begins so."""
        return next(at for at, message in self.sip if message.start.startswith(start))

    @property
    def heard(self) -> Samples:
        assert self.ending
        return self.rtp.heard()

    @property
    def tones(self) -> list[Span]:
        """The tones that it heard."""
        return tones(self.heard)

    @property
    def keys(self) -> str:
        """The keys that it heard as telephone events."""
        assert self.ending
        return "".join(key.key for key in self.rtp.heard_keys())

    @property
    def informed(self) -> list[str]:
        """The keys that came by SIP INFO (application/dtmf-relay)."""
        bodies = [message.body for _, message in self.sip if message.start.startswith("INFO ")]
        return [key[1] for body in bodies if (key := re.search(r"Signal=\s*(\S+)", body))]

    # ---- the call -----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        while not self._ending and not self._leaving.is_set():
            message = self._peer.receive(POLL_S)
            if message is not None:
                self.sip.append((time.monotonic(), message))
                self._take(message)
            self._do_what_is_due(time.monotonic())
        self._over.set()

    def _take(self, message: Message) -> None:
        match message.start.split()[0]:
            case "INVITE" if len(self.sip) == 1:
                self._ring(message)
            case "CANCEL":
                self._peer.send(self._peer.answer(message, "200 OK"))
                self._peer.send(self._peer.answer(self.invite, "487 Request Terminated"))
                self._concluded, self._conduct = True, Conduct(status="487 Request Terminated")
            case "ACK" if self._conduct.status.startswith("2"):
                self._talking_since = self._talking_since or time.monotonic()
            case "ACK":
                self._ending = "cancelled" if self._conduct.status.startswith("487") else "refused"
            case "BYE":
                self._peer.send(self._peer.answer(message, "200 OK"))
                self._ending = "them"
            case "INFO":
                self._peer.send(self._peer.answer(message, "200 OK"))
            case "SIP/2.0" if message.header("CSeq").endswith("BYE"):
                self._ending = "us"
            case _:
                pass

    def _ring(self, invite: Message) -> None:
        if self._conduct.early_media:
            self._peer.send(self._peer.answer(invite, "183 Session Progress", body=plain_sdp(self.rtp.port)))
        else:
            self._peer.send(self._peer.answer(invite, "180 Ringing"))

    def _do_what_is_due(self, now: float) -> None:
        conduct = self._conduct
        if not self.sip:
            return
        if not self._concluded and conduct.after is not None and now >= self.sip[0][0] + conduct.after:
            self._concluded = True
            body = plain_sdp(self.rtp.port) if conduct.status.startswith("2") else ""
            self._peer.send(self._peer.answer(self.invite, conduct.status, body=body))
        if conduct.hang_up_after is None or self._talking_since is None or self._hung_up:
            return
        if now >= self._talking_since + conduct.hang_up_after:
            self._hung_up = True
            self._peer.send(self._peer.request_back("BYE", self.invite))
