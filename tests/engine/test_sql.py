"""A database that goes away and comes back: with a real PostgreSQL server that is stopped and started."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flexml.engine import sql
from flexml.engine.api.call_collection import CALLS
from flexml.engine.api.query.conditions import compile_filter
from flexml.engine.api.query.fields import TEXTS
from flexml.engine.api.query.paging import Order, Page
from flexml.engine.api.query.rows import Rows
from flexml.engine.db import Database
from flexml.engine.errors import ConfigError, DatabaseAway, DatabaseError
from flexml.engine.flexml.fetch import Fetched
from flexml.engine.latency import Latency
from flexml.engine.outbox import Outbox
from flexml.engine.records import CallRecord
from flexml.engine.tables import call_table
from flexml.engine.timeline import Pace, Timeline, load_timeline
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg as postgresql_dialect
from sqlalchemy.exc import IntegrityError

from ..postgresql import PostgresqlServer

CALL = CallRecord(
    sid="c1", account="a1", direction="inbound", from_number="1", to_number="2", state="live", started=1.5
)
NOW = datetime(2026, 1, 31, tzinfo=UTC).timestamp()


class Application:
    """Takes every callback."""

    def __init__(self) -> None:
        self.got: list[str] = []

    async def fetch(self, url: str, method: str, data: Mapping[str, object], *, delivery: str | None = None) -> Fetched:
        self.got.append(url)
        return Fetched(url=url, body=b"", status=200)


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def test_a_long_read_of_sqlite_holds_up_neither_the_loop_nor_who_writes(tmp_path: Path) -> None:
    async def main() -> None:
        go_on = threading.Event()

        def read(connection: sa.Connection) -> bool:
            return go_on.wait(30.0) and connection.scalar(sa.select(call_table.c.sid)) == CALL.sid

        async with opened(f"sqlite:///{tmp_path}/flexml.db") as database:
            reading = asyncio.create_task(database.read(read))
            await database.save_call(CALL)
            go_on.set()
            assert await reading

    asyncio.run(main())


def test_how_long_transactions_take_is_known_while_they_are_under_way(database_url: str) -> None:
    async def main() -> None:
        async with opened(database_url) as database:
            for way in (database.read, database.write):
                database.latency = Latency(asyncio.get_running_loop().time)
                await way(lambda _: time.sleep(0.02))
                assert database.latency.worst_s >= 0.02
            database.latency = Latency(asyncio.get_running_loop().time)
            async with database.begin():
                await asyncio.sleep(0.02)
                assert database.latency.worst_s >= 0.02
            assert database.latency.worst_s >= 0.02

    asyncio.run(main())


def test_a_full_sqlite_takes_nothing_until_it_does_though_it_is_read_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def room(pages: int) -> Callable[[sa.Connection], object]:
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def main() -> None:
        async with opened(f"sqlite:///{tmp_path}/flexml.db") as database:
            await database.save_call(CALL)
            await database.write(room(1))
            for _ in range(3):
                with pytest.raises(DatabaseAway, match="takes nothing: database or disk is full"):
                    await database.save_call(replace(CALL, sid="c2", order={"large": "x" * 10**6}))
                assert await database.load_calls() == [CALL]
                assert database.state == "takes nothing"
            await database.write(room(10**6))
            assert database.state == "answers"

    with caplog.at_level(logging.WARNING, "flexml.database"):
        asyncio.run(main())
    said = [record.getMessage() for record in caplog.records if record.name == "flexml.database"]
    assert said == ["the database takes nothing: database or disk is full", "the database answers again"]


@pytest.mark.parametrize("way", ["read", "write"])
def test_what_work_on_the_database_raises_comes_through(database_url: str, way: str) -> None:
    def refuse(_connection: sa.Connection) -> None:
        raise LookupError("not there")

    async def main() -> None:
        async with opened(database_url) as database:
            with pytest.raises(LookupError, match="not there"):
                await getattr(database, way)(refuse)
            assert await database.load_calls() == []

    asyncio.run(main())


def test_what_is_done_patiently_while_the_server_is_away_is_done_when_it_is_back(
    postgresql: PostgresqlServer, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with opened(postgresql_url) as database:
            application = Application()
            outbox = Outbox(database, application, clock=lambda: 5.0)
            timeline = Timeline(database, pace=Pace(every_s=0.01, retry_first_s=0.05))
            await timeline.start()
            await database.save_call(CALL)
            await asyncio.to_thread(postgresql.stop, how=signal.SIGQUIT)
            try:
                ended = replace(CALL, state="ended", ended=9.0)
                saving = asyncio.create_task(database.patiently(lambda: database.save_call(ended)))
                putting = asyncio.create_task(outbox.put("http://a/", "POST", {}))
                timeline.note("c1", NOW, "digit", {"digit": "1"})
                for _ in range(3):
                    with pytest.raises(DatabaseAway):
                        await database.load_calls()
                assert not await timeline.flush(0.1)
                assert not saving.done()
                assert not putting.done()
                assert application.got == [], "nothing is sent that could be forgotten"
            finally:
                await asyncio.to_thread(postgresql.start)
            async with asyncio.timeout(20):
                await saving
                await putting
                await outbox.idle()
            assert await timeline.flush(20)
            assert await database.load_calls() == [ended]
            assert [one.url for one in await database.load_callbacks("delivered")] == ["http://a/"]
            assert application.got == ["http://a/"]
            assert [one.what for one in await load_timeline(database, "c1")] == ["digit"]
            await timeline.close()

    with caplog.at_level(logging.WARNING, "flexml.database"):
        asyncio.run(main())
    said = [record.getMessage() for record in caplog.records if record.name == "flexml.database"]
    assert len(said) == 2, "once when it goes, once when it is back"
    assert said[0].startswith("the database does not answer: ")
    assert said[1] == "the database answers again"


REFUSALS = [
    ("ALTER ROLE engine NOLOGIN", "ALTER ROLE engine LOGIN", "not permitted to log in"),
    ("ALTER DATABASE {name} CONNECTION LIMIT 0", "ALTER DATABASE {name} CONNECTION LIMIT -1", "too many connections"),
    (
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        "ALTER DATABASE {name} ALLOW_CONNECTIONS true",
        "not currently accepting connections",
    ),
    ("ALTER DATABASE {name} RENAME TO elsewhere", "ALTER DATABASE elsewhere RENAME TO {name}", "does not exist"),
]


@pytest.fixture
def role(postgresql: PostgresqlServer, postgresql_url: str) -> Iterator[str]:
    """The URL of a database for a user without rights of its own but on the tables there."""
    name = name_of(postgresql_url)
    postgresql.execute("CREATE ROLE engine LOGIN")
    postgresql.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO engine", name)
    yield postgresql_url.replace("postgres@", "engine@")
    postgresql.execute("DROP OWNED BY engine", name)
    postgresql.execute("DROP ROLE engine")


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@pytest.mark.parametrize(("close", "open_again", "said"), REFUSALS)
def test_a_server_that_lets_nobody_in_is_away_until_it_does(
    postgresql: PostgresqlServer, role: str, close: str, open_again: str, said: str
) -> None:
    name = name_of(role)

    async def main() -> None:
        async with opened(role) as database:
            await database.save_call(CALL)
            await asyncio.to_thread(postgresql.execute, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                    "WHERE usename = 'engine'")  # fmt: skip
            await asyncio.to_thread(postgresql.execute, close.format(name=name))
            try:
                with pytest.raises(DatabaseAway, match=said):
                    await database.load_calls()
                ended = replace(CALL, state="ended", ended=9.0)
                saving = asyncio.create_task(database.patiently(lambda: database.save_call(ended)))
                await asyncio.sleep(0.3)
                assert not saving.done()
            finally:
                await asyncio.to_thread(postgresql.execute, open_again.format(name=name))
            async with asyncio.timeout(20):
                await saving
            assert await database.load_calls() == [ended]

    asyncio.run(main())


def test_a_right_that_is_taken_away_is_waited_for(postgresql: PostgresqlServer, role: str) -> None:
    async def main() -> None:
        async with opened(role) as database:
            await asyncio.to_thread(postgresql.execute, "REVOKE ALL ON call FROM engine", name_of(role))
            with pytest.raises(DatabaseAway, match="permission denied for table call"):
                await database.save_call(CALL)
            await asyncio.to_thread(postgresql.execute, "GRANT ALL ON call TO engine", name_of(role))
            await database.save_call(CALL)

    asyncio.run(main())


def test_a_server_of_which_nothing_comes_is_away(
    postgresql: PostgresqlServer, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(postgresql_url) as database:
            await database.save_call(CALL)
            with postgresql.frozen(), monkeypatch.context() as soon:
                soon.setattr(sql, "ANSWER_S", 0.2)
                async with asyncio.timeout(20):
                    for work in (database.load_calls, lambda: database.save_call(replace(CALL, state="ended"))):
                        with pytest.raises(DatabaseAway, match="nothing came within"):
                            await work()
            async with asyncio.timeout(20):
                assert await database.load_calls() == [CALL]

    asyncio.run(main())


def test_a_transaction_that_loses_its_server_is_an_error_that_says_so(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async def restart_within_a_transaction(database: Database) -> None:
        async with database.begin() as connection:
            await asyncio.to_thread(postgresql.stop, how=signal.SIGQUIT)
            try:
                await connection.execute(sa.text("SELECT 1"))
            finally:
                await asyncio.to_thread(postgresql.start)

    async def main() -> None:
        async with opened(postgresql_url) as database:
            with pytest.raises(DatabaseAway):
                await restart_within_a_transaction(database)
            assert await database.load_calls() == []

    asyncio.run(main())


def test_who_waits_too_long_for_a_connection_may_try_again(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "POSTGRESQL_POOL", {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1})

    async def main() -> None:
        async with opened(postgresql_url) as database:
            async with database.begin():
                with pytest.raises(DatabaseAway, match="does not answer: QueuePool limit"):
                    await database.load_calls()
                waiting = asyncio.create_task(database.patiently(database.load_calls))
                await asyncio.sleep(0.2)
                assert not waiting.done()
            assert await waiting == []

    asyncio.run(main())


def test_what_the_database_refuses_is_not_tried_again(database_url: str) -> None:
    async def main() -> None:
        async with opened(database_url) as database:
            with pytest.raises(IntegrityError):
                await database.patiently(lambda: database.save_call(replace(CALL, state=None)))  # pyright: ignore[reportArgumentType]

    asyncio.run(main())


WRONG = {
    "nothing": 'database "nothing" does not exist',
    "postgres?user=nobody_at_all": 'role "nobody_at_all" does not exist',
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_lets_nobody_in_is_named_with_what_it_says(postgresql: PostgresqlServer, name: str) -> None:
    url = postgresql.url(name.partition("?")[0]).replace("postgres@", f"{(name + '=postgres').split('=')[1]}:secret@")
    with pytest.raises(DatabaseError, match=f"cannot be used: .*{WRONG[name]}") as raised:
        asyncio.run(Database(url).start())
    assert "secret" not in str(raised.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(DatabaseError, match=r"postgresql\+asyncpg://me:\*\*\*@127.0.0.1:1/x cannot be used: "):
        asyncio.run(Database("postgresql://me:secret@127.0.0.1:1/x").start())


def test_without_asyncpg_postgresql_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_all_but_asyncpg(name: str) -> ModuleSpec | None:
        return None if name == "asyncpg" else find_spec(name)

    monkeypatch.setattr(sql, "find_spec", find_all_but_asyncpg)
    with pytest.raises(ConfigError, match=r"asyncpg is needed.*pip install -e '\.\[postgresql\]'") as raised:
        Database("postgresql://me:secret@host/name")
    assert "secret" not in str(raised.value)
    Database("sqlite:///x.db")


@pytest.mark.parametrize("name", ["delay", "status"])
@pytest.mark.parametrize("way", ["asc", "desc"])
def test_what_is_sorted_by_something_computed_is_read_from_an_index_alone(
    postgresql_url: str, name: str, way: str
) -> None:
    """Else an offset of 80,000 reads and sorts the whole table."""
    page = Page(limit=20, offset=80_000, order=(Order(CALLS.by_name[name], way == "desc"),))
    ours = (CALLS.owner == "a1", call_table.c.state == "ended")
    query = Rows(table=call_table, sid=CALLS.sid, part=ours, where=(), page=page).select((call_table.c.url,), None)
    found = planned(postgresql_url, query, "enable_seqscan", "enable_bitmapscan", "enable_sort")
    assert re.search(rf"Index Only Scan( Backward)? using call_by_{name}", found)


def planned(url: str, query: sa.Select[Any], *off: str) -> str:
    """How PostgreSQL would do it, without what is switched `off` where there are no rows to decide by."""
    text = query.compile(dialect=postgresql_dialect(), compile_kwargs={"literal_binds": True})

    async def plan() -> str:
        async with opened(url) as database, database.begin() as connection:
            for other in off:
                await connection.execute(sa.text(f"SET LOCAL {other} = off"))
            return "\n".join((await connection.exec_driver_sql(f"EXPLAIN {text}")).scalars())

    return asyncio.run(plan())


NOTHING = 'ilike "%no such thing%"'
FILTERS = [
    *(f"{name} {NOTHING}" for name in CALLS.by_name if CALLS.by_name[name].kind in TEXTS),
    f"duration notin (5) and date_ended ne 2020-01-01 and direction eq inbound and url {NOTHING}",
    f"attributes.a {NOTHING} and attributes.b.c ne x and method eq POST",
]
MANY_CALLS = """
INSERT INTO call (sid, account, direction, from_number, to_number, state, started, created, ended, status, duration_s,
                  url, attributes, "order")
