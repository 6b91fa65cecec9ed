"""Notice legs on which nothing comes although the peer may send: a dead call that signalling still holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Silence:
    """When a packet last came, by row. Each silence is reported once."""

    def __init__(self, capacity: int, after_s: float) -> None:
        self._after_s: float = after_s
        self._expected: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._heard_s: NDArray[np.float64] = np.zeros(capacity)  # a packet came, or was expected from then on
        self._told_s: NDArray[np.float64] = np.zeros(capacity)  # a silence was reported

    def expect(self, row: int, now_s: float) -> None:
        """Expect packets on `row` from now on; a silence that was reported begins anew."""
        if not self._expected[row] or self._told_s[row] >= self._heard_s[row]:
            self._expected[row], self._heard_s[row], self._told_s[row] = True, now_s, -np.inf

    def excuse(self, row: int) -> None:
        """Expect nothing on `row`: it is closed, or its direction does not let the peer send."""
        self._expected[row] = False

    def push(self, rows: NDArray[np.intp], now_s: float) -> None:
        """Packets have come on `rows`."""
        self._heard_s[rows] = now_s

    def step(self, now_s: float) -> list[tuple[int, int]]:
        """Return (row, ms of silence) for each row that has now been silent long enough."""
        quiet_s = now_s - self._heard_s
        silent = (self._expected & (quiet_s >= self._after_s) & (self._heard_s > self._told_s)).nonzero()[0]
        self._told_s[silent] = now_s
        return [(row, round(quiet_s[row] * 1000)) for row in silent.tolist()]
