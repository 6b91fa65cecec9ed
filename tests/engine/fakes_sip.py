"""Doubles at the seams of the control process: a SIP agent that keeps what it is told, a worker that a test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from flexml.engine.call_recordings import Spool
from flexml.engine.call_services import Services
from flexml.engine.errors import PromptError, SipError, StorageError
from flexml.engine.flexml.verb import Prompt
from flexml.engine.media_client import MediaClient, WorkerLink
from flexml.engine.media_jobs import Detected
from flexml.engine.recording import Recorded, RecordingRequest
from flexml.engine.sip.events import Login, SipAgent
from flexml.media import channel
from flexml.media.events import CommandFailed, Event, LegClosed, LegOpened, LegStats, PlayFinished
from flexml.media.protocol import CloseLeg, Command, DigitSource, OpenLeg, StartPlay, StopPlay

from . import virtual_time

OFFER = "\r\n".join(
    [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
        "m=audio 9000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", "",
    ]
)  # fmt: skip
OFFER_WITHOUT_EVENTS = OFFER.replace(" 101\r\na=rtpmap:101 telephone-event/8000", "")


_started: ContextVar[list[FakeWorker]] = ContextVar("workers of this run")


def run(main: Coroutine[None, None, None]) -> None:
    """Run `main` in virtual time, then close the workers that it made."""

    async def closing() -> None:
        _started.set([])
        try:
            await main
        finally:
            for worker in _started.get():
                worker.close()

    virtual_time.run(closing())


@dataclass
class FakeAgent:
    """Implements `events.SipAgent`. Once `gone`, it refuses, as pjsip does for a dialog that has ended."""

    said: list[str] = field(default_factory=list[str])
    gone: bool = False
    refuses: str = ""
    """Why no INVITE goes out."""
    from_uris: list[str] = field(default_factory=list[str])

    def _say(self, what: str) -> None:
        if self.gone:
            raise SipError("no such dialog")
        self.said.append(what)

    def ring(self, dialog: int, *, early_media: bool = False) -> None:
        self._say("183" if early_media else "180")

    def answer(self, dialog: int) -> None:
        self._say("200")

    def reject(self, dialog: int, *, status: int, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        self._say(str(status))

    def hang_up(self, dialog: int, *, reason: str = "") -> None:
        self._say("BYE")

    def invite(
        self,
        target: str,
        *,
        sdp: str,
        from_uri: str,
        display_name: str = "",
        headers: Sequence[tuple[str, str]] = (),
        trunk: str = "",
        login: Login | None = None,
    ) -> int:
        if self.refuses:
            raise SipError(self.refuses)
        self._say(f"INVITE {target}")
        self.from_uris.append(from_uri)
        return 1

    def reinvite(self, dialog: int, *, sdp: str) -> None:
        self._say("INVITE")

    def notify(self, dialog: int, *, status: int, reason: str) -> None:
        self._say(f"NOTIFY {status} {reason}")

    def send_info(self, dialog: int, *, digit: str, duration_ms: int = 100) -> None:
        self._say(f"INFO {digit}")


class FakeWorker:
    """A worker's end of the channel: opens and closes legs by itself, keeps every command, says what a test sends."""

    def __init__(self, client: MediaClient, *, capacity: int = 4, gather_s: float = 0.0) -> None:
        self.link = WorkerLink("worker 1", capacity, gather_s=gather_s)
        client.workers.append(self.link)
        _started.get().append(self)
        self.commands: list[Command] = []
        self.wakings = 0
        self.opens = self.closes = True
        self.taken: set[int] = set()  # ports that another program has
        self._started: dict[int, float] = {}  # jobs of plays
        self.replace()

    def replace(self) -> None:
        """Start, or start again after `die`."""
        control, self._end = channel.pair()
        asyncio.get_running_loop().add_reader(self._end.fileno(), self._read)
        self.link.connect(control, lambda: None)

    def close(self) -> None:
        self.link.disconnect()
        self.die()

    def die(self) -> None:
        """End as a killed process does. Harmless afterwards."""
        if self._end.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._end.fileno())
            self._end.close()

    def send(self, event: Event) -> None:
        self._end.send(event)

    def got(self, kind: type[Command]) -> list[Command]:
        return [command for command in self.commands if isinstance(command, kind)]

    def _read(self) -> None:
        self.wakings += 1
        for command in self._end.receive():
            self.commands.append(command)
            self.take(command)

    def take(self, command: Command) -> None:
        """Do what a worker does about it."""
        if isinstance(command, OpenLeg) and command.port in self.taken:
            why = f"{command.address}:{command.port} cannot be bound: Address already in use"
            self.send(CommandFailed(leg=command.leg, job=command.job, command="OpenLeg", error=why))
        elif isinstance(command, OpenLeg) and self.opens:
            ssrc, sequence, timestamp = command.ssrc or 77, command.sequence or 1000, command.timestamp or 5000
            self.send(
                LegOpened(
                    leg=command.leg, job=command.job, port=command.port,
                    ssrc=ssrc, sequence=sequence, timestamp=timestamp,
                )
            )  # fmt: skip
        elif isinstance(command, StartPlay):
            self._started[command.job] = asyncio.get_running_loop().time() - command.offset / 1000
        elif isinstance(command, StopPlay):
            position = round((asyncio.get_running_loop().time() - self._started.pop(command.job)) * 1000)
            self.send(PlayFinished(leg=command.leg, job=command.job, reason="stopped", position=position))
        elif isinstance(command, CloseLeg) and self.closes:
            self.send(LegClosed(leg=command.leg, job=command.job, stats=LegStats(packets_sent=3)))


@dataclass
class Heard:
    """A LegListener that keeps what it hears."""

    digits: list[str] = field(default_factory=list[str])
    detected: list[Detected] = field(default_factory=list[Detected])
    reports: list[LegStats] = field(default_factory=list[LegStats])
    replaced: list[float] = field(default_factory=list[float])

    def on_detected(self, event: Detected) -> None:
        self.detected.append(event)

    def on_digit(self, digit: str, source: DigitSource) -> None:
        del source
        self.digits.append(digit)

    def on_report(self, stats: LegStats) -> None:
        self.reports.append(stats)

    def on_heard(self, address: str, port: int) -> None:
        self.digits.append("heard")

    def on_codec(self, codec: str) -> None:
        self.digits.append(codec)

    def on_silent(self, silent_ms: int) -> None:
        self.digits.append("silent")

    def on_replaced(self, uncounted_s: float) -> None:
        self.replaced.append(uncounted_s)


class NoAudio:
    """Nothing can be fetched, nowhere is anything recorded."""

    async def fetch(
        self, url: str, rate_hz: int = 8000, *, streaming: bool = False, pre_buffer_s: float = 0.0
    ) -> Prompt:
        raise PromptError(url)

    async def fetch_file(self, account: str, sid: str, rate_hz: int = 8000) -> Prompt:
        raise PromptError(sid)

    async def begin(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> Spool:
        raise StorageError("nowhere")

    async def check(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> None:
        raise StorageError("nowhere")

    async def finish(self, spool: Spool, facts: Mapping[str, object], error: str = "") -> Recorded:
        raise AssertionError("nothing was begun")


async def no_speech(text: str, voice: str, rate_hz: int) -> Prompt:
    raise PromptError(f"{voice} does not say {text}")


def services(agent: SipAgent) -> Services:
    return Services(agent=agent, speak=no_speech, audio=NoAudio(), recordings=NoAudio())


async def settle() -> None:
    """Let messages cross the channel and back; only tasks and descriptors that are ready run, no timer."""
    for _ in range(20):
        await asyncio.sleep(0)
