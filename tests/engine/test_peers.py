"""Engines on one real PostgreSQL: names, death, what is left, and what one asks of another."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from flexml.engine import peers as peers_module
from flexml.engine.db import Database
from flexml.engine.errors import DatabaseError
from flexml.engine.peers import LEASE_S, Peers
from flexml.engine.records import Callback, CallRecord

from ..postgresql import PostgresqlServer

CALL = CallRecord(
    sid="c1", account="a1", direction="inbound", from_number="1", to_number="2", state="live", started=1.5
)
CALLBACK = Callback(sid="d1", url="http://a/", method="POST", data={}, created=3.0)


class Clock:
    """Goes on when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def engine(url: str, name: str, clock: Clock | None = None) -> AsyncGenerator[Peers]:
    """An engine, as far as others notice it."""
    database = Database(url, owner=name)
    await database.start()
    peers = Peers(database, clock=clock or Clock())
    try:
        await peers.start()
        yield peers
    finally:
        await peers.close()
        await database.close()


async def leave(url: str, name: str) -> None:
    """Leave a call, one that was claimed only, and a callback, as an engine does that dies."""
    database = Database(url, owner=name)
    await database.start()
    await database.save_call(CALL)
    await database.save_call(replace(CALL, sid="c2", state="scheduled", due=5.0))
    assert [call.sid for call in await database.claim_due_calls(9.0)] == ["c2"]
    await database.save_callback(CALLBACK)
    await database.close()


def test_a_name_is_one_engines_until_that_ends(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "NAME_S", -1.0)

    async def main() -> None:
        async with engine(postgresql_url, "a"), engine(postgresql_url, "b"):
            with pytest.raises(DatabaseError, match="there is an engine 'a' on this database already"):
                async with engine(postgresql_url, "a"):
                    pass
        async with engine(postgresql_url, "a"):
            pass

    asyncio.run(main())


def test_who_has_been_away_for_the_lease_is_dead_and_who_lives_never_is(postgresql_url: str) -> None:
    async def main() -> None:
        clock = Clock()
        await leave(postgresql_url, "dead")
        async with engine(postgresql_url, "a", clock) as watching, engine(postgresql_url, "b") as living:
            await living._database.save_call(replace(CALL, sid="c3"))  # pyright: ignore[reportPrivateUsage]
            assert await watching.look() == []
            clock.now += LEASE_S - 0.1
            assert await watching.look() == []
            clock.now += 0.2
            assert await watching.look() == ["dead"]

    asyncio.run(main())


def test_a_restart_of_postgresql_is_nobodys_death(postgresql: PostgresqlServer, postgresql_url: str) -> None:
    async def main() -> None:
        clock = Clock()
        async with engine(postgresql_url, "a", clock) as watching, engine(postgresql_url, "b") as living:
            await living._database.save_call(CALL)  # pyright: ignore[reportPrivateUsage]
            await asyncio.to_thread(postgresql.stop, how=signal.SIGQUIT)
            await asyncio.to_thread(postgresql.start)
            clock.now += 10 * LEASE_S
            assert await watching.look() == [], "nobody is judged on the first look"
            async with asyncio.timeout(20):  # both lock their names again
                await watching.has_name.wait()
                await living.has_name.wait()
            clock.now += 10 * LEASE_S
            assert await watching.look() == []

    asyncio.run(main())


def test_what_an_engine_has_left_is_taken_by_one_other(postgresql_url: str) -> None:
    async def main() -> None:
        await leave(postgresql_url, "dead")
        async with engine(postgresql_url, "a") as one, engine(postgresql_url, "b") as other:
            a, b = one._database, other._database  # pyright: ignore[reportPrivateUsage]
            taken = await asyncio.gather(a.adopt("dead"), b.adopt("dead"))
            assert sorted(len(calls) for calls in taken) == [0, 1]
            heir = a if taken[0] else b
            assert [call.sid for call in await heir.load_calls(state="live")] == ["c1"]
            callbacks = [await a.load_own_callbacks(), await b.load_own_callbacks()]
            assert sorted(len(found) for found in callbacks) == [0, 1]
            waiting = await a.load_calls(state="scheduled")
            assert [(call.sid, call.owner) for call in waiting] == [("c2", "")], "what was not placed waits again"

    asyncio.run(main())


def test_a_claimed_call_that_somebody_else_has_taken_is_not_placed(postgresql_url: str) -> None:
    async def main() -> None:
        await leave(postgresql_url, "slow")
        async with engine(postgresql_url, "a") as one:
            a = one._database  # pyright: ignore[reportPrivateUsage]
            await a.adopt("slow")
            slow = Database(postgresql_url, owner="slow")
            await slow.start()
            assert not await slow.begin_placing("c2")
            await slow.close()
            assert [call.sid for call in await a.claim_due_calls(9.0)] == ["c2"]
            assert [call.sid for call in await a.claim_due_calls(9.0)] == ["c2"], "until it is being placed"
            assert await a.begin_placing("c2")
            assert await a.claim_due_calls(9.0) == []

    asyncio.run(main())


def test_one_engine_asks_another(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "ANSWER_S", 1.0)

    async def main() -> None:
        got: list[Mapping[str, Any]] = []

        async def answer(what: Mapping[str, Any]) -> bool:
            got.append(what)
            return what["call"] == "mine"

        async with engine(postgresql_url, "a") as one, engine(postgresql_url, "b") as other:
            other.asked = answer
            assert await one.ask("b", {"do": "end", "call": "mine"}) is True
            assert await one.ask("b", {"do": "end", "call": "what"}) is False
            assert got == [{"do": "end", "call": "mine"}, {"do": "end", "call": "what"}]
            assert await one.ask("nobody", {"do": "end", "call": "mine"}) is None

    asyncio.run(main())


def test_with_sqlite_there_is_nobody_else(tmp_path: Any) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/db"
        await leave(url, "as it was called before")
        async with engine(url, "now") as peers:
            peers.watch()
            database = peers._database  # pyright: ignore[reportPrivateUsage]
            assert [call.sid for call in await database.adopt("now")] == ["c1"]
            assert [callback.sid for callback in await database.load_own_callbacks()] == ["d1"]
            assert [call.sid for call in await database.claim_due_calls(9.0)] == ["c2"]

    asyncio.run(main())
