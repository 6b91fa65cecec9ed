"""Containers and files in the database. Functions take a connection in a transaction; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ..tables import container_table, file_table
from .base import Container, StoredFile

CONTAINER_COLUMNS = [container_table.c[field.name] for field in fields(Container)]
FILE_COLUMNS = [file_table.c[field.name] for field in fields(StoredFile)]


async def load_container(connection: AsyncConnection, sid: str, *, lock: bool = False) -> Container | None:
    """Return a container; with `lock` nobody else changes what is in it before the transaction ends.

    A row is locked by an update that changes nothing: SQLite knows no other way, and begins no transaction to read.
    """
    mine = container_table.c.sid == sid
    if lock:
        await connection.execute(sa.update(container_table).where(mine).values(updated=container_table.c.updated))
    row = (await connection.execute(sa.select(*CONTAINER_COLUMNS).where(mine))).mappings().first()
    return None if row is None else Container(**row)


async def load_default_container(connection: AsyncConnection, account: str) -> Container | None:
    """Return the container of what names none."""
    query = sa.select(*CONTAINER_COLUMNS).where(container_table.c.default_of == account)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else Container(**row)


async def add_container(connection: AsyncConnection, container: Container, *, default: bool = False) -> None:
    """Insert a container. Raises sqlalchemy's IntegrityError for a second default one."""
    row = asdict(container) | {"default_of": container.account if default else None}
    await connection.execute(sa.insert(container_table).values(row))


async def change_container(connection: AsyncConnection, sid: str, values: Mapping[str, Any]) -> None:
    """Set those columns; harmless where it has gone."""
    await connection.execute(sa.update(container_table).where(container_table.c.sid == sid).values(**values))


async def remove_container(connection: AsyncConnection, sid: str) -> bool:
    """Delete a container's row; False where there is none. Raises sqlalchemy's IntegrityError while it has files."""
    deleted = await connection.execute(sa.delete(container_table).where(container_table.c.sid == sid))
    return deleted.rowcount > 0


async def count_files(connection: AsyncConnection, container: str) -> int:
    """Return how many files a container has."""
    query = sa.select(sa.func.count()).select_from(file_table).where(file_table.c.container == container)
    return (await connection.execute(query)).scalar_one()


async def used_bytes(connection: AsyncConnection, container: str, *, but: str = "") -> int:
    """Return how much the files of a container hold, without the file `but`."""
    total = sa.func.coalesce(sa.func.sum(file_table.c.bytes), 0)
    query = sa.select(total).where(file_table.c.container == container, file_table.c.sid != but)
    return int((await connection.execute(query)).scalar_one())


async def load_file(connection: AsyncConnection, sid: str) -> StoredFile | None:
    """Return a file."""
    query = sa.select(*FILE_COLUMNS).where(file_table.c.sid == sid)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _file(row)


async def load_expired(connection: AsyncConnection, now: float, limit: int) -> list[StoredFile]:
    """Return files whose lifecycle action is due, the longest overdue first."""
    query = sa.select(*FILE_COLUMNS).where(file_table.c.expires <= now, file_table.c.lifecycle_action == "delete")
    rows = (await connection.execute(query.order_by(file_table.c.expires).limit(limit))).mappings()
    return [_file(row) for row in rows]


async def save_file(connection: AsyncConnection, file: StoredFile) -> None:
    """Insert the file, or update it where it is there already."""
    row = asdict(file) | {"expires": file.expires}
    updated = await connection.execute(sa.update(file_table).where(file_table.c.sid == file.sid).values(row))
    if updated.rowcount == 0:
        await connection.execute(sa.insert(file_table).values(row))


async def change_file(connection: AsyncConnection, sid: str, values: Mapping[str, Any]) -> bool:
    """Set those columns of what is known of a file, and when it is past its time; False where it has gone."""
    mine = sa.update(file_table).where(file_table.c.sid == sid)
    if values:
        await connection.execute(mine.values(**values))
    changed = await connection.execute(mine.values(expires=file_table.c.updated + file_table.c.lifecycle_ttl))
    return changed.rowcount > 0


async def remove_file(connection: AsyncConnection, sid: str) -> bool:
    """Delete a file's row; False where there is none."""
    deleted = await connection.execute(sa.delete(file_table).where(file_table.c.sid == sid))
    return deleted.rowcount > 0


def _file(row: Mapping[Any, Any]) -> StoredFile:
    return StoredFile(**row)
