"""Tokens: what is kept of them, who finds them, and for how long."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from flexml.engine.db import Database
from flexml.engine.tables import token_table
from flexml.engine.tokens import TRUSTED_S, USED_S, Tokens

NOW = 1_800_000_000.0


class Clock:
    """Unix seconds that tests move."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def with_tokens(url: str, test: Callable[[Database, Tokens, Clock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(url) as database:
            await test(database, Tokens(database, clock), clock)

    asyncio.run(main())


def test_only_a_hash_of_the_secret_is_kept(database_url: str) -> None:
    async def test(database: Database, tokens: Tokens, _clock: Clock) -> None:
        token, written = await tokens.create("ci")
        secret = written.removeprefix(f"flexml_{token.sid.replace('-', '')}_")
        assert len(secret) == 43
        async with database.begin() as connection:
            row = (await connection.execute(sa.select(token_table))).one()
        assert secret not in str(row)
        assert row.hash == hashlib.sha256(secret.encode()).hexdigest()
        assert token.hash not in repr(token)

    with_tokens(database_url, test)


SPOILT: dict[str, Callable[[str], str]] = {
    "empty": lambda written: "",
    "shorter": lambda written: written[:-1],
    "longer": lambda written: written + "A",
    "another secret": lambda written: written[:-1] + ("A" if written[-1] != "A" else "B"),
    "another prefix": lambda written: written.replace("flexml_", "Flexml_"),
    "another sid": lambda written: "flexml_" + "0" * 32 + written[39:],
    "upper case": lambda written: written[:7] + written[7:].upper(),
    "not ASCII": lambda written: written[:40] + "é" * 43,
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_not_the_token_finds_nothing(database_url: str, how: str) -> None:
    spoil = SPOILT[how]

    async def test(_database: Database, tokens: Tokens, _clock: Clock) -> None:
        token, written = await tokens.create("ci")
        assert await tokens.find(spoil(written)) is None
        found = await tokens.find(written)
        assert found == token
        assert await tokens.find(spoil(written)) is None, "nor once the row is remembered"

    with_tokens(database_url, test)


def test_the_secret_of_one_token_does_not_fit_another(database_url: str) -> None:
    async def test(_database: Database, tokens: Tokens, _clock: Clock) -> None:
        (one, mine), (_, other) = await tokens.create("one"), await tokens.create("other")
        assert await tokens.find(mine[:40] + other[40:]) is None
        assert (await tokens.find(mine) or one).sid == one.sid

    with_tokens(database_url, test)


def test_a_token_ends_when_it_expires(database_url: str) -> None:
    async def test(_database: Database, tokens: Tokens, clock: Clock) -> None:
        _, written = await tokens.create("short", expires=NOW + 10)
        clock.now = NOW + 9.9
        assert await tokens.find(written) is not None
        clock.now = NOW + 10
        assert await tokens.find(written) is None

    with_tokens(database_url, test)


def test_a_revoked_token_is_refused_at_once_here_and_within_seconds_elsewhere(database_url: str) -> None:
    async def test(database: Database, tokens: Tokens, clock: Clock) -> None:
        elsewhere = Tokens(database, clock)
        token, written = await tokens.create("ci")
        for one in (tokens, elsewhere, tokens, elsewhere):
            assert await one.find(written) is not None
        assert await tokens.revoke(token.sid)
        assert not await tokens.revoke(token.sid)
        assert not await tokens.revoke("2f367eb5-adc6-4413-b603-533e2a8f0804")
        assert await tokens.find(written) is None
        clock.now += TRUSTED_S
        assert await elsewhere.find(written) is None
        (kept,) = await tokens.load()
        assert kept.revoked == NOW

    with_tokens(database_url, test)


def test_a_row_is_read_once_for_many_requests(database_url: str) -> None:
    async def test(database: Database, tokens: Tokens, clock: Clock) -> None:
        _, written = await tokens.create("ci")
        await tokens.find(written)
        await tokens.find(written)
        async with database.begin() as connection:
            await connection.execute(sa.delete(token_table))
        assert await tokens.find(written) is not None
        clock.now -= 5  # a clock that is set back proves nothing
        assert await tokens.find(written) is None

    with_tokens(database_url, test)


def test_the_last_use_is_kept_to_the_minute(database_url: str) -> None:
    async def test(_database: Database, tokens: Tokens, clock: Clock) -> None:
        _, written = await tokens.create("ci")

        async def used() -> float | None:
            (token,) = await tokens.load()
            return token.last_used

        assert await used() is None
        await tokens.find(written)
        assert await used() == NOW
        clock.now = NOW + USED_S - 1
        await tokens.find(written)
        assert await used() == NOW
        clock.now = NOW + USED_S
        await tokens.find(written)
        assert await used() == NOW + USED_S

    with_tokens(database_url, test)
