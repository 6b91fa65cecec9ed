"""Rows of many tasks in one transaction, against a real SQLite file and a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from flexml.engine.db import Database
from flexml.engine.errors import DatabaseAway
from flexml.engine.records import Callback, CallRecord, call_row
from flexml.engine.shared_writes import MOST, SharedWrites
from flexml.engine.tables import call_table, callback_table
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from ..postgresql import PostgresqlServer

CALL = CallRecord(
    sid="c1", account="a1", direction="inbound", from_number="1", to_number="2", state="live", started=1.5
)
CALLBACK = Callback(sid="b1", url="http://a/", method="POST", data={"CallSid": "c1"}, created=1.0)


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url, owner="here")
    await database.start()
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def commits() -> Generator[list[object]]:
    """A list that grows with every transaction that is committed."""
    seen: list[object] = []

    def committed(connection: object) -> None:
        seen.append(connection)

    event.listen(sa.Engine, "commit", committed)
    try:
        yield seen
    finally:
        event.remove(sa.Engine, "commit", committed)


def row_of(sid: str, state: str = "live") -> dict[str, Any]:
    return call_row(replace(CALL, sid=sid, state=state))


def test_what_is_asked_for_at_once_is_committed_at_once(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            with commits() as seen:
                calls = [database.save_call(replace(CALL, sid=f"c{n:03}")) for n in range(MOST - 1)]
                await asyncio.gather(*calls, database.save_callback(CALLBACK))
            assert len(seen) == 1
            assert [call.sid for call in await database.load_calls()] == [f"c{n:03}" for n in range(MOST - 1)]
            assert await database.load_own_callbacks() == [CALLBACK]

    asyncio.run(run())


def test_what_is_asked_for_during_a_transaction_is_in_the_next_one(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            with commits() as seen:
                first = asyncio.ensure_future(database.save_call(CALL))
                await asyncio.sleep(0)  # its transaction is under way
                await asyncio.sleep(0)
                later = [database.save_call(replace(CALL, sid=sid)) for sid in ("c2", "c3", "c4")]
                await asyncio.gather(first, *later)
            assert len(seen) == 2
            assert len(await database.load_calls()) == 4

    asyncio.run(run())


def test_who_writes_one_row_after_the_other_does_not_wait_for_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexml.engine.shared_writes.GATHER_S", 3600.0)

    async def run() -> None:
        async with asyncio.timeout(60), opened(database_url) as database:
            for sid in ("c1", "c2", "c3"):
                await database.save_call(replace(CALL, sid=sid))
            assert len(await database.load_calls()) == 3

    asyncio.run(run())


def test_where_there_is_enough_for_a_transaction_nobody_waits_for_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexml.engine.shared_writes.GATHER_S", 3600.0)
    monkeypatch.setattr("flexml.engine.shared_writes.MOST", 2)

    async def run() -> None:
        async with asyncio.timeout(60), opened(database_url) as database:
            await asyncio.gather(*(database.save_call(replace(CALL, sid=f"c{number}")) for number in range(6)))
            assert len(await database.load_calls()) == 6

    asyncio.run(run())


def test_of_several_states_of_one_row_the_last_is_kept_whether_it_is_new_or_not(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            for states in (("live", "ended"), ("scheduled", "live")):
                await asyncio.gather(*(database.save_call(replace(CALL, state=state)) for state in states))
                (call,) = await database.load_calls()
                assert call.state == states[-1]

    asyncio.run(run())


def test_only_what_has_changed_of_a_live_call_is_written_again(database_url: str) -> None:
    """What somebody else has put into its row meanwhile stays, until it is over and forgotten."""

    async def number_of(database: Database, *saved: CallRecord) -> str:
        async with database.begin() as connection:
            await connection.execute(sa.update(call_table).values(to_number="theirs"))
        await asyncio.gather(*(database.save_call(call) for call in saved))
        (call,) = await database.load_calls()
        assert call == replace(saved[-1], to_number=call.to_number, owner=call.owner)
        return call.to_number

    async def run() -> None:
        async with opened(database_url) as database:
            answered = replace(CALL, answered=2.0)
            ended = replace(answered, state="ended", ended=3.0)
            assert await number_of(database, CALL) == CALL.to_number
            assert await number_of(database, answered) == "theirs"
            assert await number_of(database, answered) == CALL.to_number, "nothing has: all of it is"
            assert await number_of(database, ended) == "theirs"
            assert await number_of(database, replace(CALL, duration_s=7)) == CALL.to_number, "it was over"
            assert await number_of(database, answered, ended) == CALL.to_number, "while one is written, all of it is"

    asyncio.run(run())


def test_what_could_not_be_written_is_written_with_what_comes_next(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            await database.save_call(CALL)
            with pytest.raises(IntegrityError):
                await database.save_call(replace(CALL, answered=2.0, direction=cast("Any", None)))
            await database.save_call(replace(CALL, answered=2.0))
            assert (await database.load_calls())[0].answered == 2.0

    asyncio.run(run())


def test_of_those_that_add_the_same_row_one_does(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            adds = [database.add_callback(replace(CALLBACK, url=f"http://{n}/")) for n in range(3)]
            assert await asyncio.gather(*adds) == [True, False, False]
            assert await database.add_callback(CALLBACK) is False
            (callback,) = await database.load_own_callbacks()
            assert callback.url == "http://0/"

    asyncio.run(run())


def test_a_row_that_is_refused_costs_the_others_nothing(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            writes = SharedWrites(database)
            refused = row_of("c2") | {"account": None}
            asked = [writes.put(call_table, row) for row in (row_of("c1"), refused, row_of("c3"))]
            results = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(result) for result in results] == [type(None), IntegrityError, type(None)]
            assert [call.sid for call in await database.load_calls()] == ["c1", "c3"]

    asyncio.run(run())


def test_a_row_that_another_engine_adds_meanwhile_is_not_added_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked and found it missing: nobody finds a row here, so that every insert meets the other's."""

    def nothing(self: object, statement: object, parameters: object) -> list[str]:
        return []

    async def run() -> None:
        async with opened(database_url) as database:
            await database.save_callback(CALLBACK)
            monkeypatch.setattr("sqlalchemy.Connection.scalars", nothing)
            writes = SharedWrites(database)
            theirs, ours = asdict(CALLBACK), asdict(replace(CALLBACK, sid="b2"))
            rows = [row | {"owner": "here"} for row in (theirs, ours)]
            assert await asyncio.gather(*(writes.add(callback_table, row) for row in rows)) == [False, True]

    asyncio.run(run())


