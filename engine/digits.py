"""Keys that a caller pressed and nobody has asked for yet: typed ahead, in order, none lost."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MAX_AHEAD: Final = 128
"""More than anybody types ahead; beyond it the oldest go."""


class DigitQueue:
    """A queue of keys with one rule: a key is given to exactly one asker."""

    def __init__(self) -> None:
        self._keys: deque[str] = deque(maxlen=MAX_AHEAD)
        self._arrived = asyncio.Event()

    def push(self, key: str) -> None:
        """Take a key press."""
        self._keys.append(key)
        self._arrived.set()

    def clear(self) -> None:
        """Forget what was typed ahead."""
        self._keys.clear()

    async def get(self, timeout_s: float | None = None) -> str | None:
        """The next key; None after `timeout_s` without one."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._keys:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return self._keys.popleft()

    async def get_one_of(self, keys: str) -> str:
        """The next of `keys`; others stay where they are."""
        while True:
            for key in self._keys:
                if key in keys:
                    self._keys.remove(key)
                    return key
            self._arrived.clear()
            await self._arrived.wait()
