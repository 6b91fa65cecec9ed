"""Recording legs into spool files: headerless little-endian 16-bit PCM at 8 kHz, written as it comes.

The tick only collects frames; a thread of its own writes them every 0.64 s, so that a disk never holds a tick
up and a killed process loses less than a second. A spool file is complete when its RecordingFinished is out.

What was heard is placed where it came, not where it was played: the delay of the jitter buffer is taken off, and
where that changes, samples go to their time, over what was there or with a gap. So both parties stay in step, and
a recording is as long as the time it took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..codecs.g711 import AnySamples, whole
from .events import RecordingFinished
from .rows import FRAME_SAMPLES, RATE_HZ, elements, every
from .spool import SpoolWriter, Write

Frames = NDArray[np.float32]
Counts = NDArray[np.int64]
Sides = Literal["heard", "sent", "mixed", "dual", "dual, sent first"]

SAMPLES_PER_MS: Final = RATE_HZ // 1000

FLUSH_TICKS: Final = 32
"""So often is each recording written: with LAG it is less than a second that waits."""

CHUNK: Final = FLUSH_TICKS * FRAME_SAMPLES
"""Samples of that."""

FLUSHES_TOGETHER: Final = 4
"""Of so many ticks one has recordings to write, and those of all: with caches warm a write takes a sixth less."""

LAG: Final = 15 * FRAME_SAMPLES
"""Samples that wait for what was heard meanwhile: the longest delay that can be taken off."""

RING: Final = 2 * CHUNK
"""Samples that are kept of a side: a chunk, the lag and a frame, rounded up so that no chunk reaches over the end.

