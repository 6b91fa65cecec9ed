"""A leg in a media worker as control sees it: commands as methods, jobs as futures.

A `MediaLeg` sends commands and gets its events; whatever ends a leg (close, or its worker's death) resolves
every job that it has under way, so nothing waits for ever. When a worker is replaced, its legs are opened
again in the new one: same ports, same SSRC, the stream going on where it would be by now, what played playing
on, what was listened for listened for anew.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Literal, Protocol, TypeVar

import msgspec

from ..codecs.catalog import BY_NAME
from ..media.protocol import (
    AmdState,
    CloseLeg,
    CommandFailed,
    DigitReceived,
    DigitSource,
    DigitsSent,
    Event,
    GrowPlay,
    Join,
    Leave,
    LegClosed,
    LegHeard,
    LegOpened,
    LegReport,
    LegSilent,
    LegStats,
    MachineDetected,
    Message,
    NoiseDetected,
    OpenLeg,
    PlayFinished,
    RecordingFinished,
    SeekPlay,
    SendDigits,
    SetRemote,
    SilenceDetected,
    StartAmd,
    StartPlay,
    StartRecording,
    StartTone,
    StopAmd,
    StopPlay,
    StopRecording,
    Unwatch,
    Watch,
)
from .errors import LegRefused, MediaError
from .growth import Growth
from .media_jobs import Detected, Listening, Play, Playback, Recording
from .stream import WORKER_START_S, Stream

log = logging.getLogger("flexml.media")

Command = TypeVar("Command", bound=Message)

OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 3.0


class LegListener(Protocol):
    """Who hears of what happens on a leg by itself."""

    def on_digit(self, digit: str, source: DigitSource) -> None:
        """A key was pressed."""
        ...

    def on_detected(self, event: Detected) -> None:
        """Something listened for was heard, the last thing or one on the way to it."""
        ...

    def on_heard(self, address: str, port: int) -> None:
        """The first packet came in, from there."""
        ...

    def on_report(self, stats: LegStats) -> None:
        """What was counted from the start until now, every ten seconds."""
        ...

    def on_silent(self, silent_ms: int) -> None:
        """No packet has come for that long."""
        ...

    def on_replaced(self, uncounted_s: float) -> None:
        """Another worker goes on with the leg; what the one before counted in so many seconds is lost with it."""
        ...


class _Nobody:
    """Hears of a leg that is closed. Who heard of it before has the leg, and would have itself through it."""

    def on_digit(self, digit: str, source: DigitSource) -> None: ...
    def on_detected(self, event: Detected) -> None: ...
    def on_heard(self, address: str, port: int) -> None: ...
    def on_report(self, stats: LegStats) -> None: ...
    def on_silent(self, silent_ms: int) -> None: ...
    def on_replaced(self, uncounted_s: float) -> None: ...


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


class MediaLeg:
    """One leg in a worker."""

    def __init__(self, worker: Worker, leg: int, listener: LegListener) -> None:
        self._worker = worker
        self._leg = leg
        self._listener = listener
        self._jobs: dict[int, asyncio.Future[Message]] = {}
        self._plays: dict[int, Play] = {}
        self._numbers = itertools.count(1)
        self._recordings: dict[int, Recording] = {}
        self._listening: dict[int, Listening] = {}
        self._room: int | None = None
        self._stream = Stream()
        self._open: OpenLeg | None = None
        self._opening: asyncio.Future[Message] | None = None
        self._remote: SetRemote | None = None
        self._closing = False
        self.closed = False

    @property
    def stats(self) -> LegStats:
        """What was counted so far; final once the leg is closed."""
        return self._stream.stats

    def report_to(self, listener: LegListener) -> None:
        """Have another hear of the leg from now on."""
        self._listener = listener

    # ---- commands ---------------------------------------------------------------------------------------------

    def begin_to_open(self, address: str, port: int, cname: str) -> None:
        """Have the worker bind the ports; what came of it `opened` tells."""
        self._open = OpenLeg(leg=self._leg, job=next(self._numbers), address=address, port=port, cname=cname)
        self._opening = self._begin(self._open)

    async def opened(self) -> None:
        """Return once the ports are bound. Raises LegRefused where the worker cannot, MediaError if it says nothing."""
        command, opening = self._open, self._opening
        if command is None or opening is None:
            raise MediaError("the leg was not to be opened")
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                event = await self._result(command, opening)
        except TimeoutError:
            raise MediaError(f"the media worker did not open port {command.port} within {OPEN_TIMEOUT_S:g} s") from None
        if isinstance(event, CommandFailed):
            raise LegRefused(event.error)
        if not isinstance(event, LegOpened):
            raise MediaError("the media worker is gone")

    def set_remote(self, remote: SetRemote) -> None:
        """Say what was negotiated; `leg` and `job` are filled in."""
        self._remote = _addressed(remote, self._leg, next(self._numbers))
        self._stream.flow(remote.ptime, BY_NAME[remote.codec].clock_hz, self._worker.loop.time())
        self._worker.send(self._remote)

    def mute(self) -> None:
        """Send and take nothing until what is negotiated is said again."""
        if self._remote is not None:
            self.set_remote(msgspec.structs.replace(self._remote, direction="inactive"))

    def start(self, command: StartPlay | StartTone, growth: Growth | None = None) -> Playback:
        """Begin a play or tone; `leg` and `job` are filled in, and `available` as far as `growth` has come."""
        job = next(self._numbers)
        command = _addressed(command, self._leg, job)
        playback = Playback(self, job, self._worker.loop.create_future())
        if self.closed:
            playback.finish(PlayFinished(leg=self._leg, job=job, reason="closed"))
            return playback
        play = self._plays[job] = Play(command, self._worker.loop.time(), playback)
        if growth is not None and isinstance(command, StartPlay):
            play.command = command = _addressed(command, self._leg, job, available=growth.available)
            play.growing = self._worker.loop.create_task(self._follow(job, growth))
        self._worker.send(command)
        return playback

    async def _follow(self, job: int, growth: Growth) -> None:
        """Tell the worker how the file that `job` plays grows; be one of its listeners until the play ends."""
        with growth.listening():
            while (play := self._plays.get(job)) is not None:
                grown = GrowPlay(leg=self._leg, job=job, available=growth.available, complete=growth.complete)
                available = None if growth.complete else growth.available  # for a worker that takes over
                play.command = _addressed(play.command, self._leg, job, available=available)
                self._worker.send(grown)
                if growth.complete:
                    return
                await growth.changed()

    def seek(self, job: int, *, by_ms: int, strict: bool = False) -> None:
        """Move a play by so many ms; `strict` leaves it where it is rather than at its end. No matter once it ended."""
        play = self._plays.get(job)
        if play is not None:
            play.move(0 if strict else by_ms, self._worker.loop.time())
            self._worker.send(SeekPlay(leg=self._leg, job=job, by=by_ms, strict=strict))

    def stop(self, job: int) -> None:
        """Stop a play; nothing happens where it has ended."""
        play = self._plays.get(job)
        if play is not None:
            play.stopping = True
            self._worker.send(StopPlay(leg=self._leg, job=job))

    def join(self, room: int) -> None:
        """Hear, and be heard by, all legs of `room`. Harmless in that room."""
        if room == self._room:
            return
        self._room = room
        self._worker.send(Join(leg=self._leg, room=room))

    def leave(self) -> None:
        """Leave the room. Harmless outside of one."""
        if self._room is not None:
            self._room = None
            self._worker.send(Leave(leg=self._leg))

    def start_recording(self, path: str, sides: Literal["heard", "sent", "mixed", "dual", "dual, sent first"]) -> int:
        """Record into the spool file `path`; returns the job to stop it with."""
        job = next(self._numbers)
        command = StartRecording(leg=self._leg, job=job, path=path, sides=sides)
        self._jobs[job] = self._worker.loop.create_future()
        self._recordings[job] = Recording(command, self._worker.loop.time())
        self._worker.send(command)
        return job

    async def stop_recording(self, job: int) -> RecordingFinished:
        """End a recording; returns once its spool file is complete. Raises MediaError."""
        recording = self._recordings.get(job)
        if recording is not None:
            recording.stopping = True
            self._worker.send(StopRecording(leg=self._leg, job=job))
        try:
            event = await self._jobs[job]
        finally:
            self._jobs.pop(job, None)
            self._recordings.pop(job, None)
        if not isinstance(event, RecordingFinished):
            raise MediaError(event.error if isinstance(event, CommandFailed) else "the media worker is gone")
        return event

    def listen(self, command: Watch | StartAmd) -> Listening:
        """Begin a watch or a detection; `leg` and `job` are filled in."""
        command = _addressed(command, self._leg, next(self._numbers))
        listening = Listening(self, command, self._worker.loop.create_future())
        if self.closed:
            listening.finished.set_result(None)
            return listening
        self._listening[command.job] = listening
        self._worker.send(command)
        return listening

    def listen_no_more(self, command: Watch | StartAmd) -> None:
        """End a watch or a detection."""
        if self._listening.pop(command.job, None) is not None:
            end = Unwatch if isinstance(command, Watch) else StopAmd
            self._worker.send(end(leg=self._leg, job=command.job))

    def _detected(self, event: Detected) -> None:
        listening = self._listening.get(event.job)
        if listening is None:
            return
        self._listener.on_detected(event)
        if listening.take(event):
            del self._listening[event.job]

    async def send_digits(
        self, digits: str, *, on_ms: int = 100, off_ms: int = 100, mode: Literal["auto", "rfc4733", "inband"] = "auto"
    ) -> None:
        """Send DTMF; returns when the last digit is out. Raises MediaError."""
        event = await self._ask(
            SendDigits(leg=self._leg, job=next(self._numbers), digits=digits, on=on_ms, off=off_ms, mode=mode)
        )
        if isinstance(event, CommandFailed):
            raise MediaError(event.error)
        if not isinstance(event, DigitsSent):
            raise MediaError("the leg was closed before all digits were out")

    async def close(self) -> LegStats:
        """Close the leg and return its final statistics. Closing twice is harmless."""
        if self.closed:
            return self.stats
        self._closing = True
        if self._open is None or not self._worker.connected:
            self._finish()
            return self.stats
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ask(CloseLeg(leg=self._leg, job=next(self._numbers)))
        except TimeoutError:
            log.warning("the media worker did not close leg %d within %g s", self._leg, CLOSE_TIMEOUT_S)
        finally:
            self._finish()
        return self.stats

    def abandon(self) -> None:
        """Give up a leg that could not be opened."""
        self._finish()

    async def _ask(self, command: Message) -> Message:
        return await self._result(command, self._begin(command))

    def _begin(self, command: Message) -> asyncio.Future[Message]:
        """Send a command that is answered; the answer is the future's result."""
        future: asyncio.Future[Message] = self._worker.loop.create_future()
        if self.closed:
            future.set_result(PlayFinished(leg=self._leg, job=command.job, reason="closed"))
        else:
            self._jobs[command.job] = future
            self._worker.send(command)
        return future

    async def _result(self, command: Message, future: asyncio.Future[Message]) -> Message:
        try:
            return await future
        finally:
            self._jobs.pop(command.job, None)

    def _finish(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._worker.forget(self._leg)
        for job, future in list(self._jobs.items()):
            if not future.done():
                future.set_result(PlayFinished(leg=self._leg, job=job, reason="closed"))
        for job, play in self._plays.items():
            play.finish(PlayFinished(leg=self._leg, job=job, reason="closed"))
        self._plays.clear()
        for listening in list(self._listening.values()):
            listening.stop()
        self._listener = _Nobody()

    # ---- events -----------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take an event of this leg."""
        match event:
            case DigitReceived():
                self._listener.on_digit(event.digit, event.source)
            case NoiseDetected() | SilenceDetected() | AmdState() | MachineDetected():
                self._detected(event)
            case LegHeard():
                self._listener.on_heard(event.address, event.port)
            case LegSilent():
                self._listener.on_silent(event.silent)
            case LegReport():
                self._stream.count(event.stats, self._worker.loop.time())
                self._listener.on_report(self.stats)
            case LegClosed():
                self._stream.count(event.stats, self._worker.loop.time())
                self._resolve(event)
                self._finish()
            case PlayFinished():
                self._play_finished(event)
            case LegOpened():
                self._stream.open(event)
                self._resolve(event)
            case DigitsSent() | RecordingFinished():
                self._resolve(event)
            case CommandFailed():
                log.warning("media worker: %s: %s", event.command, event.error)
                self._play_finished(PlayFinished(job=event.job, reason="failed", error=event.error))
                if (listening := self._listening.get(event.job)) is not None:
                    listening.stop()
                self._resolve(event)
            case _:
                log.debug("media event without a taker: %s", event)

    def _play_finished(self, event: PlayFinished) -> None:
        play = self._plays.pop(event.job, None)
        if play is not None:
            play.finish(event)

    def _resolve(self, event: Message) -> None:
        future = self._jobs.get(event.job)
        if future is not None and not future.done():
            future.set_result(event)

    def reopen(self) -> None:
        """Go on in a worker that replaces the one the leg was in; what cannot go on ends."""
        if self._closing:
            self._finish()
            return
        if self._open is None:
            return
        now = self._worker.loop.time()
        self._listener.on_replaced(self._stream.uncounted_s(now))
        protected = self._remote is not None and self._remote.srtp is not None
        self._worker.send(self._stream.resume(self._open, now, new_source=protected))
        if self._remote is not None:
            self._worker.send(self._stream.listened_for(self._remote))
            self._stream.flow(self._remote.ptime, BY_NAME[self._remote.codec].clock_hz, now)
        if self._room is not None:
            self._worker.send(Join(leg=self._leg, room=self._room))
        for play in list(self._plays.values()):
            self._replay(play, now)
        for job, recording in self._recordings.items():
            self._worker.send(recording.resumed())
            if recording.stopping:
                self._worker.send(StopRecording(leg=self._leg, job=job))
        for listening in self._listening.values():
            self._worker.send(listening.command)
        for job in self._jobs.keys() - self._recordings.keys() - {self._open.job}:
            self._resolve(CommandFailed(leg=self._leg, job=job, command="", error="the media worker was replaced"))

    def _replay(self, play: Play, now: float) -> None:
        """Let a play go on where it will be once the worker is there; one that was to stop has stopped."""
        command, position = play.command, play.position(now)
        if play.stopping:
            self._play_finished(PlayFinished(leg=self._leg, job=command.job, reason="stopped", position=position))
            return
        if play.steady:
            ahead = position + int(WORKER_START_S * 1000) if self._remote else position
            command = _addressed(command, self._leg, command.job, offset=ahead)
        self._worker.send(command)


def _addressed(command: Command, leg: int, job: int, **changes: object) -> Command:
    """The same command with its addressing filled in."""
    return msgspec.structs.replace(command, leg=leg, job=job, **changes)
