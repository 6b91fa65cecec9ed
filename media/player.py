"""Play sounds on many legs at once: per leg a position in a shared sound, per tick one gather a sound.

A play is a line of samples: the sound, a pause, the sound again, as often as `loops` says, cut off at
`limit`. During the pause the position is negative and counts up to zero, so that repetitions without a
pause follow each other to the sample. A last frame that the line does not fill ends in silence.

A sound that is still being made is played as far as it goes; there the play waits, silent, for more. Of a
stream without an end only the last part is kept, as a ring: sample n lies at n modulo its size. Whoever falls
so far behind that what they hear is about to be written over goes on a second before its newest sample.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_MS, RATE_HZ, elements, every
from .sound import Sound, Sounds

FOREVER: Final = 1 << 62
LONGEST_MS: Final = 1 << 40
"""Times beyond this are taken as this."""
BEHIND_S: Final = 1
"""How far before the newest sample of a stream a play goes on that fell behind."""
RING_SHARE: Final = 0.875
"""What of a ring can be played; the rest may be written over before we are told."""

_KEY, _POSITION, _LENGTH, _LEFT = range(4)
"""The columns of the table."""

_NOWHERE: Final = np.zeros(0, np.intp)

Reason = Literal["ended", "stopped", "replaced", "closed"]


class Finished(NamedTuple):
    """A play that ended, where in its sound in ms, and how many repetitions it had completed."""

    row: int
    job: int
    reason: Reason
    position: int
    loops: int = 0


class Player:
    """At most one play a row. What ended since the last look is in `take_finished()`."""

    def __init__(self, capacity: int, sounds: Sounds, rate_hz: int = RATE_HZ) -> None:
        self.frame_samples: int = rate_hz * FRAME_MS // 1000
        self._rate_hz: int = rate_hz
        self._per_ms: int = rate_hz // 1000
        self._offsets: NDArray[np.int64] = np.arange(self.frame_samples)
        self._sounds: Sounds = sounds
        self._sound: list[Sound | None] = [None] * capacity
        self._job: list[int] = [0] * capacity
        self._running: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # has a play and is not paused
        self._runs: int = 0  # rows
        self._table: NDArray[np.int64] = np.zeros((capacity, 4), np.int64)  # what a tick looks at
        self._records: NDArray[Any] = elements(self._table)
        self._key: NDArray[np.int64] = self._table[:, _KEY]  # equal where sound and ring are the same
        self._position: NDArray[np.int64] = self._table[:, _POSITION]  # samples; negative in a pause
        self._length: NDArray[np.int64] = self._table[:, _LENGTH]  # samples of the sound, so far
        self._growing: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # more samples will come
        self._ring: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples of a stream that are kept; else 0
        self._left: NDArray[np.int64] = self._table[:, _LEFT]  # samples until the limit
        self._loops: NDArray[np.int64] = np.zeros(capacity, np.int64)  # repetitions left, this one too
        self._repeated: NDArray[np.int64] = np.zeros(capacity, np.int64)  # repetitions completed
        self._pause: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples between repetitions
        self._finished: list[Finished] = []

    def start(
        self,
        row: int,
        job: int,
        sound: Sound,
        *,
        offset: int = 0,
        loops: int = 1,
        pause: int = 0,
        limit: int = 0,
        available: int | None = None,
        ring: int = 0,
    ) -> None:
        """Play `sound` (already counted for us) from `offset`, `loops` times (0: on and on), for `limit` (0: all).

        Times are ms. `available` samples are there of a sound that grows, None of one that is complete; `ring` is the
        size of a stream's ring in samples, of which what is kept is played. What plays on the row ends as `replaced`.
        """
        self._finish(row, "replaced")
        self._sound[row], self._job[row] = sound, job
        self._key[row] = id(sound) << 1 | (ring > 0)
        self._growing[row] = available is not None
        self._ring[row] = max(0, min(ring, sound.samples.size))
        self._length[row] = self._reached(sound, row, sound.samples.size if available is None else available)
        self._position[row] = self._span(offset)
        if ring > 0:
            self._position[row] = min(max(int(self._position[row]), self._oldest(row)), int(self._length[row]))
        self._loops[row] = min(loops, FOREVER) if loops > 0 else FOREVER
        self._repeated[row] = 0
        self._pause[row] = self._span(pause)
        self._left[row] = self._span(limit) if limit > 0 else FOREVER
        self._run(row, running=True)
        self._end_if_past(row, repeats=True)

    def stop(self, row: int, job: int) -> bool:
        """End the play `job` as `stopped`; False if the row does not play it."""
        return self._plays(row, job) and self._finish(row, "stopped")

    def replace(self, row: int) -> None:
        """End what plays on `row` as `replaced`: something that another player plays takes its place."""
        self._finish(row, "replaced")

    def close(self, row: int) -> None:
        """End what plays on `row` as `closed`."""
        self._finish(row, "closed")

    def seek(
        self,
        row: int,
        job: int,
        *,
        to: int | None = None,
        by: int = 0,
        paused: bool | None = None,
        strict: bool = False,
    ) -> bool:
        """Move to `to` ms or by `by` ms, pause or resume; False if the row does not play `job`.

        `strict` leaves the position as it is where the move would go past the end, or past what is there of a
        sound that grows. Within a stream it goes back by half of what is kept at most.
        """
        if not self._plays(row, job):
            return False
        if to is not None or by:
            start = max(0, int(self._position[row])) if to is None else to * self._per_ms
            position = min(max(0, start + by * self._per_ms), LONGEST_MS * self._per_ms)
            if self._ring[row]:
                length = int(self._length[row])
                position = min(max(position, length - int(self._ring[row]) // 2, 0), length)
            if not strict or position < self._length[row]:
                self._position[row] = position
        if paused is not None:
            self._run(row, running=not paused)
        self._end_if_past(row)
        return True

    def grow(self, row: int, job: int, *, available: int, complete: bool) -> bool:
        """Take that more of a growing sound can be played; False if the row does not play `job`.

        Once `complete`, what is available is the whole of it, and the play ends or repeats as ever.
        """
        sound = self._sound[row]
        if sound is None or not self._plays(row, job):
            return False
        if not self._growing[row]:
            return True
        if available > sound.samples.size and not self._ring[row]:
            self._sounds.extend(sound)
        self._length[row] = self._reached(sound, row, available)
        self._growing[row] = not complete
        if self._ring[row] and self._position[row] < self._oldest(row):
            self._position[row] = max(0, int(self._length[row]) - BEHIND_S * self._rate_hz)
        self._end_if_past(row, repeats=bool(self._position[row] == self._length[row]))
        return True

    @property
    def running(self) -> NDArray[np.bool_]:
        """Which rows something plays on, bool[capacity]; not to be written to."""
        return self._running

    def step(self, rows: NDArray[np.intp]) -> NDArray[np.int16] | None:
        """Return the next frame of each of `rows`, int16[n, 20 ms], not to be written to; None if nothing plays."""
        at = self._running[rows].nonzero()[0] if self._runs else _NOWHERE
        if not at.size:
            return None
        playing = rows if at.size == rows.size else rows[at]
        records = self._records.take(playing)
        now = records.view(np.int64).reshape(playing.size, 4)
        end = now[:, _POSITION] + self.frame_samples
        whole = (now[:, _POSITION] >= 0) & (end < now[:, _LENGTH]) & (now[:, _LEFT] > self.frame_samples)
        pieces = _NOWHERE
        if not every(whole):
            pieces, at, playing, records = at[~whole], at[whole], playing[whole], records[whole]
            now = records.view(np.int64).reshape(playing.size, 4)
        frames = self._gather(now, playing)
        if at.size < rows.size:
            frames, some = np.zeros((rows.size, self.frame_samples), np.int16), frames
            frames[at] = some
        now[:, _POSITION] += self.frame_samples
        now[:, _LEFT] -= self.frame_samples
        self._records[playing] = records
        for index in pieces.tolist():
            self._piece_together(int(rows[index]), frames[index])
        return frames

    def take_finished(self) -> list[Finished]:
        """Return what ended since the last call, in order."""
        finished, self._finished = self._finished, []
        return finished

    def _run(self, row: int, *, running: bool) -> None:
        self._runs += running - int(self._running[row])
        self._running[row] = running

    def _gather(self, now: NDArray[np.int64], rows: NDArray[np.intp]) -> NDArray[np.int16]:
        """Return a whole frame for each of `rows`, of which the table has `now`: rows with the same sound in one go."""
        key, start = now[:, _KEY], now[:, _POSITION]
        if rows.size and every(key == key[0]):
            return self._frames(int(rows[0]), start)
        frames = np.empty((rows.size, self.frame_samples), np.int16)
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order])) + 1
        for group in np.split(order, edges) if order.size else []:
            frames[group] = self._frames(int(rows[group[0]]), start[group])
        return frames

    def _frames(self, row: int, start: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the frames that begin at the samples `start` of what `row` plays, int16[n, 20 ms]."""
        sound, ring = self._sound[row], int(self._ring[row])
        if sound is None:
            return np.zeros((start.size, self.frame_samples), np.int16)
        if ring:
            return sound.samples[(start[:, None] + self._offsets) % ring]
        return sound.frames(start, self.frame_samples)

    def _piece_together(self, row: int, frame: NDArray[np.int16]) -> None:
        """Fill the one `frame` in which a play of `row` pauses, repeats, waits or ends."""
        sound, filled = self._sound[row], 0
        while sound is not None and filled < self.frame_samples:
            position = int(self._position[row])
            room = min(self.frame_samples - filled, int(self._left[row]))
            if position < 0:
                count = min(room, -position)
            else:
                count = max(0, min(room, int(self._length[row]) - position))
                frame[filled : filled + count] = self._samples(row, sound, position, count)
            filled += count
            self._position[row] = position + count
            self._left[row] -= count
            if self._ended(row):
                self._finish(row, "ended")
                return
            if self._growing[row] and self._position[row] >= self._length[row]:
                return

    def _samples(self, row: int, sound: Sound, position: int, count: int) -> NDArray[np.int16]:
        ring = int(self._ring[row])
        if not ring:
            return sound.samples[position : position + count]
        return sound.samples[(position + self._offsets[:count]) % ring]

    def _reached(self, sound: Sound, row: int, available: int) -> int:
        """How many samples can be played: of a file never more than is mapped."""
        return max(0, min(available, FOREVER if self._ring[row] else sound.samples.size))

    def _span(self, ms: int) -> int:
        return min(max(0, ms), LONGEST_MS) * self._per_ms

    def _oldest(self, row: int) -> int:
        """The first sample of a stream that is sure not to be written over yet."""
        return max(0, int(self._length[row]) - int(self._ring[row] * RING_SHARE))

    def _ended(self, row: int) -> bool:
        """Say whether the play is at its end; at the end of a repetition that is not the last, go back."""
        if self._left[row] == 0:
            return True
        if self._growing[row] or self._position[row] < self._length[row]:
            return False
        if self._loops[row] == 1 or not self._length[row]:  # nothing came: it would be repeated without an end
            return True
        self._loops[row] -= 1
        self._repeated[row] += 1
        self._position[row] = -self._pause[row]
        return False

    def _end_if_past(self, row: int, *, repeats: bool = False) -> None:
        if not self._growing[row] and self._position[row] >= self._length[row]:
            self._position[row] = self._length[row]
            if not repeats or self._ended(row):
                self._finish(row, "ended")

    def _plays(self, row: int, job: int) -> bool:
        return self._sound[row] is not None and self._job[row] == job

    def _finish(self, row: int, reason: Reason) -> bool:
        sound = self._sound[row]
        if sound is None:
            return False
        position, repeated = int(self._position[row]), int(self._repeated[row])
        if position < 0:  # it pauses after a repetition, at its end
            position, repeated = int(self._length[row]), repeated - 1
        self._finished.append(Finished(row, self._job[row], reason, position // self._per_ms, repeated))
        self._sound[row] = None
        self._run(row, running=False)
        self._sounds.release(sound)
        return True
