"""Recording legs into spool files: headerless little-endian 16-bit PCM at 8 kHz, written as it comes.

The tick only collects frames; a thread of its own writes them every 0.64 s, so that a disk never holds a tick
up and a killed process loses less than a second. A spool file is complete when its RecordingFinished is out.

What was heard is placed where it came, not where it was played: the delay of the jitter buffer is taken off, and
where that changes, samples go to their time, over what was there or with a gap. So both parties stay in step, and
a recording is as long as the time it took.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..codecs.g711 import AnySamples, whole
from .protocol import RecordingFinished
from .rows import FRAME_SAMPLES, RATE_HZ, elements, every
from .spool import SpoolWriter, Write

Frames = NDArray[np.float32]
Counts = NDArray[np.int64]
Sides = Literal["heard", "sent", "mixed", "dual"]

SAMPLES_PER_MS: Final = RATE_HZ // 1000

FLUSH_TICKS: Final = 32
"""So often is each recording written: with LAG it is less than a second that waits."""

CHUNK: Final = FLUSH_TICKS * FRAME_SAMPLES
"""Samples of that."""

LAG: Final = 15 * FRAME_SAMPLES
"""Samples that wait for what was heard meanwhile: the longest delay that can be taken off."""

RING: Final = 2 * CHUNK
"""Samples that are kept of a side: a chunk, the lag and a frame, rounded up so that no chunk reaches over the end."""

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
        return 4 if self.sides == "dual" else 2


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
        self._heard_to: Counts = np.zeros(0, np.int64)  # where what was heard ends
        self._ring: NDArray[np.int16] = np.zeros((0, 2, RING), np.int16)  # heard, sent
        self._frames: NDArray[Any] = _frames(self._ring)

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
        self._slots = np.array(sorted(self._recordings), np.intp)
        self._row[slot] = row
        self._now[slot] = self._written[slot] = self._heard_to[slot] = 0
        self._origin[slot] = slot % FLUSH_TICKS * FRAME_SAMPLES  # so that not all are written in the same tick
        self._chunk_end[slot] = CHUNK - self._origin[slot]
        self._ring[slot] = 0

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
            self._writer.append(self._chunk(slot, int(self._now[slot])), Write(recording.path, silence))
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
        self._place(slots, now, 1, whole(sent.take(at, axis=0)))
        self._place_heard(slots, now - late, whole(heard.take(at, axis=0)))
        self._now[slots] = now + FRAME_SAMPLES
        full = slots[self._now[slots] - LAG >= self._chunk_end[slots]].tolist()
        if full:
            self._writer.append(*self._chunks(full))
            self._chunk_end[full] += CHUNK

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
        place = np.full(int(max(rows.max(), self._row[self._slots].max())) + 1, -1, np.intp)
        place[rows] = np.arange(rows.size)
        at = place[self._row[self._slots]]
        return self._slots[at >= 0], at[at >= 0]

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
        one_left_out = begin == self._heard_to[slots] + 1
        if np.count_nonzero(one_left_out):
            self._place(slots[one_left_out], begin[one_left_out] - 1, 0, frames[one_left_out, :1])
        self._place(slots, begin, 0, frames)
        self._heard_to[slots] = begin + FRAME_SAMPLES

    def _chunk(self, slot: int, end: int) -> Write:
        """Return what was recorded before sample `end` and is not written yet, and forget it."""
        recording = self._recordings[slot]
        return Write(recording.path, _octets(recording.sides, self._take(slot, end)))

    def _chunks(self, full: list[int]) -> list[Write]:
        """Return what is to be written of the slots that are `full`: those alike in one go, as nearly all are."""
        alike: dict[tuple[int, Sides], list[int]] = {}
        writes: list[Write] = []
        for slot in full:
            end, written = int(self._chunk_end[slot]), int(self._written[slot])
            first = (written + int(self._origin[slot])) % RING
            if end - written == CHUNK and first <= RING - CHUNK:
                alike.setdefault((first, self._recordings[slot].sides), []).append(slot)
            else:
                writes.append(self._chunk(slot, end))
        for (first, sides), slots in alike.items():
            samples = self._ring[slots, :, first : first + CHUNK]
            self._ring[slots, :, first : first + CHUNK] = 0
            self._written[slots] += CHUNK
            octets = _octets(sides, samples.swapaxes(0, 1))
            size = len(octets) // len(slots)
            writes += [
                Write(self._recordings[slot].path, octets[size * number : size * (number + 1)])
                for number, slot in enumerate(slots)
            ]
        return writes

    def _take(self, slot: int, end: int) -> NDArray[np.int16]:
        count, first = end - int(self._written[slot]), int(self._written[slot] + self._origin[slot]) % RING
        pieces = [self._ring[slot, :, first : min(RING, first + count)]]
        if first + count > RING:
            pieces.append(self._ring[slot, :, : first + count - RING])
        samples = np.concatenate(pieces, axis=1)
        for piece in pieces:
            piece[:] = 0
        self._written[slot] = end
        return samples

    def _finish(self, slot: int) -> None:
        last = self._chunk(slot, int(self._now[slot]))
        recording = self._recordings.pop(slot)
        self._slots = np.array(sorted(self._recordings), np.intp)
        duration = recording.elapsed_ms + int(self._now[slot]) // SAMPLES_PER_MS
        event = RecordingFinished(leg=recording.leg, job=recording.job, duration=duration)
        self._writer.append(replace(last, finished=event))

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


def _octets(sides: Sides, samples: NDArray[np.int16]) -> bytes:
    """What was heard and sent, int16[2, …], as it goes into the file; `dual` interleaves them, heard left."""
    if sides == "dual":
        kept = np.stack([samples[0], samples[1]], axis=-1)
    elif sides == "mixed":
        kept = _sum(samples[0], samples[1])
    else:
        kept = samples[0 if sides == "heard" else 1]
    return kept.astype("<i2", copy=False).tobytes()


def _sum(first: NDArray[np.int16], second: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return `first + second`, clipped."""
    wrapped = first + second
    signs = (first ^ wrapped) & (second ^ wrapped)  # negative where both had a sign that the sum has not
    if signs.min(initial=0) >= 0:
        return wrapped
    return np.where(signs < 0, np.where(first < 0, -32768, 32767), wrapped).astype(np.int16)
