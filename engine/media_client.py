"""The media workers as control sees them: channels watched by the event loop, and the legs behind them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Final

from ..media.channel import Channel
from ..media.events import Beat, Event
from ..media.protocol import Message
from .errors import MediaError
from .leg_listener import LegListener
from .media_leg import MediaLeg
from .metrics import WorkerFigures

log = logging.getLogger("flexml.media")

TICK_S: Final = 0.020
LEG_S: Final = 10e-6
"""What a leg costs a tick, about, where the worker has too few to tell."""
ENOUGH_LEGS: Final = 50
GATHER_S: Final = 0.002
"""How long commands gather after some have gone out: a worker is woken by each that comes by itself."""


class WorkerLink:
    """One worker as control sees it: a channel watched by the event loop, and the legs behind it."""

    def __init__(self, name: str, capacity: int, *, gather_s: float = GATHER_S) -> None:
        self.name = name
        self.capacity = capacity
        self._gather_s = gather_s
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.legs: dict[int, MediaLeg] = {}
        self.beat: Beat | None = None
        self.beat_at = self.loop.time()
        self.silent = False
        """Whether a beat is overdue: who watches the workers says so, as control itself may have stood still."""
        self.restarts = 0
        self.overruns = self.late_packets = 0
        """Since the process began, its predecessors included."""
        self._channel: Channel[Event] | None = None
        self._writing = self._flushing = False
        self._flushed_at = 0.0
        self._on_end: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """True while there is a worker at the other end."""
        return self._channel is not None

    @property
    def up(self) -> bool:
        """True while there is one, and it gives signs."""
        return self.connected and not self.silent

    @property
    def load(self) -> float:
        """The share of its time that it works, 0 to 1, with what has come since it told of that."""
        beat, legs = self.beat, len(self.legs)
        if beat is None:
            return legs * LEG_S / TICK_S
        a_leg_s = beat.work_p50_us / 1e6 / beat.legs if beat.legs >= ENOUGH_LEGS else LEG_S
        return (beat.work_p50_us / 1e6 + max(0, legs - beat.legs) * a_leg_s) / TICK_S

    def figures(self) -> WorkerFigures:
        """What it has told of itself."""
        beat = self.beat
        return WorkerFigures(
            name=self.name,
            up=self.up,
            legs=len(self.legs),
            load=round(self.load, 3),
            tick_p50_ms=beat.work_p50_us / 1000 if beat else 0.0,
            tick_max_ms=beat.work_max_us / 1000 if beat else 0.0,
            overruns=self.overruns,
            late_packets=self.late_packets,
            beat_age_s=round(self.loop.time() - self.beat_at, 1),
            restarts=self.restarts,
        )

    def connect(self, channel: Channel[Event], on_end: Callable[[], None]) -> None:
        """Talk to a worker through `channel`, and open the legs of its predecessor there."""
        self._channel, self._on_end = channel, on_end
        self.beat, self.beat_at, self.silent = None, self.loop.time(), False
        self.loop.add_reader(channel.fileno(), self._read)
        for leg in list(self.legs.values()):
            leg.reopen()

    def disconnect(self) -> None:
        """Stop talking to the worker."""
        if self._channel is not None:
            self._channel.flush()
            self.loop.remove_reader(self._channel.fileno())
            self.loop.remove_writer(self._channel.fileno())
            self._channel.close()
            self._channel, self._writing = None, False

    def send(self, command: Message) -> None:
        """Send a command, very soon; lost where the worker is being replaced (its legs are opened again)."""
        if self._channel is None:
            return
        self._channel.send(command, now=False)
        if self._flushing:
            return
        self._flushing = True
        due = self._flushed_at + self._gather_s
        if self.loop.time() >= due:
            self.loop.call_soon(self._flush)
        else:
            self.loop.call_at(due, self._flush)

    def _flush(self) -> None:
        self._flushing, self._flushed_at = False, self.loop.time()
        channel = self._channel
        if channel is None:
            return
        channel.flush()
        if channel.pending and not self._writing:
            self.loop.add_writer(channel.fileno(), self._flush)
        elif self._writing and not channel.pending:
            self.loop.remove_writer(channel.fileno())
        self._writing = bool(channel.pending)

    def _read(self) -> None:
        channel = self._channel
        if channel is None:
            return
        for event in channel.receive():
            if isinstance(event, Beat):
                self.beat, self.beat_at, self.silent = event, self.loop.time(), False
                self.overruns += event.overruns
                self.late_packets += event.late_packets
                if event.skipped:
                    log.warning("%s stood still for %.0f ms", self.name, event.skipped * TICK_S * 1000)
            elif (leg := self.legs.get(event.leg)) is not None:
                leg.on_event(event)
        if channel.ended:
            self.disconnect()
            self._on_end()

    def forget(self, leg: int) -> None:
        """Drop a leg that is closed."""
        self.legs.pop(leg, None)


class MediaClient:
    """All workers; new legs go to the one that has the least to do."""

    def __init__(self) -> None:
        self.workers: list[WorkerLink] = []
        self._numbers = itertools.count(1)

    def new_leg(self, listener: LegListener, *, beside: MediaLeg | None = None) -> MediaLeg:
        """Make a leg in the least loaded worker, or in that of `beside`. Raises MediaError where there is no room."""
        able = [
            worker
            for worker in self.workers
            if len(worker.legs) < worker.capacity
            and (worker.up if beside is None else worker.connected and beside in worker.legs.values())
        ]
        if not able:
            raise MediaError("no media worker can take another leg")
        worker = min(able, key=lambda candidate: (candidate.load, len(candidate.legs)))
        number = next(self._numbers)
        leg = worker.legs[number] = MediaLeg(worker, number, listener)
        return leg
