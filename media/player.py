"""Play sounds on many legs at once: per leg a position in a shared sound, per tick one gather a sound.

A play is a line of samples: the sound, a pause, the sound again, as often as `loops` says, cut off at
`limit`. During the pause the position is negative and counts up to zero, so that repetitions without a
pause follow each other to the sample. A last frame that the line does not fill ends in silence.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_SAMPLES, RATE_HZ
from .sound import Sound, Sounds

SAMPLES_PER_MS: Final = RATE_HZ // 1000
FOREVER: Final = 1 << 62
OFFSETS: Final = np.arange(FRAME_SAMPLES)

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

    def __init__(self, capacity: int, sounds: Sounds) -> None:
        self._sounds: Sounds = sounds
        self._sound: list[Sound | None] = [None] * capacity
        self._job: list[int] = [0] * capacity
        self._running: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # has a play and is not paused
        self._key: NDArray[np.int64] = np.zeros(capacity, np.int64)  # equal where the sound is the same
        self._position: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples; negative in a pause
        self._length: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples of the sound
        self._left: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples until the limit
        self._loops: NDArray[np.int64] = np.zeros(capacity, np.int64)  # repetitions left, this one too
        self._repeated: NDArray[np.int64] = np.zeros(capacity, np.int64)  # repetitions completed
        self._pause: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples between repetitions
        self._finished: list[Finished] = []

    def start(
        self, row: int, job: int, sound: Sound, *, offset: int = 0, loops: int = 1, pause: int = 0, limit: int = 0
    ) -> None:
        """Play `sound` (already counted for us) from `offset`, `loops` times (0: on and on), for `limit` (0: all).

        Times are ms. What plays on the row ends as `replaced`.
        """
        self._finish(row, "replaced")
        self._sound[row], self._job[row] = sound, job
        self._key[row] = id(sound)
        self._length[row] = sound.samples.size
        self._position[row] = max(0, offset) * SAMPLES_PER_MS
        self._loops[row] = loops or FOREVER
        self._repeated[row] = 0
        self._pause[row] = max(0, pause) * SAMPLES_PER_MS
        self._left[row] = limit * SAMPLES_PER_MS if limit > 0 else FOREVER
        self._running[row] = True
        self._end_if_past(row)

    def stop(self, row: int, job: int) -> bool:
        """End the play `job` as `stopped`; False if the row does not play it."""
        return self._plays(row, job) and self._finish(row, "stopped")

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

        `strict` leaves the position as it is where the move would go past the end.
        """
        if not self._plays(row, job):
            return False
        if to is not None or by:
            start = max(0, int(self._position[row])) if to is None else to * SAMPLES_PER_MS
            position = max(0, start + by * SAMPLES_PER_MS)
            if not strict or position < self._length[row]:
                self._position[row] = position
        if paused is not None:
            self._running[row] = not paused
        self._end_if_past(row)
        return True

    def grow(self, row: int, job: int, *, available: int, complete: bool) -> bool:
        """Take that more of a growing sound can be played; False if the row does not play `job`."""
        del available, complete
        return self._plays(row, job)

    def step(self, rows: NDArray[np.intp]) -> NDArray[np.float32] | None:
        """Return the next frame of each of `rows`, float32[n, 160] on the int16 scale; None if nothing plays."""
        at = np.flatnonzero(self._running[rows])
        if not at.size:
            return None
        frames = np.zeros((rows.size, FRAME_SAMPLES), np.float32)
        playing = rows[at]
        start = self._position[playing]
        whole = (
            (start >= 0)
            & (start + FRAME_SAMPLES < self._length[playing])
            & (self._left[playing] > FRAME_SAMPLES)
        )  # fmt: skip
        inner = playing[whole]
        self._gather(frames, at[whole], inner)
        self._position[inner] += FRAME_SAMPLES
        self._left[inner] -= FRAME_SAMPLES
        for index in np.flatnonzero(~whole):
            self._piece_together(int(playing[index]), frames[at[index]])
        return frames

    def take_finished(self) -> list[Finished]:
        """Return what ended since the last call, in order."""
        finished, self._finished = self._finished, []
        return finished

    def _gather(self, frames: NDArray[np.float32], at: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
        """Copy a whole frame for each of `rows` into `frames[at]`: rows with the same sound in one go."""
        key, start = self._key[rows], self._position[rows]
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order])) + 1
        for group in np.split(order, edges) if order.size else []:
            sound = self._sound[rows[group[0]]]
            if sound is None:
                continue
            if group.size == 1:
                first = start[group[0]]
                frames[at[group[0]]] = sound.samples[first : first + FRAME_SAMPLES]
            else:
                frames[at[group]] = sound.samples[start[group, None] + OFFSETS]

    def _piece_together(self, row: int, frame: NDArray[np.float32]) -> None:
        """Fill the one `frame` in which a play of `row` pauses, repeats or ends."""
        sound, filled = self._sound[row], 0
        while sound is not None and filled < FRAME_SAMPLES:
            position = int(self._position[row])
            room = min(FRAME_SAMPLES - filled, int(self._left[row]))
            if position < 0:
                count = min(room, -position)
            else:
                count = min(room, sound.samples.size - position)
                frame[filled : filled + count] = sound.samples[position : position + count]
            filled += count
            self._position[row] = position + count
            self._left[row] -= count
            if self._ended(row):
                self._finish(row, "ended")
                return

    def _ended(self, row: int) -> bool:
        """Say whether the play is at its end; at the end of a repetition that is not the last, go back."""
        if self._left[row] == 0:
            return True
        if self._position[row] < self._length[row]:
            return False
        if self._loops[row] == 1:
            return True
        self._loops[row] -= 1
        self._repeated[row] += 1
        self._position[row] = -self._pause[row]
        return False

    def _end_if_past(self, row: int) -> None:
        if self._position[row] >= self._length[row]:
            self._position[row] = self._length[row]
            self._finish(row, "ended")

    def _plays(self, row: int, job: int) -> bool:
        return self._sound[row] is not None and self._job[row] == job

    def _finish(self, row: int, reason: Reason) -> bool:
        sound = self._sound[row]
        if sound is None:
            return False
        position = max(0, int(self._position[row])) // SAMPLES_PER_MS
        self._finished.append(Finished(row, self._job[row], reason, position, int(self._repeated[row])))
        self._sound[row] = None
        self._running[row] = False
        self._sounds.release(sound)
        return True
