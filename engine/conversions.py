"""Stored files in other formats: made when they are first asked for, once for all who ask, and kept for a while.

What is made lies in `converted/` below the folder of the storage, under a hash of which content it is of and which
format it has; so a content that is replaced or appended to is converted anew. The longest unused goes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from pathlib import Path
from typing import BinaryIO, Final

from .audio_cache import AudioCache, SingleFlight, digest
from .audio_formats import headerless
from .opening import opened
from .workers import Workers

FOLDER: Final = "converted"
SUFFIX: Final = ".converted"
TIMEOUT_S: Final = 60.0
"""How long a converter may be without any progress."""


class Conversions:
    """The service. `folder` is the storage's; what is kept takes `max_bytes`, and no one file more."""

    def __init__(self, folder: Path, *, max_bytes: int, workers: Workers | None = None) -> None:
        self._cache = AudioCache(folder / FOLDER, max_bytes=max_bytes, suffix=SUFFIX)
        self._max_bytes = max_bytes
        self._workers = workers or Workers("flexml.engine.convert", timeout_s=TIMEOUT_S)
        self._flights: SingleFlight[None] = SingleFlight()

    async def start(self) -> None:
        """Open the folder, start the converter."""
        await self._cache.start()
        await self._workers.start()

    async def close(self) -> None:
        """Give up what is under way."""
        await self._flights.close()
        await self._workers.close()
        await self._cache.close()

    async def open(self, source: Path, identity: str, file_format: str) -> BinaryIO:
        """The file `source` in another format, to be read and closed by whoever asks.

        `identity` tells this content from any other, an earlier one of the same file included. Raises PromptError
        where it is no audio or too long, OSError where the disk is full or `source` has gone.
        """
        key = digest(identity, file_format)
        kept = await opened(_used, self._cache.path(key))
        while kept is None:
            await self._flights.share(key, lambda: self._make(source, key, file_format))
            kept = await opened(_used, self._cache.path(key))
        return kept

    async def _make(self, source: Path, key: str, file_format: str) -> None:
        making = self._cache.growing / uuid.uuid4().hex
        try:
            await self._workers.run(
                lambda _progress: None,
                source=str(source),
                target=str(making),
                format=file_format,
                form=headerless(str(source)),
                most=self._max_bytes,
            )
            await self._cache.keep(key, making)
        finally:
            await asyncio.to_thread(making.unlink, missing_ok=True)
        await self._cache.evict()


def _used(path: Path) -> BinaryIO | None:
    """The file, marked as used now; None where there is none. Once it is open, eviction does it no harm."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)
        return path.open("rb")
    return None
