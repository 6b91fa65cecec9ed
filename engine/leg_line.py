"""The way from a leg to the media worker that it is in: commands get its number and that of their job."""

from __future__ import annotations

import asyncio
import itertools
from typing import Protocol, TypeVar

import msgspec

from ..media.protocol import Message

Command = TypeVar("Command", bound=Message)


class Worker(Protocol):
    """The worker that a leg is in."""

    loop: asyncio.AbstractEventLoop

    @property
    def connected(self) -> bool:
        """True while there is a worker at the other end."""
        ...

    def send(self, command: Message) -> None:
        """Send a command; lost where the worker is being replaced (its legs are opened again)."""
        ...

    def forget(self, leg: int) -> None:
        """Drop a leg that is closed."""
        ...


class LegLine:
    """The line of the leg of that number."""

    def __init__(self, worker: Worker, leg: int) -> None:
        self.leg = leg
        self.closed = False
        """Nothing is begun on the leg any more."""
        self._worker = worker
        self._jobs = itertools.count(1)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the leg's futures and tasks belong to."""
        return self._worker.loop

    @property
    def connected(self) -> bool:
        """True while there is a worker at the other end."""
        return self._worker.connected

    @property
    def now(self) -> float:
        """The time on the loop's clock, in seconds."""
        return self._worker.loop.time()

    def next_job(self) -> int:
        """A number that no job of the leg has had."""
        return next(self._jobs)

    def addressed(self, command: Command, job: int, **changes: object) -> Command:
        """The same command for this leg and that job, with `changes` of its own fields."""
        return msgspec.structs.replace(command, leg=self.leg, job=job, **changes)

    def send(self, command: Message) -> None:
        """Send a command that is addressed; lost where the worker is being replaced."""
        self._worker.send(command)

    def close(self) -> None:
        """Have the worker's side forget the leg."""
        self.closed = True
        self._worker.forget(self.leg)
