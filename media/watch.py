"""Watch legs for noise and for silence, and tell once there has been as much of it as asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .protocol import Detector, Event


class Watches:
    """Any number of watches a row, each known by its job."""

    def __init__(self, capacity: int) -> None:
        del capacity

    def open(self, row: int) -> None:
        """Begin on `row`, with nothing to watch for."""

    def close(self, row: int) -> None:
        """End all watches on `row`."""

    def start(self, row: int, job: int, *, noise_ms: int | None, silence_ms: int | None, detector: Detector) -> None:
        """Watch `row` for noise, or silence, or noise and then silence."""

    def stop(self, row: int, job: int) -> None:
        """End the watch `job`; nothing happens where there is none."""

    def step(
        self, frames: NDArray[np.float32], rows: NDArray[np.intp], begun: NDArray[np.bool_]
    ) -> list[tuple[int, Event]]:
        """Hear a frame of each of `rows`; return what was detected."""
        del frames, rows, begun
        return []
