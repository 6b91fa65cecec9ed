"""Changes that the API makes to accounts, numbers and scheduled calls: in the database first, then in the directory.

One change at a time, so that the directory never ends with what the database has forgotten again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from .db import Account, CallRecord, Database, Did
from .directory import Directory
from .tables import account_table, call_table, did_table

Row = TypeVar("Row", Account, Did)


class Changes:
    """Changes rows of the database that the directory holds too."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database, self._directory = database, directory
        self._one_at_a_time = asyncio.Lock()

    async def account(self, sid: str, values: Mapping[str, Any]) -> None:
        """Set those columns of the account; harmless where it has gone."""
        async with self._one_at_a_time:
            where = account_table.c.sid == sid
            if (account := await self._change(account_table, where, values, Account)) is not None:
                self._directory.put_account(replace(account, caller_ids=tuple(account.caller_ids)))

    async def did(self, account: str, sid: str, values: Mapping[str, Any]) -> None:
        """Set those columns of the account's number; harmless where it has gone."""
        async with self._one_at_a_time:
            where = sa.and_(did_table.c.sid == sid, did_table.c.account == account)
            if (did := await self._change(did_table, where, values, Did)) is not None:
                self._directory.put_did(did)

    async def _change(
        self, table: sa.Table, where: sa.ColumnElement[bool], values: Mapping[str, Any], kind: type[Row]
    ) -> Row | None:
        columns = [table.c[field.name] for field in fields(kind)]
        async with self._database.begin() as connection:
            if values:
                await connection.execute(sa.update(table).where(where).values(dict(values)))
            found = (await connection.execute(sa.select(*columns).where(where))).mappings().first()
        return None if found is None else kind(**found)


async def change_scheduled_call(database: Database, call: CallRecord) -> bool:
    """Save the call as it is now, if it still waits to be placed; False where somebody has taken it."""
    where = sa.and_(call_table.c.sid == call.sid, call_table.c.state == "scheduled")
    async with database.begin() as connection:
        return (await connection.execute(sa.update(call_table).where(where).values(asdict(call)))).rowcount == 1
