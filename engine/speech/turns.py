"""Who is served next: the request that is due first.

A text that nobody hears yet is due now; a later sentence is due when those before it have been played. Served in
that order, a long text takes the time that new ones leave, and neither waits longer than for one sentence.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Turns:
    """As many turns at a time as `size`; `due` is any number, the smallest goes first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, due: float) -> AsyncGenerator[None]:
        """Wait for a turn, and have it for as long as the context lasts."""
        await self._wait(due)
        try:
            yield
        finally:
            self._next()

    async def _wait(self, due: float) -> None:
        if self._free:
            self._free -= 1
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (due, next(self._numbers), granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # given and given up in the same moment
                self._next()
            raise

    def _next(self) -> None:
        """Hand the turn on; to nobody, where nobody waits."""
        while self._waiting:
            _, _, granted = heapq.heappop(self._waiting)
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1
