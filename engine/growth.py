"""How much there is of audio that is still being made: a file that one side appends to while the other plays it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Growth:
    """Samples available so far; `complete` once no more come, with an `error` where that is not how it should end."""

    def __init__(self) -> None:
        self.available = 0
        self.complete = False
        self.error = ""
        self.listeners = 0
        """How many play it, or are about to: a stream without any ends after a while."""
        self._changed = asyncio.Event()

    def grow(self, available: int) -> None:
        """There are `available` samples in the file now."""
        self.available = available
        self._wake()

    def finish(self, error: str = "") -> None:
        """No more samples come."""
        self.complete, self.error = True, error
        self._wake()

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """Be one of its listeners for as long as the context lasts."""
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1

    async def changed(self) -> None:
        """Return at the next change, at once where there can be none."""
        if not self.complete:
            await self._changed.wait()

    async def reach(self, samples: float) -> None:
        """Return when `samples` are available, or when no more come."""
        while self.available < samples and not self.complete:
            await self.changed()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