What has been written stays until something else comes there: of what was sent that is the next round, and where what
was heard has a gap, silence is put there."""

OFFSETS: Final = np.arange(FRAME_SAMPLES)


@dataclass(frozen=True, slots=True)
class _Recording:
    """One recording on a row."""

    leg: int
    job: int
    path: str
    sides: Sides
    elapsed_ms: int

    @property
    def octets(self) -> int:
        """Octets of a sample in the file."""
        return 4 if self.sides.startswith("dual") else 2


class Recorder:
    """The stage: recordings by row, several on a row if need be."""

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._recordings: dict[int, _Recording] = {}  # by slot
        self._slots: NDArray[np.intp] = np.zeros(0, np.intp)  # in use
        self._row: NDArray[np.intp] = np.zeros(0, np.intp)
        self._now: Counts = np.zeros(0, np.int64)  # samples recorded
        self._written: Counts = np.zeros(0, np.int64)  # samples handed to the writer
        self._chunk_end: Counts = np.zeros(0, np.int64)  # sample up to which is written next
        self._origin: Counts = np.zeros(0, np.int64)  # where sample 0 would lie in the ring
        self._heard_to: Counts = np.zeros(0, np.int64)  # sample up to which what was heard has been placed
        self._ring: NDArray[np.int16] = np.zeros((0, 2, RING), np.int16)  # heard, sent
        self._frames: NDArray[Any] = _frames(self._ring)
        # What `_slots_of` was last asked for, an array that stays the same while the rows do, and what it returned.
        self._found: tuple[NDArray[np.intp] | None, NDArray[np.intp], NDArray[np.intp]] = None, self._slots, self._slots

    def start(self, row: int, *, leg: int, job: int, path: str, sides: Sides, elapsed_ms: int = 0) -> None:
        """Begin a recording on `row`; several may run at once.

        With `elapsed_ms` it began so long ago in a process that is gone: what `path` lacks of that becomes silence.
        """
        recording = _Recording(leg, job, path, sides, elapsed_ms)
        self._writer.begin(path, elapsed_ms * SAMPLES_PER_MS * recording.octets, recording.octets)
        slot = next((slot for slot in range(len(self._row)) if slot not in self._recordings), len(self._row))
        if slot == len(self._row):
            self._grow()
        self._recordings[slot] = recording
        self._use_slots()
        self._row[slot] = row
        self._now[slot] = self._written[slot] = self._heard_to[slot] = 0
        self._origin[slot] = slot * FLUSHES_TOGETHER % FLUSH_TICKS * FRAME_SAMPLES  # not all are written at once
        self._chunk_end[slot] = CHUNK - self._origin[slot]

    def stop(self, row: int, job: int) -> bool:
        """End the recording `job` on `row`; False where there is none."""
        for slot, recording in self._recordings.items():
            if recording.job == job and self._row[slot] == row:
                self._finish(slot)
                return True
        return False

    def close(self, row: int) -> None:
        """End all recordings on `row`."""
        for slot in [slot for slot in self._recordings if self._row[slot] == row]:
            self._finish(slot)

    @property
    def rows(self) -> NDArray[np.intp]:
        """The rows that are recorded, each as often as there are recordings of it."""
        return self._row[self._slots]

    def skip(self, ticks: int) -> None:
        """Let `ticks` pass in which nothing was heard or sent: recordings go on with silence."""
        for slot, recording in self._recordings.items():
            silence = bytes(ticks * FRAME_SAMPLES * recording.octets)
            self._writer.append(self._rest(slot), Write(recording.path, silence))
            now = int(self._now[slot]) + ticks * FRAME_SAMPLES
            self._now[slot] = self._written[slot] = now
            self._origin[slot] = -now % RING
            self._chunk_end[slot] = now + CHUNK

    def step(self, heard: Frames, sent: AnySamples, rows: NDArray[np.intp], delay: Counts | None = None) -> None:
        """Take what the legs on `rows` heard and were sent in this tick, [n, 160] on the int16 scale.

        `delay` is how many samples ago what was heard had come, int[n]: there it is placed; without it, now.
        """
        slots, at = self._slots_of(rows)
        if not slots.size:
            return
        now = self._now[slots]
        late = np.zeros(slots.size, np.int64) if delay is None else np.minimum(delay[at], LAG)
        self._place(slots, now, 1, whole(_picked(sent, at)))
        self._place_heard(slots, now - late, whole(_picked(heard, at)))
        self._now[slots] = now + FRAME_SAMPLES
        full = slots[now + (FRAME_SAMPLES - LAG) >= self._chunk_end[slots]]
        if full.size:
            self._writer.append(*self._chunks(full))

    def finished(self) -> list[RecordingFinished]:
        """Return the recordings completed since the last call."""
        return self._writer.finished()

    def end(self) -> None:
        """Let the writer write what is left, and wait for that: for the end of the process."""
        self._writer.close()

    def _slots_of(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The slots whose row is among `rows`, and where in `rows` it is."""
        if not self._slots.size or not rows.size:
            return self._slots[:0], self._slots[:0]
        if rows is not self._found[0]:
            place = np.full(int(max(rows.max(), self.rows.max())) + 1, -1, np.intp)
            place[rows] = np.arange(rows.size)
            at = place[self.rows]
            self._found = rows, self._slots[at >= 0], at[at >= 0]
        return self._found[1:]

    def _place(self, slots: NDArray[np.intp], begin: Counts, side: int, frames: NDArray[np.int16]) -> None:
        """Put `frames` int16[n, up to 160] into the rings from sample `begin` on; what was written already stays."""
        first = (begin + self._origin[slots]) % RING
        plain = (first <= RING - FRAME_SAMPLES) & (begin >= self._written[slots])
        places = (slots * 2 + side) * RING + first
        if frames.shape[1] == FRAME_SAMPLES:
            if every(plain):
                self._frames[places] = elements(frames)
                return
            self._frames[places[plain]] = elements(frames[plain])
        else:
            plain[:] = False
        rest = np.flatnonzero(~plain)
        offsets = OFFSETS[: frames.shape[1]]
        at, sample = np.nonzero(begin[rest, None] + offsets >= self._written[slots[rest], None])
        at = rest[at]
        self._ring[slots[at], side, (first[at] + sample) % RING] = frames[at, sample]

    def _place_heard(self, slots: NDArray[np.intp], begin: Counts, frames: NDArray[np.int16]) -> None:
        """Place what was heard; a sample that a drifting delay leaves out is the one after it."""
        heard_to = self._heard_to[slots]
        if np.count_nonzero(begin > heard_to):
            one_left_out = begin == heard_to + 1
            self._place(slots[one_left_out], begin[one_left_out] - 1, 0, frames[one_left_out, :1])
            for at in np.flatnonzero(begin > heard_to + 1).tolist():
                self._silence(int(slots[at]), int(begin[at]))
        self._place(slots, begin, 0, frames)
        self._heard_to[slots] = np.maximum(heard_to, begin + FRAME_SAMPLES)

    def _silence(self, slot: int, end: int) -> None:
        """Put silence behind what was heard, up to sample `end`."""
        begin, origin = max(int(self._heard_to[slot]), int(self._written[slot])), int(self._origin[slot])
        self._ring[slot, 0, (np.arange(begin, end) + origin) % RING] = 0

    def _rest(self, slot: int) -> Write:
        """Return what was recorded until now and is not written yet."""
        now, written, recording = int(self._now[slot]), int(self._written[slot]), self._recordings[slot]
        self._silence(slot, now)
        samples = self._ring[slot][:, (np.arange(written, now) + int(self._origin[slot])) % RING]
        self._written[slot] = now
        return Write(recording.path, _octets(recording.sides, samples).data)

    def _chunks(self, full: NDArray[np.intp]) -> list[Write]:
        """Return the next chunk of each of the slots that are `full`: those alike in one go, as nearly all are."""
        written, ends = self._written[full], self._chunk_end[full]
        self._written[full], self._chunk_end[full] = ends, ends + CHUNK
        first, last = (written + self._origin[full]) % RING, (ends - 1 + self._origin[full]) % RING
        alike: dict[tuple[int, int, Sides], list[int]] = {}
        for slot, *span in zip(full.tolist(), first.tolist(), last.tolist(), strict=True):
            alike.setdefault((*span, self._recordings[slot].sides), []).append(slot)
        writes: list[Write] = []
        for (begin, end, sides), slots in alike.items():
            octets = _octets(sides, self._ring[slots, :, begin : end + 1].swapaxes(0, 1))
            writes += [Write(self._recordings[slot].path, each.data) for slot, each in zip(slots, octets, strict=True)]
        return writes

    def _finish(self, slot: int) -> None:
        last = self._rest(slot)
        recording = self._recordings.pop(slot)
        self._use_slots()
        duration = recording.elapsed_ms + int(self._now[slot]) // SAMPLES_PER_MS
        event = RecordingFinished(leg=recording.leg, job=recording.job, duration=duration)
        self._writer.append(last._replace(finished=event))

    def _use_slots(self) -> None:
        self._slots = np.array(sorted(self._recordings), np.intp)
        self._found = None, self._slots, self._slots

    def _grow(self) -> None:
        """Double the slots."""
        more = max(len(self._row), 4)
        self._row = np.append(self._row, np.zeros(more, np.intp))
        self._now, self._written, self._chunk_end, self._origin, self._heard_to = (
            np.append(counts, np.zeros(more, np.int64))
            for counts in (self._now, self._written, self._chunk_end, self._origin, self._heard_to)
        )
        self._ring = np.concatenate([self._ring, np.zeros((more, 2, RING), np.int16)])
        self._frames = _frames(self._ring)


