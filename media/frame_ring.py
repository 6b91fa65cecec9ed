"""The samples of the jitter buffer: a ring of frames for each row, and what is there of each frame.

Nearly always a frame comes whole and is taken whole, so that a frame is empty, full or there in part, and only of
those in part it is kept which samples are there. `at` stands for places of frames: what `places` returns.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_SAMPLES, elements
from .rtp import Flags, Indices, Integers, Octets

AHEAD: Final = 48
"""Frames the ring holds before they are played: a packet further ahead belongs to another run of the source."""

BEHIND: Final = 16
"""Frames the ring remembers after they were played."""

FRAMES: Final = AHEAD + BEHIND
"""A power of two."""

RING: Final = FRAMES * FRAME_SAMPLES

_EMPTY, _PART, _FULL = range(3)


class FrameRing:
    """Rings by row of samples of up to `octets_per_tick` octets."""

    def __init__(self, capacity: int, octets_per_tick: int) -> None:
        self._octets: Octets = np.zeros((capacity * FRAMES, FRAME_SAMPLES, octets_per_tick), np.uint8)
        self._frames: NDArray[Any] = elements(self._octets)
        self._fill: Octets = np.full(capacity * FRAMES, _EMPTY, np.uint8)
        self._filled: Flags = np.zeros((capacity * FRAMES, FRAME_SAMPLES), np.bool_)  # of frames in part

    @staticmethod
    def places(rows: Indices, frame: Integers) -> Indices:
        """Return where the frames `frame`, counted round and round, of `rows` are."""
        return rows * FRAMES + (frame & (FRAMES - 1))

    def clear(self, row: int) -> None:
        """Let nothing be there of `row`."""
        self._fill[row * FRAMES : (row + 1) * FRAMES] = _EMPTY

    def empty(self, at: Indices) -> Flags:
        """Say of which frames nothing is there."""
        return self._fill[at] == _EMPTY

    def whole(self, at: Indices) -> Flags:
        """Say which frames are all there."""
        return self._fill[at] == _FULL

    def flags(self, at: Indices) -> Flags:
        """Return which samples are there, bool[n, 160]."""
        fill = self._fill[at][:, None]
        return (fill == _FULL) | (fill == _PART) & self._filled[at]

    def has(self, rows: Indices, position: Integers) -> Flags:
        """Say of which of `rows` the sample at `position` of the ring is there."""
        at, sample = self.places(rows, position // FRAME_SAMPLES), position % FRAME_SAMPLES
        fill = self._fill[at]
        return (fill == _FULL) | (fill == _PART) & self._filled[at, sample]

    def octets(self, at: Indices) -> Octets:
        """Return what lies there, uint8[n, 160, octets per tick]; it means something where samples are there."""
        return self._octets.take(at, axis=0)

    def drop(self, at: Indices) -> None:
        """Let nothing be there of these frames."""
        self._fill[at] = _EMPTY

    def put(self, at: Indices, octets: Octets) -> None:
        """Put whole frames, uint8[n, 160, width]."""
        self._octets[at, :, : octets.shape[2]] = octets
        self._fill[at] = _FULL

    def take_over(self, at: Indices, frames: NDArray[Any]) -> None:
        """Put whole frames of the widest samples, given as `elements`."""
        self._frames[at] = frames
        self._fill[at] = _FULL

    def place(self, rows: Indices, position: Integers, octets: Octets) -> None:
        """Put `octets` uint8[n, any number of samples, width] from `position` of the ring on."""
        _, count, width = octets.shape
        position = position[:, None] + np.arange(count)
        frame, sample = self.places(rows[:, None], position // FRAME_SAMPLES), position % FRAME_SAMPLES
        self._octets[frame, sample, :width] = octets
        touched = np.unique(frame[:, [*range(0, count, FRAME_SAMPLES), -1]])
        fill = self._fill[touched]
        self._filled[touched[fill == _EMPTY]] = False
        self._filled[frame, sample] = True
        self._sum_up(touched[fill != _FULL])

    def move(self, rows: Indices, head: Integers, shift: Integers) -> Integers:
        """Let what is played next, the frame `head`, begin `shift` samples later, or earlier; return its number.

        With whole frames, as nearly always, only that changes; else what is there moves the other way.
        """
        frames, off = np.divmod(shift, FRAME_SAMPLES)
        for at in np.flatnonzero(off).tolist():
            self._roll(int(rows[at]), int(head[at]), int(shift[at]))
        whole = off == 0
        head = np.where(whole, (head + frames) % FRAMES, head)
        frames = np.where(whole, frames, 0)[:, None]
        ahead = (np.arange(FRAMES) - head[:, None]) % FRAMES  # how far before its time each frame is
        forward = (ahead >= AHEAD - frames) & (ahead < AHEAD)
        back = (ahead < -frames) | (ahead >= AHEAD) & (ahead < AHEAD - frames)
        fill = self._fill.reshape(-1, FRAMES)
        fill[rows] = np.where(forward | back, _EMPTY, fill[rows])  # that lay beyond one of the ring's ends
        return head

    def _roll(self, row: int, head: int, shift: int) -> None:
        """Let what is there of `row` lie `shift` samples earlier."""
        first = head * FRAME_SAMPLES
        end = first + AHEAD * FRAME_SAMPLES  # where what is to come ends, and what has been begins
        if shift > 0:
            stale = np.arange(end - shift, end)
        else:
            stale = np.concatenate([np.arange(first, first - shift), np.arange(end, end - shift)])
        at = np.arange(row * FRAMES, (row + 1) * FRAMES)
        octets = self._octets[at].reshape(RING, -1)
        self._octets[at] = np.roll(octets, -shift, axis=0).reshape(FRAMES, FRAME_SAMPLES, -1)
        filled = np.roll(self.flags(at).ravel(), -shift)
        filled[stale % RING] = False
        self._filled[at] = filled.reshape(FRAMES, FRAME_SAMPLES)
        self._sum_up(at)

    def _sum_up(self, at: Indices) -> None:
        """See of which frames all is there, a part, or nothing."""
        filled = self._filled[at]
        some = np.where(filled.any(axis=1), _PART, _EMPTY)
        self._fill[at] = np.where(filled.all(axis=1), _FULL, some)