SELECT md5(n::text), 'a1', 'inbound', n, n, 'ended', n, n, n, 'busy', n % 9, 'http://here/' || n, '{"a": "b"}',
       json_build_object('attributes', repeat('x', 500))
FROM generate_series(1, 5000) AS n
"""


@pytest.fixture(scope="module")
def many_calls(postgresql: PostgresqlServer, postgresql_template: str) -> str:
    """A database with so many calls that PostgreSQL decides by its statistics of them how to read lists."""
    name = postgresql.create(postgresql_template)
    postgresql.execute(MANY_CALLS, name)
    postgresql.execute("CHECKPOINT", name)  # what is not on the disk yet is not known to be seen by all
    postgresql.execute("VACUUM ANALYZE call", name)
    return postgresql.url(name)


@pytest.mark.parametrize("text", FILTERS)
def test_what_is_filtered_is_looked_for_in_an_index_alone(many_calls: str, text: str) -> None:
    """Else a filter that finds nothing reads every row of an account."""
    page = Page(limit=20, offset=0, order=(Order(CALLS.by_name["date_created"], True),))
    ours = (CALLS.owner == "a1", call_table.c.state == "ended")
    where = tuple(compile_filter(text, CALLS.by_name))
    query = Rows(table=call_table, sid=CALLS.sid, part=ours, where=where, page=page).select((call_table.c.owner,), None)
    assert re.search(r"Index Only Scan( Backward)? using call_by_", planned(many_calls, query))


def test_connections_to_postgresql_ask_for_plans_that_suit_lists(postgresql_url: str) -> None:
    async def shown() -> dict[str, str]:
        async with opened(postgresql_url) as database, database.begin() as connection:
            asked = {name: sa.text(f"SHOW {name}") for name in sql.POSTGRESQL_SETTINGS}
            return {name: str((await connection.execute(show)).scalar_one()) for name, show in asked.items()}

    plans = {"plan_cache_mode": "force_custom_plan", "random_page_cost": "1.1"}
    assert asyncio.run(shown()) == {"jit": "off", "max_parallel_workers_per_gather": "0", **plans}
