"""Rows that many tasks want written at once, written together: one transaction for all that wait.

A transaction costs far more than a row in it. While one is under way, what is asked for meanwhile gathers, and goes
into the next: the busier the engine, the more rows a transaction has. Whoever asked returns once its row is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from .errors import DatabaseAway
from .row_writing import Columns, insert_rows, put_rows
from .sql import Sql

MOST: Final = 250
"""Rows in one transaction: what can be prepared without holding up the loop."""
GATHER_S: Final = 0.1
"""How long after a transaction of several rows the next may begin, unless there is enough for one. Who writes one after
the other is not held up."""
CLOSE_S: Final = 5.0
"""How long the end waits for a database that does not take what is under way."""


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    """A row of a table, by its `sid`; `anew` where one that is there already is left as it is."""

    table: sa.Table
    row: dict[str, Any]
    anew: bool
    changed: Columns | None
    done: asyncio.Future[bool]


class SharedWrites:
    """Writes rows. All rows of a table must have the same columns, `sid` among them."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._waiting: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def put(self, table: sa.Table, row: dict[str, Any], changed: Columns | None = None) -> None:
        """Insert the row, or update the one of that sid: the `changed` columns, all unless given.

        Raises DatabaseAway, and what the database refuses it for.
        """
        await self._ask(table, row, anew=False, changed=changed)

    async def add(self, table: sa.Table, row: dict[str, Any]) -> bool:
        """Insert the row; False, and nothing done, where there is one of that sid. Raises as `put`."""
        return await self._ask(table, row, anew=True)

    async def close(self) -> None:
        """Return once what was asked for is written, or has not been for so long; nothing is taken any more."""
        self._closed = True
        if (writer := self._writer) is not None:
            await asyncio.wait({writer}, timeout=CLOSE_S)
            writer.cancel()
            await asyncio.wait({writer})

    def _ask(
        self, table: sa.Table, row: dict[str, Any], *, anew: bool, changed: Columns | None = None
    ) -> asyncio.Future[bool]:
        done = asyncio.get_running_loop().create_future()
        if self._closed:
            done.set_exception(DatabaseAway("the engine ends"))
            return done
        self._waiting.append(_Write(table, row, anew, changed, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="rows")
        return done

    async def _write(self) -> None:
        try:
            while batch := self._waiting[:MOST]:
                del self._waiting[:MOST]
                await self._commit(batch)
                if len(batch) > 1 and len(self._waiting) < MOST:
                    await asyncio.sleep(GATHER_S)
        finally:
            self._writer = None

    async def _commit(self, batch: Sequence[_Write]) -> None:
        """Write them together; where the database refuses, each by itself, so that one costs the others nothing."""
        try:
            added = await self._sql.write(partial(_write_rows, batch))
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, DatabaseAway):
                for one in batch:
                    await self._commit([one])
                return
            for one in batch:
                _tell(one, error)
        except BaseException:  # the loop ends
            for one in batch:
                one.done.cancel()
            raise
        else:
            for one, is_added in zip(batch, added, strict=True):
                if not one.done.done():
                    one.done.set_result(is_added)


def _tell(write: _Write, error: Exception) -> None:
    if write.done.done():
        return
    if write.anew and isinstance(error, IntegrityError):  # another engine has just put it there
        write.done.set_result(False)
    else:
        write.done.set_exception(error)


def _write_rows(batch: Sequence[_Write], connection: sa.Connection) -> list[bool]:
    """Whether each was written, in order; of several puts of one row the last is what is kept."""
    rows: dict[sa.Table, dict[str, _Write]] = {one.table: {} for one in batch}
    known = {table: _known(connection, table, batch) for table in rows}
    written: list[bool] = []
    for one in batch:
        sid, to_write = one.row["sid"], rows[one.table]
        before = to_write.get(sid)
        written.append(not (one.anew and (sid in known[one.table] or before)))
        if written[-1]:
            to_write[sid] = one if before is None else _after(before, one)
    for table, to_write in rows.items():
        insert_rows(connection, table, [one.row for one in to_write.values() if one.anew])
        alike: dict[Columns | None, list[dict[str, Any]]] = {}
        for one in to_write.values():
            if not one.anew:
                alike.setdefault(one.changed, []).append(one.row)
        for changed, puts in alike.items():
            put_rows(connection, table, puts, changed)
    return written


def _after(before: _Write, last: _Write) -> _Write:
    """What writes the same as one after the other."""
    changed = None
    if before.changed is not None and last.changed is not None:
        changed = before.changed | last.changed
    return replace(last, anew=before.anew, changed=changed)


def _known(connection: sa.Connection, table: sa.Table, batch: Sequence[_Write]) -> set[str]:
    """Which of the rows to be written anew are there already."""
    sids = [one.row["sid"] for one in batch if one.anew and one.table is table]
    return {*connection.scalars(_find(table), {"sids": sids})} if sids else set()


@cache
def _find(table: sa.Table) -> sa.Select[Any]:
    """Made once: to make a statement costs more than to carry it out."""
    return sa.select(table.c.sid).where(table.c.sid.in_(sa.bindparam("sids", expanding=True)))
