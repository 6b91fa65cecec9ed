"""Notice legs on which nothing comes although the peer may send: a dead call that signalling still holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEVER = np.inf


class Silence:
    """When a packet last came, by row. Each silence is reported once."""

    def __init__(self, capacity: int, after_s: float) -> None:
        self._after_s: float = after_s
        self._since_s: NDArray[np.float64] = np.full(capacity, NEVER)  # NEVER: not expected, or reported
        self._expected: NDArray[np.bool_] = np.zeros(capacity, np.bool_)

    def expect(self, row: int, now_s: float) -> None:
        """Expect packets on `row` from now on."""
        if not self._expected[row]:
            self._expected[row], self._since_s[row] = True, now_s

    def excuse(self, row: int) -> None:
        """Expect nothing on `row`: it is closed, or its direction does not let the peer send."""
        self._expected[row], self._since_s[row] = False, NEVER

    def push(self, rows: NDArray[np.intp], now_s: float) -> None:
        """Packets have come on `rows`."""
        self._since_s[rows] = np.where(self._expected[rows], now_s, NEVER)

    def step(self, now_s: float) -> list[tuple[int, int]]:
        """Return (row, ms of silence) for each row that has now been silent long enough."""
        silent = (now_s - self._since_s >= self._after_s).nonzero()[0]
        if not silent.size:
            return []
        found = [(int(row), round((now_s - self._since_s[row]) * 1000)) for row in silent]
        self._since_s[silent] = NEVER
        return found
