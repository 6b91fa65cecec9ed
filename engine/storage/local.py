"""The storage on this machine: contents in a directory, everything else in the database.

A content lies at `ab/cd/<sid>.<format>`, so that no directory grows without bound. It is replaced in one step,
and its row follows: whoever reads finds the old content or the new one, never half of either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db import Database
from ..errors import FileChangedError, StorageError
from ..sid import new_sid
from . import rows
from .base import MIME_TYPES, Container, Room, StoredFile, Wanted, canonical_sid, format_of

log = logging.getLogger("flexml.storage")

DEFAULT_CONTAINER: Final = "Recordings"
SWEEP_BATCH: Final = 100


class LocalStorage:
    """Files below `path`. `clock` gives Unix time in seconds."""

    def __init__(self, database: Database, path: Path, *, clock: Callable[[], float]) -> None:
        self._database, self._path, self._clock = database, path, clock

    # ---- containers ---------------------------------------------------------------------------------------------

    async def create_container(self, account: str, name: str, *, quota_bytes: int | None = None) -> Container:
        """Make a container."""
        container = self._new_container(account, name, quota_bytes)
        async with self._database.begin() as connection:
            await rows.add_container(connection, container)
        return container

    async def default_container(self, account: str) -> Container:
        """Return the account's container for what names none; made when it is first asked for."""
        async with self._database.begin() as connection:
            found = await rows.load_default_container(connection, account)
        if found is not None:
            return found
        try:
            async with self._database.begin() as connection:
                container = self._new_container(account, DEFAULT_CONTAINER, None)
                await rows.add_container(connection, container, default=True)
                return container
        except IntegrityError:  # somebody else has just made it
            return await self.default_container(account)

    async def open_container(self, account: str, sid: str) -> Container:
        """Return a container of the account. Raises StorageError."""
        async with self._database.begin() as connection:
            found = await rows.load_container(connection, canonical_sid(sid))
        if found is None or found.account != account:
            raise StorageError(f"container {sid}: the account has none of that sid")
        return found

    async def change_container(self, sid: str, values: Mapping[str, Any]) -> None:
        """Set those fields of a container. A quota below what it holds keeps others out, and removes nothing."""
        async with self._database.begin() as connection:
            await rows.change_container(connection, sid, {**values, "updated": self._clock()})

    async def delete_container(self, sid: str) -> bool:
        """Delete a container; False where there is none. Raises StorageError while there are files in it."""
        try:
            async with self._database.begin() as connection:
                await rows.load_container(connection, sid, lock=True)
                if count := await rows.count_files(connection, sid):
                    raise StorageError(f"the container has {count} files")
                return await rows.remove_container(connection, sid)
        except IntegrityError as error:
            raise StorageError("the container has files") from error

    def _new_container(self, account: str, name: str, quota_bytes: int | None) -> Container:
        now = self._clock()
        return Container(sid=new_sid(), account=account, name=name, quota_bytes=quota_bytes, created=now, updated=now)

    # ---- files --------------------------------------------------------------------------------------------------

    async def find(self, sid: str) -> StoredFile | None:
        """Return the file of that sid, dashes or not, whoever's it is."""
        async with self._database.begin() as connection:
            return await rows.load_file(connection, canonical_sid(sid))

    async def open_file(self, account: str, sid: str) -> StoredFile:
        """Return a file of the account. Raises StorageError."""
        found = await self.find(sid)
        if found is None or found.account != account:
            raise StorageError(f"file {sid}: the account has none of that sid")
        return found

    @property
    def folder(self) -> Path:
        """Where everything of the storage lies."""
        return self._path

    def path(self, file: StoredFile) -> Path:
        """Return where the content lies."""
        return self._path / file.sid[:2] / file.sid[2:4] / f"{file.sid}.{file.format}"

    async def reserve(self, account: str, wanted: Wanted) -> StoredFile:
        """See Storage. Waits for a database that is away."""
        return await self._database.patiently(lambda: self._reserve(account, wanted))

    async def check(self, account: str, wanted: Wanted) -> None:
        """See Storage. Waits for a database that is away."""
        await self._database.patiently(lambda: self._meant(account, wanted))

    async def _meant(self, account: str, wanted: Wanted) -> StoredFile:
        if not wanted.file_sid:
            return await self._new_file(account, wanted)
        file = await self.open_file(account, wanted.file_sid)
        if wanted.append and file.bytes and file.format != wanted.format:
            raise StorageError(f"file {file.sid}: {wanted.format} cannot be appended to {file.format}")
        return _renewed(file, wanted)

    async def _reserve(self, account: str, wanted: Wanted) -> StoredFile:
        file = await self._meant(account, wanted)
        async with self._database.begin() as connection:
            await self._check_room(connection, file, file.bytes + 1 if wanted.append else 1)
        return file

    async def content(self, sid: str) -> tuple[StoredFile, Path]:
        """See Storage. Waits for a database that is away."""
        file = await self._database.patiently(lambda: self.find(sid))
        if file is None:
            raise _gone(sid)
        return file, self.path(file)

    async def put(self, file: StoredFile, content: Path, into: Wanted | None = None) -> None:
        """See Storage. Room is looked for, and taken, in one transaction: what is stored at the same time waits."""
        before = await self._database.patiently(lambda: self._store(file, content, into))
        if before is not None and self.path(before) != self.path(file):
            await asyncio.to_thread(self.path(before).unlink, missing_ok=True)

    async def _store(self, file: StoredFile, content: Path, into: Wanted | None) -> StoredFile | None:
        """Put a content in its place; returns what the file was before. Can be done again."""
        async with self._database.begin() as connection:
            await self._check_room(connection, file, file.bytes)
            before = await rows.load_file(connection, file.sid)
            if not _is_behind(file, before, into):
                if await asyncio.to_thread(content.exists):
                    raise FileChangedError(f"file {file.sid}: somebody else has stored something in it")
                return None  # stored by a run that was killed then, and others have added to it since
            if into is None:
                await rows.save_file(connection, file)
            elif not await rows.change_file(connection, file.sid, _of_content(file) | _given(into)):
                raise _gone(file.sid)
            try:
                await asyncio.to_thread(_move, content, self.path(file))
            except OSError as error:
                raise StorageError(f"file {file.sid}: {error.strerror}: {self.path(file)}") from error
        return before

    async def change(self, sid: str, values: Mapping[str, Any]) -> None:
        """Set what is known of a file, by the names of its fields; its content stays."""
        async with self._database.begin() as connection:
            await rows.change_file(connection, sid, values)

    async def delete(self, sid: str) -> bool:
        """Delete a file; False where there is none. Its content goes first: a row that is left can be tried again."""
        file = await self.find(sid)
        if file is None:
            return False
        await asyncio.to_thread(self.path(file).unlink, missing_ok=True)
        async with self._database.begin() as connection:
            return await rows.remove_file(connection, file.sid)

    async def sweep(self, now: float) -> int:
        """Delete files whose time has come, a hundred at most; returns how many."""
        async with self._database.begin() as connection:
            expired = await rows.load_expired(connection, now, SWEEP_BATCH)
        deleted = 0
        for file in expired:
            try:
                deleted += await self.delete(file.sid)
            except OSError as error:
                log.error("file %s is past its time but cannot be deleted: %s", file.sid, error)
        return deleted

    def new_file(self, account: str, container: Container, name: str, mime: str) -> StoredFile:
        """A file that is about to come, of what its name and media type say: nothing is stored yet."""
        now = self._clock()
        return StoredFile(
            sid=new_sid(), container=container.sid, account=account, name=name, format=format_of(name, mime),
            mime=mime, created=now, updated=now,
        )  # fmt: skip

    async def _new_file(self, account: str, wanted: Wanted) -> StoredFile:
        container = (
            await self.open_container(account, wanted.container_sid)
            if wanted.container_sid
            else await self.default_container(account)
        )
        file = _renewed(self.new_file(account, container, wanted.name, MIME_TYPES[wanted.format]), wanted)
        return replace(file, name=file.name or f"{file.sid}.{file.format}")

    async def room(self, file: StoredFile) -> Room | None:
        """The room for `file` where it lies; None where that is not limited. Raises StorageError."""
        async with self._database.begin() as connection:
            return await self._room(connection, file)

    async def _check_room(self, connection: AsyncConnection, file: StoredFile, size: int) -> None:
        """Raise ContainerFullError where the file's container has no room for it with `size` octets."""
        room = await self._room(connection, file)
        if room is not None:
            room.check(size)

    async def _room(self, connection: AsyncConnection, file: StoredFile) -> Room | None:
        """The same as `room`; nobody else stores anything there before the transaction ends."""
        container = await rows.load_container(connection, file.container, lock=True)
        if container is None:
            raise StorageError(f"file {file.sid}: container {file.container} is gone")
        if container.quota_bytes is None:
            return None
        used = await rows.used_bytes(connection, container.sid, but=file.sid)
        return Room(container=container.sid, quota=container.quota_bytes, used=used)


