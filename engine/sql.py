"""The way to the database: its URL, its pool of connections, and patience while it does not answer.

A database that is away, restarting, locked or full comes back; whoever meets that gets DatabaseAway, and the log says
it once, and once when it answers again. One that is full or locked may still be read, so it has taken nothing until
something is written again. What must not be lost is done `patiently`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from .errors import ConfigError, DatabaseAway, DatabaseError
from .latency import Latency
from .migrations import migrate
from .sqlite_thread import SqliteThread

log = logging.getLogger("flexml.database")

T = TypeVar("T")
DatabaseState = Literal["answers", "takes nothing", "does not answer"]
ASYNC_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
NO_ASYNCPG: Final = (
    "for PostgreSQL the package asyncpg is needed, which is not installed; "
    "it comes with the extra postgresql: .venv/bin/pip install -e '.[postgresql]'"
)
SQLITE_POOL: Final[dict[str, Any]] = {"pool_size": 1, "max_overflow": 0}
# Neither a larger `cache_size` nor `mmap_size`: whatever another connection writes empties them, and to fill them again
# makes a list dearer by half than to read it through the 2 MB of the default.
SQLITE_PATIENCE_MS: Final = 5000
"""How long SQLite waits for a writer of another connection, or of another process."""
SQLITE_LOG_PAGES: Final = 10_000
"""Pages of 4 KB in its write-ahead log before they go into the file: pages of indexes, which busy calls write again and
again, go there ten times less often than by default. A fifth of what it costs to write a call."""
POSTGRESQL_SETTINGS: Final = {
    "jit": "off",  # to compile a list takes longer than to read it
    "max_parallel_workers_per_gather": "0",  # so does starting workers, and they take cores from the calls
    "plan_cache_mode": "force_custom_plan",  # what is best for a list depends on what it is asked for
    "random_page_cost": "1.1",
}
"""What every connection asks of the server. Lists are read from what is in memory, where a page of an index costs about
what the next page of the table does; taken for dearer, the table is read as a whole and sorted. From the sixth time on
PostgreSQL may plan a statement for whatever it is asked for: lists then take up to half as long again."""
POSTGRESQL_POOL: Final[dict[str, Any]] = {
    "pool_size": 10,
    "max_overflow": 10,
    "pool_timeout": 10,
    "pool_pre_ping": True,
    "connect_args": {"timeout": 10, "server_settings": POSTGRESQL_SETTINGS},
}
"""Who waits longer than `pool_timeout` seconds for a connection has an error. A connection is asked whether it is
still one before it is used: the server may have been started anew."""
ANSWER_S: Final = 30.0
"""How long a transaction may take on PostgreSQL: of a server that is frozen, or cut off, nothing comes at all."""
_JSON: Final = msgspec.json.Encoder()
TRANSIENT: Final = ("08", "25006", "28", "3D", "40", "42501", "53", "55", "57", "58")
"""Classes of PostgreSQL's error codes (its appendix A) that time, or whoever runs it, heals: connection, a server that
is read-only as its successor takes over, a login that is refused, a database that is not there, rollback by conflict, a
right that is missing, resources, what is locked or closed to connections, an operator's intervention, the system."""
NOT_WRITABLE: Final = ("25006", "53100", "database or disk is full", "database is locked", "readonly database")
"""Codes of PostgreSQL's, and what SQLite says: nothing can be written now, but what is there can be read."""
FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 5.0


