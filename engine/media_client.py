"""The media workers as control sees them: channels watched by the event loop, and the legs behind them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from ..media.channel import Channel
from ..media.protocol import Beat, Event, Message
from .errors import MediaError
from .media_leg import LegListener, MediaLeg


class WorkerLink:
    """One worker as control sees it: a channel watched by the event loop, and the legs behind it."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.legs: dict[int, MediaLeg] = {}
        self.beat: Beat | None = None
        self.beat_at = self.loop.time()
        self._channel: Channel[Event] | None = None
        self._writing = False
        self._on_end: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """True while there is a worker at the other end."""
        return self._channel is not None

    def connect(self, channel: Channel[Event], on_end: Callable[[], None]) -> None:
        """Talk to a worker through `channel`, and open the legs of its predecessor there."""
        self._channel, self._on_end = channel, on_end
        self.beat, self.beat_at = None, self.loop.time()
        self.loop.add_reader(channel.fileno(), self._read)
        for leg in list(self.legs.values()):
            leg.reopen()

    def disconnect(self) -> None:
        """Stop talking to the worker."""
        if self._channel is not None:
            self.loop.remove_reader(self._channel.fileno())
            self.loop.remove_writer(self._channel.fileno())
            self._channel.close()
            self._channel, self._writing = None, False

    def send(self, command: Message) -> None:
        """Send a command; lost where the worker is being replaced (its legs are opened again)."""
        channel = self._channel
        if channel is None:
            return
        channel.send(command)
        if channel.pending and not self._writing:
            self._writing = True
            self.loop.add_writer(channel.fileno(), self._write)

    def _write(self) -> None:
        channel = self._channel
        if channel is None:
            return
        channel.flush()
        if not channel.pending:
            self.loop.remove_writer(channel.fileno())
            self._writing = False

    def _read(self) -> None:
        channel = self._channel
        if channel is None:
            return
        for event in channel.receive():
            if isinstance(event, Beat):
                self.beat, self.beat_at = event, self.loop.time()
            elif (leg := self.legs.get(event.leg)) is not None:
                leg.on_event(event)
        if channel.ended:
            self.disconnect()
            self._on_end()

    def forget(self, leg: int) -> None:
        """Drop a leg that is closed."""
        self.legs.pop(leg, None)


class MediaClient:
    """All workers; new legs go to the one with the fewest."""

    def __init__(self) -> None:
        self.workers: list[WorkerLink] = []
        self._numbers = itertools.count(1)

    def new_leg(self, listener: LegListener, *, beside: MediaLeg | None = None) -> MediaLeg:
        """Make a leg in the least loaded worker, or in that of `beside`. Raises MediaError where there is no room."""
        able = [
            worker
            for worker in self.workers
            if worker.connected
            and len(worker.legs) < worker.capacity
            and (beside is None or beside in worker.legs.values())
        ]
        if not able:
            raise MediaError("no media worker can take another leg")
        worker = min(able, key=lambda candidate: len(candidate.legs))
        number = next(self._numbers)
        leg = worker.legs[number] = MediaLeg(worker, number, listener)
        return leg
