"""Databases of earlier and later versions, brought to this one's tables, or not.

`databases/` holds dumps that earlier versions of the engine made: the first that had a database, and the last without
revisions. Each has an account, a number, a call and a callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flexml.engine.db import Database
from flexml.engine.errors import DatabaseError
from flexml.engine.migrations import HEAD, REVISIONS, alembic_config, default_differs
from flexml.engine.records import Callback
from flexml.engine.tables import metadata
from sqlalchemy.ext.asyncio import create_async_engine

from ..conftest import NewDatabase
from ..postgresql import PostgresqlServer

DUMPS = Path(__file__).parent / "databases"
OF_ONE_DATABASE = {"call_listing", "call_listing_attributes", "call_listing_scheduled"}
EARLIER = ["first", "before_revisions"]


def earlier(name: str, directory: Path) -> Path:
    """A SQLite file as an earlier version left it."""
    file = directory / "flexml.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript((DUMPS / f"{name}.sql").read_text(encoding="utf-8"))
    return file


def is_compared(thing: object, _name: str | None, _kind: str, _reflected: bool, _other: object) -> bool:
    """Alembic compares indexes of columns; those of expressions, and of one database, are compared by name."""
    if not isinstance(thing, sa.Index) or thing.name in OF_ONE_DATABASE:
        return not isinstance(thing, sa.Index)
    return all(isinstance(one, sa.Column) for one in thing.expressions)


def differences(connection: sa.Connection) -> list[Any]:
    options = {"compare_server_default": default_differs, "include_object": is_compared}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*expression-based index")  # SQLite's cannot even be read
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return found + [f"index {name}" for name in sorted(index_names(connection) ^ wanted_index_names(connection))]


def index_names(connection: sa.Connection) -> set[str]:
    sqlite = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    postgresql = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND NOT indexname ~ '_(pkey|pkc|key)$'"
    return set(connection.scalars(sa.text(sqlite if connection.dialect.name == "sqlite" else postgresql)))


def wanted_index_names(connection: sa.Connection) -> set[str]:
    """Those that the tables have in that database."""
    made: list[Any] = []

    def keep(ddl: object, *_: object, **__: object) -> None:
        made.append(ddl)

    mock = sa.create_mock_engine(connection.engine.url, keep)
    metadata.create_all(mock, checkfirst=False)
    return {str(one.element.name) for one in made if isinstance(one, sa.schema.CreateIndex)}


async def started(url: str) -> Database:
    database = Database(url)
    await database.start()
    return database


async def differences_at(url: str) -> list[Any]:
    database = await started(url)
    async with database.begin() as connection:
        found = await connection.run_sync(differences)
    await database.close()
    return found


def query(file: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


def test_the_revisions_make_the_tables_that_the_engine_uses(tmp_path: Path) -> None:
    assert asyncio.run(differences_at(f"sqlite:///{tmp_path}/new.db")) == []


@pytest.mark.parametrize("name", EARLIER)
def test_tables_of_an_earlier_version_become_those_of_this_one(name: str, tmp_path: Path) -> None:
    file = earlier(name, tmp_path)
    assert asyncio.run(differences_at(f"sqlite:///{file}")) == []
    assert query(file, "SELECT version_num FROM alembic_version") == [(HEAD,)]


@pytest.mark.parametrize("name", EARLIER)
def test_rows_of_an_earlier_version_are_all_there(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        database = await started(f"sqlite:///{earlier(name, tmp_path)}")
        (account,), (did,), (call,) = (
            await database.load_accounts(),
            await database.load_dids(),
            await database.load_calls(),
        )
        assert (account.login, account.name, account.caller_ids, account.detector) == ("demo", "Démo", ("1", "2"), "")
        assert (did.phonenumber, did.account, did.url) == ("15162065337", account.sid, "http://b/")
        assert (call.account, call.state, call.duration_s, call.due) == (account.sid, "ended", 7, None)
        sid = "22222222-2222-4222-8222-222222222222"
        assert await database.load_callbacks("pending") == [
            Callback(sid=sid, url="http://a/status", method="POST", data={"Ü": [1, None, True]}, created=3.0)
        ]
        await database.close()

    asyncio.run(main())


def test_attributes_that_are_too_long_for_an_index_get_a_column_of_their_own(database_url_of_0007: str) -> None:
    query = "SELECT sid, CAST(attributes AS TEXT), CAST(attributes_long AS TEXT) FROM call ORDER BY sid"

    async def main() -> list[Any]:
        database = await started(database_url_of_0007)
        async with database.begin() as connection:
            rows = (await connection.execute(sa.text(query))).all()
        await database.close()
        return [tuple(value and json.loads(value) if value != row[0] else value for value in row) for row in rows]

    long = {"a": "x" * 1000}
    assert asyncio.run(main()) == [("1", {"a": "é"}, None), ("2", None, long), ("3", {}, None)]


def test_calls_that_have_not_ended_lose_their_empty_status(database_url_of_0007: str) -> None:
    async def main() -> list[Any]:
        assert await differences_at(database_url_of_0007) == []
        database = await started(database_url_of_0007)
        async with database.begin() as connection:
            rows = (await connection.execute(sa.text("SELECT sid, status FROM call ORDER BY sid"))).all()
        await database.close()
        return [tuple(row) for row in rows]

    assert asyncio.run(main()) == [("1", "busy"), ("2", None), ("3", None)]


@pytest.fixture
def database_url_of_0007(new_database: NewDatabase, postgresql: PostgresqlServer, tmp_path: Path) -> str:
    """A database of revision 0007: calls with short attributes, long ones, and none; the first has a status."""
    url = new_database(tmp_path)
    if not url.startswith("sqlite"):
        url = postgresql.url(postgresql.create())
    columns = "sid, account, direction, from_number, to_number, state, started, status, duration_s, attributes"
    values = [("1", "busy", '\'{"a": "é"}\''), ("2", "", f"""'{{"a": "{"x" * 1000}"}}'"""), ("3", "", "NULL")]

    def prepare(connection: sa.Connection) -> None:
        command.upgrade(alembic_config(connection), "0007")
        for sid, status, attributes in values:
            row = f"'{sid}', 'a', 'inbound', '1', '2', 'ended', 1, '{status}', 0, {attributes}"
            connection.exec_driver_sql(f"INSERT INTO call ({columns}) VALUES ({row})")

    async def main() -> None:
        engine = create_async_engine(url.replace(":", "+aiosqlite:" if "sqlite" in url else "+asyncpg:", 1))
        async with engine.begin() as connection:
            await connection.run_sync(prepare)
        await engine.dispose()

    asyncio.run(main())
    return url


def test_two_engines_that_start_at_once_on_one_file_bring_it_up_once(tmp_path: Path) -> None:
    url = f"sqlite:///{earlier('first', tmp_path)}"

    async def main() -> None:
        one, other = await asyncio.gather(started(url), started(url))
        assert len(await other.load_accounts()) == 1
        await one.close()
        await other.close()

    asyncio.run(main())


def test_a_revision_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    file = earlier("first", tmp_path)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE call_by_created (an_index_is_to_have_that_name)")
    tables = "SELECT name FROM sqlite_master ORDER BY 1"
    before = query(file, tables)
    with pytest.raises(DatabaseError, match=f"cannot be brought to revision {HEAD}.*call_by_created"):
        asyncio.run(started(f"sqlite:///{file}"))
    assert query(file, tables) == before


def test_a_database_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "flexml.db"

    async def main() -> None:
        await (await started(f"sqlite:///{file}")).close()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
        with pytest.raises(DatabaseError, match=rf"later version.*revision 9999, .* knows 0001 to {HEAD}\. Start that"):
            await started(f"sqlite:///{file}")

    asyncio.run(main())
    assert query(file, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_foreign_keys_are_watched_after_a_migration_too(tmp_path: Path) -> None:
    async def main() -> None:
        database = await started(f"sqlite:///{tmp_path}/new.db")
        async with database.begin() as connection:
            assert (await connection.execute(sa.text("PRAGMA foreign_keys"))).scalar() == 1
        await database.close()

    asyncio.run(main())


def test_revisions_follow_each_other_in_the_order_of_their_numbers() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        script = ScriptDirectory.from_config(alembic_config(connection))
    engine.dispose()
    assert script.get_heads() == [HEAD], "two revisions follow the same one: let one follow the other"
    assert tuple(revision.revision for revision in reversed(list(script.walk_revisions()))) == REVISIONS


def test_alembic_is_not_loaded_where_the_database_is_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/flexml.db"

    async def main() -> None:
        await (await started(url)).close()

    asyncio.run(main())
    program = f"""
