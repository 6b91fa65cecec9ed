"""A call's media: its leg, what offer and answer come to on it, and what is heard of it from then on.

All of it goes on the call's timeline. Keys come from here, whichever way the peer sends them, each once; and a peer
of which nothing is heard any more, or that nothing can be agreed with, is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ..media.events import AmdState, LegStats, MachineDetected, SilenceDetected
from ..media.protocol import DigitSource
from . import call_notes
from .call_dialog import CallDialog
from .digits import DigitMerge, DigitQueue
from .errors import CallEnded, SdpError
from .leg import Leg
from .media_jobs import Detected
from .moment import Moment
from .sip.events import Acknowledged
from .sip.negotiation import Agreed

log = logging.getLogger("flexml.call")

MEDIA_GRACE_S: Final = 0.1
"""After ACK, how long to wait for the peer's first packet before audio goes out."""
PRACK_S: Final = 2.0
"""How long PRACK may take to answer the offer in our 183: by UDP it has been sent three times by then."""
NOT_ACCEPTABLE: Final = 'SIP;cause=488;text="Not Acceptable Here"'
"""Why we hang up on an answer that nothing comes of: the Reason of RFC 3326."""


class CallMedia:
    """The media of the call of that sid. Implements `leg_listener.LegListener`; keys go into `digits`."""

    def __init__(self, sid: str, dialog: CallDialog, digits: DigitQueue, note: Callable[..., None]) -> None:
        self._sid, self._dialog, self._digits, self._note = sid, dialog, digits, note
        self._leg: Leg | None = None
        self._merge = DigitMerge()
        self._acknowledged = Moment()
        self._described = Moment()
        self._heard = Moment()
        self._quality = call_notes.Quality()

    @property
    def leg(self) -> Leg:
        """The leg. Raises CallEnded where there is none any more."""
        if self._leg is None:
            raise CallEnded(f"call {self._sid} has no leg")
        return self._leg

    def attach(self, leg: Leg) -> None:
        """Give the call its leg, which is to tell us what happens on it."""
        self._leg = leg

    def take_over(self, leg: Leg) -> None:
        """Give the call a leg that media flows on already."""
        self.attach(leg)
        leg.media.report_to(self)
        self._note_agreed(None)
        self._quality.begin(asyncio.get_running_loop().time())
        self._acknowledged.come()

    def start(self) -> None:
        """Let media flow as agreed."""
        self.leg.start_media()
        self._quality.begin(asyncio.get_running_loop().time())

    async def ready(self) -> None:
        """Return when the peer hears us: it has been heard, or it has acknowledged the answer a moment ago."""
        if self._heard.done():
            return
        await asyncio.wait({self._heard, self._acknowledged}, return_when=asyncio.FIRST_COMPLETED)
        if not self._heard.done():
            await asyncio.wait({self._heard}, timeout=MEDIA_GRACE_S)

    async def described(self) -> bool:
        """Whether the peer has said where it hears us: in its INVITE, or soon in PRACK (RFC 3262 section 5)."""
        if self.leg.agreed is None:
            await asyncio.wait({self._described}, timeout=PRACK_S)
        return self.leg.agreed is not None

    async def close(self) -> LegStats | None:
        """Close the leg; what was counted on it, or None where there was none."""
        if self._leg is None:
            return None
        stats = await self._leg.close()
        self._note("RTP total", **call_notes.total(stats))
        return stats

    # ---- offer and answer -------------------------------------------------------------------------------------

    def on_offer(self, offer: str | None) -> str:
        """Give our SDP. Raises SdpError or NotAcceptable."""
        before = self.leg.agreed
        if before is not None:
            self._note("< re-INVITE", offer=offer is not None)
        try:
            said = self.leg.on_offer(offer)
        except SdpError as error:
            self._note("offer refused", error=str(error))
            raise
        self._note_agreed(before)
        return said

    def on_answer(self, answer: str) -> None:
        """Take the peer's answer. Raises SdpError or NotAcceptable."""
        before = self.leg.agreed
        self.leg.on_answer(answer)
        self._described.come()
        self._note_agreed(before)

    def on_acknowledged(self, event: Acknowledged) -> None:
        """Take the answer to an offer of ours that the ACK brings; without one there is nothing to talk over."""
        self._note("< ACK")
        if self.leg.agreed is None:
            try:
                if event.sdp is None:
                    raise SdpError("ACK brought no answer to our offer")
                self.on_answer(event.sdp)
            except SdpError as error:
                self._note("answer refused", error=str(error))
                log.warning("the answer in ACK cannot be used: %s", error)
                self._dialog.leave(NOT_ACCEPTABLE)
        self._acknowledged.come()

    def _note_agreed(self, before: Agreed | None) -> None:
        """Note what was agreed, where that is something else than before."""
        if (agreed := self.leg.agreed) is not None:
            media = call_notes.media(agreed)
            if before is None or media != call_notes.media(before):
                self._note("media agreed", **media)
                self._merge.renew()

    # ---- what happens on the leg ------------------------------------------------------------------------------

    def on_digit(self, digit: str, source: DigitSource) -> None:
        """A key was pressed; one that another source has told of does not count again."""
        if not self._merge.accept(digit, source, asyncio.get_running_loop().time()):
            log.debug("digit %s by %s is not a new one", digit, source)
            return
        self._note("digit", digit=digit, source=source)
        self._digits.push(digit, source)

    def on_detected(self, event: Detected) -> None:
        """Something listened for was heard."""
        match event:
            case AmdState():
                self._note("AMD state", state=event.state, at_ms=event.at, lasted_ms=event.lasted)
            case MachineDetected():
                self._note("AMD result", status=event.status, cause=event.cause)
            case _:
                self._note("silence" if isinstance(event, SilenceDetected) else "noise", duration_ms=event.duration)

    def on_heard(self, address: str, port: int) -> None:
        """The first packet came in, from there."""
        self._note("RTP heard", source=f"{address}:{port}")
        self._heard.come()

    def on_codec(self, codec: str) -> None:
        """The caller has changed to another of the codecs that were agreed."""
        self._note("codec changed", codec=codec)

    def on_report(self, stats: LegStats) -> None:
        """Some more seconds have been counted."""
        if quality := self._quality.since_last(stats, asyncio.get_running_loop().time()):
            self._note("RTP quality", **quality)

    def on_silent(self, silent_ms: int) -> None:
        """No packet has come for as long as `[rtp] silence_timeout_s` allows: the peer is gone.

        Before the answer it need not send anything; the time begins anew with that.
        """
        if self._dialog.ended.done() or not self._dialog.answered:
            return
        self._note("no RTP, hanging up", silent_ms=silent_ms)
        self._dialog.leave('Q.850;cause=102;text="no RTP"')

    def on_replaced(self, uncounted_s: float) -> None:
        """Another media worker goes on with the call."""
        self._note("media worker replaced", uncounted_s=round(uncounted_s, 1))