def _frames(ring: NDArray[np.int16]) -> NDArray[Any]:
    """Return the frames that begin at each sample of `ring`, all slots and sides in a line, as `elements` to write."""
    frame = np.dtype((np.void, FRAME_SAMPLES * ring.itemsize))
    return np.ndarray(max(0, ring.size - FRAME_SAMPLES + 1), frame, ring, strides=ring.itemsize)


def _picked(frames: AnySamples, at: NDArray[np.intp]) -> AnySamples:
    """Return `frames[at]`; where that is all of them in order, as when every call is recorded, the same array."""
    return frames if at.size == len(frames) and every(at[1:] > at[:-1]) else frames.take(at, axis=0)


def _octets(sides: Sides, samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """What was heard and sent, int16[2, …, n], as it goes into the file; `dual` interleaves them, the first left."""
    if sides.startswith("dual"):
        left = 0 if sides == "dual" else 1
        kept = np.stack([samples[left], samples[1 - left]], axis=-1).reshape(*samples.shape[1:-1], -1)
    elif sides == "mixed":
        kept = _sum(samples[0], samples[1])
    else:
        kept = samples[0 if sides == "heard" else 1]
    return np.ascontiguousarray(kept, "<i2").view(np.uint8)


def _sum(first: NDArray[np.int16], second: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return `first + second`, clipped."""
    wrapped = first + second
    signs = (first ^ wrapped) & (second ^ wrapped)  # negative where both had a sign that the sum has not
    if signs.min(initial=0) >= 0:
        return wrapped
    return np.where(signs < 0, np.where(first < 0, -32768, 32767), wrapped).astype(np.int16)
