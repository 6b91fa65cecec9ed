"""The keeper of timelines: what gets in, when it is written, and what a failing database does to it."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from flexml.engine.db import Database
from flexml.engine.tables import timeline_table
from flexml.engine.timeline import COUNTED_CALLS, Entry, Pace, Timeline, load_timeline
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DataError, OperationalError

from .virtual_time import run

T = TypeVar("T")
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).timestamp()


class Shop(Database):
    """Keeps batches in memory; fails as told: an error for each call of `write`, in turn, None for success."""

    def __init__(self, *errors: Exception | None) -> None:
        super().__init__("sqlite://")
        self.errors = list(errors)
        self.refused = ""
        self.batches: list[list[dict[str, Any]]] = []
        self.at: list[float] = []

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        self.at.append(asyncio.get_running_loop().time())
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        await asyncio.sleep(0.001)
        return work(self)  # type: ignore[arg-type]

    dialect = sqlite.dialect()

    def exec_driver_sql(self, _text: str, rows: list[tuple[str, float, str, str]]) -> None:
        if any(row[2] == self.refused for row in rows):
            raise DataError("INSERT", None, ValueError("too long"))
        self.batches.append([{"call": row[0], "what": row[2], "details": json.loads(row[3])} for row in rows])

    @property
    def lines(self) -> list[str]:
        return [row["what"] for batch in self.batches for row in batch]


def gone() -> OperationalError:
    return OperationalError("INSERT", None, OSError("database is gone"))


@contextlib.asynccontextmanager
async def running(database: Database, pace: Pace | None = None, max_notes: int = 1000) -> AsyncGenerator[Timeline]:
    timeline = Timeline(database, pace=pace, max_notes=max_notes)
    await timeline.start()
    try:
        yield timeline
    finally:
        await timeline.close()


def note(timeline: Timeline, *lines: str, call: str = "c1") -> None:
    for line in lines:
        timeline.note(call, NOW, line, {})


def test_lines_are_written_together_half_a_second_after_the_first() -> None:
    async def main() -> None:
        shop = Shop()
        async with running(shop) as timeline:
            note(timeline, "one")
            await asyncio.sleep(0.4)
            note(timeline, "two")
            assert shop.lines == []
            await asyncio.sleep(0.2)
            assert [[row["what"] for row in batch] for batch in shop.batches] == [["one", "two"]]
            assert shop.at == [0.5]
            await asyncio.sleep(60)
            assert len(shop.at) == 1, "nothing to write, no transaction"

    run(main())


def test_a_full_batch_is_written_at_once() -> None:
    async def main() -> None:
        shop = Shop()
        async with running(shop, pace=Pace(batch=200)) as timeline:
            note(timeline, *map(str, range(450)))
            await asyncio.sleep(0.1)
            assert [len(batch) for batch in shop.batches] == [200, 200]
            await asyncio.sleep(0.6)
            assert shop.lines == list(map(str, range(450)))

    run(main())


def test_flush_returns_once_all_that_was_noted_before_is_written() -> None:
    async def main() -> None:
        shop = Shop()
        async with running(shop) as timeline:
            assert await timeline.flush()
            note(timeline, *map(str, range(450)))
            assert await timeline.flush()
            assert len(shop.lines) == 450
            assert asyncio.get_running_loop().time() < 0.1

    run(main())


def test_flush_does_not_wait_for_ever_and_close_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shop = Shop(*[gone() for _ in range(100)])
        async with running(shop) as timeline:
            note(timeline, "one", "two")
            assert not await timeline.flush()
            assert asyncio.get_running_loop().time() == pytest.approx(2.0)
        assert asyncio.get_running_loop().time() == pytest.approx(7.0)
        assert shop.lines == []

    run(main())
    assert "2 lines of timelines were not written" in caplog.text


def test_a_database_that_comes_back_gets_every_line_in_order(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shop = Shop(gone(), gone(), OSError("refused"), None)
        async with running(shop) as timeline:
            note(timeline, "one")
            await asyncio.sleep(1)
            note(timeline, "two")
            await asyncio.sleep(10)
            assert shop.lines == ["one", "two"]
            assert shop.at[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0]), "twice as long each time"

    run(main())
    assert caplog.text.count("next attempt in") == 3
    assert "INSERT" not in caplog.text


def test_what_does_not_fit_is_counted_by_call_and_noted_once_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shop = Shop(gone(), gone())
        async with running(shop, Pace(waiting=10)) as timeline:
            note(timeline, *map(str, range(8)), call="a")
            note(timeline, *map(str, range(8, 16)), call="b")
            note(timeline, "x", call="a")
            assert timeline.waiting == 10
            await asyncio.sleep(30)
            rows = [row for batch in shop.batches for row in batch]
            assert [row["what"] for row in rows[:10]] == list(map(str, range(10)))
            assert [(row["call"], row["what"], row["details"]) for row in rows[10:]] == [
                ("b", "lines lost", {"count": 6}),
                ("a", "lines lost", {"count": 1}),
            ]

    run(main())
    assert "lines are being lost" in caplog.text
    assert "7 lines of 2 timelines were lost" in caplog.text


def test_a_line_that_the_database_refuses_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shop = Shop()
        shop.refused = "bad"
        async with running(shop) as timeline:
            note(timeline, "one", "bad", "two")
            assert await timeline.flush()
            assert shop.lines == ["one", "two"]

    run(main())
    assert "c1: a line of the timeline was refused: too long" in caplog.text


def test_a_call_has_so_many_lines_and_its_quality_and_end_beside() -> None:
    async def main() -> None:
        shop = Shop()
        async with running(shop, max_notes=3) as timeline:
            note(timeline, "1", "2", "3", "4", "RTP quality", "5", "call ended")
            note(timeline, "1", call="other")
            await timeline.flush()
            assert shop.lines == ["1", "2", "3", "further lines left out", "RTP quality", "call ended", "1"]
            timeline.forget("c1")
            note(timeline, "6")
            await timeline.flush()
            assert shop.lines[-1] == "6"

    run(main())


def test_lines_of_calls_that_are_over_are_not_counted_for_ever() -> None:
    async def main() -> None:
        shop = Shop()
        async with running(shop, max_notes=1) as timeline:
            note(timeline, "uploading", call="first")
            for number in range(COUNTED_CALLS):
                note(timeline, "uploading", call=f"call {number}")
            note(timeline, "again", call="first")
            note(timeline, "again", call="call 1")
            await timeline.flush(60)
            assert shop.lines[-2:] == ["again", "further lines left out"]

    run(main())


class Unprintable:
    """A value that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_noting_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shop = Shop()
        async with running(shop) as timeline:
            timeline.note("c1", NOW, "strange", {"x": Unprintable()})
            timeline.note("c1", NOW, "no details", None)  # type: ignore[arg-type]
            note(timeline, "next")
            await timeline.flush()
            assert shop.lines == ["strange", "next"]
            assert shop.batches[0][0]["details"] == {"x": "<Unprintable>"}

    run(main())
    assert caplog.text.count("could not be noted") == 1


