"""Changes that the API makes to accounts and numbers: in the database first, then in the directory.

One change at a time, so that the directory never ends with what the database has forgotten again. What others change,
commands and engines on the same database, is looked for every second, and the directory read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from . import provisioning
from .announcement import announce, announced
from .db import Database
from .directory import Directory
from .errors import DatabaseAway
from .provisioning import NOTHING, Named
from .records import Account, Did
from .tables import account_table, did_table

log = logging.getLogger("flexml.changes")

LOOK_S: Final = 1.0
"""How often is looked for what others have changed."""
Row = TypeVar("Row", Account, Did)
T = TypeVar("T")
Object = dict[str, Any]


class Changes:
    """Changes rows of the database that the directory holds too, and has the directory follow the database.

    What is `named` in the configuration keeps its password, and is not removed.
    """

    def __init__(self, database: Database, directory: Directory, named: Named = NOTHING) -> None:
        self._database, self._directory, self._named = database, directory, named
        self._one_at_a_time = asyncio.Lock()
        self._seen = 0
        self._watching: asyncio.Task[None] | None = None
        self.gone: Callable[[str], None] = lambda _: None
        """Told the sid of an account that is there no more."""

    async def start(self) -> None:
        """Read the directory, and keep to what others change of it."""
        await self.look()
        self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    # ---- what the API changes ---------------------------------------------------------------------------------

    async def account(
        self, sid: str, values: Mapping[str, Any], *, attributes: Callable[[Object], Object] | None = None
    ) -> None:
        """Set those columns of the account, and its attributes to what `attributes` makes of them; harmless where it
        has gone.

        Raises ProvisioningError for a password that the configuration has, and what `attributes` raises.
        """
        if "password_hash" in values and (known := self._directory.account(sid)) is not None:
            self._named.check_login(known.login)

        async def change(connection: AsyncConnection) -> Account | None:
            where, nested = account_table.c.sid == sid, {}
            if attributes is not None:
                before = sa.select(account_table.c.attributes).where(where).with_for_update()
                nested["attributes"] = attributes((await connection.execute(before)).scalar() or {})
            return await _change(connection, account_table, where, {**values, **nested}, Account)

        def take(account: Account | None) -> None:
            if account is not None:
                self._directory.put_account(replace(account, caller_ids=tuple(account.caller_ids)))

        await self._carry_out(change, take)

    async def did(self, account: str | None, sid: str, values: Mapping[str, Any]) -> None:
        """Set those columns of a number, the account's where one is given; harmless where it has gone.

        Raises ProvisioningError where it is to be of an account that is not there.
        """
        mine = sa.true() if account is None else did_table.c.account == account

        async def change(connection: AsyncConnection) -> Did | None:
            if "account" in values:
                await provisioning.check_account(connection, values["account"])
            return await _change(connection, did_table, sa.and_(did_table.c.sid == sid, mine), values, Did)

        def take(did: Did | None) -> None:
            if did is not None:
                self._directory.put_did(did)

        await self._carry_out(change, take)

    async def add_account(self, account: Account, *, now: float, attributes: Mapping[str, Any]) -> None:
        """Add an account. Raises TakenError."""

        async def add(connection: AsyncConnection) -> None:
            await provisioning.add_account(connection, account, now=now, attributes=attributes)

        await self._carry_out(add, lambda _: self._directory.put_account(account))

    async def remove_account(self, sid: str, *, now: float) -> bool:
        """Remove an account and what goes with it; False where there is none. Raises ProvisioningError."""

        async def remove(connection: AsyncConnection) -> bool:
            return await provisioning.remove_account(connection, sid, now=now, named=self._named)

        def take(removed: bool) -> None:
            if removed:
                self._directory.drop_account(sid)
                self.gone(sid)

        return await self._carry_out(remove, take)

    async def add_did(self, did: Did) -> None:
        """Add a number. Raises TakenError or ProvisioningError."""

        async def add(connection: AsyncConnection) -> None:
            await provisioning.add_did(connection, did)

        await self._carry_out(add, lambda _: self._directory.put_did(did))

    async def remove_did(self, sid: str, phonenumber: str) -> bool:
        """Remove a number; False where there is none. Raises ProvisioningError."""

        async def remove(connection: AsyncConnection) -> bool:
            return await provisioning.remove_did(connection, sid, named=self._named)

        return await self._carry_out(remove, lambda _: self._directory.drop_did(phonenumber))

    # ---- how --------------------------------------------------------------------------------------------------

    async def _carry_out(self, work: Callable[[AsyncConnection], Awaitable[T]], take: Callable[[T], None]) -> T:
        """Do `work` in a transaction, then have the directory `take` what came of it."""
        async with self._one_at_a_time:
            try:
                done, count = await self._transact(work)
            except IntegrityError:  # somebody else was quicker: now what is in the way is seen
                done, count = await self._transact(work)
            if count <= self._seen + 1:
                self._seen = count
                take(done)
            else:  # others have changed something too
                await self._read()
            return done

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> tuple[T, int]:
        async with self._database.begin() as connection:
            return await work(connection), await connection.run_sync(announced)

    # ---- what others change -----------------------------------------------------------------------------------

    async def look(self) -> None:
        """Read the directory again if others have announced that they changed it."""
        async with self._one_at_a_time:
            if await self._database.read(announced) != self._seen:
                await self._read()

    async def _read(self) -> None:
        """Read the directory. What is changed meanwhile is announced by a count that is higher than the one seen."""
        self._seen = await self._database.read(announced)
        dids, accounts = await self._database.load_dids(), await self._database.load_accounts()
        for sid in self._directory.load(accounts, dids):
            self.gone(sid)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except DatabaseAway:
                continue  # that is said once, where it is noticed
            except Exception:
                log.exception("accounts and numbers could not be read again")


async def _change(
    connection: AsyncConnection,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    values: Mapping[str, Any],
    kind: type[Row],
) -> Row | None:
    """Set columns of a row, and say so; returns the row as it is then, None where it has gone."""
    if values:
        await connection.execute(sa.update(table).where(where).values(dict(values)))
        await announce(connection)
    columns = [table.c[field.name] for field in fields(kind)]
    found = (await connection.execute(sa.select(*columns).where(where))).mappings().first()
    return None if found is None else kind(**found)
