"""Files of decoded audio on disk: bounded in size, the least recently used go first. One maker per file.

A file's time of modification is the time of its last use. What was handed out a short while ago is not
removed, because a media worker may be about to map it (once mapped, removal does no harm).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .flexml.verb import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable
    from pathlib import Path

SAMPLE: Final = 2
SUFFIX: Final = ".pcm"
KEEP_S: Final = 600.0

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Work that several callers want at the same time is done once, for all of them.

    A caller that is cancelled leaves; the work goes on for the others, and for the cache.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Result]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._tasks

    async def share(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the work under way for `key`, which `start` begins if there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(start())
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    def _finished(self, key: Hashable, task: asyncio.Task[Result]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # seen, even when all callers have left

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class AudioCache:
    """A directory of `<key><suffix>` and small files beside them, `max_bytes` altogether."""

    def __init__(self, directory: Path, *, max_bytes: int, suffix: str = SUFFIX) -> None:
        self.directory, self._max_bytes, self._suffix = directory, max_bytes, suffix
        self.growing = directory / "growing"
        """Where files are made. Nothing in it outlives the process that made it."""
        self._handed_out: dict[str, float] = {}

    async def start(self) -> None:
        """Make the directories; remove what an earlier run left half done."""
        await asyncio.to_thread(self._prepare)

    async def close(self) -> None:
        """Remove what was being made."""
        await asyncio.to_thread(shutil.rmtree, self.growing, ignore_errors=True)

    def path(self, key: str, suffix: str = "") -> Path:
        """Where the file of that key is or would be; with `suffix`, one beside it."""
        return self.directory / (key + (suffix or self._suffix))

    async def prompt(self, key: str, rate_hz: int, *, url: str = "") -> Prompt | None:
        """The audio of that key, marked as used; None when it is not there."""
        path = self.path(key)
        size = await asyncio.to_thread(_touch, path)
        if not size:
            return None
        self._handed_out[path.name] = asyncio.get_running_loop().time()
        return Prompt(path=str(path), rate_hz=rate_hz, duration_ms=size // SAMPLE * 1000 // rate_hz, url=url)

    async def keep(self, key: str, made: Path) -> None:
        """Let `made`, a file in `growing`, be the audio of that key too."""
        await asyncio.to_thread(_link, made, self.path(key))

    async def discard(self, key: str) -> None:
        """Remove what a worker that was killed left half done for that key."""
        await asyncio.to_thread(self._remove, f"{key}.*")

    async def evict(self) -> None:
        """Remove the least recently used files until the rest fits."""
        oldest = asyncio.get_running_loop().time() - KEEP_S
        self._handed_out = {name: at for name, at in self._handed_out.items() if at > oldest}
        await asyncio.to_thread(self._evict, frozenset(self._handed_out))

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._remove("*.partial")
        self._remove("*.source")
        shutil.rmtree(self.growing, ignore_errors=True)
        self.growing.mkdir(exist_ok=True)

    def _remove(self, pattern: str) -> None:
        for path in self.directory.glob(pattern):
            path.unlink(missing_ok=True)

    def _evict(self, keep: frozenset[str]) -> None:
        with os.scandir(self.directory) as entries:
            files = sorted((_stat(entry) for entry in entries if entry.is_file()), key=lambda file: file[1])
        total = sum(size for _, _, size in files)
        for name, _, size in files:
            if total <= self._max_bytes:
                return
            if name in keep or not name.endswith((self._suffix, ".json")):
                continue
            (self.directory / name).unlink(missing_ok=True)
            log.debug("%s removed from the cache", name)
            total -= size


def digest(*parts: object) -> str:
    """SHA-256 in hexadecimal over the parts, which JSON keeps apart."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _link(made: Path, path: Path) -> None:
    """Another name for the same file, in place of what may have it."""
    beside = made.with_suffix(".link")
    os.link(made, beside)
    beside.replace(path)
    beside.unlink(missing_ok=True)  # both names were the same file already


def _touch(path: Path) -> int:
    """Mark as used now; gives the size, 0 when there is no such file."""
    try:
        os.utime(path)
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _stat(entry: os.DirEntry[str]) -> tuple[str, int, int]:
    """Name, time of last use and size; zeros for a file that has just gone."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        return entry.name, 0, 0
    return entry.name, found.st_mtime_ns, found.st_size
