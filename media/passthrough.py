"""Passthrough: two legs of one G.711 law to which nothing listens or plays get each other's octets as they came.

Nothing is decoded, mixed or encoded then; all else is as ever: packets are received, counted and reported, the jitter
buffer puts them in order, and 20 ms leave each tick under the leg's own sequence and timestamp. So a pair goes over to
mixing, and back, from one tick to the next without a seam. It does so by itself for each tick in which something of
either leg is missing, as that has to be made up.

Which rows are free to pass is looked at anew only when something has changed. A row that was not free at the look
before has to wait for the next: until then a resampler may hold the end of what played.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from .rtp import Flags, Indices, Integers

LAWS: Final = ("PCMU", "PCMA")
"""Codecs without a state, each octet of which stands for itself."""

_OTHER: Final = -1
_NO_PAIRS: Final = np.zeros((0, 2), np.intp)
_NOWHERE: Final = np.zeros(0, np.intp)


class Passage(NamedTuple):
    """A tick: what came on `source[i]` goes out on `target[i]`; `rest` are the other rows, in order."""

    source: Indices
    target: Indices
    rest: Indices


class Passthrough:
    """The pairs of rows that pass."""

    def __init__(self, capacity: int) -> None:
        self.doubtful: bool = True
        self._law: Integers = np.full(capacity, _OTHER, np.int64)  # index into LAWS
        self._free: Flags = np.zeros(capacity, np.bool_)  # at the last look
        self._passing: Flags = np.zeros(capacity, np.bool_)  # in this tick
        self._pairs: Indices = _NO_PAIRS

    def tune(self, row: int, codec: str) -> None:
        """Take that `row` has `codec`."""
        self._law[row] = LAWS.index(codec) if codec in LAWS else _OTHER

    def close(self, row: int) -> None:
        """Let nothing pass on `row`."""
        self._law[row] = _OTHER

    def doubt(self) -> None:
        """Something has changed: before the next tick it must be seen anew which rows are free."""
        self.doubtful = True

    def arrange(self, pairs: Indices, free: Flags) -> Indices:
        """Let those of `pairs` int[k, 2] pass whose rows are both `free` (bool by row), now and at the look before.

        Return their rows. Where one is free that was not, there is another look before the next tick.
        """
        steady = free & self._free
        self.doubtful = bool((free & ~self._free).any())
        self._free = free
        law = self._law[pairs]
        self._pairs = pairs[steady[pairs].all(axis=1) & (law[:, 0] == law[:, 1]) & (law[:, 0] != _OTHER)]
        return self._pairs.ravel()

    def disperse(self) -> None:
        """Nobody is in a room: let nothing pass."""
        self.doubtful = False
        self._free = np.zeros_like(self._free)
        self._pairs = _NO_PAIRS

    def step(self, rows: Indices, whole: Callable[[Indices], Flags]) -> Passage:
        """Return what passes in this tick; `whole` says of which rows all of it is there."""
        if not self._pairs.size:
            return Passage(_NOWHERE, _NOWHERE, rows)
        pairs = self._pairs[whole(self._pairs.ravel()).reshape(-1, 2).all(axis=1)]
        self._passing.fill(False)
        self._passing[pairs] = True
        return Passage(pairs.ravel(), pairs[:, ::-1].ravel(), rows[~self._passing[rows]])
