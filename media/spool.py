"""The thread that writes recordings, so that a disk never holds a tick up."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .events import RecordingFinished


class Write(NamedTuple):
    """What the writer is asked: append `octets` to `path`, and close it where `finished` is given.

    Before that it is made `least` octets long, and a multiple of `grain`.
    """

    path: str
    octets: bytes | memoryview = b""
    finished: RecordingFinished | None = None
    least: int = 0
    grain: int = 1


class SpoolWriter:
    """The thread that writes. `finished` holds what has been completed since it was last asked."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[tuple[Write, ...] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[RecordingFinished] = queue.SimpleQueue()
        self._files: dict[str, BinaryIO] = {}
        self._failed: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="spool writer", daemon=True)
        self._thread.start()

    def begin(self, path: str, least: int, grain: int) -> None:
        """Open a spool file; what is there stays, made up with zeros to `least` octets and whole samples of `grain`."""
        self.append(Write(path, least=least, grain=grain))

    def append(self, *writes: Write) -> None:
        """Add to spool files; never waits."""
        self._requests.put(writes)

    def finished(self) -> list[RecordingFinished]:
        """Return what has been completed since the last call."""
        return [self._done.get_nowait() for _ in range(self._done.qsize())]

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (requests := self._requests.get()) is not None:
            for request in requests:
                self._carry_out(request)
        for file in self._files.values():
            file.close()

    def _carry_out(self, request: Write) -> None:
        try:
            self._write(request)
        except (OSError, ValueError, OverflowError) as error:  # ValueError: a path that no file can have
            self._failed[request.path] = f"{request.path}: {getattr(error, 'strerror', None) or error}"
        if request.finished is not None:
            self._complete(request.path, request.finished)

    def _write(self, request: Write) -> None:
        if request.path in self._failed:
            return
        file = self._files.get(request.path)
        if file is None:
            file = self._files[request.path] = Path(request.path).open("ab", buffering=0)  # noqa: SIM115
            size = file.seek(0, os.SEEK_END)
            wanted = max(size + -size % request.grain, request.least)
            if wanted > size:
                file.truncate(wanted)
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
