"""Files that clients send: written to disk as they come, stored once they are whole, gone if they never are.

Nothing is held in memory but one block. A file that outgrows its container's quota is refused when it does, and not
when it has all come in; what others have stored meanwhile counts when it is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from ..opening import opened
from .base import Room, StoredFile
from .local import LocalStorage

FOLDER: Final = "incoming"
BLOCK: Final = 2**20
"""Octets that are written at a time."""


class Incoming:
    """One file that comes in. `room` is None where that is not limited."""

    def __init__(self, storage: LocalStorage, file: StoredFile, path: Path, out: BinaryIO, room: Room | None) -> None:
        self._storage, self._file, self._path, self._out, self._room = storage, file, path, out, room
        self._block = bytearray()
        self._size = 0

    def announce(self, size: int) -> None:
        """What is said of the size beforehand, in octets. Raises ContainerFullError."""
        if self._room is not None:
            self._room.check(size)

    async def write(self, octets: bytes) -> None:
        """Take what comes next. Raises ContainerFullError, and OSError where the disk is full."""
        self._size += len(octets)
        self.announce(self._size)
        self._block += octets
        if len(self._block) >= BLOCK:
            await self._flush()

    async def store(self) -> StoredFile:
        """That was all of it: it is a file from now on. Raises StorageError, and OSError."""
        await self._flush()
        await asyncio.to_thread(self._out.close)
        file = replace(self._file, bytes=self._size)
        await self._storage.put(file, self._path)
        return file

    async def _flush(self) -> None:
        block, self._block = self._block, bytearray()
        await asyncio.to_thread(self._out.write, block)


@contextlib.asynccontextmanager
async def incoming(storage: LocalStorage, file: StoredFile) -> AsyncGenerator[Incoming]:
    """Take in `file`; whatever ends the block, what has not been stored by then leaves nothing. Raises StorageError."""
    room = await storage.room(file)
    path = storage.folder / FOLDER / uuid.uuid4().hex
    out = await opened(_create, path)
    try:
        yield Incoming(storage, file, path, out, room)
    finally:
        _remove(path, out)  # at once: who is being cancelled does not wait for a thread


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb", buffering=0)


def _remove(path: Path, out: BinaryIO) -> None:
    out.close()
    path.unlink(missing_ok=True)


def forget(storage: LocalStorage, before: float) -> None:
    """Remove what an engine that was killed left, and nothing has come in of since `before` (Unix seconds). Blocks."""
    with contextlib.suppress(FileNotFoundError):
        for path in (storage.folder / FOLDER).iterdir():
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
