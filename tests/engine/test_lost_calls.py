"""Calls that the database has as live, and nobody lives."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flexml.engine import lost_calls
from flexml.engine.db import Database
from flexml.engine.errors import DatabaseAway
from flexml.engine.flexml.fetch import Cookies, Fetched
from flexml.engine.lives import Lives
from flexml.engine.outbox import Outbox
from flexml.engine.records import CallRecord
from flexml.engine.registry import Registry
from flexml.engine.timeline import Timeline, load_timeline

from .fakes_sip import FakeAgent

URL = "http://app/status"
CALL = CallRecord(
    sid="c1", account="a1", direction="outbound", from_number="1", to_number="2", state="live", started=1.5,
    callback={"url": URL, "method": "POST", "data": {"CallSid": "c1", "CallStatus": "failed"}, "sid": "b1"},
)  # fmt: skip


class Application:
    """Takes every callback."""

    def __init__(self) -> None:
        self.got: list[Mapping[str, object]] = []

    def cookies(self) -> Cookies:
        return object()

    async def fetch(
        self,
        url: str,
        method: str,
        data: Mapping[str, object],
        *,
        cookies: Cookies | None = None,
        delivery: str | None = None,
    ) -> Fetched:
        assert (url, method) == (URL, "POST")
        self.got.append(data)
        return Fetched(url=url, body=b"", status=200)


class Engine:
    """What lives calls, with what is lost looked for when a test says so."""

    def __init__(self, database: Database) -> None:
        self.database, self.application, self.timeline = database, Application(), Timeline(database)
        self.outbox = Outbox(database, self.application, clock=lambda: 9.0)
        self.lives = Lives(
            registry=Registry(), agent=FakeAgent(), fetcher=self.application, outbox=self.outbox,
            database=database, timeline=self.timeline,
        )  # fmt: skip

    async def look(self, seen: set[str]) -> set[str]:
        return set(await lost_calls.end(self.lives, self.database, seen, now=9.0))


@asynccontextmanager
async def engine(url: str, owner: str = "here") -> AsyncGenerator[Engine]:
    database = Database(url, owner=owner)
    await database.start()
    made = Engine(database)
    await made.timeline.start()
    try:
        yield made
    finally:
        await made.timeline.close()
        await made.outbox.close()
        await database.close()


def test_a_call_that_nobody_lives_twice_in_a_row_has_failed_and_is_told_of_once(database_url: str) -> None:
    async def main() -> None:
        async with engine(database_url) as here:
            await here.database.save_call(CALL)
            seen = await here.look(set())
            assert (seen, (await here.database.load_calls())[0].state) == ({"c1"}, "live")
            assert await here.look(seen) == set()
            assert await here.look(seen) == set()
            await here.outbox.idle()
            (call,) = await here.database.load_calls()
            assert (call.state, call.status, call.ended, call.callback) == ("ended", "failed", 9.0, None)
            assert here.application.got == [{"CallSid": "c1", "CallStatus": "failed"}]
            whats = [line.what for line in await load_timeline(here.database, "c1")]
            assert whats[:2] == ["the call cannot go on", "call over"]

    asyncio.run(main())


def test_what_waits_is_over_or_is_anothers_is_left_alone(database_url: str) -> None:
    async def main() -> None:
        async with engine(database_url) as here, engine(database_url, "there") as there:
            await there.database.save_call(replace(CALL, sid="theirs"))
            await here.database.save_call(replace(CALL, sid="over", state="ended", ended=2.0))
            await here.database.save_call(replace(CALL, sid="waits", state="scheduled", due=5.0))
            await here.database.save_call(replace(CALL, sid="claimed", state="scheduled", due=3.0))
            assert [call.sid for call in await here.database.claim_due_calls(4.0)] == ["claimed"]
            assert await here.look({"theirs", "over", "waits", "claimed"}) == set()
            assert here.application.got == []

    asyncio.run(main())


def test_nobody_is_judged_while_the_database_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flexml.engine.sql.SQLITE_PATIENCE_MS", 1)

    async def main() -> None:
        async with engine(f"sqlite:///{tmp_path}/flexml.db") as here:
            await here.database.save_call(CALL)
            lock = sqlite3.connect(tmp_path / "flexml.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseAway):
                await here.database.save_call(replace(CALL, sid="c2"))
            assert await here.look({"c1"}) == set()
            lock.execute("ROLLBACK")
            lock.close()
            assert (await here.database.load_calls())[0].state == "live"

    asyncio.run(main())
