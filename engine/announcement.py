"""That accounts or numbers have changed, for every engine on the database: each holds them in memory.

Whoever changes them, an engine or a command, announces it in the same transaction. It is a count that engines look at.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import announcement_table

DIRECTORY: Final = "directory"
_mine: Final = announcement_table.c.what == DIRECTORY
_COUNT: Final = sa.select(announcement_table.c.count).where(_mine)


async def announce(connection: AsyncConnection) -> int:
    """Say that the directory has to be read again; returns how often that has been said."""
    count = announcement_table.c.count
    raised = await connection.execute(sa.update(announcement_table).where(_mine).values(count=count + 1))
    if raised.rowcount == 0:
        await connection.execute(sa.insert(announcement_table).values(what=DIRECTORY, count=1))
    return await connection.run_sync(announced)


def announced(connection: sa.Connection) -> int:
    """How often it has been said so far."""
    return connection.scalar(_COUNT) or 0
