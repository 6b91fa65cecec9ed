"""The processes that decode: a few for what is small and all there, and one of its own for whatever takes longer.

What is still being downloaded, long, or a stream gets a process that ends with it, so that it keeps nobody
waiting. One such process is always started ahead. Their number is bounded: streams beyond it are refused, the
rest waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from .errors import PromptError
from .workers import WorkerProcess, Workers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

MODULE: Final = "flexml.engine.decode"


class Decoders:
    """`size` processes for small work, and up to `most` more, each for one thing."""

    def __init__(self, *, size: int, most: int, timeout_s: float) -> None:
        self._pool = Workers(MODULE, size=size, timeout_s=timeout_s)
        self._free, self._most = asyncio.Semaphore(most), most
        self._spare: asyncio.Task[WorkerProcess] | None = None
        self._own: set[WorkerProcess] = set()
        self._closed = True

    async def start(self) -> None:
        """Start the processes."""
        self._closed = False
        await self._pool.start()
        self._spare = asyncio.create_task(_started())

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        await self._pool.close()
        if self._spare is not None:
            await (await self._spare).kill()
            self._spare = None
        for process in list(self._own):
            await process.kill()

    @property
    def pids(self) -> list[int]:
        """Process ids of the pool and of those that have work of their own."""
        return self._pool.pids + [process.pid for process in self._own if process.pid]

    @property
    def full(self) -> bool:
        """True while whoever wants a process of its own has to wait."""
        return self._free.locked()

    async def in_pool(self, progress: Callable[[dict[str, Any]], None], **request: object) -> dict[str, Any]:
        """Have something small decoded. Raises PromptError."""
        return await self._pool.run(progress, **request)

    @contextlib.asynccontextmanager
    async def of_its_own(self, *, wait: bool = True) -> AsyncGenerator[WorkerProcess]:
        """A process for as long as the context lasts. Raises PromptError if there are too many and not to `wait`."""
        if self._spare is None:
            raise PromptError("the decoders are not started")
        if self.full and not wait:
            raise PromptError(f"{self._most} streams are played at the same time; no more are allowed")
        async with self._free:
            process = await self._take()
            self._own.add(process)
            try:
                yield process
            finally:
                await process.kill()
                self._own.discard(process)

    async def _take(self) -> WorkerProcess:
        """The process started ahead, while the next one starts."""
        spare, self._spare = self._spare, None if self._closed else asyncio.create_task(_started())
        process = await spare if spare is not None else await _started()
        if not process.alive:
            await process.kill()
            await process.start()
        return process


async def _started() -> WorkerProcess:
    process = WorkerProcess(MODULE)
    await process.start()
    return process
