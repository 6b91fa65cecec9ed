"""Codecs by row: a tick decodes and encodes all rows at once, whichever codec each of them has.

A codec joins by an entry in CODERS; one with a state of its own keeps that in arrays by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from . import g711

FRAME: Final = 160
"""Samples, and octets, of 20 ms at 8 kHz."""

Octets = NDArray[np.uint8]
Frames = NDArray[np.float32]
Indices = NDArray[np.intp]


class Coder(Protocol):
    """One codec for all rows. Frames are float32[n, 160] on the int16 scale, octets uint8[n, 160]."""

    def open(self, row: int) -> None:
        """Begin with a fresh state on `row`."""
        ...

    def decode(self, octets: Octets, rows: Indices) -> Frames:
        """Return the audio of `octets[i]` that came on `rows[i]`."""
        ...

    def encode(self, frames: Frames, rows: Indices) -> Octets:
        """Return `frames[i]` as `rows[i]` shall send it."""
        ...


class Companding:
    """A codec without a state, where each octet is a sample."""

    def __init__(self, decode: Callable[[Octets], Frames], encode: Callable[[Frames], Octets]) -> None:
        self._decode = decode
        self._encode = encode

    def open(self, row: int) -> None:
        """See Coder; there is nothing to begin."""

    def decode(self, octets: Octets, rows: Indices) -> Frames:
        """See Coder."""
        return self._decode(octets)

    def encode(self, frames: Frames, rows: Indices) -> Octets:
        """See Coder."""
        return self._encode(frames)


CODERS: Final[dict[str, Callable[[int], Coder]]] = {
    "PCMU": lambda capacity: Companding(g711.decode_ulaw, g711.encode_ulaw),
    "PCMA": lambda capacity: Companding(g711.decode_alaw, g711.encode_alaw),
}
"""How to make the coder of each name of `catalog.BY_NAME` for `capacity` rows."""

_CLOSED: Final = -1


class Bank:
    """Which codec each row has; a closed row decodes to silence and encodes to zeros."""

    def __init__(self, capacity: int) -> None:
        self._names: tuple[str, ...] = tuple(CODERS)
        self._coders: tuple[Coder, ...] = tuple(make(capacity) for make in CODERS.values())
        self._coder_of: NDArray[np.int8] = np.full(capacity, _CLOSED, np.int8)

    def open(self, row: int, codec_name: str) -> None:
        """Let `row` use the codec, from a fresh state; ValueError if there is no such codec."""
        if codec_name not in self._names:
            raise ValueError(f"no codec {codec_name!r}; there are {', '.join(self._names)}")
        number = self._names.index(codec_name)
        self._coder_of[row] = number
        self._coders[number].open(row)

    def close(self, row: int) -> None:
        """Let `row` have no codec."""
        self._coder_of[row] = _CLOSED

    def decode(self, octets: Octets, rows: Indices) -> Frames:
        """Return the audio float32[n, 160] of `octets` uint8[n, 160] on `rows`."""
        groups = list(self._groups(rows))
        if len(groups) == 1 and groups[0][1].size == rows.size:
            return groups[0][0].decode(octets, rows)
        frames = np.zeros((rows.size, FRAME), np.float32)
        for coder, chosen in groups:
            frames[chosen] = coder.decode(octets[chosen], rows[chosen])
        return frames

    def encode(self, frames: Frames, rows: Indices) -> Octets:
        """Return `frames` float32[n, 160] of `rows` as uint8[n, 160]."""
        groups = list(self._groups(rows))
        if len(groups) == 1 and groups[0][1].size == rows.size:
            return groups[0][0].encode(frames, rows)
        octets = np.zeros((rows.size, FRAME), np.uint8)
        for coder, chosen in groups:
            octets[chosen] = coder.encode(frames[chosen], rows[chosen])
        return octets

    def _groups(self, rows: Indices) -> Iterator[tuple[Coder, Indices]]:
        numbers = self._coder_of[rows]
        for number, coder in enumerate(self._coders):
            chosen = np.flatnonzero(numbers == number)
            if chosen.size:
                yield coder, chosen
