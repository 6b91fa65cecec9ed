"""Callbacks that must arrive: written to the database before the first attempt, repeated until they have.

Status callbacks of the reference: sent once per call, retried with back-off, kept over a restart. An attempt
counts as arrived with a 2xx status. A crash between the answer and its row can repeat a delivery; the delivery
id, the same over all attempts, lets the application tell. What is given up stays as a row in state `failed`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from .errors import FetchError
from .records import Callback
from .sid import new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .db import Database
    from .flexml.fetch import Fetched
    from .timeline import Note

log = logging.getLogger(__name__)


TASK: Final = "callback "


class Sender(Protocol):
    """What the outbox needs of `webhook.Webhook`."""

    async def fetch(self, url: str, method: str, data: Mapping[str, object], *, delivery: str | None = None) -> Fetched:
        """One attempt."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """When attempts are made: after `first_s`, twice that, and so on, the last one `total_s` after the first.

    No wait is longer than `longest_s`.
    """

    first_s: float = 1.0
    total_s: float = 300.0
    longest_s: float = math.inf
    per_host: int = 4

    def wait_s(self, attempts: int, age_s: float) -> float | None:
        """How long to wait after that many failed attempts; None to give up."""
        if age_s >= self.total_s:
            return None
        doubled_s = self.first_s * 2.0 ** min(attempts - 1, 32)
        return min(doubled_s, self.longest_s, self.total_s - age_s)


class Outbox:
    """Delivers callbacks in the background, at most `backoff.per_host` at a time to one host.

    `clock` gives Unix time in seconds: the age of a callback counts on over a restart. What has a `CallSid` in its
    data is noted on that call's timeline by `note`.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        *,
        clock: Callable[[], float],
        backoff: Backoff | None = None,
        note: Note | None = None,
    ) -> None:
        self._database, self._sender, self._clock, self._note = database, sender, clock, note
        self._backoff = backoff or Backoff()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[str] = set()
        self._known_to: list[set[str]] = []
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def start(self) -> None:
        """Take up what an earlier run left undelivered."""
        if count := await self.take_up():
            log.info("%d undelivered callbacks from an earlier run", count)

    async def take_up(self) -> int:
        """Deliver what is this engine's and not under way; each gets an attempt at once, however old it is.

        What was under way at any time while the rows were read is left out: it may be delivered by now.
        """
        known = set(self._under_way)
        self._known_to.append(known)
        try:
            pending = await self._database.patiently(self._database.load_own_callbacks)
        finally:
            self._known_to = [other for other in self._known_to if other is not known]
        left = [callback for callback in pending if callback.sid not in known]
        for callback in left:
            self._spawn(callback)
        return len(left)

    async def close(self) -> None:
        """Stop; what is undelivered stays pending for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Return once nothing is under way, delivered or given up."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        """Take a callback; when this returns it is in the database, however long that is away. Gives its delivery id.

        With a `sid` of the caller's, what has been put before is not put again: once, over restarts too.
        """
        callback = Callback(
            sid=sid or new_sid(), url=url, method=method.upper(), data=dict(data), created=self._clock()
        )
        if not await self._database.patiently(lambda: self._database.add_callback(callback)):
            await self.take_up()  # it may be of a first try that the database has not confirmed
            return callback.sid
        self._tell(callback, "queued", url=callback.url, delivery=callback.sid)
        self._spawn(callback)
        return callback.sid

    def _tell(self, callback: Callback, what: str, **details: object) -> None:
        call = callback.data.get("CallSid")
        if self._note is not None and isinstance(call, str):
            self._note(call, self._clock(), f"callback {what}", details)

    def _spawn(self, callback: Callback) -> None:
        if callback.sid in self._under_way:
            return
        self._under_way.add(callback.sid)
        for known in self._known_to:
            known.add(callback.sid)
        task = asyncio.create_task(self._deliver(callback), name=f"{TASK}{callback.sid}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._under_way.discard(task.get_name().removeprefix(TASK))
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: not delivered, stays pending: %s", task.get_name(), error, exc_info=error)

    async def _deliver(self, callback: Callback) -> None:
        """Attempt until delivered or given up; every attempt is in the row before the next."""
        while callback.state == "pending":
            problem = await self._attempt(callback)
            state = "pending" if problem else "delivered"
            callback = replace(callback, state=state, attempts=callback.attempts + 1, error=problem)
            if not problem:
                self._tell(callback, "delivered", url=callback.url, attempts=callback.attempts, delivery=callback.sid)
                log.debug("> callback %s to %s delivered", callback.sid, callback.url)
                await self._save(callback)
                return
            wait_s = self._backoff.wait_s(callback.attempts, self._clock() - callback.created)
            if wait_s is None:
                callback = replace(callback, state="failed")
                self._tell(callback, "given up", url=callback.url, attempts=callback.attempts, delivery=callback.sid)
                log.error("callback %s given up after %d attempts: %s", callback.sid, callback.attempts, problem)
            await self._save(callback)
            if wait_s is not None:
                log.warning("callback %s, next attempt in %g s: %s", callback.sid, wait_s, problem)
                await asyncio.sleep(wait_s)

    async def _save(self, callback: Callback) -> None:
        await self._database.patiently(lambda: self._database.save_callback(callback))

    async def _attempt(self, callback: Callback) -> str:
        """What went wrong, empty when nothing did."""
        host = _host(callback.url)
        limit = self._hosts.setdefault(host, asyncio.Semaphore(self._backoff.per_host))
        attempt = callback.attempts + 1
        async with limit:
            began = asyncio.get_running_loop().time()
            try:
                answer = await self._sender.fetch(callback.url, callback.method, callback.data, delivery=callback.sid)
            except FetchError as error:
                took_ms = round((asyncio.get_running_loop().time() - began) * 1000, 1)
                self._tell(callback, "attempt", attempt=attempt, total_ms=took_ms, error=error, delivery=callback.sid)
                return "" if 200 <= error.begun < 300 else str(error)  # its body does not matter
        again = {"retries": answer.retries, "redirects": answer.redirects}
        timing: dict[str, object] = {"first_ms": answer.first_ms, "total_ms": answer.total_ms}
        timing |= {name: count for name, count in again.items() if count}
        self._tell(callback, "attempt", attempt=attempt, status=answer.status, **timing, delivery=callback.sid)
        if 200 <= answer.status < 300:
            return ""
        return str(FetchError(f"status {answer.status}; expected 2xx", url=answer.url))


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
