"""A second connection to a SQLite file, in a thread of its own, for what is written all the time.

Through the asynchronous driver each statement, and each begin and commit, goes to its thread and back by the event
loop: with a loop that is busy the writer waits for its turn that often. Here a whole transaction is one way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL

T = TypeVar("T")


class ThreadWriter:
    """`prepare` takes each new connection and SQLAlchemy's record of it, `to_json` what goes into a column of JSON."""

    def __init__(self, url: URL, prepare: Callable[[Any, object], None], to_json: Callable[[Any], str]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        url = url.set(drivername="sqlite")
        self._engine = sa.create_engine(url, json_serializer=to_json, pool_size=1, max_overflow=0)
        event.listen(self._engine, "connect", prepare)

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
