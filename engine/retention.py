"""Deleting what is older than `[database] keep_days`: ended calls with their timelines and what is known of
their recordings (not the files), delivered callbacks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from .db import Database
from .errors import DatabaseAway
from .sql import said
from .tables import call_table, callback_table, recording_table, timeline_table

log = logging.getLogger("flexml.retention")

DAY_S: Final = 86400.0
EVERY_S: Final = 3600.0
BATCH: Final = 1000
"""Rows deleted in one transaction: others wait for it, and it must not be for long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Purged:
    """How many rows were deleted."""

    calls: int
    timeline: int
    callbacks: int


async def keep(database: Database, days: int, clock: Callable[[], float]) -> None:
    """Purge now and every hour, for ever; at once return where `days` is 0. `clock` gives Unix time in seconds."""
    while days:
        try:
            purged = await purge(database, clock() - days * DAY_S)
        except (DatabaseAway, SQLAlchemyError, OSError) as error:
            log.error("old calls could not be deleted, next attempt in an hour: %s", said(error))
        else:
            if purged.calls or purged.callbacks:
                log.info("older than %d days, deleted: %s", days, purged)
        await asyncio.sleep(EVERY_S)


async def purge(database: Database, before: float) -> Purged:
    """Delete the calls that ended `before`, with what belongs to them, and the delivered callbacks made before then."""
    calls = timeline = 0
    old = sa.and_(call_table.c.started < before, call_table.c.ended < before)
    while True:
        async with database.begin() as connection:
            found = await connection.execute(sa.select(call_table.c.sid).where(old).limit(BATCH))
            sids = list(found.scalars())
        timeline += await _delete(database, timeline_table.c.id, timeline_table.c.call.in_(sids))
        await _delete(database, recording_table.c.sid, recording_table.c.call.in_(sids))
        calls += await _delete(database, call_table.c.sid, call_table.c.sid.in_(sids))
        if len(sids) < BATCH:
            break
    delivered = sa.and_(callback_table.c.state == "delivered", callback_table.c.created < before)
    return Purged(calls=calls, timeline=timeline, callbacks=await _delete(database, callback_table.c.sid, delivered))


async def _delete(database: Database, key: sa.Column[Any], where: sa.ColumnElement[bool]) -> int:
    """Delete rows, a batch in a transaction; returns how many."""
    deleted = 0
    while True:
        async with database.begin() as connection:
            some = sa.select(key).where(where).limit(BATCH)
            count = (await connection.execute(sa.delete(key.table).where(key.in_(some)))).rowcount
        deleted += count
        if count < BATCH:
            return deleted
