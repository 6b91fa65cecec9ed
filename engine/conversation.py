"""Two who talk with each other: until one hangs up, their keys passed on, one replaced where a REFER says so.

At first the two are the caller and the party that answered. Who sends a REFER (RFC 3515) is replaced once its target
has answered; the other one stays where it is, and hears ringing where whoever sent the REFER has hung up meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from ..media.protocol import DigitSource, StartTone
from .dial import Destination
from .leg import Leg
from .media_jobs import Playback
from .party import DECLINED, Party, refuse_transfer
from .reach import Unreached

ACCEPTED: Final = 202
PENDING: Final = 491
"""The answer to a REFER while another one is followed (RFC 3261 section 21.4.27)."""
UNAVAILABLE: Final = 503


class Talker(Protocol):
    """Somebody who talks: the caller, or a party."""

    transfer: Callable[[str], int]
    """What comes of a REFER of its."""

    @property
    def leg(self) -> Leg:
        """Its leg."""
        ...

    @property
    def ended(self) -> asyncio.Future[Any]:
        """Done once its dialog is over."""
        ...

    async def pressed(self) -> tuple[str, DigitSource]:
        """The next key it presses, and how that came."""
        ...

    async def send_digits(self, digits: str) -> None:
        """Press keys on it."""
        ...

    def notify(self, status: int, reason: str) -> None:
        """Tell it how the call goes that it sent a REFER for. Harmless where it has gone."""
        ...

    def outlive(self, yes: bool) -> None:
        """Whether others may talk on when it has gone."""
        ...

    def dismiss(self) -> None:
        """End its dialog; others may talk on."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Switchboard:
    """What a conversation needs done. `follow` says whom a REFER means; None where it is not followed."""

    follow: Callable[[str], Destination | None]
    reach: Callable[[Destination], Awaitable[Party | Unreached]]
    join: Callable[[Party], None]
    replaced: Callable[[Talker], None]
    note: Callable[..., None]
    ringback: str


class Conversation:
    """One conversation. With `star`, that key of the caller's ends it."""

    def __init__(self, caller: Talker, party: Party, board: Switchboard, *, star: bool) -> None:
        self._caller, self._board, self._star = caller, board, star
        self._talkers: list[Talker] = [caller, party]
        self._referrer: Talker | None = None
        self._transfer: asyncio.Task[Party | Unreached] | None = None
        self._ringing: Playback | None = None
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Return when it is over. Both talkers' legs are left as they are."""
        try:
            while not await self._over():
                if self._transfer is not None and self._transfer.done():
                    self._settle(self._transfer.result())
        finally:
            if self._transfer is not None:
                self._transfer.cancel()
                await asyncio.gather(self._transfer, return_exceptions=True)
            self._quiet()
            for talker in (*self._talkers, self._caller):
                talker.transfer = refuse_transfer

    def _is_over(self) -> bool:
        """Whether somebody has gone who is not to be replaced."""
        return any(talker.ended.done() and talker is not self._referrer for talker in self._talkers)

    async def _over(self) -> bool:
        """Wait until something happens; whether it ends the conversation."""
        if self._is_over():
            return True
        if self._referrer is not None and self._referrer.ended.done():
            self._leave_alone(self._referrer)
        self._news.clear()
        one, other = self._talkers
        one.transfer, other.transfer = partial(self._referred, one), partial(self._referred, other)
        relays = [asyncio.ensure_future(self._relay(one, other)), asyncio.ensure_future(self._relay(other, one))]
        news = asyncio.ensure_future(self._news.wait())
        ends = [talker.ended for talker in self._talkers if not talker.ended.done()]
        transfer = [self._transfer] if self._transfer is not None else []
        try:
            await asyncio.wait([*relays, *ends, news, *transfer], return_when=asyncio.FIRST_COMPLETED)
            return self._is_over() or any(relay.done() for relay in relays)
        finally:
            for task in (*relays, news):
                task.cancel()
            await asyncio.wait([*relays, news])

    # ---- keys -------------------------------------------------------------------------------------------------

    async def _relay(self, one: Talker, other: Talker) -> None:
        """Pass keys on; returns at the star that hangs up."""
        while True:
            key, source = await one.pressed()
            if key == "*" and self._star and one is self._caller:
                self._board.note("hanging up the party on star")
                return
            if source == "inband":  # it goes there as audio
                continue
            await other.send_digits(key)

    # ---- transfers --------------------------------------------------------------------------------------------

    def _referred(self, by: Talker, target: str) -> int:
        """Take a REFER; what it is answered with."""
        if self._referrer is not None:
            return PENDING
        destination = self._board.follow(target)
        if destination is None:
            return DECLINED
        self._referrer = by
        by.outlive(True)
        asyncio.get_running_loop().call_soon(self._begin, by, destination)
        return ACCEPTED

    def _begin(self, by: Talker, destination: Destination) -> None:
        by.notify(100, "Trying")
        self._transfer = asyncio.ensure_future(self._board.reach(destination))
        self._news.set()

    def _settle(self, reached: Party | Unreached) -> None:
        """Let who was reached take the referrer's place; where nobody was, all stays as it is."""
        referrer, self._transfer, self._referrer = self._referrer, None, None
        assert referrer is not None
        self._quiet()
        if isinstance(reached, Unreached):
            self._board.note("transfer failed", status=reached.status, reason=reached.reason)
            referrer.notify(reached.status or UNAVAILABLE, reached.reason)
            referrer.outlive(False)
            return
        self._board.note("transferred", party=reached.number)
        referrer.notify(200, "OK")
        referrer.transfer = refuse_transfer
        self._talkers = [reached if talker is referrer else talker for talker in self._talkers]
        self._board.join(reached)
        referrer.dismiss()
        self._board.replaced(referrer)

    def _leave_alone(self, gone: Talker) -> None:
        """Let the other one hear that it rings, and nothing of whoever has gone."""
        if self._ringing is None:
            gone.leg.fall_silent()
            (alone,) = (talker for talker in self._talkers if talker is not gone)
            self._ringing = alone.leg.media.start(StartTone(tone=self._board.ringback))

    def _quiet(self) -> None:
        if self._ringing is not None:
            self._ringing.stop()
            self._ringing = None
