"""Rooms: each leg hears the sum of what all other legs of its room say, and nothing of itself.

Rooms of two, as nearly all are, exchange frames; in larger ones the sum of all is made once, and each leg gets it
without its own part. Nothing is clipped here: that is the codec's affair, after the last sum. Legs that say and
hear 16 kHz hear each other there and the rest at 8 kHz; all others hear everybody at 8 kHz. Where the direction
(RFC 3264 section 5.1) does not let the peer send, its leg says nothing; where it does not let us send, the leg
hears nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codecs.resample import NARROW, WIDE
from .receiver import Heard
from .rtp import Flags, Indices, Integers

Frames = NDArray[np.float32]


class Others(NamedTuple):
    """A tick of what legs hear of the others in their rooms. Positions are those in the rows stepped."""

    at: Indices  # [k]
    frames: Frames  # [k, 160] all of it, at 8 kHz
    base: Frames  # [k, 160] without what `wide` holds: `frames` itself where nobody says 16 kHz to another who does
    wide_at: Indices  # [m]
    wide: Frames  # [m, 320] what was said at 16 kHz


_NOWHERE: Final = np.zeros(0, np.intp)
_NARROW_SILENCE: Final = np.zeros((0, NARROW), np.float32)
_WIDE_SILENCE: Final = np.zeros((0, WIDE), np.float32)
NOBODY: Final = Others(_NOWHERE, _NARROW_SILENCE, _NARROW_SILENCE, _NOWHERE, _WIDE_SILENCE)


class _Seats(NamedTuple):
    """Legs in the order of their rooms."""

    at: Indices  # [k] positions in the rows stepped
    rows: Indices  # [k]
    room: Indices  # [k] rooms counted from 0
    size: Integers  # [rooms] legs in each


class Rooms:
    """Which room each row is in, if any."""

    def __init__(self, capacity: int) -> None:
        self._room: Integers = np.zeros(capacity, np.int64)
        self._joined: Flags = np.zeros(capacity, np.bool_)
        self._members: Indices = _NOWHERE  # rows in rooms, by room

    def __len__(self) -> int:
        return self._members.size

    def join(self, row: int, room: int) -> None:
        """Put `row` into `room`, out of the one it is in. OverflowError for a number of more than 64 bits."""
        self._room[row] = room
        self._seat(row, joined=True)

    def leave(self, row: int) -> None:
        """Take `row` out of its room, if it is in one."""
        if self._joined[row]:
            self._seat(row, joined=False)

    def close(self, row: int) -> None:
        """Take `row` out of its room."""
        self.leave(row)

    def pairs(self) -> Indices:
        """Return the rows in rooms of two, int[rooms, 2]."""
        size = _sizes(self._room[self._members])
        first = (np.cumsum(size) - size)[size == 2]
        return self._members[first[:, None] + np.arange(2)]

    def step(self, rows: Indices, heard: Heard, speaks: Flags, hears: Flags) -> Others:
        """Return what `rows`, ascending, hear of each other while they say `heard`.

        `speaks` and `hears`, bool by row, tell whose direction lets them.
        """
        if not self._members.size:
            return NOBODY
        seats = self._seats(rows)
        silent, deaf = ~speaks[seats.rows], ~hears[seats.rows]
        said = heard.frames[seats.at]
        said[silent] = 0.0
        frames = _of_others(said, seats.size)
        frames[deaf] = 0.0
        place = np.full(rows.size, -1)  # in `heard.wide`
        place[heard.at] = np.arange(heard.at.size)
        broad = place[seats.at] >= 0
        among = _met(broad, seats)
        if not among.size:
            return Others(seats.at, frames, frames, _NOWHERE, _WIDE_SILENCE)
        wide_said = heard.wide[place[seats.at[among]]]
        wide_said[silent[among]] = 0.0
        wide = _of_others(wide_said, _sizes(seats.room[among]))
        wide[deaf[among]] = 0.0
        said[broad] = 0.0
        base = frames.copy()
        base[among] = _of_others(said, seats.size)[among]
        base[deaf] = 0.0
        return Others(seats.at, frames, base, seats.at[among], wide)

    def _seat(self, row: int, *, joined: bool) -> None:
        self._joined[row] = joined
        members = np.flatnonzero(self._joined)
        self._members = members[np.argsort(self._room[members], kind="stable")]

    def _seats(self, rows: Indices) -> _Seats:
        """Return those of `rows` that are in rooms."""
        place = np.searchsorted(rows, self._members)
        present = rows[np.minimum(place, rows.size - 1)] == self._members
        members = self._members[present]
        size = _sizes(self._room[members])
        return _Seats(place[present], members, np.repeat(np.arange(size.size), size), size)


def _sizes(rooms: Integers) -> Integers:
    """Return how many of `rooms`, in which equals lie together, are each the same."""
    ends = np.flatnonzero(np.diff(rooms)) + 1
    return np.diff(np.concatenate([[0], ends, [rooms.size]]))


def _met(broad: Flags, seats: _Seats) -> Indices:
    """Return the `broad` seats in whose room there is another of them."""
    if not broad.any():
        return _NOWHERE
    count = np.bincount(seats.room[broad], minlength=seats.size.size)
    return np.flatnonzero(broad & (count[seats.room] > 1))


def _of_others(said: Frames, size: Integers) -> Frames:
    """Return for each row of `said`, which lie by rooms of `size` rows, the sum of the others in its room."""
    first = np.cumsum(size) - size
    heard = np.zeros_like(said)
    left = first[size == 2]
    heard[left], heard[left + 1] = said[left + 1], said[left]
    crowded = size > 2
    if crowded.any():
        crowd = np.flatnonzero(np.repeat(crowded, size))
        own, sizes = said[crowd], size[crowded]
        total = np.add.reduceat(own, np.cumsum(sizes) - sizes, axis=0)
        heard[crowd] = np.repeat(total, sizes, axis=0) - own
    return heard
