"""The engines on one PostgreSQL: who is alive, who takes over from whom, and how one asks another.

Each engine has a name, and holds a lock of PostgreSQL's by it through a connection that lasts as long as the engine:
the lock is gone when the engine is, however it ended, and nobody else can have the name meanwhile. An engine whose
lock has been missing for LEASE_S, while the database answered, is dead; what it owned is then somebody else's. A
restart of PostgreSQL takes all locks, and all are back before anybody misses them for so long. With SQLite there is
one engine, and nothing to do.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from .errors import DatabaseAway, DatabaseError
from .sid import new_sid

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from .db import Database

log = logging.getLogger("flexml.peers")

CHANNEL: Final = "flexml"
LOOK_S: Final = 3.0
LEASE_S: Final = 15.0
"""How long an engine may be without its lock before others take over: time enough to connect again."""
NAME_S: Final = 5.0
"""How long the name may still be taken at the start: PostgreSQL has to notice the end of who had it."""
AGAIN_S: Final = 0.5
ANSWER_S: Final = 3.0
HELD: Final = sa.text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Peers:
    """This engine among the others. `clock` gives seconds that only grow; `dead` is told who is, and takes over."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database, self._clock, self.name = database, clock, database.owner
        self.dead: Callable[[str], Awaitable[None]] = _ignore
        self.asked: Callable[[Mapping[str, Any]], Awaitable[bool]] = _refuse
        self._missing: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._connection: AsyncConnection | None = None
        self._lost = asyncio.Event()
        self.has_name = asyncio.Event()
        """Set while the lock of the name is held."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take the name. Raises DatabaseError where another engine has it."""
        if not self._database.is_shared:
            return
        until = self._clock() + NAME_S
        while not await self._take_name():
            if self._clock() > until:
                raise DatabaseError(
                    f"there is an engine {self.name!r} on this database already: give each a name of its own "
                    "([database] engine)"
                )
            await asyncio.sleep(AGAIN_S)
        self._spawn(self._keep_name())

    def watch(self) -> None:
        """Begin to look for engines that have died."""
        if self._database.is_shared:
            self._spawn(self._watch())

    async def close(self) -> None:
        """Give the name back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drop()

    async def ask(self, name: str, what: Mapping[str, Any]) -> bool | None:
        """Have another engine do something; whether it could, None where it does not answer."""
        sid = new_sid()
        answer = self._waiting[sid] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"to": name, "from": self.name, "sid": sid, "what": what})
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[sid]

    # ---- the name -----------------------------------------------------------------------------------------------

    async def _take_name(self) -> bool:
        """Connect, unless that is still done, and try to lock the name. Raises DatabaseAway."""
        if self._connection is None:
            self._lost.clear()
            self._connection = await self._database.lasting()
            driver = await _driver(self._connection)
            driver.add_termination_listener(self._has_ended)
            await driver.add_listener(CHANNEL, self._heard)
        driver = await _driver(self._connection)
        held = bool(await driver.fetchval("SELECT pg_try_advisory_lock($1)", key(self.name)))
        if held:
            self.has_name.set()
        return held

    async def _keep_name(self) -> None:
        """Connect anew whenever the connection is lost, and lock again."""
        held = True
        while True:
            if held:
                await self._lost.wait()
                await self._drop()
            try:
                held = await self._take_name()
            except Exception as error:
                log.debug("the connection that holds the name of this engine is lost: %s", error)
                await self._drop()
                held = False
            await asyncio.sleep(AGAIN_S)

    def _has_ended(self, _connection: object) -> None:
        self.has_name.clear()
        self._lost.set()

    async def _drop(self) -> None:
        self.has_name.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it may be gone
                await connection.invalidate()
                await connection.close()

    # ---- who is dead --------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                for name in await self.look():
                    log.warning("the engine %s is dead; its calls are over, its callbacks are sent by this one", name)
                    await self.dead(name)
            except DatabaseAway:
                self._missing.clear()
            except Exception:
                log.exception("what an engine has left could not be taken over")

    async def look(self) -> list[str]:
        """Who has been without the lock for so long, of those that something belongs to. Raises DatabaseAway."""
        owners = await self._database.owners()
        async with self._database.begin() as connection:
            held = set((await connection.execute(HELD)).scalars())
        if not self.has_name.is_set() or key(self.name) not in held:
            self._missing.clear()  # who is without a lock may not judge others
            return []
        now = self._clock()
        gone = owners - {name for name in owners if key(name) in held} - {self.name}
        self._missing = {name: self._missing.get(name, now) for name in gone}
        return [name for name, since in self._missing.items() if now - since >= LEASE_S]

    # ---- messages -----------------------------------------------------------------------------------------------

    async def _send(self, message: Mapping[str, Any]) -> None:
        async with self._database.begin() as connection:
            await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, json.dumps(message))))

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        message = json.loads(str(payload))
        if message["to"] != self.name:
            return
        if "what" in message:
            self._spawn(self._answer(message))
        elif (waiting := self._waiting.get(message["sid"])) is not None and not waiting.done():
            waiting.set_result(message["done"])

    async def _answer(self, message: Mapping[str, Any]) -> None:
        try:
            done = await self.asked(message["what"])
            await self._send({"to": message["from"], "sid": message["sid"], "done": done})
        except Exception:
            log.exception("what the engine %s asked for could not be done", message["from"])

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def key(name: str) -> int:
    """The number of an engine's lock: 64 bits with a sign, as PostgreSQL has them."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


async def _driver(connection: AsyncConnection) -> Any:
    """asyncpg's own connection, which can listen."""
    return (await connection.get_raw_connection()).driver_connection


async def _ignore(_name: str) -> None:
    return


async def _refuse(_what: Mapping[str, Any]) -> bool:
    return False
