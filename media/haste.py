"""What delay a conversation can spare: a menu does not mind it, two who talk do.

Legs in rooms want haste. When for a whole review (see `headroom`) every packet of one came earlier than it had to,
its play point goes forward by whole ticks, as far as they still come LEAST_S before they are played: less is no
protection, and more is heard as delay. When a packet came within the tick is only known as before or after the look
that is taken EARLY_S from its end. A row on which packets were late since is left in peace for some reviews.

Looks cost a tenth of all that bridged legs do. They are taken for as long as a whole review of each row needs, once
somebody enters a room, and again from time to time; between them packets count as come just before the tick.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .rows import FRAME_MS, FRAME_SAMPLES, RATE_HZ
from .rtp import Flags, Indices, Integers

EARLY_S: Final = 0.012
"""So long before the tick a look is taken at what has come, or later, as a tick that takes long lets it."""

LEAST_S: Final = 0.008
"""A look later than this before the tick is of no use."""

LEAST: Final = round(LEAST_S * RATE_HZ)

REVIEW_TICKS: Final = 2000 // FRAME_MS
"""How long packets must come early before delay is taken away, and within which late ones are `again`."""

LOOK_TICKS: Final = 2 * REVIEW_TICKS
"""A whole review of each row lies in so many ticks."""

REST_TICKS: Final = 2 * REVIEW_TICKS
SELDOM_TICKS: Final = 8 * REVIEW_TICKS
"""So long no look is taken then: at least, and where nobody has entered a room."""

CALM_REVIEWS: Final = 5
"""So many reviews without late packets come before the next haste: 10 s."""

_UNSEEN: Final = 1 << 40
"""Samples; further than any packet."""


class Looks:
    """In which ticks a look is taken."""

    def __init__(self) -> None:
        self._begun: int = -LOOK_TICKS - SELDOM_TICKS
        self._entered: bool = False

    def enter(self) -> None:
        """Somebody has entered a room."""
        self._entered = True

    def due(self, now_tick: int) -> bool:
        """Say whether one is taken in `now_tick`, which never goes back."""
        rest = REST_TICKS if self._entered else SELDOM_TICKS
        if now_tick - self._begun >= LOOK_TICKS + rest:
            self._begun, self._entered = now_tick, False
        return now_tick - self._begun < LOOK_TICKS


def least_left(least: Integers, headroom: Integers, early: int) -> Integers:
    """Return by how little packets came before their time with one more on each row, int[n] samples."""
    return np.minimum(least, headroom + early)


class Haste:
    """Who wants it, and who may have it, by row."""

    def __init__(self, capacity: int, least: Integers | None = None) -> None:
        """Make room for `capacity` rows; `least` int[capacity] is where to keep what every packet changes."""
        self._wanted: Flags = np.zeros(capacity, np.bool_)
        self._wait: Integers = np.zeros(capacity, np.int64)  # reviews
        # Samples that packets of this review came before their time:
        self._least: Integers = np.zeros(capacity, np.int64) if least is None else least
        self._least[:] = _UNSEEN

    def open(self, row: int) -> None:
        """Begin with another source on `row`; whether it wants haste stays."""
        self._wait[row], self._least[row] = 0, _UNSEEN

    def want(self, row: int, *, wanted: bool) -> None:
        """Let `row` want haste from now on, or not."""
        self._wanted[row] = wanted
        self._wait[row] = 0

    def push(self, rows: Indices, headroom: Integers, early: int) -> None:
        """Take one packet on each of `rows` with `headroom` samples left at the next tick, and `early` until then."""
        self._least[rows] = least_left(self._least[rows], headroom, early)

    def disturb(self, rows: Indices) -> None:
        """Packets were late on `rows`."""
        self._wait[rows] = CALM_REVIEWS

    def review(self, rows: Indices) -> Integers:
        """End the review of `rows`; return how many samples each can go forward: whole frames, as packets are."""
        spare = np.maximum((self._least[rows] - LEAST) // FRAME_SAMPLES, 0) * FRAME_SAMPLES
        spare[~self._wanted[rows] | (self._wait[rows] > 0)] = 0
        self._wait[rows] = np.maximum(self._wait[rows] - 1, 0)
        self._least[rows] = _UNSEEN
        return spare
