"""Calls that are live in the database alone: ended, and told of, as those are whose engine has died.

A commit whose answer gets lost leaves one: whoever asked for it takes it for undone. From its row to its life a call
takes no time, so one that nobody lives twice in a row, so long apart, is lost. While the database does not take
everything, nobody is judged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from typing import Final

from .db import Database
from .errors import DatabaseAway
from .lives import LOST, Lives

log = logging.getLogger("flexml.calls")

LOOK_S: Final = 30.0


async def keep(lives: Lives, database: Database, clock: Callable[[], float]) -> None:
    """Look for them now and again, for ever. `clock` gives Unix time in seconds."""
    seen: Set[str] = frozenset()
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            seen = await end(lives, database, seen, now=clock())
        except DatabaseAway:
            seen = frozenset()
        except Exception:
            log.exception("calls that are live in the database alone could not be looked for")


async def end(lives: Lives, database: Database, seen: Set[str], *, now: float) -> Set[str]:
    """End those that are lost and have been `seen` before; returns whom to see again. Raises DatabaseAway."""
    live = await database.live_here()
    if database.state != "answers":
        return frozenset()
    lost = {sid for sid in live if lives.find(sid) is None}
    for sid in lost & seen:
        record = await database.load_call(sid)
        if record is not None and record.state == "live":
            log.error("call %s has failed: it is live in the database, but not here", sid)
            await lives.end_unplaced(record, LOST.status, now=now, error="what the database has said of it was lost")
    return lost - seen
