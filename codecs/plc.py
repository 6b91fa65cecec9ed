"""Packet loss concealment after ITU-T G.711 Appendix I, without the delay that it adds.

What is missing is the last pitch period over and over, at full level for 10 ms, fading to silence at 60 ms.
When audio returns it is cross-faded with what would have been repeated, unless nothing was heard before.
A frame with nothing missing and no cross-fade pending passes as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FRAME: Final = 160
"""Samples of 20 ms at 8 kHz."""

FRAMES_KEPT: Final = 3
"""Frames kept of each row; the longest pitch period and a window to find it in need 35 ms."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of Appendix I in samples."""

    frame: int
    history: int
    shortest_period: int
    longest_period: int
    window: int  # compared with what was one period before
    full: int  # into a gap, until repetition begins to fade
    silent: int  # into a gap, until it is silent
    fade_in: int  # the cross-fade when audio returns

    @classmethod
    def at(cls, rate_hz: int) -> Timing:
        """Return them for audio of `rate_hz`: pitch from 200 down to 66 Hz, as Appendix I has it."""
        ms = rate_hz // 1000
        return cls(20 * ms, FRAMES_KEPT * 20 * ms, 5 * ms, 15 * ms, 20 * ms, 10 * ms, 60 * ms, 5 * ms)


Frames = NDArray[np.float32]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
Integers = NDArray[np.int64]

_NEVER: Final = 1 << 40
"""How long the gap is of a row that has heard nothing: silent, and nothing to cross-fade with."""


