"""A SIP peer without a stack: a UDP socket that says what it is told, as often as it is told (RFC 3261).

SIPp hides retransmissions and refuses to send rubbish; this shows the one and does the other.
"""

import itertools
import re
import socket
import time
from types import TracebackType
from typing import Final

from sipp import Message

_ids: Final = itertools.count(1)


class RawPeer:
    """One socket and at most one dialog on it."""

    def __init__(self, target: str, *, address: str = "127.0.0.1", port: int = 0) -> None:
        host, _, target_port = target.rpartition(":")
        self._target = (host, int(target_port))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._at = "{}:{}".format(*self._socket.getsockname())
        self._id = f"raw{next(_ids)}-{self._socket.getsockname()[1]}"

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes | str) -> None:
        self._socket.sendto(data.encode() if isinstance(data, str) else data, self._target)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._socket.getsockname()[1]

    def aim(self, target: str) -> None:
        """Send to `address:port` from now on."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))

    def answer(self, request: Message, status: str, *, body: str = "", tag: str = "", headers: str = "") -> str:
        """A response to `request`; `status` with its reason. `tag` is of To, the peer's own one where it is empty."""
        copied = [f"{name}: {request.header(name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
        lines = [
            f"SIP/2.0 {status}",
            *copied,
            f"To: {request.header('To').partition(';tag=')[0]};tag={tag or self._id}",
            f"Contact: <sip:{self._at}>",
            *headers.splitlines(),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body])

    def receive(self, timeout_s: float = 5.0) -> Message | None:
        """The next message; None after `timeout_s` without one."""
        self._socket.settimeout(max(timeout_s, 0.001))
        try:
            return Message(sent=False, text=self._socket.recv(65536).decode(errors="replace"))
        except TimeoutError:
            return None

    def receive_all(self, timeout_s: float) -> list[Message]:
        """What comes within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        found: list[Message] = []
        while (left := deadline - time.monotonic()) > 0:
            message = self.receive(left)
            found += [message] if message else []
        return found

    def expect(self, start: str, timeout_s: float = 10.0) -> Message:
        """The next message whose first line begins with `start`; others are passed over."""
        deadline = time.monotonic() + timeout_s
        others: list[str] = []
        while (left := deadline - time.monotonic()) > 0:
            message = self.receive(left)
            if message and message.start.startswith(start):
                return message
            others += [message.start] if message else []
        raise AssertionError(f"no {start!r} within {timeout_s:.0f} s, but {others}")

    def request(
        self,
        method: str,
        number: str,
        *,
        cseq: int = 1,
        answered: Message | None = None,
        headers: str = "",
        body: str = "",
    ) -> str:
        """A request; of the dialog that `answered`, a 2xx, has made, where it is given."""
        uri = f"sip:{number}@{self._target[0]}:{self._target[1]}"
        to, target = f"<{uri}>", uri
        if answered is not None:
            to = answered.header("To")
            contact = re.search(r"<([^>]*)>", answered.header("Contact"))
            target = contact[1] if contact else uri
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._at};branch=z9hG4bK-{next(_ids)}",
            f"From: <sip:15162065338@{self._at}>;tag={self._id}",
            f"To: {to}",
            f"Call-ID: {self._id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:15162065338@{self._at}>",
            "Max-Forwards: 70",
            *headers.splitlines(),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body])

    def request_back(self, method: str, invite: Message, *, cseq: int = 1) -> str:
        """A request of ours within the dialog that `invite`, which we have answered, has made."""
        contact = re.search(r"<([^>]*)>", invite.header("Contact"))
        lines = [
            f"{method} {contact[1] if contact else invite.header('Contact')} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._at};branch=z9hG4bK-{next(_ids)}",
            f"From: {invite.header('To')};tag={self._id}",
            f"To: {invite.header('From')}",
            f"Call-ID: {invite.header('Call-ID')}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""])

    def options(self, cseq: int = 1) -> bool:
        """True if the far end answers OPTIONS with 200."""
        self.send(self.request("OPTIONS", "ping", cseq=cseq))
        answer = self.receive(5.0)
        return answer is not None and answer.start.startswith("SIP/2.0 200 ")


def plain_sdp(port: int, *lines: str, codec: int = 0, address: str = "127.0.0.1") -> str:
    """`codec` (0 PCMU, 8 PCMA) and telephone-event at `port` of `address`, then `lines`."""
    described = [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", f"c=IN IP4 {address}", "t=0 0", f"m=audio {port} RTP/AVP {codec} 101",
        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", *lines, "",
    ]  # fmt: skip
    return "\r\n".join(described)
