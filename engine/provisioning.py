"""Accounts and numbers as they are added and removed, whoever does it: the API, or a command.

Functions take a connection in a transaction, and announce what they change. Times are Unix seconds.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .announcement import announce
from .config_kinds import NUMBER
from .errors import ProvisioningError, TakenError
from .numbering import shown_formats
from .records import Account, Did
from .tables import account_table, call_table, did_table, token_table

LOGIN: Final = re.compile(r"[!-9;-~]{1,255}")
"""What a login may be: HTTP Basic ends it at a colon, and what lies beyond ASCII is written in more than one way."""
PASSWORD_OCTETS: Final = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What the configuration names: the next start makes it again, so that here is not the place to remove it."""

    logins: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()

    def check_login(self, login: str) -> None:
        """Raises ProvisioningError where the account is the configuration's."""
        if login in self.logins:
            raise ProvisioningError("login", f"the configuration names the account {login!r}: change it there")

    def check_number(self, phonenumber: str) -> None:
        """Raises ProvisioningError where the number is the configuration's."""
        if phonenumber in self.numbers:
            raise ProvisioningError("phonenumber", f"the configuration names the number {phonenumber}: change it there")


NOTHING: Final = Named()


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


async def remove_account(connection: AsyncConnection, sid: str, *, now: float, named: Named = NOTHING) -> bool:
    """Remove an account with its numbers and tokens, and cancel what it has scheduled; False where there is none.

    Its files and containers stay, and so do its calls until they are old. Raises ProvisioningError where the account
    or one of its numbers is `named`.
    """
    login = (await connection.execute(sa.select(account_table.c.login).where(account_table.c.sid == sid))).scalar()
    if login is None:
        return False
    named.check_login(login)
    for number in (
        await connection.execute(sa.select(did_table.c.phonenumber).where(did_table.c.account == sid))
    ).scalars():
        named.check_number(number)
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


async def remove_did(connection: AsyncConnection, sid: str, *, named: Named = NOTHING) -> bool:
    """Remove a number; False where there is none. Raises ProvisioningError where it is `named`."""
    number = (await connection.execute(sa.select(did_table.c.phonenumber).where(did_table.c.sid == sid))).scalar()
    if number is None:
        return False
    named.check_number(number)
    await connection.execute(sa.delete(did_table).where(did_table.c.sid == sid))
    await announce(connection)
    return True


async def set_password(connection: AsyncConnection, login: str, password_hash: str, *, named: Named = NOTHING) -> bool:
    """Give an account another password; False where there is none. Raises ProvisioningError where it is `named`."""
    named.check_login(login)
    where = account_table.c.login == login
    changed = await connection.execute(sa.update(account_table).where(where).values(password_hash=password_hash))
    if changed.rowcount:
        await announce(connection)
    return bool(changed.rowcount)


async def check_account(connection: AsyncConnection, sid: str) -> None:
    """Raises ProvisioningError where there is no such account."""
    if await _sid(connection, account_table, account_table.c.sid == sid) is None:
        raise ProvisioningError("account", f"there is no account {sid}")


async def _sid(connection: AsyncConnection, table: sa.Table, where: sa.ColumnElement[bool]) -> str | None:
    return (await connection.execute(sa.select(table.c.sid).where(where))).scalar()
