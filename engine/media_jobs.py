"""What goes on on a leg: plays, recordings, and what is listened for. Each comes to an end once, whatever ends it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ..media.events import AmdState, MachineDetected, NoiseDetected, PlayFinished, SilenceDetected
from ..media.protocol import StartAmd, StartPlay, StartRecording, StartTone, Watch

Detected = NoiseDetected | SilenceDetected | AmdState | MachineDetected
"""What a leg can be listened to for."""


class Plays(Protocol):
    """The plays of a leg, as far as one needs them to end before its time."""

    def stop(self, job: int) -> None:
        """Stop a play."""
        ...


class Listener(Protocol):
    """What is listened for on a leg, as far as a job needs it to end before its time."""

    def listen_no_more(self, command: Watch | StartAmd) -> None:
        """End a watch or a detection."""
        ...


@dataclass(slots=True)
class Play:
    """A play that is under way: its command, when it started on the loop's clock, whether it is to stop."""

    command: StartPlay | StartTone
    started: float
    playback: Playback
    stopping: bool = False
    growing: asyncio.Task[None] | None = None

    def position(self, now: float) -> int:
        """Where in its file it is, in ms, as far as that follows from the time."""
        command = self.command
        if isinstance(command, StartTone):
            return 0
        return command.offset + (int((now - self.started) * 1000) if self.steady else 0)

    @property
    def steady(self) -> bool:
        """True where its position follows from the time: it is played once, or a stream."""
        return isinstance(self.command, StartPlay) and (self.command.loops == 1 or self.command.ring > 0)

    def move(self, by_ms: int, now: float) -> None:
        """Take that it has been moved, so that another worker goes on from there."""
        if isinstance(self.command, StartPlay):
            offset = max(0, self.position(now) + by_ms)
            self.command, self.started = msgspec.structs.replace(self.command, offset=offset), now

    def finish(self, event: PlayFinished) -> None:
        """Take how it ended."""
        if self.growing is not None:
            self.growing.cancel()
        self.playback.finish(event)


@dataclass(slots=True)
class Recording:
    """A recording under way, or to be stopped."""

    command: StartRecording
    started: float
    stopping: bool = False

    def resumed(self) -> StartRecording:
        """The command for a worker that takes over; one that was to stop has what has been written."""
        return self.command if self.stopping else msgspec.structs.replace(self.command, began=self.started)


class Playback:
    """A play under way. `finished` resolves once, whatever ends it."""

    def __init__(self, plays: Plays, job: int, finished: asyncio.Future[PlayFinished]) -> None:
        self.job = job
        self.finished = finished
        self._plays = plays

    def stop(self) -> None:
        """Ask for the end; `finished` tells how far it came. Harmless afterwards."""
        if not self.finished.done():
            self._plays.stop(self.job)

    def finish(self, event: PlayFinished) -> None:
        """Take how it ended."""
        if not self.finished.done():
            self.finished.set_result(event)


class Listening:
    """A watch or a detection under way. `finished` resolves once: with its last event, or None if it came to none."""

    def __init__(
        self, listener: Listener, command: Watch | StartAmd, finished: asyncio.Future[Detected | None]
    ) -> None:
        self.command = command
        self.finished = finished
        self._listener = listener

    def stop(self) -> None:
        """Listen no more. Harmless afterwards."""
        if not self.finished.done():
            self.finished.set_result(None)
            self._listener.listen_no_more(self.command)

    def take(self, event: Detected) -> bool:
        """Take an event of it; True if that was the last."""
        both = isinstance(self.command, Watch) and self.command.silence is not None
        if isinstance(event, AmdState) or (both and isinstance(event, NoiseDetected)):
            return False
        if not self.finished.done():
            self.finished.set_result(event)
        return True
