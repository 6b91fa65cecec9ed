"""Files that one process appends to while another reads: what is downloaded, and the samples that are played.

How far such a file has come is told over the pipe between the two (`workers.Exchange`), so nobody polls. Samples
are written into a file that has at first the size it may have at most, so that a player can map it once: sparse,
it takes no room for what is not there. Both ends run in worker processes and may block.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from .errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from .workers import Exchange

SAMPLE: Final = 2
REPORT_MS: Final = 100
"""Audio that is made before it is told of; of long files, up to five times as much, so that it costs little."""
RING_S: Final = 60
"""What is kept of a stream."""
AHEAD_S: Final = 2
"""How far a stream may be ahead of the clock; what it may have at first."""
ATOM_HEADER: Final = 8


class Sink(Protocol):
    """Where samples go."""

    size: int

    def write(self, octets: bytes) -> None:
        """Append whole samples."""
        ...

    def report(self) -> None:
        """Tell of what has not been told yet."""
        ...

    def close(self) -> None:
        """Give the file its true size."""
        ...


class _Sink:
    """What both kinds do: count samples, and tell."""

    def __init__(self, path: Path, exchange: Exchange, *, rate_hz: int, samples: int) -> None:
        self.size = 0
        self._exchange, self._step, self._told = exchange, rate_hz * REPORT_MS // 1000, 0
        path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the cache
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._descriptor, samples * SAMPLE)

    def report(self) -> None:
        """Tell of what has not been told yet."""
        if self.size > self._told:
            self._told = self.size
            self._exchange.tell(progress=self.size)

    def _count(self, samples: int) -> None:
        self.size += samples
        if self.size >= self._told + self._step:
            self.report()


class PcmFile(_Sink):
    """A file of samples that grows to `max_s` at most."""

    def __init__(self, path: Path, exchange: Exchange, *, rate_hz: int, max_s: int) -> None:
        super().__init__(path, exchange, rate_hz=rate_hz, samples=max_s * rate_hz)
        self._max_s, self._most = max_s, max_s * rate_hz
        self._finest = self._step

    def write(self, octets: bytes) -> None:
        """Append whole samples. Raises PromptError where there are too many."""
        room = (self._most - self.size) * SAMPLE
        _write(self._descriptor, octets[:room], self.size * SAMPLE)
        self._step = min(max(self._finest, self.size // 100), 5 * self._finest)
        self._count(min(len(octets), room) // SAMPLE)
        if len(octets) > room:
            raise PromptError(f"longer than the {self._max_s} s allowed")

    def close(self) -> None:
        """Give the file its true size."""
        os.ftruncate(self._descriptor, self.size * SAMPLE)
        os.close(self._descriptor)
        self.report()


class PcmRing(_Sink):
    """The last samples of a stream: sample n lies at n modulo `samples`. It goes no further than it is allowed to.

    Who allows it says `until`, the number of samples that there may be by now: so the stream keeps pace with a
    clock that is not ours.
    """

    def __init__(self, path: Path, exchange: Exchange, *, rate_hz: int, samples: int, until: int) -> None:
        super().__init__(path, exchange, rate_hz=rate_hz, samples=samples)
        self._samples, self._until = samples, until
        exchange.tell(progress=0, ring=samples)

    def write(self, octets: bytes) -> None:
        """Append whole samples, waiting until they may be."""
        at = 0
        while at < len(octets):
            while self.size >= self._until:
                self.report()
                message = self._exchange.hear()
                if message is None:
                    raise PromptError("nobody listens any more")
                self._until = max(self._until, int(message.get("until", 0)))
            place = self.size % self._samples
            count = min((len(octets) - at) // SAMPLE, self._until - self.size, self._samples - place)
            _write(self._descriptor, octets[at : at + count * SAMPLE], place * SAMPLE)
            at += count * SAMPLE
            self._count(count)

    def close(self) -> None:
        """Leave the ring as it is; who listens is still behind."""
        os.close(self._descriptor)


class GrowingSource:
    """A file that is being downloaded, for reading: waits for what has not come yet.

    It can be read from its start only, but for MP4 files with their directory at the end (ISO/IEC 14496-12):
    other demuxers would look at the end of a file first if they could. `on_wait` is called before each wait.
    """

    def __init__(self, path: Path, exchange: Exchange) -> None:
        self._file: BinaryIO = path.open("rb")
        self._exchange = exchange
        self._there, self._complete = 0, False
        self.on_wait: Callable[[], None] = lambda: None
        self._seekable = self._directory_last()

    def read(self, count: int = -1) -> bytes:
        """Up to `count` octets, as many as are there, at least one unless this is the end."""
        here = self._file.tell()
        self._reach(here + 1 if count >= 0 else None)
        return self._file.read(max(0, min(count, self._there - here) if count >= 0 else self._there - here))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; from the end only once it is known where that is."""
        if whence == os.SEEK_END:
            self._reach(None)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where the next octet comes from."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Say whether demuxers may seek."""
        return self._seekable

    def readable(self) -> bool:
        """Always."""
        return True

    def peek(self, count: int) -> bytes:
        """The octets that the file begins with."""
        return self._at(0, count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _at(self, at: int, count: int) -> bytes:
        """`count` octets from `at` on, fewer only at the end. Reading goes on at the beginning."""
        self._reach(at + count)
        self._file.seek(at)
        octets = self._file.read(count)
        self._file.seek(0)
        return octets

    def _reach(self, size: int | None) -> None:
        """Wait until `size` octets are there, or all."""
        while not self._complete and (size is None or self._there < size):
            self.on_wait()
            message = self._exchange.hear()
            if message is None:
                raise PromptError("the download has been given up")
            self._there = max(self._there, int(message.get("octets", 0)))
            self._complete = bool(message.get("complete"))

    def _directory_last(self) -> bool:
        """True for an MP4 file in which the samples come before what says how to read them."""
        at, beginning = 0, self.peek(ATOM_HEADER)
        if beginning[4:] != b"ftyp":
            return False
        while True:
            header = self._at(at, ATOM_HEADER)
            size, kind = int.from_bytes(header[:4], "big"), header[4:]
            if len(header) < ATOM_HEADER or kind in {b"moov", b"mdat"} or size < ATOM_HEADER:
                return kind == b"mdat"
            at += size


def _write(descriptor: int, octets: bytes, at: int) -> None:
    view = memoryview(octets)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
