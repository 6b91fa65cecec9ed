"""The timeline of calls: what happened on each, when, kept with the call in the database.

Noting never waits and never raises: a note goes into a bounded queue, and one task writes batches. A database that
fails is tried again with back-off while the queue takes what comes; what no longer fits is counted by call, logged,
and noted once there is room. A row that the database refuses for itself is left out, alone, and logged.
docs/timeline.md tells what the lines mean.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from .db import Database
from .errors import DatabaseAway
from .redact import Plain, presentable, presentable_text
from .row_writing import insert_rows
from .sql import said
from .tables import timeline_table

log = logging.getLogger("flexml.timeline")

Note = Callable[[str, float, str, Mapping[str, object]], None]
"""How others note: sid of the call, when (Unix seconds), what, details. `Timeline.note` is one."""


def nowhere(call: str, at: float, what: str, details: Mapping[str, object]) -> None:
    """Note nothing: for calls that nobody will ask about."""


MAX_NOTES: Final = 1000
"""Lines that a call may have, but for those that always get in."""
COUNTED_CALLS: Final = 10_000
"""Calls whose lines are counted, the last that were begun: more than live at once. Uploads are noted later."""
UNCOUNTED: Final = frozenset(
    {
        "RTP quality", "RTP total", "the engine is stopping", "call ended", "call over", "callback queued",
        "callback attempt", "callback delivered", "callback given up", "message sent", "message failed", "uploaded",
    }
)  # fmt: skip
"""What gets onto the timeline of a call however long that is."""


class Entry(msgspec.Struct, frozen=True):
    """One line; `at` is in Unix seconds."""

    call: str
    at: float
    what: str
    details: dict[str, Plain] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """When rows are written, and how much may wait. `gather_s` is between two transactions, whoever is in a hurry."""

    every_s: float = 0.5
    gather_s: float = 0.1
    batch: int = 500
    waiting: int = 20_000
    retry_first_s: float = 0.5
    retry_most_s: float = 30.0
    flush_s: float = 2.0
    close_s: float = 5.0


class Timeline:
    """Keeps the timelines of all calls. Every method belongs to the event loop's thread."""

    def __init__(self, database: Database, *, pace: Pace | None = None, max_notes: int = MAX_NOTES) -> None:
        self._database, self._pace, self._max_notes = database, pace or Pace(), max_notes
        self._queue: deque[Entry] = deque()
        self._counts: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._noted = self._settled = 0
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._flushing: list[tuple[int, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._write(), name="timeline")

    async def close(self) -> None:
        """Write what is left, as far as the database takes it within `close_s`."""
        await self.flush(self._pace.close_s)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
            self._writer = None
        if left := len(self._queue) + self._lost.total():
            log.error("%d lines of timelines were not written: the database did not take them", left)

    def note(self, call: str, at: float, what: str, details: Mapping[str, object]) -> None:
        """Put a line on the call's timeline, without waiting, whatever it is."""
        try:
            counted = what not in UNCOUNTED
            if counted:
                count = self._counts[call] = self._counts[call] + 1
                if len(self._counts) > COUNTED_CALLS:
                    del self._counts[next(iter(self._counts))]
                if count > self._max_notes:
                    if count == self._max_notes + 1:
                        self._put(Entry(call, at, "further lines left out", {"limit": self._max_notes}))
                    return
            self._put(Entry(call, at, presentable_text(what), presentable(details)))
        except Exception:
            log.exception("%s: a line of the timeline could not be noted", call)

    @property
    def waiting(self) -> int:
        """How many lines wait to be written."""
        return len(self._queue)

    def forget(self, call: str) -> None:
        """Stop counting the lines of a call that is over."""
        self._counts.pop(call, None)

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Return once everything noted so far is written, or after `timeout_s` (default `flush_s`) with False."""
        if self._settled >= self._noted:
            return True
        written = asyncio.get_running_loop().create_future()
        self._flushing.append((self._noted, written))
        self._hurry.set()
        done, _ = await asyncio.wait({written}, timeout=self._pace.flush_s if timeout_s is None else timeout_s)
        if not done:
            self._flushing = [one for one in self._flushing if one[1] is not written]
        return bool(done)

    def _put(self, entry: Entry) -> None:
        if len(self._queue) >= self._pace.waiting:
            if not self._lost:
                log.error("the database does not take timelines fast enough: lines are being lost")
            self._lost[entry.call] += 1
            return
        self._queue.append(entry)
        self._noted += 1
        self._news.set()
        if len(self._queue) >= self._pace.batch:
            self._hurry.set()

    # ---- the writer -------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            if len(self._queue) < self._pace.batch and not self._flushing:
                await self._wait(self._pace.every_s)
            self._hurry.clear()
            batch = list(islice(self._queue, self._pace.batch))
            await self._store_for_sure(batch)
            for _ in batch:
                self._queue.popleft()
            self._settle(len(batch))
            self._note_losses()
            if not self._queue:
                self._news.clear()
            if len(self._queue) < self._pace.batch:
                await asyncio.sleep(self._pace.gather_s)

    async def _wait(self, timeout_s: float) -> None:
        """Wait so long, or until somebody is in a hurry."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _store_for_sure(self, batch: Sequence[Entry]) -> None:
        """Store the batch, however long the database stays away; without the rows that it refuses for themselves."""
        pace, failures = self._pace, 0
        while True:
            try:
                await self._store(batch)
            except (DatabaseAway, OperationalError, InterfaceError, OSError, TimeoutError) as error:
                failures += 1
                wait_s = min(pace.retry_first_s * 2 ** min(failures - 1, 20), pace.retry_most_s)
                log.error("timelines: %d lines not written, next attempt in %g s: %s", len(batch), wait_s, said(error))
                await asyncio.sleep(wait_s)
            except SQLAlchemyError as error:
                if len(batch) == 1:
                    log.error("%s: a line of the timeline was refused: %s", batch[0].call, said(error))
                    return
                for entry in batch:
                    await self._store_for_sure([entry])
                return
            else:
                return

    async def _store(self, batch: Sequence[Entry]) -> None:
        rows = [{"call": one.call, "at": one.at, "what": one.what, "details": one.details} for one in batch]

        def insert(connection: sa.Connection) -> None:
            insert_rows(connection, timeline_table, rows)

        await self._database.write(insert)

    def _settle(self, count: int) -> None:
        self._settled += count
        still: list[tuple[int, asyncio.Future[None]]] = []
        for target, written in self._flushing:
            if target > self._settled:
                still.append((target, written))
            elif not written.done():
                written.set_result(None)
        self._flushing = still

    def _note_losses(self) -> None:
        """Say on each timeline how many lines it lacks, as soon as there is room."""
        if not self._lost or len(self._queue) > self._pace.waiting // 2:
            return
        lost, self._lost = self._lost, Counter()
        log.warning("%d lines of %d timelines were lost", lost.total(), len(lost))
        now = datetime.now(UTC).timestamp()
        for call, count in lost.items():
            self._put(Entry(call, now, "lines lost", {"count": count}))


async def load_timeline(database: Database, call: str) -> list[Entry]:
    """The lines of a call, in the order in which they were noted."""
    columns = timeline_table.c
    query = sa.select(columns.call, columns.at, columns.what, columns.details)
    query = query.where(columns.call == call).order_by(columns.id)
    async with database.begin() as connection:
        return [Entry(row.call, row.at, row.what, row.details) for row in await connection.execute(query)]
