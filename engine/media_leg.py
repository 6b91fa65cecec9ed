"""A leg in a media worker as control sees it: commands as methods, jobs as futures.

A `MediaLeg` sends commands and gets its events; whatever ends a leg (close, or its worker's death) resolves
every job that it has under way, so nothing waits for ever. When a worker is replaced, its legs are opened
again in the new one: same ports, same SSRC, the stream going on where it would be by now, what played playing
on, what was listened for listened for anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from ..codecs.catalog import BY_NAME
from ..media.events import (
    AmdState,
    CommandFailed,
    DigitReceived,
    DigitsSent,
    Event,
    LegClosed,
    LegHeard,
    LegOpened,
    LegReport,
    LegSilent,
    LegStats,
    MachineDetected,
    NoiseDetected,
    OtherCodec,
    PlayFinished,
    RecordingFinished,
    SilenceDetected,
)
from ..media.protocol import (
    CloseLeg,
    Join,
    Leave,
    Message,
    OpenLeg,
    SendDigits,
    SetRemote,
    StartAmd,
    StartPlay,
    StartRecording,
    StartTone,
    StopRecording,
    Watch,
)
from .errors import LegRefused, MediaError
from .growth import Growth
from .leg_line import LegLine, Worker
from .leg_listener import LegListener, Nobody
from .leg_listening import LegListening
from .leg_plays import LegPlays
from .media_jobs import Listening, Playback, Recording
from .stream import Stream

log = logging.getLogger("flexml.media")

OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 3.0
NO_CHOICES: Final[Mapping[int, SetRemote]] = {}


class MediaLeg:
    """One leg in a worker."""

    def __init__(self, worker: Worker, leg: int, listener: LegListener) -> None:
        self._line = LegLine(worker, leg)
        self._listener = listener
        self._jobs: dict[int, asyncio.Future[Message]] = {}
        self._recordings: dict[int, Recording] = {}
        self._plays = LegPlays(self._line)
        self._listening = LegListening(self._line)
        self._room: int | None = None
        self._stream = Stream()
        self._open: OpenLeg | None = None
        self._opening: asyncio.Future[Message] | None = None
        self._remote: SetRemote | None = None
        self._choices: Mapping[int, SetRemote] = NO_CHOICES
        self._closing = False

    @property
    def closed(self) -> bool:
        """True once it is over, and everything on it."""
        return self._line.closed

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
        self._open = OpenLeg(leg=self._line.leg, job=self._line.next_job(), address=address, port=port, cname=cname)
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

    def set_remote(self, remote: SetRemote, choices: Mapping[int, SetRemote] = NO_CHOICES) -> None:
        """Say what was negotiated; `leg` and `job` are filled in.

        `choices` are what it becomes when packets of their payload type come, one of a codec that was agreed as well.
        """
        self._choices = choices
        self._use(remote)

    def _use(self, remote: SetRemote) -> None:
        self._remote = self._line.addressed(remote, self._line.next_job())
        self._stream.flow(remote.ptime, BY_NAME[remote.codec].clock_hz, self._line.now)
        self._line.send(self._remote)

    def mute(self) -> None:
        """Send and take nothing until what is negotiated is said again."""
        if self._remote is not None:
            self.set_remote(msgspec.structs.replace(self._remote, direction="inactive"))

    def start(self, command: StartPlay | StartTone, growth: Growth | None = None) -> Playback:
        """Begin a play or tone; `leg` and `job` are filled in, and `available` as far as `growth` has come."""
        return self._plays.start(command, growth)

    def seek(self, job: int, *, by_ms: int, strict: bool = False) -> None:
        """Move a play by so many ms; `strict` leaves it where it is rather than at its end. No matter once it ended."""
        self._plays.seek(job, by_ms=by_ms, strict=strict)

    def join(self, room: int) -> None:
        """Hear, and be heard by, all legs of `room`. Harmless in that room."""
        if room == self._room:
            return
        self._room = room
        self._line.send(Join(leg=self._line.leg, room=room))

    def leave(self) -> None:
        """Leave the room. Harmless outside of one."""
        if self._room is not None:
            self._room = None
            self._line.send(Leave(leg=self._line.leg))

    def start_recording(self, path: str, sides: Literal["heard", "sent", "mixed", "dual", "dual, sent first"]) -> int:
        """Record into the spool file `path`; returns the job to stop it with."""
        job = self._line.next_job()
        command = StartRecording(leg=self._line.leg, job=job, path=path, sides=sides)
        self._jobs[job] = self._line.loop.create_future()
        self._recordings[job] = Recording(command, self._line.now)
        self._line.send(command)
        return job

    async def stop_recording(self, job: int) -> RecordingFinished:
        """End a recording; returns once its spool file is complete. Raises MediaError."""
        recording = self._recordings.get(job)
        if recording is not None:
            recording.stopping = True
            self._line.send(StopRecording(leg=self._line.leg, job=job))
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
        return self._listening.listen(command)

    async def send_digits(
        self, digits: str, *, on_ms: int = 100, off_ms: int = 100, mode: Literal["auto", "rfc4733", "inband"] = "auto"
    ) -> None:
        """Send DTMF; returns when the last digit is out. Raises MediaError."""
        event = await self._ask(
            SendDigits(leg=self._line.leg, job=self._line.next_job(), digits=digits, on=on_ms, off=off_ms, mode=mode)
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
        if self._open is None or not self._line.connected:
            self._finish()
            return self.stats
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ask(CloseLeg(leg=self._line.leg, job=self._line.next_job()))
        except TimeoutError:
            log.warning("the media worker did not close leg %d within %g s", self._line.leg, CLOSE_TIMEOUT_S)
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
        future: asyncio.Future[Message] = self._line.loop.create_future()
        if self.closed:
            future.set_result(PlayFinished(leg=self._line.leg, job=command.job, reason="closed"))
        else:
            self._jobs[command.job] = future
            self._line.send(command)
        return future

    async def _result(self, command: Message, future: asyncio.Future[Message]) -> Message:
        try:
            return await future
        finally:
            self._jobs.pop(command.job, None)

    def _finish(self) -> None:
        if self.closed:
            return
        self._line.close()
        for job, future in list(self._jobs.items()):
            if not future.done():
                future.set_result(PlayFinished(leg=self._line.leg, job=job, reason="closed"))
        self._plays.close()
        self._listening.close()
        self._listener = Nobody()

    # ---- events -----------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take an event of this leg."""
        match event:
            case DigitReceived():
                self._listener.on_digit(event.digit, event.source)
            case NoiseDetected() | SilenceDetected() | AmdState() | MachineDetected():
                if self._listening.hears(event.job):
                    self._listener.on_detected(event)
                    self._listening.on_detected(event)
            case LegHeard():
                self._listener.on_heard(event.address, event.port)
            case OtherCodec():
                self._change(event.payload_type)
            case LegSilent():
                self._listener.on_silent(event.silent)
            case LegReport():
                self._stream.count(event.stats, self._line.now)
                self._listener.on_report(self.stats)
            case LegClosed():
                self._stream.count(event.stats, self._line.now)
                self._resolve(event)
                self._finish()
            case PlayFinished():
                self._plays.on_finished(event)
            case LegOpened():
                self._stream.open(event)
                self._resolve(event)
            case DigitsSent() | RecordingFinished():
                self._resolve(event)
            case CommandFailed():
                log.warning("media worker: %s: %s", event.command, event.error)
                self._plays.on_finished(PlayFinished(job=event.job, reason="failed", error=event.error))
                self._listening.on_failed(event.job)
                self._resolve(event)
            case _:
                log.debug("media event without a taker: %s", event)

    def _change(self, payload_type: int) -> None:
        """Go over to the codec of the peer's packets, and send it as well."""
        chosen = self._choices.get(payload_type)
        if chosen is not None and self._remote is not None and chosen.codec != self._remote.codec:
            self._use(chosen)
            self._listener.on_codec(chosen.codec)

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
        now = self._line.now
        self._listener.on_replaced(self._stream.uncounted_s(now))
        protected = self._remote is not None and self._remote.srtp is not None
        self._line.send(self._stream.resume(self._open, now, new_source=protected))
        if self._remote is not None:
            self._line.send(self._stream.listened_for(self._remote))
            self._stream.flow(self._remote.ptime, BY_NAME[self._remote.codec].clock_hz, now)
        if self._room is not None:
            self._line.send(Join(leg=self._line.leg, room=self._room))
        self._plays.resume(now, flowing=self._remote is not None)
        for job, recording in self._recordings.items():
            self._line.send(recording.resumed())
            if recording.stopping:
                self._line.send(StopRecording(leg=self._line.leg, job=job))
        self._listening.resume()
        for job in self._jobs.keys() - self._recordings.keys() - {self._open.job}:
            self._resolve(CommandFailed(leg=self._line.leg, job=job, command="", error="the media worker was replaced"))
