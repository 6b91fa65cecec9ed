"""A called party: one INVITE of ours, its leg, and what happens on it until it is over.

It is made for a Dial, answers or not, and ends once: `hang_up` cancels an INVITE that is still ringing and sends BYE
to one that was answered, and a 200 that crosses the CANCEL is acknowledged and hung up by the stack (RFC 3261
section 9.1). Nothing of it is left here when `close` returns; the stack goes on until the peer has understood.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ..media.events import LegStats
from ..media.protocol import DigitSource
from .digits import PRESS_MS, DigitMerge, DigitQueue
from .errors import MediaError, SdpError, SipError
from .leg import Leg
from .media_jobs import Detected
from .sip.events import Accepted, DigitInfo, Ended, Event, Login, Progressed, SipAgent

log = logging.getLogger("flexml.party")

Wanted = TypeVar("Wanted")

DECLINED: Final = 603


def refuse_transfer(target: str) -> int:
    """Refuse a REFER, as outside of a conversation that may be transferred."""
    del target
    return DECLINED


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """Whom to call, and as whom."""

    uri: str
    from_uri: str
    display_name: str = ""
    headers: Sequence[tuple[str, str]] = ()
    trunk: str = ""
    login: Login | None = None


class Party:
    """One called party. Implements `registry.LiveCall` and `leg_listener.LegListener`."""

    def __init__(self, sid: str, number: str, agent: SipAgent, note: Callable[..., None]) -> None:
        self.sid, self.number = sid, number
        self.digits = DigitQueue()
        self.dialog: int | None = None
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once there is an answer to talk over; the party may hang up in the same moment."""
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.on_audible: Callable[[], None] = lambda: None
        """Called when the party is heard before it answers: a description alone is no media (RFC 3960 section 3.2)."""
        self.transfer: Callable[[str], int] = refuse_transfer
        """What comes of a REFER: the status that it is answered with."""
        self._agent, self._note = agent, note
        self._leg: Leg | None = None
        self._merge = DigitMerge()

    def attach(self, leg: Leg) -> None:
        """Give the party its leg."""
        self._leg = leg

    @property
    def leg(self) -> Leg:
        """The leg. Raises SipError where there is none."""
        if self._leg is None:
            raise SipError(f"the party {self.number} has no leg")
        return self._leg

    # ---- life -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Bind the ports. Raises MediaError."""
        await self.leg.open()

    def invite(self, invitation: Invitation) -> int:
        """Send the INVITE; returns its dialog. Raises SipError."""
        dialog = self._agent.invite(
            invitation.uri,
            sdp=self.leg.on_offer(None),
            from_uri=invitation.from_uri,
            display_name=invitation.display_name,
            headers=invitation.headers,
            trunk=invitation.trunk,
            login=invitation.login,
        )
        self.note("> INVITE", to=invitation.uri, trunk=invitation.trunk)
        return dialog

    def hang_up(self) -> None:
        """Cancel what rings, end what was answered; harmless where it is over."""
        if self.dialog is None or self.ended.done():
            return
        try:
            self._agent.hang_up(self.dialog)
        except SipError as error:
            log.debug("%s", error)

    async def while_there(self, wanted: Awaitable[Wanted]) -> Wanted | None:
        """What `wanted` comes to; None where the party ends before."""
        waiting = asyncio.ensure_future(wanted)
        try:
            await asyncio.wait([waiting, self.ended], return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()

    async def pressed(self) -> tuple[str, DigitSource]:
        """The next key pressed, and how it came."""
        return await self.digits.pressed()

    def notify(self, status: int, reason: str) -> None:
        """Tell the party how the call goes that it sent a REFER for. Harmless where it has gone."""
        if self.dialog is None or self.ended.done():
            return
        try:
            self._agent.notify(self.dialog, status=status, reason=reason)
        except SipError as error:
            log.debug("%s", error)

    def outlive(self, yes: bool) -> None:
        """Nothing depends on a party."""

    def dismiss(self) -> None:
        """End the dialog; others talk on."""
        self.leg.fall_silent()
        self.hang_up()

    async def close(self) -> LegStats:
        """Hang up, and close the leg."""
        self.hang_up()
        return await self.leg.close()

    async def send_digits(self, digits: str) -> None:
        """Send DTMF; returns when the last digit has gone out."""
        self.note("sending digits", digits=digits)
        try:
            await self.leg.send_digits(digits, self._inform)
        except (MediaError, SipError) as error:
            self.note("digits not sent", error=str(error))

    def _inform(self, key: str) -> None:
        if self.dialog is not None:
            self._agent.send_info(self.dialog, digit=key, duration_ms=PRESS_MS)

    def note(self, what: str, **details: object) -> None:
        """Put a line on the timeline of the call that dials."""
        self._note(what, party=self.number, **details)

    # ---- from SIP -----------------------------------------------------------------------------------------------

    def on_sip_event(self, event: Event) -> None:
        """Take what the agent tells of this dialog."""
        match event:
            case Progressed():
                self.note(f"< {event.status}", media=event.sdp is not None)
                if event.sdp is not None:
                    self._take_answer(event.sdp)
            case Accepted():
                self.note("< 200")
                if self._take_answer(event.sdp) and not self.answered.done():
                    self.answered.set_result(None)
            case DigitInfo():
                self.on_digit(event.digit, "info")
            case Ended():
                if event.contact:
                    self.note("redirection not followed", contact=event.contact)
                self.note("party ended", by=event.by, status=event.status, reason=event.reason)
                if not self.ended.done():
                    self.ended.set_result(event)
            case _:
                log.debug("SIP event without a taker: %s", event)

    def _take_answer(self, sdp: str | None) -> bool:
        """Let media flow as answered; an answer that cannot be used, or is none, ends the party: False."""
        try:
            if sdp is not None:
                self.leg.on_answer(sdp)
            elif self.leg.agreed is None:
                raise SdpError("there is none")
        except SdpError as error:
            self.note("answer refused", error=str(error))
            asyncio.get_running_loop().call_soon(self.hang_up)
            return False
        self.leg.start_media()
        return True

    def on_offer(self, offer: str | None) -> str:
        """Give our SDP in a re-INVITE. Raises SdpError or NotAcceptable."""
        return self.leg.on_offer(offer)

    def on_answer(self, answer: str) -> None:
        """Take the answer to an offer of ours within the dialog."""
        self.leg.on_answer(answer)

    def on_refer(self, target: str) -> int:
        """Say whether a REFER is followed: 202, or the status of its refusal."""
        status = self.transfer(target)
        self.note("< REFER", to=target, answered=status)
        return status

    # ---- from media ---------------------------------------------------------------------------------------------

    def on_digit(self, digit: str, source: DigitSource) -> None:
        """A key was pressed."""
        if self._merge.accept(digit, source, asyncio.get_running_loop().time()):
            self.note("digit", digit=digit, source=source)
            self.digits.push(digit, source)

    def on_detected(self, event: Detected) -> None:
        """Nothing is listened for on a called party yet."""

    def on_heard(self, address: str, port: int) -> None:
        """The first packet came in."""
        self.note("RTP heard", source=f"{address}:{port}")
        if not self.answered.done():
            self.on_audible()

    def on_codec(self, codec: str) -> None:
        """The party has changed to another of the codecs that were agreed."""
        self.note("codec changed", codec=codec)

    def on_report(self, stats: LegStats) -> None:
        """What was counted; the caller's leg has the quality lines."""

    def on_silent(self, silent_ms: int) -> None:
        """No packet has come for as long as is allowed: the party is gone. Before its answer it need not send any."""
        if not self.answered.done():
            return
        self.note("no RTP, hanging up", silent_ms=silent_ms)
        self.hang_up()

    def on_replaced(self, uncounted_s: float) -> None:
        """Another media worker goes on with the party's leg."""
        self.note("media worker replaced", uncounted_s=round(uncounted_s, 1))