class Sql:
    """The database behind one URL, `sqlite:///var/flexml.db` for one.

    SQLite is in WAL mode, through one connection, and one each for `read` and `write`.
    """

    def __init__(self, url: str) -> None:
        self._url = _async_url(url)
        self._engine: AsyncEngine | None = None
        self._reader: SqliteThread | None = None
        self._writer: SqliteThread | None = None
        self.state: DatabaseState = "answers"
        """How it was when something was asked of it last."""
        self.latency = Latency(lambda: 0.0)
        """Of transactions, waiting for a connection included."""

    @property
    def is_shared(self) -> bool:
        """Whether other engines may use it too."""
        return self._url.get_backend_name() == "postgresql"

    async def start(self) -> None:
        """Connect; make the directory of a SQLite file, and bring the tables to this version.

        Raises DatabaseError where it cannot be reached, or where a later version has made the tables.
        """
        if not self.is_shared and self._url.database:
            await asyncio.to_thread(_make_parent, self._url.database)
        self.latency = Latency(asyncio.get_running_loop().time)
        pool = POSTGRESQL_POOL if self.is_shared else SQLITE_POOL
        self._engine = create_async_engine(self._url, json_serializer=to_json, **pool)
        if not self.is_shared:
            _fit_sqlite(self._engine.sync_engine)
        try:
            async with self._engine.connect() as connection:
                await connection.run_sync(migrate)
        except BaseException as error:
            await self.close()
            if isinstance(error, SQLAlchemyError | OSError) or _is_asyncpg(error):
                raise DatabaseError(f"the database {self._url} cannot be used: {said(error)}") from error
            raise
        if not self.is_shared and self._url.database not in {None, "", ":memory:"}:
            self._reader, self._writer = self._in_thread("reads"), self._in_thread("rows")

    def _in_thread(self, name: str) -> SqliteThread:
        engine = sa.create_engine(self._url.set(drivername="sqlite"), json_serializer=to_json, **SQLITE_POOL)
        _fit_sqlite(engine)
        return SqliteThread(engine, name)

    async def close(self) -> None:
        """Close all connections."""
        for thread in (self._reader, self._writer):
            if thread is not None:
                await thread.close()
        self._reader = self._writer = None
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def lasting(self) -> AsyncConnection:
        """A connection in no transaction, whose end the caller sees to. Raises DatabaseAway."""
        if self._engine is None:
            raise RuntimeError("the database is not started")
        try:
            return await self._engine.connect()
        except Exception as error:
            if is_away(error):
                raise DatabaseAway(f"the database does not answer: {said(error)}") from error
            raise

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection in a transaction, committed at the end of the block. Raises DatabaseAway."""
        return self._transaction()

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """The result of `work`, which only reads. Raises DatabaseAway.

        With SQLite it is done in another thread, so it must touch nothing that others use meanwhile.
        """
        return await self._work(self._reader, work, writes=False)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """The result of `work` in a transaction that is committed then, as with `read`. Raises DatabaseAway."""
        return await self._work(self._writer, work, writes=True)

    async def _work(self, thread: SqliteThread | None, work: Callable[[sa.Connection], T], *, writes: bool) -> T:
        if thread is None:
            async with self._transaction(writes=writes) as connection:
                return await connection.run_sync(work)
        with self._noticing(writes=writes):
            return await thread.run(work)

    @asynccontextmanager
    async def _transaction(self, *, writes: bool = False) -> AsyncGenerator[AsyncConnection]:
        if self._engine is None:
            raise RuntimeError("the database is not started")
        limit = asyncio.timeout(ANSWER_S if self.is_shared else None)
        with self._noticing(writes=writes):
            try:
                async with limit, self._engine.begin() as connection:
                    yield connection
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise TimeoutError(f"nothing came within {ANSWER_S:.0f} s") from error

    @contextmanager
    def _noticing(self, *, writes: bool) -> Generator[None]:
        """Make DatabaseAway of what says so, and let the log say when that begins and ends."""
        try:
            with self.latency.measuring():
                yield
        except Exception as error:
            if not is_away(error):
                raise
            state = "takes nothing" if _is_readable(error) else "does not answer"
            if self.state == "answers":
                log.error("the database %s: %s", state, said(error))
            self.state = state
            raise DatabaseAway(f"the database {state}: {said(error)}") from error
        if self.state == "does not answer" or (writes and self.state == "takes nothing"):
            self.state = "answers"
            log.warning("the database answers again")

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, done again until the database is there for it; it must bear to be done twice."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return await work()
            except DatabaseAway:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def to_json(value: Any) -> str:
    """The value as JSON, in an eighth of the time that json takes; lone surrogates, which only that one bears, too."""
    try:
        return _JSON.encode(value).decode()
    except ValueError:
        return json.dumps(value)


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database may take later what it does not take now."""
    if isinstance(error, DBAPIError):
        orig = error.orig
        transient = str(getattr(orig, "sqlstate", None) or "").startswith(TRANSIENT)
        return error.connection_invalidated or transient or isinstance(error, OperationalError)
    if _is_asyncpg(error):  # it is met as it is while a connection is made
        return str(getattr(error, "sqlstate", None) or "08").startswith(TRANSIENT)
    return isinstance(error, OSError | TimeoutError | PoolTimeoutError | PendingRollbackError)


