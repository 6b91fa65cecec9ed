"""The rows of what the configuration names: they follow it, but keep what has been changed since it was read last."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .errors import ConfigError
from .numbering import shown_formats
from .password import hash_password, verify_password
from .records import AccountEntry, DidEntry
from .sid import new_sid
from .tables import account_table, did_table


async def sync(
    connection: AsyncConnection, accounts: Sequence[AccountEntry], dids: Sequence[DidEntry], now: float
) -> None:
    """Put what the configuration says into the rows of what it names; sids stay, other rows stay untouched.

    Raises ConfigError when a number names an account that exists neither there nor in the database.
    """
    for entry in accounts:
        await _put(connection, account_table, await _account_row(connection, entry, now))
    found = await connection.execute(sa.select(account_table.c.login, account_table.c.sid))
    sids: dict[str, str] = {row.login: row.sid for row in found}
    problems = [f"did {d.phonenumber}: there is no account {d.account!r}" for d in dids if d.account not in sids]
    if problems:
        raise ConfigError(problems)
    for entry in dids:
        await _put(connection, did_table, await _did_row(connection, entry, sids[entry.account]))
    await _write_formats(connection)


async def _account_row(connection: AsyncConnection, entry: AccountEntry, now: float) -> dict[str, Any]:
    """What to write for an entry: with the sid it has, and the hash it has while the password is the same."""
    known = await _known(connection, account_table, account_table.c.login == entry.login)
    said = asdict(entry) | {"caller_ids": list(entry.caller_ids)}
    del said["password"]
    row = _news(known, said)
    if not known or not known["created"]:
        row["created"] = now
    if not known or not await asyncio.to_thread(verify_password, entry.password, known["password_hash"]):
        row["password_hash"] = await asyncio.to_thread(hash_password, entry.password)
    return row


async def _did_row(connection: AsyncConnection, entry: DidEntry, account: str) -> dict[str, Any]:
    """What to write for an entry of that account's, with the sid it has."""
    known = await _known(connection, did_table, did_table.c.phonenumber == entry.phonenumber)
    return _news(known, asdict(entry) | {"account": account})


async def _known(
    connection: AsyncConnection, table: sa.Table, where: sa.ColumnElement[bool]
) -> Mapping[str, Any] | None:
    found = (await connection.execute(sa.select(table).where(where))).mappings().first()
    return None if found is None else dict(found)


def _news(known: Mapping[str, Any] | None, said: dict[str, Any]) -> dict[str, Any]:
    """What the configuration says that it had not said before."""
    if known is None:
        return said | {"sid": new_sid(), "configured": said}
    before: dict[str, Any] = known["configured"] or {}
    news = {name: value for name, value in said.items() if name not in before or before[name] != value}
    return news | {"sid": known["sid"], "configured": said}


async def _write_formats(connection: AsyncConnection) -> None:
    """Keep how numbers are shown, of those that are new: so that lists can be filtered by it."""
    new = sa.select(did_table.c.sid, did_table.c.phonenumber).where(did_table.c.international_format == "")
    for sid, phonenumber in (await connection.execute(new)).all():
        await connection.execute(sa.update(did_table).where(did_table.c.sid == sid).values(shown_formats(phonenumber)))


async def _put(connection: AsyncConnection, table: sa.Table, row: dict[str, Any]) -> None:
    """Update the row with that sid, else insert it: the form of upsert that every database has."""
    updated = await connection.execute(sa.update(table).where(table.c.sid == row["sid"]).values(row))
    if updated.rowcount == 0:
        await connection.execute(sa.insert(table).values(row))
