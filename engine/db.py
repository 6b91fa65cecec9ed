"""What outlives the process: accounts, numbers, calls and undelivered callbacks.

SQLAlchemy 2 over an asynchronous driver, so that no query blocks the loop; nothing here is one database's own. Rows
are those of `records`. Times are Unix seconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import config_rows
from .announcement import announce
from .migrations import LOCK
from .records import Account, AccountEntry, Callback, CallbackState, CallRecord, Did, DidEntry, call_row, columns
from .shared_writes import SharedWrites
from .sql import Sql
from .tables import account_table, call_table, callback_table, did_table

PAGE: Final = 200
"""Rows that are read at once where all are wanted."""
CLAIM: Final = 10
"""How many calls an engine takes at a time: what is due at once is shared by all."""

_SCHEDULED: Final = call_table.c.state == "scheduled"
_NEXT_DUE: Final = sa.select(sa.func.min(call_table.c.due)).where(_SCHEDULED, call_table.c.due.is_not(None))
_IS_DUE: Final = sa.exists().where(_SCHEDULED, call_table.c.due <= sa.bindparam("now"))

Row = TypeVar("Row", Account, Did, CallRecord, Callback)


class Database(Sql):
    """What is asked of the tables, and put into them. Raises DatabaseAway where that may work later.

    `owner` is the name of the engine: calls that live here and callbacks that are sent from here are its own.
    """

    def __init__(self, url: str, *, owner: str = "") -> None:
        super().__init__(url)
        self.owner = owner
        live, when = call_table.c.state == "live", call_table.c.due.is_not(None)
        self._unplaced = sa.and_(live, when, call_table.c.owner == owner)
        """Calls that this engine has claimed but not begun to place: they still have the time at which they are due."""
        self._is_any_due = sa.select(sa.or_(_IS_DUE, sa.exists().where(self._unplaced)))
        """Asked every second, so made once: to make a statement costs more than to carry it out."""
        self._writes = SharedWrites(self)
        self._live: dict[str, dict[str, Any]] = {}
        """What this engine has written of the calls that live here: the rest of a row is left as it is."""

    async def close(self) -> None:
        """Write what is under way, and close all connections."""
        await self._writes.close()
        await super().close()

    async def sync_config(
        self, accounts: Sequence[AccountEntry], dids: Sequence[DidEntry], *, now: float = 0.0
    ) -> None:
        """Put what the configuration says into the rows of what it names; sids stay, other rows stay untouched.

        What it said already when it was read last is left as it is: that may have been changed since, by the API.
        Raises ConfigError when a number names an account that exists neither there nor in the database.
        """
        async with self.begin() as connection:
            if self.is_shared:  # engines that start at once would add the same
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            await config_rows.sync(connection, accounts, dids, now)
            await announce(connection)

    async def load_accounts(self) -> list[Account]:
        """Every account, by login."""
        rows = await self._every(account_table, Account, account_table.c.login)
        return [replace(row, caller_ids=tuple(row.caller_ids)) for row in rows]

    async def load_dids(self) -> list[Did]:
        """Every number, in order."""
        return await self._every(did_table, Did, did_table.c.phonenumber)

    async def _every(self, table: sa.Table, kind: type[Row], key: sa.Column[str]) -> list[Row]:
        """Every row, by a key that is unique: a page at a time, so that nobody waits for all of them to be made."""
        found: list[Row] = []
        while True:
            where = key > getattr(found[-1], key.name) if found else None
            async with self.begin() as connection:
                page = await _select(connection, table, kind, where=where, order=key, limit=PAGE)
            found += page
            if len(page) < PAGE:
                return found

    async def save_call(self, call: CallRecord) -> None:
        """Insert the call, or update it where it is there already."""
        row = call_row(call) | {"owner": "" if call.state == "scheduled" else self.owner}
        known = self._live.pop(call.sid, None)  # if writing fails, nothing is known of it
        changed = frozenset(name for name in row if known is not None and row[name] != known[name])
        await self._writes.put(call_table, row, changed or None)
        self._live.pop(call.sid, None)
        if call.state == "live":
            self._live[call.sid] = row

    async def load_calls(self, *, state: str | None = None) -> list[CallRecord]:
        """Calls, oldest first; those in `state` only where it is given."""
        where = None if state is None else call_table.c.state == state
        async with self.begin() as connection:
            return await _select(connection, call_table, CallRecord, where=where, order=call_table.c.started)

    async def load_latest_calls(self, count: int) -> list[CallRecord]:
        """The calls that began last, the latest first."""
        order = call_table.c.started.desc()
        async with self.begin() as connection:
            return await _select(connection, call_table, CallRecord, order=order, limit=count)

    async def find_calls(self, *, first: str, last: str, limit: int) -> list[CallRecord]:
        """Up to `limit` calls whose sid begins with `first` or ends with `last`."""
        sid = call_table.c.sid
        where = sa.or_(sid.startswith(first, autoescape=True), sid.endswith(last, autoescape=True))
        async with self.begin() as connection:
            return await _select(connection, call_table, CallRecord, where=where, order=call_table.c.sid, limit=limit)

    async def load_call(self, sid: str) -> CallRecord | None:
        """The call of that sid."""
        async with self.begin() as connection:
            found = await _select(connection, call_table, CallRecord, where=call_table.c.sid == sid)
        return found[0] if found else None

    async def next_due(self) -> float | None:
        """When the next scheduled call is due; None where none is scheduled."""
        return await self.read(lambda connection: connection.scalar(_NEXT_DUE))

    async def claim_due_calls(self, now: float) -> list[CallRecord]:
        """Take scheduled calls that are due by `now`, CLAIM at most; nobody else gets them.

        They are live, and this engine's, from then on. What it had taken before but did not begin to place is in it.
        """
        if not await self.read(lambda connection: connection.scalar(self._is_any_due, {"now": now})):
            return []
        due = sa.and_(_SCHEDULED, call_table.c.due <= now)
        where, order = sa.or_(due, self._unplaced), call_table.c.due
        async with self.begin() as connection:
            calls = await _select(
                connection, call_table, CallRecord, where=where, order=order, limit=CLAIM, lock="pass over"
            )
            taken = sa.update(call_table).where(call_table.c.sid.in_([call.sid for call in calls]), where)
            taken = taken.values(state="live", owner=self.owner).returning(call_table.c.sid)
            sids = set((await connection.execute(taken)).scalars())
        return [call for call in calls if call.sid in sids]

    async def begin_placing(self, sid: str) -> bool:
        """Say that a claimed call is being placed; False, and it must not be, where another engine has it by now."""
        where = sa.and_(call_table.c.sid == sid, self._unplaced)
        async with self.begin() as connection:
            placing = sa.update(call_table).where(where).values(due=None)
            return (await connection.execute(placing)).rowcount == 1

    async def owners(self) -> set[str]:
        """The engines that live calls or pending callbacks belong to."""
        calls = sa.select(call_table.c.owner).where(call_table.c.state == "live")
        callbacks = sa.select(callback_table.c.owner).where(callback_table.c.state == "pending")
        async with self.begin() as connection:
            return set((await connection.execute(calls.union(callbacks))).scalars())

    async def live_here(self) -> set[str]:
        """The calls that are live and this engine's, but for those that it has not begun to place."""
        mine = sa.and_(call_table.c.state == "live", call_table.c.owner == self.owner, call_table.c.due.is_(None))
        async with self.begin() as connection:
            return set((await connection.execute(sa.select(call_table.c.sid).where(mine))).scalars())

    async def adopt(self, owner: str) -> list[CallRecord]:
        """Take over what an engine has left: its callbacks, and the calls that lived there, which are returned.

        What it had not begun to place waits again. Each is taken by one engine, whoever else tries. Where there is
        only one engine, all is its own, whatever it was called before.
        """
        mine = {"owner": self.owner}
        calls, pending = call_table.c.state == "live", callback_table.c.state == "pending"
        if self.is_shared:
            calls, pending = (
                sa.and_(calls, call_table.c.owner == owner),
                sa.and_(pending, callback_table.c.owner == owner),
            )
        async with self.begin() as connection:
            waiting = sa.update(call_table).where(calls, call_table.c.due.is_not(None))
            await connection.execute(waiting.values(state="scheduled", owner=""))
            await connection.execute(sa.update(callback_table).where(pending).values(mine))
            taking = sa.update(call_table).where(calls).values(mine).returning(*_columns(call_table, CallRecord))
            taken = await connection.execute(taking)
            return [CallRecord(**row) for row in taken.mappings()]

    async def take_unplaced(self, sid: str, account: str) -> CallRecord | None:
        """Take a call of the account that waits, or that this engine has claimed but not begun to place.

        Nobody places it then: it is live and this engine's, until it is saved as ended. None where there is none.
        """
        waits = sa.or_(_SCHEDULED, self._unplaced)
        taken = sa.update(call_table).where(call_table.c.sid == sid, call_table.c.account == account, waits)
        taken = taken.values(state="live", owner=self.owner, due=None).returning(*_columns(call_table, CallRecord))
        async with self.begin() as connection:
            row = (await connection.execute(taken)).mappings().first()
        return None if row is None else CallRecord(**row)

    async def change_scheduled_call(self, sid: str, account: str, changed: Callable[[CallRecord], CallRecord]) -> bool:
        """Save a call of the account that waits as `changed` makes it of what it is; False where it waits no more.

        What two change at once has both changes. What `changed` raises is raised.
        """
        where = sa.and_(call_table.c.sid == sid, call_table.c.account == account, _SCHEDULED)
        async with self.begin() as connection:
            found = await _select(connection, call_table, CallRecord, where=where, lock="wait")
            if not found:
                return False
            saved = await connection.execute(sa.update(call_table).where(where).values(call_row(changed(found[0]))))
            return saved.rowcount == 1

    async def save_callback(self, callback: Callback) -> None:
        """Insert the callback, or update it where it is there already."""
        await self._writes.put(callback_table, columns(callback) | {"owner": self.owner})

    async def add_callback(self, callback: Callback) -> bool:
        """Insert the callback; False, and nothing done, where there is one of that sid already."""
        return await self._writes.add(callback_table, columns(callback) | {"owner": self.owner})

    async def load_callbacks(self, state: CallbackState) -> list[Callback]:
        """Callbacks in that state, oldest first."""
        where = callback_table.c.state == state
        async with self.begin() as connection:
            return await _select(connection, callback_table, Callback, where=where, order=callback_table.c.created)

    async def load_own_callbacks(self) -> list[Callback]:
        """What this engine has to deliver, oldest first."""
        where = sa.and_(callback_table.c.state == "pending", callback_table.c.owner == self.owner)
        async with self.begin() as connection:
            return await _select(connection, callback_table, Callback, where=where, order=callback_table.c.created)


def _columns(table: sa.Table, kind: type[Row]) -> list[sa.Column[Any]]:
    """The columns that a record of that kind is made of."""
    return [table.c[field.name] for field in fields(kind)]


async def _select(
    connection: AsyncConnection,
    table: sa.Table,
    kind: type[Row],
    *,
    where: sa.ColumnElement[bool] | None = None,
    order: sa.ColumnElement[Any] | None = None,
    limit: int | None = None,
    lock: Literal["", "wait", "pass over"] = "",
) -> list[Row]:
    query = sa.select(*_columns(table, kind))
    if where is not None:
        query = query.where(where)
    if order is not None:
        query = query.order_by(order)
    if limit is not None:
        query = query.limit(limit)
    if lock:  # where the database has such locks; SQLite has one writer
        query = query.with_for_update(skip_locked=lock == "pass over")
    return [kind(**row) for row in (await connection.execute(query)).mappings()]
