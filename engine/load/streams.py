"""The process that speaks and listens for all calls (`media.load`), as seen from here."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from ...media.load.messages import Bound, Command, Event, Plan, Result, Second, Unable, decode_event, encode
from ..errors import LoadError

LINE_OCTETS = 1 << 20
END_S = 10.0


class Streams:
    """One process. What it says every second goes to `on_second`."""

    def __init__(self, on_second: Callable[[Second], None]) -> None:
        self._on_second = on_second
        self._process: asyncio.subprocess.Process | None = None
        self._bound: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
        self._result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid if self._process else 0

    async def start(self, plan: Plan) -> Bound:
        """Start it; return the ports of its streams. Raises LoadError where it cannot have them."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "flexml.media.load",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_OCTETS,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # its threads would only stand in each other's way
        )  # fmt: skip
        self._reading = asyncio.ensure_future(self._read())
        self.say(plan)
        return await self._bound

    def say(self, command: Command) -> None:
        """Tell it to do something."""
        if self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(encode(command) + b"\n")

    async def result(self) -> Result:
        """Return what it has counted, after Finish. Raises LoadError where it ended without."""
        return await self._result

    async def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        if self._process.stdin:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reading:
            await self._reading
        for future in (self._bound, self._result):
            if future.done() and not future.cancelled():
                future.exception()  # whoever wanted to know has been told

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._take(decode_event(line))
        ended = LoadError("the process of the RTP streams has ended by itself")
        for future in (self._bound, self._result):
            if not future.done():
                future.set_exception(ended)

    def _take(self, event: Event) -> None:
        match event:
            case Bound():
                self._bound.set_result(event)
            case Unable():
                self._bound.set_exception(LoadError(f"no ports for the RTP streams: {event.reason}"))
            case Second():
                self._on_second(event)
            case Result():
                self._result.set_result(event)
