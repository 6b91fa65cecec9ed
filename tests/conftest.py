"""Databases for every test that wants one: SQLite, and a real PostgreSQL server that all tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flexml.engine.db import Database

from .postgresql import PostgresqlServer, postgresql_missing, running_server

NewDatabase = Callable[[Path], str]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A server for the whole session; the test is skipped where there is none to start."""
    if missing := postgresql_missing():
        pytest.skip(missing)
    yield from running_server()


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgresqlServer) -> str:
    """The name of a database with all tables, which others are copies of."""
    name = postgresql.create()

    async def make_tables() -> None:
        database = Database(postgresql.url(name))
        await database.start()
        await database.close()

    asyncio.run(make_tables())
    return name


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer, postgresql_template: str) -> Iterator[str]:
    """A database of PostgreSQL for one test, with all tables."""
    name = postgresql.create(postgresql_template)
    yield postgresql.url(name)
    postgresql.drop(name)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes databases, of each kind in turn, and gives their URLs; a file lies in the directory that is given."""
    if request.param == "sqlite":
        return lambda folder: f"sqlite:///{folder}/flexml.db"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    template: str = request.getfixturevalue("postgresql_template")
    return lambda _folder: server.url(server.create(template))


@pytest.fixture
def database_url(new_database: NewDatabase, tmp_path: Path) -> str:
    """A database for one test, of each kind in turn."""
    return new_database(tmp_path)
