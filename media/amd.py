"""Answering machine detection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .protocol import Event, StartAmd


class Amd:
    """At most one detection a row."""

    def __init__(self, capacity: int) -> None:
        del capacity

    def open(self, row: int) -> None:
        """Begin on `row`, with nothing to detect."""

    def close(self, row: int) -> None:
        """End what goes on on `row`."""

    def start(self, row: int, message: StartAmd) -> None:
        """Begin to detect on `row`."""

    def stop(self, row: int, job: int) -> None:
        """End the detection `job`; nothing happens where there is none."""

    def step(
        self, frames: NDArray[np.float32], rows: NDArray[np.intp], begun: NDArray[np.bool_]
    ) -> list[tuple[int, Event]]:
        """Hear a frame of each of `rows`; return what was found out."""
        del frames, rows, begun
        return []
