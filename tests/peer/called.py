"""A called party without a stack: one socket that does what its script says, in a thread of its own (RFC 3261).

SIPp is the party wherever a scenario of it will do; this is for what SIPp hides or does by itself (retransmissions,
several To tags, an ACK that was never heard) and for parties whose audio matters.
"""

import itertools
import re
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from g711 import Codec, Samples
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Message

EXPECT_S: Final = 12.0
WAIT_S: Final = 60.0
TAG: Final = "called"
_branches: Final = itertools.count(1)

Script = Callable[["Called"], None]


class Called:
    """One INVITE and what comes of it. What does not go by the script fails `done`.

    `rtp` is deaf and dumb until the script says `listen`; it speaks once it has heard something.
    """

    def __init__(self, script: Script) -> None:
        self.rtp = self.before = RtpEndpoint()
        self._script = script
        self._peer = RawPeer("127.0.0.1:9")
        self._said: list[Message] = []
        self._invite: Message | None = None
        self._cseq = 0
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        return self._peer.port

    @property
    def uri(self) -> str:
        return f"sip:party@127.0.0.1:{self.port}"

    def __enter__(self) -> "Called":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.rtp.__exit__(kind, error, trace)
        self._peer.__exit__(kind, error, trace)

    def _run(self) -> None:
        try:
            self._script(self)
        except BaseException as error:
            self._error = error

    def done(self) -> tuple[Message, ...]:
        """What was said, once the script is through; raises what it raised."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), [message.start for message in self._said]
        if self._error is not None:
            raise self._error
        return tuple(self._said)

    # ---- what a script does -------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take audio from now on, and speak."""
        self.rtp.__enter__()

    def move(self, codec: Codec, speech: Samples) -> None:
        """Go on with another socket and that codec, and say `speech` there; `before` is what was until then."""
        self.rtp.__exit__(None, None, None)
        self.before, self.rtp = self.rtp, RtpEndpoint(codec=codec)
        self.rtp.speak(speech)
        self.rtp.__enter__()

    def sdp(self, *lines: str, address: str = "127.0.0.1") -> str:
        """A description of `rtp`, with more lines for its media."""
        return plain_sdp(self.rtp.port, *lines, codec=self.rtp.codec, address=address)

    def expect(self, method: str, within_s: float = EXPECT_S) -> Message:
        """The next message, which must be that request."""
        message = self.take(within_s)
        assert message.start.startswith(f"{method} "), f"{message.start} instead of {method} after {self.starts}"
        if method == "INVITE" and self._invite is None:
            self._invite = message
            self._peer.aim(message.header("Via").split()[1].partition(";")[0])
        return message

    def take(self, within_s: float = EXPECT_S) -> Message:
        """The next message, whatever it is."""
        message = self._next(within_s)
        assert message is not None, f"nothing within {within_s:g} s after {self.starts}"
        return message

    def respond(self, request: Message, status: str, *, body: str = "", tag: str = TAG, headers: str = "") -> None:
        """Answer; `status` with its reason."""
        self._say(self._peer.answer(request, status, body=body, tag=tag, headers=headers))

    def again(self) -> None:
        """Say the last thing once more."""
        self._say(next(message for message in reversed(self._said) if message.sent).text)

    def quiet(self, seconds: float) -> None:
        """Wait, while nothing may come."""
        message = self._next(seconds)
        assert message is None, f"{message.start if message else ''} after {self.starts}"

    def collect(self, seconds: float) -> list[Message]:
        """Wait, and take whatever comes."""
        deadline = time.monotonic() + seconds
        found: list[Message] = []
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            message = self._next(left)
            found += [message] if message else []
        return found

    def accept(self, *lines: str) -> Message:
        """Be called, ring, answer, and talk; the ACK."""
        invite = self.expect("INVITE")
        self.respond(invite, "180 Ringing")
        self.listen()
        self.respond(invite, "200 OK", body=self.sdp(*lines))
        return self.expect("ACK")

    def be_hung_up(self, within_s: float = EXPECT_S, *, quiet_s: float = 1.0) -> None:
        """Expect BYE, and nothing after it."""
        self.respond(self.expect("BYE", within_s), "200 OK")
        self.quiet(quiet_s)

    def hang_up(self) -> None:
        """Send BYE, and expect 200 and nothing after it."""
        assert self.ask("BYE").start == "SIP/2.0 200 OK"
        self.quiet(1.0)

    def offer(self, body: str = "", *, method: str = "INVITE", answer: str = "") -> Message:
        """Send a re-INVITE (or UPDATE), which must get 200; without a description, `answer` goes into the ACK."""
        accepted = self.ask(method, body)
        assert accepted.start == "SIP/2.0 200 OK", accepted.start
        if method == "INVITE":
            self._say(self._request("ACK", self._cseq, answer))
        return accepted

    def acknowledge_refusal(self) -> None:
        """Send the ACK of the refusal of our last request: a part of that transaction (RFC 3261 section 17.1.1.3)."""
        asked = next(message for message in reversed(self._said) if message.sent)
        head = asked.text.partition("\n\n")[0].replace("INVITE", "ACK")
        kept = [line for line in head.splitlines() if not line.startswith("Content-")]
        self._say("\r\n".join([*kept, "Content-Length: 0", "", ""]))

    def ask(self, method: str, body: str = "") -> Message:
        """Send a request within the dialog; its final response."""
        self._cseq += 1
        self._say(self._request(method, self._cseq, body))
        while (answer := self._next(EXPECT_S)) is not None:
            assert answer.header("CSeq") == f"{self._cseq} {method}", f"{answer.start} after {self.starts}"
            if not answer.start.startswith("SIP/2.0 1"):
                return answer
        raise AssertionError(f"no answer to {method} within {EXPECT_S:.0f} s after {self.starts}")

    # ---- messages -----------------------------------------------------------------------------------------------

    @property
    def starts(self) -> list[str]:
        """The first lines of what was said so far."""
        return [message.start for message in self._said]

    def _say(self, text: str) -> None:
        self._said.append(Message(sent=True, text=text.replace("\r\n", "\n")))
        self._peer.send(text.replace("\r\n", "\n").replace("\n", "\r\n"))

    def _next(self, within_s: float) -> Message | None:
        """The next message; None after that time, or at the end of the test."""
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            if message := self._peer.receive(min(left, 0.2)):
                message = Message(sent=False, text=message.text.replace("\r\n", "\n"))
                self._said.append(message)
                return message
        return None

    def _request(self, method: str, cseq: int, body: str) -> str:
        """A request of ours within the dialog: who was called calls, and the other way round."""
        assert self._invite is not None
        contact = re.search(r"<([^>]*)>", self._invite.header("Contact"))
        assert contact is not None
        lines = [
            f"{method} {contact[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK-called-{next(_branches)}",
            f"From: {self._invite.header('To')};tag={TAG}",
            f"To: {self._invite.header('From')}",
            f"Call-ID: {self._invite.header('Call-ID')}",
            f"CSeq: {cseq} {method}",
            f"Contact: <{self.uri}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body])


# ---- parties that several modules call ------------------------------------------------------------------------------


def cancelled(party: Called) -> None:
    """It rings until it is cancelled."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing")
    party.respond(party.expect("CANCEL"), "200 OK")
    party.respond(invite, "487 Request Terminated")
    party.expect("ACK")
    party.quiet(1.0)


def crossing(party: Called, *, after_s: float = 0.0) -> None:
    """It had answered when the CANCEL came, but the way is long."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing")
    cancel = party.expect("CANCEL")
    time.sleep(after_s)
    party.listen()
    party.respond(invite, "200 OK", body=party.sdp())
    party.respond(cancel, "200 OK")
    party.expect("ACK")
    party.be_hung_up(1.0)


def hung_up(party: Called) -> None:
    """It answers, and is hung up."""
    party.accept()
    party.be_hung_up()
