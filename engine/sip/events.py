"""What the SIP agent tells and what it can be told: the seam between pjsua2 and the engine.

`SipAgent` is implemented by `agent.Agent` over pjsua2 and by test doubles. A `dialog` is an integer that
the agent gives to each call, inbound or outbound, never reused while the process lives. Events come on the
event loop's thread, in the order of the signalling, through the one `Listener` given at the start; a
listener never blocks. SDP crosses as text; the agent does not look into it, and asks for ours through
`Listener.on_offer`: for an INVITE that brings an offer right after `Invited`, for one that brings none
when it is answered or rung with early media. A listener tells the agent nothing from within `on_event`
and `on_offer`; what it has to say it says from the loop.

Trunks are accounts of their own in the stack, added by name: calls are placed on them, they are registered
and asked whether they live. What comes of that goes to whom `add_trunk` was given, under the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """An INVITE outside a dialog. It has been answered with 100; nothing else goes out until told."""

    dialog: int
    request_uri: str
    from_uri: str
    to_uri: str
    call_id: str
    headers: tuple[tuple[str, str], ...]
    offer: str | None
    source: str
    """`address:port` the request came from."""
    transport: str


class Progressed(msgspec.Struct, frozen=True, kw_only=True):
    """A provisional response to our INVITE, above 100; `sdp` where it had a session description."""

    dialog: int
    status: int
    sdp: str | None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Our INVITE got its 2xx (already ACKed). `sdp` is its answer, or what an earlier response of who answered had."""

    dialog: int
    sdp: str | None


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """ACK came for our 2xx; `sdp` is the answer where our 2xx carried the offer."""

    dialog: int
    sdp: str | None


class DigitInfo(msgspec.Struct, frozen=True, kw_only=True):
    """SIP INFO with a key press (application/dtmf-relay or application/dtmf)."""

    dialog: int
    digit: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The dialog is over, whatever ended it; the last event of a dialog.

    `status` is the final SIP status (200 for an answered call that was hung up); `by` whose act ended it; `reason` the
    status's words, or what the peer gave as its Reason (RFC 3326) for a BYE or CANCEL; `contact` where a redirection
    (3xx) leads, which is not followed.
    """

    dialog: int
    status: int
    reason: str
    by: Literal["local", "remote", "stack"]
    contact: str = ""


Event = Invited | Progressed | Accepted | Acknowledged | DigitInfo | Ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Credentials for digest challenges (RFC 3261 section 22)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkLine:
    """A trunk as the stack knows it. `uri` is where it is, without a user; `identity` is who we are there."""

    name: str
    uri: str
    identity: str
    username: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    expires_s: int = 300
    answer_s: float = 5.0
    """How long it may leave an INVITE without any response; then `Ended` comes with 408."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationAnswered:
    """REGISTER came to its end: 200 with the seconds granted, or why not. Also of every renewal by the stack itself."""

    trunk: str
    status: int
    reason: str
    expires_s: int
    retry_after_s: int = 0
    """What the registrar asked for (RFC 3261 section 20.33); 0 where it said nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionsAnswered:
    """OPTIONS came to its end. `received` is False where the status is the stack's own: nothing came, or went out."""

    trunk: str
    status: int
    reason: str
    received: bool


TrunkEvent = RegistrationAnswered | OptionsAnswered


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageAnswered:
    """MESSAGE came to its end: any status from 200 on. `received` is False where it is the stack's own."""

    status: int
    reason: str
    received: bool


class MessageAgent(Protocol):
    """What the agent does with messages."""

    def send_message(
        self,
        target: str,
        *,
        text: str,
        from_uri: str,
        headers: Sequence[tuple[str, str]] = (),
        trunk: str,
        told: Callable[[MessageAnswered], None],
    ) -> None:
        """Send MESSAGE (RFC 3428) with the credentials of `trunk`; `told` hears its final response, once.

        Returns at once; raises SipError when refused. By UDP the stack repeats it for up to 32 s.
        """
        ...


class TrunkAgent(Protocol):
    """What the agent does with trunks. Every method returns at once and raises SipError when refused."""

    def add_trunk(self, line: TrunkLine, told: Callable[[TrunkEvent], None]) -> None:
        """Make an account for a trunk, once; nothing is sent yet."""
        ...

    def register(self, trunk: str) -> None:
        """Send REGISTER; renewals follow by themselves until one fails. `RegistrationAnswered` tells of each."""
        ...

    def ask(self, trunk: str) -> None:
        """Send OPTIONS; `OptionsAnswered` tells what came of it."""
        ...


class Listener(Protocol):
    """Who is told."""

    def on_event(self, event: Event) -> None:
        """Take an event; return at once."""
        ...

    def on_offer(self, dialog: int, offer: str | None) -> str:
        """Give our SDP: the answer to `offer` (of an INVITE, re-INVITE or UPDATE), or an offer where that is None.

        Raises NotAcceptable for 488; a session that exists then stays as it was.
        """
        ...

    def on_answer(self, dialog: int, answer: str) -> None:
        """Take the peer's answer to an offer we made within the dialog."""
        ...

    def on_refer(self, dialog: int, target: str) -> int:
        """Say whether a REFER (RFC 3515) to `target`, its Refer-To, is followed: 202, or the status of its refusal."""
        ...


class LiveCall(Protocol):
    """Whose a dialog is: the call or party that its events go to."""

    @property
    def sid(self) -> str:
        """The call's identifier."""
        ...

    def on_sip_event(self, event: Event) -> None:
        """Take an event of the call's dialog."""
        ...

    def on_offer(self, offer: str | None) -> str:
        """Give our SDP."""
        ...

    def on_answer(self, answer: str) -> None:
        """Take the peer's answer."""
        ...

    def on_refer(self, target: str) -> int:
        """Say whether a REFER to `target` is followed: 202, or the status to refuse it with."""
        ...


class SipAgent(Protocol):
    """What the engine can do with SIP. Every method returns at once and raises SipError when refused."""

    def ring(self, dialog: int, *, early_media: bool = False) -> None:
        """Send 180, or 183 with SDP for early media."""
        ...

    def answer(self, dialog: int) -> None:
        """Send 200."""
        ...

    def reject(self, dialog: int, *, status: int, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Send a final response of 300 to 699."""
        ...

    def hang_up(self, dialog: int, *, reason: str = "") -> None:
        """End the dialog whatever its state: BYE, CANCEL, or 603 for an inbound call not yet answered.

        `Ended` comes at once. That the peer learns of it is the agent's affair from there on: it repeats what is
        lost, and hangs up on a 200 that crosses the CANCEL.
        """
        ...

    def invite(
        self,
        target: str,
        *,
        sdp: str,
        from_uri: str,
        display_name: str = "",
        headers: Sequence[tuple[str, str]] = (),
        trunk: str = "",
        login: Login | None = None,
    ) -> int:
        """Send an INVITE; returns the dialog. Challenges are answered by `login`, else with `trunk`'s credentials."""
        ...

    def reinvite(self, dialog: int, *, sdp: str) -> None:
        """Offer `sdp` within the dialog; the answer comes through `Listener.on_answer`."""
        ...

    def send_info(self, dialog: int, *, digit: str, duration_ms: int = 100) -> None:
        """Send one key as application/dtmf-relay."""
        ...

    def notify(self, dialog: int, *, status: int, reason: str) -> None:
        """Tell who sent a REFER how the call to its target goes, the final `status` last (RFC 3515 section 2.4.5)."""
        ...
