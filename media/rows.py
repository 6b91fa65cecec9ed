"""Rows of the media arrays, and the frame that a tick works on.

A leg has one row in every array of every stage for as long as it lives. The lowest free row is taken, so
that the rows in use stay close together in memory.
"""

from __future__ import annotations

import heapq
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FRAME_MS: Final = 20
RATE_HZ: Final = 8000
FRAME_SAMPLES: Final = RATE_HZ * FRAME_MS // 1000


class RowsFull(Exception):
    """Every row is taken: the worker cannot carry another leg."""


class Rows:
    """Which rows are in use."""

    def __init__(self, capacity: int) -> None:
        self.capacity: int = capacity
        self._free: list[int] = list(range(capacity))  # a heap, as an ascending list is one
        self._used: set[int] = set()

    def open(self) -> int:
        """Take the lowest free row; RowsFull if there is none."""
        if not self._free:
            raise RowsFull(f"all {self.capacity} rows are in use")
        row = heapq.heappop(self._free)
        self._used.add(row)
        return row

    def close(self, row: int) -> None:
        """Give `row` back; ValueError if it is not in use, as a row given back twice would serve two legs."""
        if row not in self._used:
            raise ValueError(f"row {row} is not in use")
        heapq.heappush(self._free, row)
        self._used.remove(row)


def every(flags: NDArray[np.bool_]) -> bool:
    """Say whether all of `flags` are set: for so few, counting takes a third of the time of `all`, or of `any`."""
    return np.count_nonzero(flags) == flags.size


def elements(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` [n, …], which is contiguous, as n elements over the same memory.

    What is picked from it, or put into it, by index numpy copies element by element: far faster than rows of a matrix.
    """
    count, octets = len(array), array.itemsize
    for size in array.shape[1:]:
        octets *= size
    return array.reshape(count, octets // array.itemsize).view(np.dtype((np.void, octets)))[:, 0]
