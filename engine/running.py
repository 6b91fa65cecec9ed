"""What runs as long as the process does: begun in order, ended in reverse by an `AsyncExitStack`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar


class _Service(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


Service = TypeVar("Service", bound=_Service)


async def begin(stack: AsyncExitStack, service: Service) -> Service:
    """Start a service, which is closed when everything that was started after it has been."""
    return await stack.enter_async_context(_running(service))


@asynccontextmanager
async def _running(service: Service) -> AsyncGenerator[Service]:
    await service.start()
    try:
        yield service
    finally:
        await service.close()


def beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Do `work` beside everything else, until what was started before it is closed."""
    task = asyncio.ensure_future(work)

    async def cancel() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(cancel)
    return task