def _is_behind(file: StoredFile, before: StoredFile | None, into: Wanted | None) -> bool:
    """Whether the file is what its new content begins with, where that matters, or has that content already."""
    if into is None or into.behind is None or before is None:
        return True
    return (before.bytes, before.updated) in {(known.bytes, known.updated) for known in (into.behind, file)}


def _gone(sid: str) -> StorageError:
    return StorageError(f"file {sid}: there is none of that sid any more")


def _renewed(file: StoredFile, wanted: Wanted) -> StoredFile:
    """The file with what is asked of it now; what is not asked stays as it was."""
    return replace(file, **_given(wanted))


def _given(wanted: Wanted) -> dict[str, Any]:
    """What is asked of a file, by the names of its fields."""
    given = {
        name: value
        for name in ("string_key_1", "string_key_2", "integer_key_1", "integer_key_2")
        if (value := getattr(wanted, name)) is not None
    }
    if wanted.lifecycle_ttl is not None:
        given |= {"lifecycle_ttl": wanted.lifecycle_ttl, "lifecycle_action": wanted.lifecycle_action}
    return given | {"format": wanted.format, "mime": MIME_TYPES[wanted.format]}


def _of_content(file: StoredFile) -> dict[str, Any]:
    """What a new content changes."""
    return {"bytes": file.bytes, "duration": file.duration, "updated": file.updated}


def _move(content: Path, path: Path) -> None:
    """Move a content to its place. One that is there already stays there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        content.replace(path)
    except FileNotFoundError:
        if not path.exists():
            raise