class Concealer:
    """The recent past of each row, and where in a gap it is."""

    def __init__(self, capacity: int, rate_hz: int = 8000) -> None:
        self._timing: Timing = Timing.at(rate_hz)
        self._sample = np.arange(self._timing.frame)
        self._past: Frames = np.zeros((capacity, FRAMES_KEPT, self._timing.frame), np.float32)  # a ring of frames
        self._oldest: Integers = np.zeros(capacity, np.int64)  # frame of the ring
        self._elapsed: Integers = np.full(capacity, _NEVER, np.int64)  # samples since the last gap began
        self._back: Integers = np.zeros(capacity, np.int64)  # samples since it ended, to `fade_in`; 0 within it
        self._cycle: Frames = np.zeros((capacity, self._timing.longest_period), np.float32)  # what is repeated in it
        self._period: Integers = np.full(capacity, self._timing.longest_period, np.int64)  # samples of that

    def open(self, row: int) -> None:
        """Begin on `row`, which has heard nothing."""
        self._past[row] = 0.0
        self._elapsed[row] = _NEVER
        self._back[row] = 0

    def close(self, row: int) -> None:
        """Forget what `row` has heard."""
        self.open(row)

    def step(self, frames: Frames, have: Flags, rows: Indices) -> Frames:
        """Return `frames` float32[n, 20 ms] with what `have` bool[n, 20 ms] says is missing made up.

        `frames` is never written to, and returned itself when there is nothing to make up.
        """
        touched = np.flatnonzero(~have.all(axis=1) | (self._back[rows] < self._timing.fade_in))
        if touched.size:
            frames = frames.copy()
            frames[touched] = self._mend(frames[touched], have[touched], rows[touched])
        self.remember(frames, rows)
        return frames

    def settled(self, rows: Indices) -> Flags:
        """Say on which of `rows` a frame with nothing missing passes as it is."""
        return self._back[rows] >= self._timing.fade_in

    def remember(self, frames: Frames, rows: Indices) -> None:
        """Take whole `frames` float32[n, 20 ms] that went by, one on each of `rows`, as what was heard last."""
        self._past[rows, self._oldest[rows]] = frames
        self._oldest[rows] = (self._oldest[rows] + 1) % FRAMES_KEPT

    def _mend(self, frames: Frames, have: Flags, rows: Indices) -> Frames:
        # Rows that have been silent for long, often many, and those that begin, need no arithmetic.
        elapsed = self._elapsed[rows]
        silent = (self._back[rows] == 0) & (elapsed >= self._timing.silent) & ~have.any(axis=1)
        begins = (elapsed >= _NEVER) & have.all(axis=1)
        mended = np.zeros_like(frames)
        mended[begins] = frames[begins]
        self._back[rows[begins]] = self._timing.fade_in
        rest = np.flatnonzero(~(silent | begins))
        if rest.size:
            mended[rest] = self._conceal(frames[rest], have[rest], rows[rest])
        return mended

    def _conceal(self, frames: Frames, have: Flags, rows: Indices) -> Frames:
        sample, fade_in = self._sample, self._timing.fade_in
        back_before = self._back[rows, None]
        missed_before = np.concatenate([back_before == 0, ~have[:, :-1]], axis=1)
        begins = ~have & ~missed_before
        begin = self._latest(begins)  # of the gap that a sample is in or returns from; -1: before this frame
        elapsed = np.where(begin < 0, self._elapsed[rows, None] + sample + 1, sample - begin + 1)
        missed = self._latest(~have)
        back = np.minimum(np.where(missed < 0, back_before + sample + 1, sample - missed), fade_in)
        made_up = self._repeat(frames, begins, begin, elapsed, rows)
        # A missing sample has `back` 0 and is made up wholly; one long returned is itself, to the bit.
        share: Frames = np.where(have & (elapsed >= _NEVER), 1.0, back / fade_in).astype(np.float32)
        self._elapsed[rows] = elapsed[:, -1]
        self._back[rows] = np.where(have[:, -1] & (elapsed[:, -1] >= _NEVER), fade_in, back[:, -1])
        mended = share * np.where(have, frames, np.float32(0)) + (1 - share) * made_up
        return mended.astype(np.float32, copy=False)

    def _repeat(self, frames: Frames, begins: Flags, begin: Integers, elapsed: Integers, rows: Indices) -> Frames:
        """Return what each sample would be if the last period before its gap went on, fading."""
        timing, at = self._timing, np.arange(rows.size)[:, None]
        made_up = self._cycle[rows][at, (elapsed - 1) % self._period[rows, None]]
        new = np.flatnonzero(begins.any(axis=1))
        if new.size:
            first = begins[new].argmax(axis=1)
            cycle, period = _last_period(self._before(frames[new], first, rows[new]), timing)
            self._cycle[rows[new]], self._period[rows[new]] = cycle, period
            fresh = cycle[np.arange(new.size)[:, None], (elapsed[new] - 1) % period[:, None]]
            made_up[new] = np.where(begin[new] >= 0, fresh, made_up[new])
        level: Frames = np.clip((timing.silent - elapsed) / (timing.silent - timing.full), 0, 1).astype(np.float32)
        return made_up * level

    def _before(self, frames: Frames, first: Indices, rows: Indices) -> Frames:
        """Return the `history` samples before sample `first` of each frame."""
        history = self._timing.history
        order = (self._oldest[rows, None] + np.arange(FRAMES_KEPT)) % FRAMES_KEPT
        past = self._past[rows[:, None], order].reshape(rows.size, history)
        known = np.concatenate([past, frames], axis=1)
        return np.take_along_axis(known, first[:, None] + np.arange(history), axis=1)

    def _latest(self, flags: Flags) -> Integers:
        """Return for each sample the index of the last one up to it that is set, or -1."""
        return np.maximum.accumulate(np.where(flags, self._sample, -1), axis=1)


def _last_period(past: Frames, timing: Timing) -> tuple[Frames, Integers]:
    """Return the last pitch period of `past` float32[k, history], its end bent so that it can follow itself."""
    window, longest, history = timing.window, timing.longest_period, timing.history
    recent = past[:, -window:]
    earlier = np.lib.stride_tricks.sliding_window_view(
        past[:, -window - longest : -timing.shortest_period], window, axis=1
    )
    likeness = np.einsum("kn,kpn->kp", recent, earlier)
    energy = np.einsum("kpn,kpn->kp", earlier, earlier)
    period = longest - (likeness / np.sqrt(energy + 1)).argmax(axis=1)
    place = np.arange(longest)
    start = history - period[:, None]
    cycle = np.take_along_axis(past, np.minimum(start + place, history - 1), axis=1)
    before = np.take_along_axis(past, np.minimum(start - period[:, None] + place, history - 1), axis=1)
    overlap = period[:, None] // 4
    bend = np.clip((place - (period[:, None] - overlap) + 1) / overlap, 0, 1).astype(np.float32)
    return cycle + bend * (before - cycle), period
