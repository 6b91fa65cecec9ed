"""What a codec is to the bank, and the codecs that need no more than a table or a change of octet order.

Octets are those of 20 ms, one row of them a leg; audio is float32 on the int16 scale at the codec's own rate;
to encode, int16 will do as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from . import g711
from .g711 import AnySamples

FRAME: Final = 160
"""Ticks of 8 kHz in 20 ms: what the jitter buffer counts in, whatever the codec."""

Octets = NDArray[np.uint8]
Frames = NDArray[np.float32]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


class Coder(Protocol):
    """One codec for all rows. `rate_hz` is that of its audio, so that a frame has `rate_hz` / 50 samples."""

    rate_hz: int
    octets_per_tick: int  # octets of 1/8000 s, as the jitter buffer holds them
    ahead: int  # ticks after the frame that decode wants to see
    conceals: bool  # it makes up what is missing itself

    def open(self, row: int) -> None:
        """Begin with a fresh state on `row`."""
        ...

    def close(self, row: int) -> None:
        """Give up the state of `row`."""
        ...

    def decode(self, octets: Octets, have: Flags, rows: Indices) -> Frames:
        """Return the audio of `octets[i]` that came on `rows[i]`.

        Octets are uint8[n, (160 + ahead) * octets_per_tick] and mean something where `have` bool[n, 160 + ahead]
        is set; the rest of the audio is whatever it may be, unless the codec conceals.
        """
        ...

    def encode(self, frames: AnySamples, rows: Indices) -> tuple[Octets, Integers | None]:
        """Return `frames[i]` as `rows[i]` shall send it, and how many octets that is each; None: all there are."""
        ...


class Companding:
    """A codec without a state, where each octet is a sample."""

    rate_hz: int = 8000
    octets_per_tick: int = 1
    ahead: int = 0
    conceals: bool = False

    def __init__(self, decode: Callable[[Octets], Frames], encode: Callable[[AnySamples], Octets]) -> None:
        self._decode = decode
        self._encode = encode

    def open(self, row: int) -> None:
        """See Coder; there is nothing to begin."""

    def close(self, row: int) -> None:
        """See Coder; there is nothing to give up."""

    def decode(self, octets: Octets, have: Flags, rows: Indices) -> Frames:
        """See Coder."""
        return self._decode(octets)

    def encode(self, frames: AnySamples, rows: Indices) -> tuple[Octets, None]:
        """See Coder."""
        return self._encode(frames), None


class Linear:
    """L16: 16-bit samples in network byte order (RFC 3551 section 4.5.11)."""

    ahead: int = 0
    conceals: bool = False

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz: int = rate_hz
        self.octets_per_tick: int = 2 * rate_hz // 8000

    def open(self, row: int) -> None:
        """See Coder; there is nothing to begin."""

    def close(self, row: int) -> None:
        """See Coder; there is nothing to give up."""

    def decode(self, octets: Octets, have: Flags, rows: Indices) -> Frames:
        """See Coder."""
        return np.ascontiguousarray(octets).view(">i2").astype(np.float32)

    def encode(self, frames: AnySamples, rows: Indices) -> tuple[Octets, None]:
        """See Coder."""
        return g711.whole(frames).astype(">i2").view(np.uint8), None
