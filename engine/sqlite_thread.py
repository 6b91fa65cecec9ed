"""A connection to a SQLite file in a thread of its own, for what is read and written all the time.

Through the asynchronous driver each statement, and each begin and commit, goes to its thread and back by the event
loop: with a loop that is busy it waits for its turn that often. Here a whole transaction is one way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

T = TypeVar("T")


class SqliteThread:
    """The thread of an engine with one connection; `name` is for whoever looks at threads."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._engine = engine

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """The result of `work` in a transaction. Raises what it raises, and what the driver raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        """Close the connection once what is under way is done."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()