def test_who_asks_is_told_that_the_database_is_away_and_what_is_asked_later_is_written(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexml.engine.sql.SQLITE_PATIENCE_MS", 1)

    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path}/a.db") as database:
            lock = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            asked = [database.save_call(CALL), database.save_callback(CALLBACK)]
            for result in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(result, DatabaseAway)
            lock.execute("ROLLBACK")
            lock.close()
            await database.save_call(CALL)
            assert [call.sid for call in await database.load_calls()] == ["c1"]

    asyncio.run(run())


def test_what_was_asked_for_is_written_before_the_database_is_closed(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            saving = [asyncio.ensure_future(database.save_call(replace(CALL, sid=sid))) for sid in ("c1", "c2")]
            await asyncio.sleep(0)
        assert all(one.done() for one in saving)
        async with opened(database_url) as database:
            assert [call.sid for call in await database.load_calls()] == ["c1", "c2"]

    asyncio.run(run())


def test_the_end_does_not_wait_for_a_server_of_which_nothing_comes(
    postgresql: PostgresqlServer, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexml.engine.shared_writes.CLOSE_S", 0.2)

    async def run() -> None:
        database = Database(postgresql_url, owner="here")
        await database.start()
        writes = SharedWrites(database)
        with postgresql.frozen():
            asked = [asyncio.ensure_future(writes.put(call_table, row_of(sid))) for sid in ("c1", "c2")]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(20):
                await writes.close()
            with pytest.raises(DatabaseAway, match="the engine ends"):
                await writes.put(call_table, row_of("c3"))
            assert all(one.cancelled() for one in asked)
        await database.close()

    asyncio.run(run())


def test_who_no_longer_waits_costs_the_others_nothing(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            impatient = asyncio.ensure_future(database.save_call(CALL))
            patient = asyncio.ensure_future(database.save_call(replace(CALL, sid="c2")))
            await asyncio.sleep(0)
            impatient.cancel()
            await patient
            assert "c2" in [call.sid for call in await database.load_calls()]

    asyncio.run(run())
