"""What delay a conversation can spare: a menu does not mind it, two who talk do.

Legs in rooms want haste. When for a whole review (see `headroom`) every packet of one came earlier than it had to,
its play point goes forward so that they come a tick, or at least EARLY_S, before they are played: less is no
protection, and more is heard as delay. When a packet came within the tick is only known as before or after EARLY_S
from its end; rows whose packets all came before need no whole tick. A row on which packets were late since is left
in peace for some reviews.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .rows import FRAME_SAMPLES
from .rtp import Flags, Indices, Integers

EARLY_S: Final = 0.012
"""Packets that come longer than this before the tick are early."""

CALM_REVIEWS: Final = 5
"""So many reviews without late packets come before the next haste: 10 s."""


class Haste:
    """Who wants it, and who may have it, by row."""

    def __init__(self, capacity: int) -> None:
        self._wanted: Flags = np.zeros(capacity, np.bool_)
        self._wait: Integers = np.zeros(capacity, np.int64)  # reviews
        self._tardy: Flags = np.zeros(capacity, np.bool_)  # not all packets of this review were early

    def open(self, row: int) -> None:
        """Begin with another source on `row`; whether it wants haste stays."""
        self._wait[row], self._tardy[row] = 0, False

    def want(self, row: int, *, wanted: bool) -> None:
        """Let `row` want haste from now on, or not."""
        self._wanted[row] = wanted
        self._wait[row] = 0

    def push(self, rows: Indices) -> None:
        """Packets have come on `rows` that were not early."""
        self._tardy[rows] = True

    def disturb(self, rows: Indices) -> None:
        """Packets were late on `rows`."""
        self._wait[rows] = CALM_REVIEWS

    def review(self, rows: Indices, least: Integers) -> Integers:
        """End the review of `rows`, in which no packet had less than `least` samples of headroom.

        Returns how many samples each can go forward: whole frames, so that packets stay whole.
        """
        spare = np.maximum(least // FRAME_SAMPLES - self._tardy[rows], 0) * FRAME_SAMPLES
        spare[~self._wanted[rows] | (self._wait[rows] > 0)] = 0
        self._wait[rows] = np.maximum(self._wait[rows] - 1, 0)
        self._tardy[rows] = False
        return spare
