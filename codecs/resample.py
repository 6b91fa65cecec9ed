"""From 8 to 16 kHz and back by one half-band filter, for all rows at once, without a seam between frames.

A linear-phase FIR whose band edge is a quarter of 16 kHz: every other tap is zero, so that an upsampled
stream keeps its own samples to the bit and only those between them are computed. What is below 3.4 kHz
passes, what is above 4.6 kHz is down by 70 dB. Each way delays by DELAY_S.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]
Indices = NDArray[np.intp]

NARROW: Final = 160
WIDE: Final = 320
"""Samples of 20 ms at 8 and at 16 kHz."""

PAIRS: Final = 16
"""Pairs of equal taps to the left and right of the middle one, zeros not counted."""

TAPS: Final = 4 * PAIRS - 1
DELAY_S: Final = (TAPS // 2) / 16000

_BETA: Final = 6.8
"""The Kaiser window's trade of stop band (70 dB) for width."""


def _side_taps() -> NDArray[np.float32]:
    """Return the taps at odd distances from the middle, nearest first; the middle one is 1/2."""
    distance = np.arange(1, 2 * PAIRS, 2)
    window = np.kaiser(TAPS, _BETA)[TAPS // 2 + distance]
    taps = np.sin(np.pi * distance / 2) / (np.pi * distance) * window
    return (taps / (4 * taps.sum())).astype(np.float32)


SIDE: Final = _side_taps()


class Upsampler:
    """8 kHz to 16 kHz by row."""

    def __init__(self, capacity: int) -> None:
        self._past: Frames = np.zeros((capacity, 2 * PAIRS - 1), np.float32)  # the samples before the frame

    def open(self, row: int) -> None:
        """Begin on `row` after silence."""
        self._past[row] = 0.0

    def step(self, frames: Frames, rows: Indices) -> Frames:
        """Return `frames` float32[n, 160] as float32[n, 320]."""
        past = self._past.shape[1]
        line = np.concatenate([self._past[rows], frames], axis=1)
        self._past[rows] = line[:, -past:]
        wide = np.empty((rows.size, WIDE), np.float32)
        wide[:, 0::2] = 2 * _between(line, NARROW)
        wide[:, 1::2] = line[:, PAIRS : PAIRS + NARROW]
        return wide


class Downsampler:
    """16 kHz to 8 kHz by row."""

    def __init__(self, capacity: int) -> None:
        self._past: Frames = np.zeros((capacity, TAPS - 1), np.float32)  # the samples before the frame

    def open(self, row: int) -> None:
        """Begin on `row` after silence."""
        self._past[row] = 0.0

    def step(self, frames: Frames, rows: Indices) -> Frames:
        """Return `frames` float32[n, 320] as float32[n, 160]."""
        past = self._past.shape[1]
        line = np.concatenate([self._past[rows], frames], axis=1)
        self._past[rows] = line[:, -past:]
        middle = TAPS // 2
        narrow = _between(np.ascontiguousarray(line[:, 0::2]), NARROW)
        narrow += np.float32(0.5) * line[:, middle : middle + WIDE : 2]
        return narrow


def _between(line: Frames, count: int) -> Frames:
    """Return for `count` places, from the one after PAIRS samples of `line`, what the side taps make of its neighbours.

    Pair by pair instead of as a product of matrices: then a row's sum does not depend on how many rows there are.
    """
    total = np.zeros((line.shape[0], count), np.float32)
    for distance, tap in enumerate(SIDE):
        before, after = PAIRS - 1 - distance, PAIRS + distance
        total += tap * (line[:, before : before + count] + line[:, after : after + count])
    return total
