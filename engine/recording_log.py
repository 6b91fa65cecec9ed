"""What became of recordings, kept in the database: which call's, where they lie, how long they are.

A recording has a row of its own, not its file's: several may be in one file, and those that went to a cloud, failed
or were nothing but silence have none. Writing a row again replaces it, so a recording that is finished twice has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import sqlalchemy as sa

from .db import Database
from .tables import recording_table

KeptStatus = Literal["completed", "failed", "absent", "uploading"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRecording:
    """A recording that has ended. `recording_sid` is what its callbacks say, "" where they say none.

    `file` is the sid of the file in the account's storage, "" where there is none; `duration_s` is of what this
    recording has added to it.
    """

    sid: str
    call: str
    account: str
    recording_sid: str
    file: str
    url: str
    format: str
    duration_s: int
    status: KeptStatus
    error: str = ""


class RecordingLog:
    """Keeps them. `clock` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock

    async def put(self, kept: KeptRecording) -> None:
        """Write down what became of a recording; what was written of it before is replaced.

        Waits for a database that is away.
        """
        await self._database.patiently(lambda: self._put(kept))

    async def _put(self, kept: KeptRecording) -> None:
        values = asdict(kept)
        mine = recording_table.c.sid == kept.sid
        async with self._database.begin() as connection:
            updated = await connection.execute(sa.update(recording_table).where(mine).values(values))
            if updated.rowcount == 0:
                await connection.execute(sa.insert(recording_table).values(**values, created=self._clock()))
