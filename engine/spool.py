"""The folder of what is being recorded: samples, sidecars and contents, each recording's named by its sid.

`spool/SID.s16` are the samples, `SID.json` the sidecar, `SID.content` the encoded file before it is moved to its
place. A sidecar is written first and deleted last, so that where there is none there is nothing to finish. What is to
be transcribed lies in `transcribe/` in the same way. Blocking functions, for a thread.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final
from urllib.parse import quote

SPOOL: Final = "spool"
TRANSCRIBE: Final = "transcribe"
FAILED: Final = "failed"
SAMPLES, SIDECAR, CONTENT, PARTIAL = ".s16", ".json", ".content", ".partial"
PRIVATE: Final = 0o600
"""Sidecars may hold credentials of the application's."""
PRIVATE_FOLDER: Final = 0o700


class SpoolFolder:
    """`spool/`, or one of another name, and `failed/` below the folder of the storage.

    Where engines share that, each has a folder of its own in there, by its name: it finishes what it began itself.
    """

    def __init__(self, folder: Path, name: str = SPOOL, *, engine: str = "") -> None:
        self._folder = folder / name / quote(engine, safe="")
        self._failed = folder / FAILED

    def samples(self, sid: str) -> Path:
        """Where the media worker writes."""
        return self._folder / (sid + SAMPLES)

    def content(self, sid: str) -> Path:
        """Where the encoder writes: on the file system of the storage, so that it can be moved in one step."""
        return self._folder / (sid + CONTENT)

    def sidecar(self, sid: str) -> Path:
        """Where what is needed to finish it lies."""
        return self._folder / (sid + SIDECAR)

    def prepare(self) -> None:
        """Make the folders; throw away what an encoder or a sidecar's writer was killed over."""
        for folder in (self._folder, self._failed):
            _make(folder)
        for path in self._folder.glob("*" + PARTIAL):
            path.unlink(missing_ok=True)

    def create(self, sid: str, sidecar: bytes) -> None:
        """Begin a recording: its sidecar, and a spool without samples. Raises OSError, and leaves nothing then."""
        try:
            _make(self._folder)
            self.write_down(sid, sidecar)
            self.samples(sid).touch(PRIVATE)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(sid)
            raise

    def adopt(self, sid: str, sidecar: bytes, samples: Path) -> bool:
        """Take over samples from elsewhere on the file system, with a sidecar. Can be done again. Raises OSError.

        False, and nothing done, where there are none any more: then all has been done and removed before.
        """
        own = self.samples(sid)
        if not samples.exists() and not own.exists():
            return False
        if samples.exists():
            _make(self._folder)
            samples.replace(own)
        self.write_down(sid, sidecar)
        return True

    def write_down(self, sid: str, sidecar: bytes) -> None:
        """Write or replace a sidecar, in one step. Raises OSError, and leaves the one that is there then."""
        path = self.sidecar(sid)
        partial = path.with_suffix(PARTIAL)
        try:
            partial.touch(PRIVATE)
            partial.write_bytes(sidecar)
            partial.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    def written(self, sid: str) -> float:
        """When the last sample was written, in Unix seconds: that is when the recording ended."""
        return self.samples(sid).stat().st_mtime

    def left(self) -> list[tuple[str, bytes]]:
        """Sids and sidecars of what is unfinished, the oldest first."""
        paths = sorted(self._folder.glob("*" + SIDECAR), key=lambda path: path.stat().st_mtime_ns)
        return [(path.stem, path.read_bytes()) for path in paths]

    def remove(self, sid: str) -> None:
        """Delete what belongs to a recording that is finished."""
        for suffix in (SAMPLES, CONTENT, SIDECAR):
            (self._folder / (sid + suffix)).unlink(missing_ok=True)

    def give_up(self, sid: str) -> None:
        """Put what belongs to a recording that failed aside, for somebody to look at."""
        _make(self._failed)
        for suffix in (SAMPLES, CONTENT, SIDECAR):
            path = self._folder / (sid + suffix)
            with contextlib.suppress(FileNotFoundError):
                path.rename(self._failed / path.name)


def _make(folder: Path) -> None:
    """Make a folder, where there is none or somebody has removed it, for nobody else to look into. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(PRIVATE_FOLDER)