import asyncio, sys
from flexml.engine.db import Database
async def main():
    database = Database({url!r})
    await database.start()
    await database.close()
asyncio.run(main())
print([name for name in sys.modules if name.partition(".")[0] == "alembic"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- PostgreSQL -------------------------------------------------------------------------------------------------


def collations(server: PostgresqlServer, name: str) -> set[str | None]:
    columns = "SELECT DISTINCT collation_name FROM information_schema.columns"
    where = "table_schema = 'public' AND table_name <> 'alembic_version' AND data_type IN ('text', 'character varying')"
    return {row["collation_name"] for row in server.execute(f"{columns} WHERE {where}", name)}


def test_the_revisions_make_the_tables_that_the_engine_uses_in_postgresql(postgresql: PostgresqlServer) -> None:
    name = postgresql.create()
    assert asyncio.run(differences_at(postgresql.url(name))) == []
    assert collations(postgresql, name) == {"C"}, "text is sorted by code points"


def test_tables_of_an_earlier_version_in_postgresql_become_those_of_this_one(postgresql: PostgresqlServer) -> None:
    name = postgresql.create()

    async def make_earlier_tables() -> None:
        engine = create_async_engine(postgresql.url(name).replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as connection:
            await connection.run_sync(revision_0001().create_all)
            await connection.execute(sa.text("ALTER TABLE account DROP COLUMN detector"))
            await connection.execute(sa.text("DROP INDEX call_by_created"))
        await engine.dispose()

    asyncio.run(make_earlier_tables())
    sid, columns = "a2c6", "sid, login, password_hash, name, method, error_handler, caller_ids"
    postgresql.execute(f"INSERT INTO account ({columns}) VALUES ('{sid}', 'me', 'x', '', 'POST', 'basic', '[]')", name)
    assert asyncio.run(differences_at(postgresql.url(name))) == []
    assert postgresql.execute("SELECT sid, detector FROM account", name) == [(sid, "")]
    assert collations(postgresql, name) == {"C"}


def revision_0001() -> sa.MetaData:
    """The tables of the last version without revisions."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        found = ScriptDirectory.from_config(alembic_config(connection)).get_revision("0001")
    engine.dispose()
    return found.module.tables


def test_two_engines_that_start_at_once_on_postgresql_bring_it_up_once(postgresql: PostgresqlServer) -> None:
    url = postgresql.url(postgresql.create())

    async def main() -> None:
        async with asyncio.timeout(20):
            databases = await asyncio.gather(*(started(url) for _ in range(4)))
        for database in databases:
            assert await database.load_accounts() == []
            await database.close()

    asyncio.run(main())


def test_a_later_version_of_postgresql_is_refused_without_its_password(postgresql: PostgresqlServer) -> None:
    name = postgresql.create()

    async def main() -> None:
        await (await started(postgresql.url(name))).close()

    asyncio.run(main())
    postgresql.execute("UPDATE alembic_version SET version_num = '9999'", name)
    url = postgresql.url(name).replace("postgres@", "postgres:very-secret@")
    with pytest.raises(DatabaseError, match="later version") as raised:
        asyncio.run(started(url))
    assert "very-secret" not in str(raised.value)
