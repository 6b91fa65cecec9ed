"""Tokens for the provisioning side of the API (RFC 6750): made, found again, revoked.

A token is `flexml_SID_SECRET`: a sid to find its row by, and 256 random bits, of which only the SHA-256 is kept.
What is random needs no slow hash: there is nothing to guess. A token is the provider's, who sees every account, or one
account's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Final

import sqlalchemy as sa

from .db import Database
from .tables import token_table

WRITTEN: Final = re.compile(r"flexml_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")
SECRET_OCTETS: Final = 32
TRUSTED_S: Final = 2.0
"""How long a row counts as it was read: how late a token that is revoked elsewhere is refused at most."""
USED_S: Final = 60.0
"""How exactly a token's last use is kept."""
MOST: Final = 10_000
"""Rows that are remembered at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token as it is kept; times are Unix seconds. `account` is None for the provider's."""

    sid: str
    name: str
    hash: str = field(repr=False)
    account: str | None
    created: float
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether requests may use it."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class Tokens:
    """The tokens of a database. `clock` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock
        self._read: dict[str, tuple[Token, float]] = {}

    async def create(self, name: str, *, account: str | None = None, expires: float | None = None) -> tuple[Token, str]:
        """Make a token; what is given beside it is the only time that it is seen. `account` is the sid of one."""
        # Not by `new_sid`: people name tokens by the first characters of their sids.
        sid, secret = str(uuid.uuid4()), secrets.token_urlsafe(SECRET_OCTETS)
        token = Token(
            sid=sid, name=name, hash=_hash(secret), account=account, created=self._clock(), expires=expires
        )  # fmt: skip
        async with self._database.begin() as connection:
            await connection.execute(sa.insert(token_table).values(asdict(token)))
        return token, f"flexml_{sid.replace('-', '')}_{secret}"

    async def load(self) -> list[Token]:
        """Every token, the oldest first, those of no use any more included."""
        query = sa.select(*_COLUMNS).order_by(token_table.c.created, token_table.c.sid)
        async with self._database.begin() as connection:
            return [Token(**row) for row in (await connection.execute(query)).mappings()]

    async def revoke(self, sid: str) -> bool:
        """Let nobody use a token any more; False where there is none of that sid, or nobody may already."""
        where = sa.and_(token_table.c.sid == sid, token_table.c.revoked.is_(None))
        self._read.pop(sid, None)
        async with self._database.begin() as connection:
            return (
                await connection.execute(sa.update(token_table).where(where).values(revoked=self._clock()))
            ).rowcount == 1

    async def find(self, written: str) -> Token | None:
        """The token that a request brings; None where it is none, or may not be used any more."""
        match = WRITTEN.fullmatch(written)
        if match is None:
            return None
        token = await self._row(str(uuid.UUID(match[1])))
        if token is None or not hmac.compare_digest(token.hash, _hash(match[2])):
            return None
        now = self._clock()
        if not token.is_valid(now):
            return None
        if token.last_used is None or now - token.last_used >= USED_S:
            await self._used(token.sid, now)
        return token

    async def _row(self, sid: str) -> Token | None:
        known = self._read.get(sid)
        if known is not None and 0 <= self._clock() - known[1] < TRUSTED_S:
            return known[0]
        self._read.pop(sid, None)
        async with self._database.begin() as connection:
            found = (await connection.execute(sa.select(*_COLUMNS).where(token_table.c.sid == sid))).mappings().first()
        if found is None:
            return None
        if len(self._read) >= MOST:
            self._read.clear()
        token = Token(**found)
        self._read[sid] = token, self._clock()
        return token

    async def _used(self, sid: str, now: float) -> None:
        """Keep that it was used; the row is read again at the next use."""
        self._read.pop(sid, None)
        async with self._database.begin() as connection:
            await connection.execute(sa.update(token_table).where(token_table.c.sid == sid).values(last_used=now))


_COLUMNS: Final = [token_table.c[one.name] for one in fields(Token)]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
