"""Codecs by row: a tick decodes and encodes all rows at once, whichever codec each of them has.

A codec joins by an entry in CODERS; one with a state of its own keeps that by row. A tick goes through `groups`:
nearly always there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import g711
from .coder import Coder, Companding, Indices, Linear
from .g722 import G722
from .opus import Opus

CODERS: Final[dict[str, Callable[[int], Coder]]] = {
    "PCMU": lambda capacity: Companding(g711.decode_ulaw, g711.encode_ulaw),
    "PCMA": lambda capacity: Companding(g711.decode_alaw, g711.encode_alaw),
    "G722": G722,
    "L16": lambda capacity: Linear(16000),
    "L16/8000": lambda capacity: Linear(8000),
    "OPUS": Opus,
}
"""How to make the coder of each name of `catalog.BY_NAME` for `capacity` rows."""

_CLOSED: Final = -1


class Bank:
    """Which codec each row has."""

    def __init__(self, capacity: int) -> None:
        self._names: tuple[str, ...] = tuple(CODERS)
        self._coders: tuple[Coder, ...] = tuple(make(capacity) for make in CODERS.values())
        self._coder_of: NDArray[np.int8] = np.full(capacity, _CLOSED, np.int8)
        self._users: list[int] = [0] * len(self._coders)
        self._grouped: tuple[Indices | None, Sequence[tuple[Coder, Indices]]] = None, ()  # what was last asked for

    def open(self, row: int, name: str) -> Coder:
        """Let `row` use the codec, from a fresh state, and return it.

        ValueError, and nothing changed, if there is no such codec or its library is missing.
        """
        if name not in self._names:
            raise ValueError(f"no codec {name!r}; there are {', '.join(self._names)}")
        number = self._names.index(name)
        self._coders[number].open(row)
        self._grouped = None, ()
        if self._coder_of[row] != number:
            self.close(row)
            self._coder_of[row] = number
            self._users[number] += 1
        return self._coders[number]

    def close(self, row: int) -> None:
        """Let `row` have no codec."""
        number = int(self._coder_of[row])
        if number != _CLOSED:
            self._coders[number].close(row)
            self._grouped = None, ()
            self._users[number] -= 1
            self._coder_of[row] = _CLOSED

    def groups(self, rows: Indices) -> Sequence[tuple[Coder, Indices]]:
        """Return each codec that any of `rows` have, and at which positions of `rows`; closed rows are in no group.

        The answer is kept for as long as it is asked for the same array, which is not to be written to.
        """
        if rows is not self._grouped[0]:
            numbers = self._coder_of[rows]
            used = [(coder, number) for number, coder in enumerate(self._coders) if self._users[number]]
            groups = [(coder, (numbers == number).nonzero()[0]) for coder, number in used]
            self._grouped = rows, [(coder, at) for coder, at in groups if at.size]
        return self._grouped[1]