def _is_readable(error: BaseException) -> bool:
    """Whether an error says that nothing can be written, but for all that is known read."""
    orig = getattr(error, "orig", None)
    return getattr(orig, "sqlstate", None) in NOT_WRITABLE or any(text in said(error) for text in NOT_WRITABLE[2:])


def is_damaged(error: DBAPIError) -> bool:
    """Whether SQLite says that its file is not what it was, or no database."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def said(error: BaseException) -> str:
    """What the driver said, without the statement and its values."""
    return str(getattr(error, "orig", None) or error) or type(error).__name__


def _is_asyncpg(error: BaseException) -> bool:
    return type(error).__module__.startswith("asyncpg.")


def _async_url(url: str) -> URL:
    """The URL with the asynchronous driver of its database. Raises ConfigError, which tells no password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(["database url: cannot be read; expected one such as sqlite:///FILE"]) from None
    if parsed.drivername in ASYNC_DRIVERS:
        parsed = parsed.set(drivername=ASYNC_DRIVERS[parsed.drivername])
    if parsed.drivername not in ASYNC_DRIVERS.values():
        raise ConfigError([f"database url {parsed}: unknown database; known: {', '.join(ASYNC_DRIVERS)}"])
    if parsed.get_backend_name() == "postgresql" and find_spec("asyncpg") is None:
        raise ConfigError([f"database url {parsed}: {NO_ASYNCPG}"])
    return parsed


def sqlite_file(url: str) -> Path | None:
    """The file behind the URL of a SQLite database, links followed; None for any other. Raises ConfigError."""
    parsed = _async_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        return None
    return Path(str(parsed.database)).resolve()


def _make_parent(database: str) -> None:
    Path(database).parent.mkdir(parents=True, exist_ok=True)


class _CompilerWithHints(SQLiteCompiler):
    """Writes hints behind tables, `INDEXED BY name` for one; SQLAlchemy's own leaves them out for SQLite."""

    def get_from_hint_text(self, table: sa.FromClause, text: str | None) -> str | None:
        """The hint, as it was given."""
        return text


def _fit_sqlite(engine: sa.Engine) -> None:
    """Give an engine our settings of SQLite, and have its statements say which index they go by."""
    event.listen(engine, "connect", _prepare_sqlite)
    engine.dialect.statement_compiler = _CompilerWithHints


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Settings of every SQLite connection. NORMAL survives a crash of ours; only power loss can cost a commit."""
    cursor = connection.cursor()
    patience = f"busy_timeout={SQLITE_PATIENCE_MS}"
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL", f"wal_autocheckpoint={SQLITE_LOG_PAGES}", "foreign_keys=ON")
    for pragma in (*pragmas, patience):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    connection.create_function("lowered", 1, lowered, deterministic=True)


def lowered(value: Any) -> Any:
    """A text in lower case, letter by letter, as PostgreSQL has it: SQLite's own `lower` leaves all but ASCII alone."""
    if not isinstance(value, str) or value.isascii():
        return value  # LIKE does not heed the case of these
    return "".join(map(str.lower, value))
