"""What servers said of the audio they sent: one small file a URL beside the cached audio, and how long it is fresh.

Fresh is by the loop's time: after a restart everything is asked for once.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from .audio_cache import AudioCache, digest
from .freshness import Freshness

if TYPE_CHECKING:
    from pathlib import Path

MAX_KNOWN: Final = 10_000
NO_AUDIO: Final = Freshness(content="")


class Responses:
    """The responses known, in the directory of `cache`."""

    def __init__(self, cache: AudioCache) -> None:
        self._cache = cache
        self._fresh: dict[str, tuple[float, Freshness]] = {}
        """Until when, and what was said."""

    async def known(self, url: str) -> Freshness:
        """What an earlier response said; nothing, where there was none or the file cannot be read."""
        if self.fresh(url):
            return self._fresh[url][1]
        return await asyncio.to_thread(_load, self._path(url))

    def fresh(self, url: str) -> bool:
        """True while what is cached may be used without asking."""
        return url in self._fresh and asyncio.get_running_loop().time() < self._fresh[url][0]

    async def remember(self, url: str, found: Freshness) -> None:
        """Keep what a response said, unless it says not to."""
        self._fresh.pop(url, None)
        if found.store and found.lifetime_s:
            self._fresh[url] = asyncio.get_running_loop().time() + found.lifetime_s, found
        while len(self._fresh) > MAX_KNOWN:
            self._fresh.pop(next(iter(self._fresh)))
        await asyncio.to_thread(_save, self._path(url), found)

    def _path(self, url: str) -> Path:
        return self._cache.path(digest(url), ".json")


def _save(path: Path, found: Freshness) -> None:
    if not found.store:
        path.unlink(missing_ok=True)
        return
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    partial.write_text(json.dumps(asdict(found)), encoding="utf-8")
    partial.rename(path)


def _load(path: Path) -> Freshness:
    try:
        return Freshness(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return NO_AUDIO
