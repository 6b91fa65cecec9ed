"""What is deleted for its age, and what stays, in a real SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flexml.engine.db import Database
from flexml.engine.recording_log import KeptRecording, RecordingLog
from flexml.engine.records import Callback, CallRecord
from flexml.engine.retention import DAY_S, EVERY_S, Purged, keep, purge
from flexml.engine.tables import recording_table, timeline_table
from sqlalchemy.ext.asyncio import AsyncConnection

from .virtual_time import run

CALL = CallRecord(
    sid="", account="a", direction="inbound", from_number="1", to_number="2", state="ended", started=0, ended=10
)
RECORDING = KeptRecording(
    sid="", call="", account="a", recording_sid="", file="", url="", format="wav", duration_s=1, status="absent"
)
CALLBACK = Callback(sid="", url="http://a/", method="POST", data={}, created=10)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


async def add_lines(database: Database, call: str, count: int) -> None:
    async with database.begin() as connection:
        rows = [{"call": call, "at": 1.0, "what": "x", "details": {}} for _ in range(count)]
        await connection.execute(sa.insert(timeline_table), rows)


async def lines_left(database: Database) -> list[str]:
    async with database.begin() as connection:
        return list((await connection.execute(sa.select(timeline_table.c.call))).scalars())


def test_old_calls_go_with_their_timelines_and_delivered_callbacks(database_url: str) -> None:
    async def main() -> None:
        async with opened(database_url) as database:
            for call in (
                replace(CALL, sid="old"),
                replace(CALL, sid="young", ended=100),
                replace(CALL, sid="live", state="live", ended=None),
            ):
                await database.save_call(call)
                await add_lines(database, call.sid, 2)
                await RecordingLog(database, lambda: 1.0).put(replace(RECORDING, sid=call.sid, call=call.sid))
            for callback in (
                replace(CALLBACK, sid="old", state="delivered"),
                replace(CALLBACK, sid="young", state="delivered", created=100),
                replace(CALLBACK, sid="pending"),
                replace(CALLBACK, sid="failed", state="failed"),
            ):
                await database.save_callback(callback)
            assert await purge(database, before=50) == Purged(calls=1, timeline=2, callbacks=1)
            assert {call.sid for call in await database.load_calls()} == {"young", "live"}
            async with database.begin() as connection:
                recordings = (await connection.execute(sa.select(recording_table.c.call))).scalars()
                assert set(recordings) == {"young", "live"}
            assert sorted(await lines_left(database)) == ["live", "live", "young", "young"]
            assert [row.sid for row in await database.load_callbacks("delivered")] == ["young"]
            assert await purge(database, before=50) == Purged(calls=0, timeline=0, callbacks=0)

    asyncio.run(main())


def test_more_than_a_batch_is_deleted_whole(database_url: str) -> None:
    async def main() -> None:
        async with opened(database_url) as database:
            for number in range(1003):
                await database.save_call(replace(CALL, sid=f"{number}"))
            await add_lines(database, "0", 2500)
            await add_lines(database, "1002", 1)
            assert await purge(database, before=50) == Purged(calls=1003, timeline=2501, callbacks=0)

    asyncio.run(main())


class Stopped(Exception):
    """The test has seen enough."""


class Shop(Database):
    """Fails every time, and counts."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.at: list[float] = []

    def begin(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        self.at.append(asyncio.get_running_loop().time())
        if len(self.at) == 3:
            raise Stopped
        raise OSError("the database is gone")


def test_purging_goes_on_every_hour_whatever_the_database_does() -> None:
    async def main() -> None:
        shop = Shop()
        with pytest.raises(Stopped):
            await keep(shop, 30, lambda: 100 * DAY_S)
        assert shop.at == [0, EVERY_S, 2 * EVERY_S]

    run(main())


def test_zero_days_keep_for_ever() -> None:
    async def main() -> None:
        shop = Shop()
        await keep(shop, 0, lambda: 100 * DAY_S)
        assert shop.at == []

    run(main())
