"""How long what a leg says lies in the jitter buffer before it is played, so that recordings can place it in time.

A packet with headroom h is played h samples after the tick in which it came; of the packets that the network held
up least, the headroom is the buffer's delay. They may have come up to a tick earlier than they were seen, so the
delay lies within the 20 ms above the largest headroom of some seconds, and its middle is right to 10 ms. As the
peer's clock drifts against ours the delay wanders and is followed sample by sample; a play point that is moved
changes it at once. Both are accounted for apart, so that neither is taken for the other.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .rows import FRAME_SAMPLES
from .rtp import Indices, Integers

HALF: Final = FRAME_SAMPLES // 2

PERIOD_TICKS: Final = 250
"""Headroom counts for one to two of these, 5 to 10 s: of so many packets one has hardly been held up."""

SETTLING_TICKS: Final = 100
"""A source's first 2 s: the first packet says little, so the estimate jumps."""

JUMP: Final = 3 * HALF
"""Samples that are too far to go one a tick: the way through the network has changed."""

_UNSEEN: Final = -(1 << 40)
"""Samples; less headroom than any packet."""


def furthest(most: Integers, moved: Integers, headroom: Integers) -> Integers:
    """Return what is the most on the line with one more packet on each row, int[n]."""
    return np.maximum(most, headroom + moved)


class Arrival:
    """Estimates by row. The line is time less what the play point has been moved forward in all since `open`."""

    def __init__(self, capacity: int, most: Integers | None = None, moved: Integers | None = None) -> None:
        """Make room for `capacity` rows; `most` and `moved` int[capacity] are where to keep what every packet needs."""
        self._moved: Integers = np.zeros(capacity, np.int64) if moved is None else moved  # samples forward
        # Samples on the line, in this period:
        self._most: Integers = np.zeros(capacity, np.int64) if most is None else most
        self._most[:] = _UNSEEN
        self._most_before: Integers = np.full(capacity, _UNSEEN, np.int64)  # and in the one before
        self._used: Integers = np.zeros(capacity, np.int64)  # samples on the line: the estimate
        self._goal: Integers = np.zeros(capacity, np.int64)  # where it is going
        self._age: Integers = np.zeros(capacity, np.int64)  # ticks, to SETTLING_TICKS
        self._period: int = 0

    def open(self, row: int, headroom: int) -> None:
        """Begin with a source whose first packet has `headroom` samples."""
        self._moved[row] = self._age[row] = 0
        self._most[row], self._most_before[row] = headroom, _UNSEEN
        self._used[row] = self._goal[row] = headroom + HALF

    def push(self, rows: Indices, headroom: Integers, now_tick: int) -> None:
        """Take one packet on each of `rows`, before the play point moves."""
        self.turn(now_tick)
        self._most[rows] = furthest(self._most[rows], self._moved[rows], headroom)

    def turn(self, now_tick: int) -> None:
        """Begin the next period, if it is time."""
        if now_tick // PERIOD_TICKS != self._period:
            self._period = now_tick // PERIOD_TICKS
            self._most_before[:] = self._most
            self._most[:] = _UNSEEN

    def move(self, rows: Indices, shift: Integers) -> None:
        """Follow the play points, which go forward `shift` samples."""
        self._moved[rows] += shift

    def step(self, rows: Indices) -> Integers:
        """Return the delay of each of `rows` in samples, int[n], and let a tick pass."""
        most = np.maximum(self._most[rows], self._most_before[rows])
        used, goal, moved = self._used[rows], self._goal[rows], self._moved[rows]
        outside = (np.abs(most + HALF - used) > HALF) & (most > _UNSEEN // 2)
        if np.count_nonzero(outside):
            goal[outside] = most[outside] + HALF
        young = self._age[rows] < SETTLING_TICKS
        if np.count_nonzero(young):
            self._age[rows[young]] += 1
        way = goal - used
        if np.count_nonzero(way):
            used += np.where(young | (np.abs(way) > JUMP), way, np.sign(way))
            self._used[rows], self._goal[rows] = used, goal
        return np.maximum(used - moved, 0)

    def delay(self, rows: Indices) -> Integers:
        """Return what `step` has last returned of each of `rows`, and let no time pass."""
        return np.maximum(self._used[rows] - self._moved[rows], 0)
