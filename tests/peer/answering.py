"""Somebody who is called: answers an INVITE, talks, and says within the dialog what a test wants said."""

from __future__ import annotations

import itertools
import re
from types import TracebackType
from typing import Final

from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Message

# One count for all parties: to PJSIP a branch names a transaction whoever has sent it, for 32 s after its end.
_branches: Final = itertools.count(1)


class Answering:
    """One called party on a port of its own. Times are as `RtpEndpoint` has them."""

    def __init__(self) -> None:
        self.rtp = RtpEndpoint()
        self._peer = RawPeer("127.0.0.1:9")
        self._cseq = itertools.count(1)
        self.invite: Message | None = None

    def __enter__(self) -> Answering:
        self.rtp.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rtp.__exit__(kind, error, trace)
        self._peer.__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self._peer.port

    @property
    def uri(self) -> str:
        return f"sip:party@127.0.0.1:{self._peer.port}"

    def expect(self, start: str, timeout_s: float = 10.0) -> Message:
        """The next message that begins so; a request other than INVITE and ACK is answered with 200."""
        message = self._peer.expect(start, timeout_s)
        if message.start.startswith("INVITE "):
            self.invite = message
            self._peer.aim(message.header("Via").split()[1].partition(";")[0])
        elif not message.start.startswith(("SIP/2.0 ", "ACK ")):
            self._peer.send(self._peer.answer(message, "200 OK"))
        return message

    def ring(self) -> None:
        """Take the INVITE, and answer it with 180."""
        self._peer.send(self._peer.answer(self.expect("INVITE "), "180 Ringing"))

    def pick_up(self) -> None:
        """Answer the INVITE with 200, and see its ACK."""
        if self.invite is None:
            self.ring()
        assert self.invite is not None
        self._peer.send(self._peer.answer(self.invite, "200 OK", body=plain_sdp(self.rtp.port)))
        self.expect("ACK ")

    def refuse(self, status: str) -> None:
        """Answer the INVITE with `status` and its reason."""
        self._peer.send(self._peer.answer(self.expect("INVITE "), status))

    def request(self, method: str, headers: str = "") -> None:
        """Send a request within the dialog."""
        assert self.invite is not None
        contact = re.search(r"<([^>]*)>", self.invite.header("Contact"))
        assert contact is not None
        ours = self._peer.answer(self.invite, "200 OK")
        me = re.search(r"^To: (.*?)\r?$", ours, re.MULTILINE)
        assert me is not None
        lines = [
            f"{method} {contact[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self._peer.port};branch=z9hG4bK-answering-{next(_branches)}",
            f"From: {me[1]}",
            f"To: {self.invite.header('From')}",
            f"Call-ID: {self.invite.header('Call-ID')}",
            f"CSeq: {next(self._cseq)} {method}",
            f"Contact: <{self.uri}>",
            "Max-Forwards: 70",
            *headers.splitlines(),
            "Content-Length: 0",
        ]
        self._peer.send("\r\n".join([*lines, "", ""]))

    def hang_up(self) -> None:
        self.request("BYE")
        self.expect("SIP/2.0 200 ")
