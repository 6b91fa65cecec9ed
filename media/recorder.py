"""Recording legs into spool files: headerless little-endian 16-bit PCM at 8 kHz, written as it comes.

The tick only collects frames; a thread of its own writes them every half second, so that a disk never holds a
tick up and a killed process loses less than a second. A spool file is complete when its RecordingFinished is out.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from .protocol import RecordingFinished
from .rows import FRAME_MS

Frames = NDArray[np.float32]
Sides = Literal["heard", "sent", "mixed", "dual"]

FLUSH_TICKS: Final = 25
"""Half a second."""


@dataclass(slots=True)
class _Recording:
    """One recording on a row; `frames` wait for the writer."""

    leg: int
    job: int
    path: str
    sides: Sides
    ticks: int = 0
    frames: list[bytes] = field(default_factory=list[bytes])


@dataclass(frozen=True, slots=True)
class _Write:
    """What the writer is asked: append `octets` to `path`, and close it where `finished` is given."""

    path: str
    octets: bytes
    finished: RecordingFinished | None = None


class SpoolWriter:
    """The thread that writes. `finished` holds what has been completed since it was last asked."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[RecordingFinished] = queue.SimpleQueue()
        self._files: dict[str, BinaryIO] = {}
        self._failed: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="spool writer", daemon=True)
        self._thread.start()

    def append(self, path: str, octets: bytes) -> None:
        """Add to a spool file; never waits."""
        self._requests.put(_Write(path, octets))

    def finish(self, path: str, octets: bytes, event: RecordingFinished) -> None:
        """Add the last octets and close the file; `event` comes back through `finished`."""
        self._requests.put(_Write(path, octets, event))

    def finished(self) -> list[RecordingFinished]:
        """Return what has been completed since the last call."""
        return [self._done.get_nowait() for _ in range(self._done.qsize())]

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._write(request)
            except (OSError, ValueError) as error:  # ValueError: a path that no file can have
                self._failed[request.path] = f"{request.path}: {getattr(error, 'strerror', None) or error}"
            if request.finished is not None:
                self._complete(request.path, request.finished)
        for file in self._files.values():
            file.close()

    def _write(self, request: _Write) -> None:
        if request.path in self._failed:
            return
        file = self._files.get(request.path)
        if file is None:
            file = self._files[request.path] = Path(request.path).open("ab", buffering=0)  # noqa: SIM115
        rest = memoryview(request.octets)
        while rest:  # a disk that fills up may take a part
            rest = rest[file.write(rest) :]

    def _complete(self, path: str, event: RecordingFinished) -> None:
        file = self._files.pop(path, None)
        if file is not None:
            try:
                file.close()
            except OSError as error:  # network file systems tell of a full disk here
                self._failed.setdefault(path, f"{path}: {error.strerror}")
        error = self._failed.pop(path, "")
        if error:
            event = RecordingFinished(leg=event.leg, job=event.job, duration=event.duration, error=error)
        self._done.put(event)


class Recorder:
    """The stage: recordings by row."""

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._recordings: dict[int, list[_Recording]] = {}

    def start(self, row: int, *, leg: int, job: int, path: str, sides: Sides) -> None:
        """Begin a recording on `row`; several may run at once."""
        self._recordings.setdefault(row, []).append(_Recording(leg, job, path, sides))
        self._writer.append(path, b"")

    def stop(self, row: int, job: int) -> bool:
        """End the recording `job` on `row`; False where there is none."""
        for recording in self._recordings.get(row, []):
            if recording.job == job:
                self._finish(row, recording)
                return True
        return False

    def close(self, row: int) -> None:
        """End all recordings on `row`."""
        for recording in list(self._recordings.get(row, [])):
            self._finish(row, recording)

    def step(self, heard: Frames, sent: Frames, rows: NDArray[np.intp]) -> None:
        """Take what the legs on `rows` heard and were sent in this tick, float32 (n, 160) on the int16 scale."""
        if not self._recordings:
            return
        place = {int(row): index for index, row in enumerate(rows)}
        for row, recordings in self._recordings.items():
            index = place.get(row)
            if index is None:
                continue
            for recording in recordings:
                recording.frames.append(_samples(recording.sides, heard[index], sent[index]))
                recording.ticks += 1
                if len(recording.frames) >= FLUSH_TICKS:
                    self._writer.append(recording.path, b"".join(recording.frames))
                    recording.frames.clear()

    def finished(self) -> list[RecordingFinished]:
        """Return the recordings completed since the last call."""
        return self._writer.finished()

    def _finish(self, row: int, recording: _Recording) -> None:
        event = RecordingFinished(leg=recording.leg, job=recording.job, duration=recording.ticks * FRAME_MS)
        self._writer.finish(recording.path, b"".join(recording.frames), event)
        self._recordings[row].remove(recording)
        if not self._recordings[row]:
            del self._recordings[row]


def _samples(sides: Sides, heard: Frames, sent: Frames) -> bytes:
    """One frame as it goes into the file; `dual` interleaves what was heard (left) and sent."""
    if sides == "heard":
        frame = heard
    elif sides == "sent":
        frame = sent
    elif sides == "mixed":
        frame = heard + sent
    else:
        frame = np.stack([heard, sent], axis=1).reshape(-1)
    return np.clip(np.rint(frame), -32768, 32767).astype("<i2").tobytes()
