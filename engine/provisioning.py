"""Accounts and numbers as they are added and removed, whoever does it: the API, or a command.

Functions take a connection in a transaction, and announce what they change. Times are Unix seconds.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .announcement import announce
from .config_kinds import NUMBER
from .db import Account, Did
from .errors import ProvisioningError, TakenError
from .numbering import shown_formats
from .tables import account_table, call_table, did_table, token_table

LOGIN: Final = re.compile(r"[!-9;-~]{1,255}")
"""What a login may be: HTTP Basic ends it at a colon, and what lies beyond ASCII is written in more than one way."""
PASSWORD_OCTETS: Final = 18


def new_login() -> str:
    """A login that nobody has."""
    return f"flexml_{secrets.token_hex(6)}"


def new_password() -> str:
    """A password that nobody guesses: 24 characters, 144 bits."""
    return secrets.token_urlsafe(PASSWORD_OCTETS)


def read_number(written: str) -> str:
    """A number as it is kept: E.164 without the plus. Raises ValueError."""
    try:
        return NUMBER.read(written)
    except ValueError:
        raise ValueError(f"expected {NUMBER.allowed}") from None


def read_login(written: str) -> str:
    """A login that is asked for. Raises ValueError."""
    if not LOGIN.fullmatch(written):
        raise ValueError("expected 1 to 255 visible ASCII characters other than a colon")
    return written


async def add_account(
    connection: AsyncConnection, account: Account, *, now: float, attributes: Mapping[str, Any] | None = None
) -> None:
    """Add an account. Raises TakenError for a login that is there."""
    where = account_table.c.login == account.login
    if (sid := await _sid(connection, account_table, where)) is not None:
        raise TakenError("login", f"there is an account {account.login!r} already", sid)
    row = asdict(account) | {"caller_ids": list(account.caller_ids), "attributes": dict(attributes or {})}
    await connection.execute(sa.insert(account_table).values(row | {"created": now}))
    await announce(connection)


async def remove_account(connection: AsyncConnection, sid: str, *, now: float) -> bool:
    """Remove an account with its numbers and tokens, and cancel what it has scheduled; False where there is none.

    Its files and containers stay, and so do its calls until they are old.
    """
    if await _sid(connection, account_table, account_table.c.sid == sid) is None:
        return False
    for table in (did_table, token_table):
        await connection.execute(sa.delete(table).where(table.c.account == sid))
    scheduled = sa.and_(call_table.c.account == sid, call_table.c.state == "scheduled")
    await connection.execute(sa.update(call_table).where(scheduled).values(state="ended", status="cancel", ended=now))
    await connection.execute(sa.delete(account_table).where(account_table.c.sid == sid))
    await announce(connection)
    return True


async def add_did(connection: AsyncConnection, did: Did) -> None:
    """Add a number. Raises TakenError for one that is there, ProvisioningError where its account is not."""
    where = did_table.c.phonenumber == did.phonenumber
    if (sid := await _sid(connection, did_table, where)) is not None:
        raise TakenError("phonenumber", f"there is a number {did.phonenumber} already", sid)
    await check_account(connection, did.account)
    await connection.execute(sa.insert(did_table).values(asdict(did) | shown_formats(did.phonenumber)))
    await announce(connection)


async def remove_did(connection: AsyncConnection, sid: str) -> bool:
    """Remove a number; False where there is none."""
    removed = await connection.execute(sa.delete(did_table).where(did_table.c.sid == sid))
    if removed.rowcount:
        await announce(connection)
    return bool(removed.rowcount)


async def check_account(connection: AsyncConnection, sid: str) -> None:
    """Raises ProvisioningError where there is no such account."""
    if await _sid(connection, account_table, account_table.c.sid == sid) is None:
        raise ProvisioningError("account", f"there is no account {sid}")


def new_sid() -> str:
    """A sid for an account or a number."""
    return str(uuid.uuid4())


async def _sid(connection: AsyncConnection, table: sa.Table, where: sa.ColumnElement[bool]) -> str | None:
    return (await connection.execute(sa.select(table.c.sid).where(where))).scalar()
