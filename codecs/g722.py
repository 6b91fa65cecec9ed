"""G.722 at 64 kbit/s by row: 16 kHz audio in octets of two samples each (ITU-T G.722; RFC 3551 section 4.5.2).

The codec predicts each sample from those before, so each row has an encoder and a decoder of its own, in C.
A decoder is fed what came and nothing in place of what did not: it goes on from where it was.
"""

from __future__ import annotations

from typing import Any, Final

import G722 as g722_in_c  # noqa: N811
import numpy as np

from .coder import FRAME, Flags, Frames, Indices, Octets
from .g711 import AnySamples, whole

RATE_HZ: Final = 16000
BIT_RATE: Final = 64000


def _codec() -> Any:
    return g722_in_c.G722(RATE_HZ, BIT_RATE)


class G722:
    """See Coder."""

    rate_hz: int = RATE_HZ
    octets_per_tick: int = 1
    ahead: int = 0
    conceals: bool = False

    def __init__(self, capacity: int) -> None:
        self._encoder: list[Any] = [None] * capacity
        self._decoder: list[Any] = [None] * capacity

    def open(self, row: int) -> None:
        """See Coder."""
        self._encoder[row], self._decoder[row] = _codec(), _codec()

    def close(self, row: int) -> None:
        """See Coder."""
        self._encoder[row] = self._decoder[row] = None

    def decode(self, octets: Octets, have: Flags, rows: Indices) -> Frames:
        """See Coder."""
        frames = np.zeros((rows.size, 2 * FRAME), np.float32)
        came = np.count_nonzero(have, axis=1).tolist()
        for at, row in enumerate(rows.tolist()):
            if came[at] == FRAME:
                frames[at] = self._decode(row, octets[at])
            elif came[at]:
                frames[at, np.repeat(have[at], 2)] = self._decode(row, octets[at, have[at]])
        return frames

    def encode(self, frames: AnySamples, rows: Indices) -> tuple[Octets, None]:
        """See Coder."""
        samples = whole(frames)
        coded = b"".join([self._encoder[row].encode(one) for row, one in zip(rows.tolist(), samples, strict=True)])
        return np.frombuffer(coded, np.uint8).reshape(rows.size, FRAME), None

    def _decode(self, row: int, octets: Octets) -> Any:
        return np.frombuffer(self._decoder[row].decode(octets.tobytes()), np.int16)
