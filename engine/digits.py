"""Keys: those that a caller pressed and nobody has asked for yet, none lost and none counted twice; those to send.

A peer may send one key press in up to three ways at once, as telephone events (RFC 4733), as SIP INFO and as tones in
the audio, and each takes its own time. `DigitMerge` makes one key press of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from ..media.protocol import DigitSource

MAX_AHEAD: Final = 128
"""More than anybody types ahead; beyond it the oldest go."""

SAME_PRESS_S: Final = 0.5
"""How much later a better source may tell of a key press."""

RANK: Final[dict[DigitSource, int]] = {"inband": 0, "info": 1, "rfc4733": 2}
"""Whom to believe: tones may be misheard, and telephone events come in step with the audio."""

PRESS_MS: Final = 100
"""How long a key is pressed that is sent by INFO, and how long the gap after it is."""

PAUSES_S: Final = {",": 0.5, "w": 0.5, "W": 1.0}
"""What waits in a string of keys, as SendDigits has it."""


@dataclass(slots=True)
class _Counted:
    """A key press that was counted, and the best source that has told of it."""

    digit: str
    rank: int
    at_s: float


class DigitMerge:
    """Says of each key that is heard whether it is a new key press.

    A source counts until a better one is heard. That one tells again of what may have been counted from a lesser source
    just before: its keys then are those, in the order of pressing. A source never tells of one key press twice.
    """

    def __init__(self) -> None:
        self._best = 0
        self._counted: deque[_Counted] = deque()

    def renew(self) -> None:
        """Let any source count again: the peer may be another one now."""
        self._best = 0

    def accept(self, digit: str, source: DigitSource, now_s: float) -> bool:
        """Return whether `digit`, heard at `now_s`, counts. Times may not go back."""
        rank = RANK[source]
        if rank < self._best:
            return False
        self._best = rank
        while self._counted and self._counted[0].at_s < now_s - SAME_PRESS_S:
            self._counted.popleft()
        for press in self._counted:
            if press.digit == digit and press.rank < rank:
                press.rank = rank
                return False
        self._counted.append(_Counted(digit, rank, now_s))
        return True


def paced(digits: str) -> list[tuple[str, float]]:
    """Return keys to send one by one, each with the seconds until the next; a mere pause has an empty key."""
    return [("", PAUSES_S[one]) if one in PAUSES_S else (one, 2 * PRESS_MS / 1000) for one in digits]


class DigitQueue:
    """A queue of keys with one rule: a key is given to exactly one asker."""

    def __init__(self) -> None:
        self._keys: deque[tuple[str, DigitSource]] = deque(maxlen=MAX_AHEAD)
        self._arrived = asyncio.Event()

    def push(self, key: str, source: DigitSource = "rfc4733") -> None:
        """Take a key press."""
        self._keys.append((key, source))
        self._arrived.set()

    def clear(self, keys: str = "") -> None:
        """Forget which of these keys were typed ahead; all, where none are named."""
        kept = [press for press in self._keys if keys and press[0] not in keys]
        self._keys.clear()
        self._keys.extend(kept)

    async def get(self, timeout_s: float | None = None) -> str | None:
        """The next key; None after `timeout_s` without one."""
        try:
            async with asyncio.timeout(timeout_s):
                return (await self.pressed())[0]
        except TimeoutError:
            return None

    async def pressed(self) -> tuple[str, DigitSource]:
        """The next key, and how it came."""
        while not self._keys:
            self._arrived.clear()
            await self._arrived.wait()
        return self._keys.popleft()

    async def get_one_of(self, keys: str) -> str:
        """The next of `keys`; others stay where they are."""
        while True:
            for press in self._keys:
                if press[0] in keys:
                    self._keys.remove(press)
                    return press[0]
            self._arrived.clear()
            await self._arrived.wait()
