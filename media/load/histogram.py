"""Distributions of times by bins of equal ratio: as much memory for a day as for a second, quantiles to 2.3 %."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .messages import Spread

LEAST_MS: Final = 0.001
"""What is less counts as this."""

A_DECADE: Final = 100
BINS: Final = 8 * A_DECADE + 1
EDGES_MS: Final = LEAST_MS * 10.0 ** (np.arange(BINS) / A_DECADE)
"""The upper edge of each bin, 1 us .. 100 s; the last also holds what is more."""


class Histogram:
    """How many times lay in which bin, and the longest of them."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.max_ms: float = 0.0

    def add(self, times_ms: NDArray[np.float64]) -> None:
        """Add `times_ms` [n]; negative ones count as none."""
        if not times_ms.size:
            return
        # The first edge that is not below the time.
        places = np.searchsorted(EDGES_MS, times_ms, side="left")
        self.counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
        self.max_ms = max(self.max_ms, float(times_ms.max()))

    def merge(self, other: Histogram) -> None:
        """Add all that `other` holds."""
        self.counts += other.counts
        self.max_ms = max(self.max_ms, other.max_ms)

    def clear(self) -> None:
        """Forget all."""
        self.counts[:] = 0
        self.max_ms = 0.0

    def quantile(self, share: float) -> float:
        """Return the upper edge, in ms, of the bin below which `share` (0 .. 1) of the times lie; 0 for none at all."""
        total = int(self.counts.sum())
        if not total:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.counts), share * total, side="left"))
        return min(float(EDGES_MS[place]), self.max_ms)

    def spread(self) -> Spread:
        """Return the distribution as a message."""
        filled = np.flatnonzero(self.counts)
        return Spread(
            count=int(self.counts.sum()),
            p50=round(self.quantile(0.5), 4),
            p99=round(self.quantile(0.99), 4),
            max=round(self.max_ms, 4),
            bins=[(round(float(EDGES_MS[place]), 6), int(self.counts[place])) for place in filled],
        )
