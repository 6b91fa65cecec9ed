"""Hear keys in the audio itself (ITU-T Q.23, Q.24)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .protocol import Event


class ToneReceiver:
    """Hears keys on all rows that may send them in-band."""

    def __init__(self, capacity: int) -> None:
        del capacity

    def open(self, row: int) -> None:
        """Begin to listen on `row`."""

    def close(self, row: int) -> None:
        """Listen no more on `row`."""

    def mute(self, row: int) -> None:
        """Listen no more on `row`: its peer sends telephone events, and a key must not count twice."""

    def step(
        self, frames: NDArray[np.float32], rows: NDArray[np.intp], begun: NDArray[np.bool_]
    ) -> list[tuple[int, Event]]:
        """Hear a frame of each of `rows`; return the keys newly pressed."""
        del frames, rows, begun
        return []
