"""The dialog of one INVITE (RFC 3261 section 12): what has been said in it, and which events come of that.

Plain data in and out: the stack tells its state and the message that brought it, and the event to pass on comes
back. A dialog ends exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from . import message
from .events import Accepted, Acknowledged, Ended, Event, Invited, Progressed

State = Literal["calling", "early", "connecting", "confirmed", "disconnected"]
"""How far the INVITE is: nothing but 100; 101 to 199; its 2xx sent or received; the ACK to that too; over."""

CANCELLED: Final = 487


@dataclass(kw_only=True, slots=True)
class Dialog:
    """What has been said; `number` is what `events` calls a dialog."""

    number: int
    inbound: bool
    prepared_sdp: str | None = None
    """Ours, made before the stack asks for it: our first offer, a further one, or the answer that was tried."""
    offering: bool = False
    """Whether an offer of ours within the dialog waits for its answer."""
    asked: bool = False
    """Whether an offer of ours in a response waits for its answer, which ACK or PRACK brings."""
    answers: dict[str, str] = field(default_factory=dict[str, str])
    """The SDP that each To tag had in a response: a 2xx need not repeat it."""
    heard: bool = False
    """Whether the INVITE had any response."""
    confirmed: bool = False
    redirection: message.Message | None = None
    """The response that sent our INVITE elsewhere."""
    leaving: bool = False
    """Whether a BYE of ours is under way."""
    ended_by_us: bool = False
    given_up: bool = False
    """Whether its end has been told before the stack came to it."""

    def changed(self, state: State, status: int, reason: str, received: message.Message | None) -> Event | None:
        """Take a new state, with the stack's last status and the message that brought it, if one did."""
        if state == "disconnected":
            return self._ended(status, reason, received)
        if self.inbound:
            if state != "confirmed" or self.confirmed:
                return None
            self.confirmed, self.asked = True, False
            return Acknowledged(dialog=self.number, sdp=received.sdp if received else None)
        return self._responded(state, status, received) if received else None

    def _responded(self, state: State, status: int, received: message.Message) -> Event | None:
        """Take a response to our INVITE."""
        sdp = received.sdp
        if sdp:
            self.answers[received.to_tag] = sdp
        if state == "early":
            return Progressed(dialog=self.number, status=status, sdp=sdp)
        if state in {"connecting", "confirmed"} and not self.confirmed:
            self.confirmed = True
            return Accepted(dialog=self.number, sdp=self.answers.get(received.to_tag))
        return None

    def _ended(self, status: int, reason: str, received: message.Message | None) -> Ended:
        by = "local" if self.ended_by_us else "remote" if received else "stack"
        moved = self.redirection
        if moved:
            status, reason = moved.status, moved.reason  # pjsua makes 487 of a 3xx that it does not follow
        if by == "stack" and self.inbound and status == CANCELLED:
            by = "remote"  # what ended it was the CANCEL; the event is of our 487 to the INVITE
        if self.confirmed and by == "remote":
            status = 200
        contact = moved.header("contact") if moved else ""
        said = received.header("reason") if received and not received.status else ""
        return Ended(dialog=self.number, status=status, reason=said or reason, by=by, contact=contact)

    def response_received(self, response: message.Message) -> str | None:
        """Take note of a response to an INVITE, the first or a further one; the SDP that answers an offer of ours."""
        self.heard = True
        if 300 <= response.status < 400 and not self.confirmed:
            self.redirection = response
        if not self.offering or response.status < 200:
            return None
        self.offering = False
        return response.sdp if response.status < 300 else None

    def request_received(self, request: message.Message) -> str | None:
        """Take note of an ACK or PRACK; the SDP that answers an offer in a response of ours."""
        if not self.asked or not request.start_line.startswith(("ACK ", "PRACK ")) or request.sdp is None:
            return None
        self.asked = False
        return request.sdp


def invited(number: int, text: str, source: str) -> Invited:
    """Announce an INVITE outside a dialog: its text, and the `address:port` that it came from."""
    invite = message.parse(text)
    via = invite.header("via").split(" ", 1)[0].rsplit("/", 1)[-1]
    return Invited(
        dialog=number,
        request_uri=invite.request_uri,
        from_uri=invite.header("from"),
        to_uri=invite.header("to"),
        call_id=invite.header("call-id"),
        headers=invite.headers,
        offer=invite.sdp,
        source=source,
        transport=via.lower(),
    )
