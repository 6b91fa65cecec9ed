"""Ringing one destination: way after way, until somebody answers or no way is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from .dial import Destination
from .errors import MediaError, SipError, TrunkError
from .exchange import Caller, Exchange, Way
from .media_leg import MediaLeg
from .party import Party

NO_ROUTE: Final = 404
NOTHING_SAID: Final = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreached:
    """Why nobody answered: how the last way that was tried ended; a status of 0 where nobody said anything."""

    status: int
    reason: str
    by: Literal["local", "remote", "stack"] = "local"


NOT_IN_TIME: Final = Unreached(status=408, reason="not answered in time")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How somebody is called, `timeout_s` at most. `made` is told of each party; whoever asked for them ends them."""

    exchange: Exchange
    caller: Caller
    note: Callable[..., None]
    made: Callable[[Party], None]
    timeout_s: float
    beside: MediaLeg | None = None

    async def party(self, destination: Destination) -> Party | Unreached:
        """Ring one destination; the party once it has answered, be it that it hung up in the same moment."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._by_any_way(destination)
        except TimeoutError:
            self.note("nobody answered in time", party=destination.target, timeout_s=self.timeout_s)
            return NOT_IN_TIME

    async def _by_any_way(self, destination: Destination) -> Party | Unreached:
        ways = self.exchange.ways(destination.target)
        if not ways:
            self.note("no route", number=destination.target)
            return Unreached(status=NO_ROUTE, reason="no route")
        end = Unreached(status=NOTHING_SAID, reason="no way could be tried")
        for way in ways:
            party = await self._try(destination, way)
            if party is None:
                continue
            try:
                await asyncio.wait([party.answered, party.ended], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                party.hang_up()
                raise
            if party.answered.done():
                return party
            ended = party.ended.result()
            self.exchange.end(party)
            said = ended.status if ended.by == "remote" else NOTHING_SAID  # the stack's 408 is nobody's answer
            end = Unreached(status=said, reason=ended.reason, by=ended.by)
            if not self.exchange.goes_on(way, ended.status, ended.reason):
                break
        return end

    async def _try(self, destination: Destination, way: Way) -> Party | None:
        """Place the call by one way; None where that way cannot even be tried."""
        try:
            party = await self.exchange.call(destination, way, self.caller, self.beside, self.note)
        except (SipError, MediaError, TrunkError) as error:
            self.note("the call could not be placed", way=str(way), error=str(error))
            if isinstance(error, SipError):  # else it is we who cannot, or the way is taken by others
                self.exchange.goes_on(way, NOTHING_SAID, str(error))
            return None
        self.made(party)
        return party