def test_lines_come_back_as_they_were_noted(database_url: str) -> None:
    async def main() -> list[Entry]:
        database = Database(database_url)
        await database.start()
        try:
            async with running(database) as timeline:
                timeline.note("c1", NOW, "> POST", {"url": "http://u:p@h/?token=x", "status": 200, "ms": 1.5})
                timeline.note("c2", NOW, "other", {})
                timeline.note("c1", NOW, "digit", {"digit": "#", "Ü": None})
            return await load_timeline(database, "c1")
        finally:
            await database.close()

    assert asyncio.run(main()) == [
        Entry("c1", NOW, "> POST", {"url": "http://***@h/?token=***", "status": 200, "ms": 1.5}),
        Entry("c1", NOW, "digit", {"digit": "#", "Ü": None}),
    ]


def test_a_locked_sqlite_file_delays_lines_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "db"

    async def main() -> int:
        database = Database(f"sqlite:///{path}")
        await database.start()
        async with database.begin() as connection:
            await connection.execute(sa.text("PRAGMA busy_timeout=10"))
        other = sqlite3.connect(path, isolation_level=None)
        try:
            async with running(database, Pace(every_s=0.001, retry_first_s=0.01, retry_most_s=0.05)) as timeline:
                other.execute("BEGIN IMMEDIATE")
                note(timeline, *map(str, range(300)))
                assert not await timeline.flush(0.2)
                other.execute("ROLLBACK")
                assert await timeline.flush(10)
            async with database.begin() as connection:
                count = sa.select(sa.func.count()).select_from(timeline_table)
                return (await connection.execute(count)).scalar_one()
        finally:
            other.close()
            await database.close()

    assert asyncio.run(main()) == 300


ROOT = Path(__file__).parents[2]


def noted_in(module: Path) -> list[str]:
    """What a module notes, where that is written there as it stands."""
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call) and node.args]
    names = {"note", "_note", "waiting"}
    return [
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in names
        for argument in ast.walk(call)
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if argument in call.args
    ]


def test_every_line_is_explained() -> None:
    text = (ROOT / "docs" / "timeline.md").read_text()
    noted = {what for module in (ROOT / "engine").rglob("*.py") for what in noted_in(module)}
    assert {"< INVITE", "digit", "verb ended", "RTP quality", "recording ended"} <= noted
    by_verb = {what for what in noted if what.partition(":")[0] in {"Dial", "Play", "Say", "Record"}}
    assert [what for what in sorted(noted - by_verb) if f"`{what}`" not in text] == []
