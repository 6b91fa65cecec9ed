"""Doubles for whole calls in virtual time: peers that go by a script, a worker that ends what it began, and what an
application, a storage and a database are to calls. Everything takes a while, so that something may happen meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flexml.engine.call import Call
from flexml.engine.call_recordings import Spool
from flexml.engine.errors import PromptError, SipError
from flexml.engine.flexml.fetch import Cookies, Fetched
from flexml.engine.flexml.verb import Prompt
from flexml.engine.media_client import MediaClient
from flexml.engine.recording import Recorded, RecordingRequest
from flexml.engine.records import CallRecord
from flexml.engine.registry import Registry
from flexml.engine.sip.events import Accepted, Acknowledged, Ended, Login, MessageAnswered, Progressed
from flexml.media import events, protocol

from .fakes_sip import OFFER, FakeWorker

A_WHILE_S: Final = 0.05
CALLER: Final = 1
"""The inbound call's dialog."""
Script = Sequence[tuple[float, str]]
"""What somebody does, so many seconds after what came before: a status, a key, BYE, `heard`, or REFER and whom to."""


HARMLESS: Final = protocol.OpenLeg | protocol.SetRemote | protocol.Leave | protocol.StopPlay
"""What a worker may be told of a leg that is closed, or not open yet."""


class Network:
    """Implements `events.SipAgent`. `script` says what whoever is called does."""

    def __init__(self, registry: Registry, script: Mapping[str, Script]) -> None:
        self._registry, self._script = registry, script
        self.live: dict[int, str] = {}
        self.said: list[tuple[float, int, str]] = []
        self.press: Callable[[int, str], None] = lambda _, __: None
        self._next = 100

    def finals(self, dialog: int) -> list[str]:
        """What ended that dialog, of what we have said in it."""
        said = [what for _, number, what in self.said if number == dialog]
        return [what for what in said if what == "BYE" or (what.isdigit() and int(what) >= 300)]

    def _say(self, dialog: int, what: str) -> None:
        if dialog not in self.live:
            raise SipError(f"dialog {dialog} is over")
        self.said.append((asyncio.get_running_loop().time(), dialog, what))

    def ring(self, dialog: int, *, early_media: bool = False) -> None:
        self._say(dialog, "183" if early_media else "180")

    def answer(self, dialog: int) -> None:
        self._say(dialog, "200")
        self._later(lambda: self._tell(Acknowledged(dialog=dialog, sdp=None)))

    def reject(self, dialog: int, *, status: int, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        self._say(dialog, str(status))
        self.end(dialog, status=status, by="local")

    def hang_up(self, dialog: int, *, reason: str = "") -> None:
        if dialog in self.live:
            self._say(dialog, "BYE")
            self.end(dialog, by="local")

    def invite(
        self, target: str, *, sdp: str, from_uri: str, display_name: str = "",
        headers: Sequence[tuple[str, str]] = (), trunk: str = "", login: Login | None = None,
    ) -> int:  # fmt: skip
        dialog, self._next = self._next, self._next + 1
        self.live[dialog] = target
        self._say(dialog, f"INVITE {target}")
        at_s = 0.0
        for after_s, what in self._script[target]:
            at_s += after_s
            asyncio.get_running_loop().call_later(at_s, self._does, dialog, what)
        return dialog

    def reinvite(self, dialog: int, *, sdp: str) -> None:
        self._say(dialog, "INVITE")

    def notify(self, dialog: int, *, status: int, reason: str) -> None:
        self._say(dialog, f"NOTIFY {status}")

    def send_info(self, dialog: int, *, digit: str, duration_ms: int = 100) -> None:
        self._say(dialog, f"INFO {digit}")

    def send_message(
        self, target: str, *, text: str, from_uri: str, headers: Sequence[tuple[str, str]] = (), trunk: str,
        told: Callable[[MessageAnswered], None],
    ) -> None:  # fmt: skip
        self._later(lambda: told(MessageAnswered(status=200, reason="OK", received=True)))

    def end(self, dialog: int, *, status: int = 200, by: Literal["local", "remote"] = "remote") -> None:
        """Let a dialog end, unless it has."""
        if self.live.pop(dialog, None) is not None:
            self._registry.on_event(Ended(dialog=dialog, status=status, reason="", by=by))

    def does(self, call: Call, what: str) -> None:
        """Let the peer of a call do something."""
        self._does(call.dialog, what)

    def _does(self, dialog: int, what: str) -> None:
        if dialog not in self.live:
            return
        if what == "BYE":
            self.end(dialog)
        elif what.startswith("REFER"):
            self._registry.on_refer(dialog, what.partition(" ")[2])
        elif what == "heard" or len(what) == 1:
            self.press(dialog, what)
        elif what == "200":
            self._tell(Accepted(dialog=dialog, sdp=OFFER))
        elif int(what) < 200:
            self._tell(Progressed(dialog=dialog, status=int(what), sdp=OFFER if what == "183" else None))
        else:
            self.end(dialog, status=int(what))

    @staticmethod
    def _later(act: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(A_WHILE_S, act)

    def _tell(self, event: Accepted | Acknowledged | Progressed) -> None:
        if event.dialog in self.live:
            self._registry.on_event(event)


class Worker(FakeWorker):
    """A worker that plays for two seconds, and hears silence after three; it may die, and be replaced."""

    PLAY_S, SILENCE_S, MACHINE_S = 2.0, 3.0, 1.0

    def __init__(self, client: MediaClient) -> None:
        self.timers: dict[tuple[int, int], asyncio.TimerHandle] = {}
        self.begun: dict[tuple[int, int], float] = {}
        self.legs: set[int] = set()
        self.rooms: dict[int, int] = {}
        self.recording: set[tuple[int, int]] = set()
        self.wrong: list[str] = []
        super().__init__(client, capacity=20)

    def die(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
        for held in (self.timers, self.begun, self.legs, self.rooms, self.recording):
            held.clear()
        super().die()

    def take(self, command: protocol.Command) -> None:
        leg, job = command.leg, command.job
        at = leg, job
        if leg not in self.legs and not isinstance(command, HARMLESS):
            self.wrong.append(f"{type(command).__name__} on a leg that is not open")
            return
        match command:
            case protocol.OpenLeg():
                self.legs.add(leg)
                opened = events.LegOpened(leg=leg, job=job, port=command.port, ssrc=7, sequence=1, timestamp=1)
                self._later(at, A_WHILE_S, opened)
            case protocol.CloseLeg():
                self.legs.discard(leg)
                for other in [other for other in self.timers if other[0] == leg]:
                    self.timers.pop(other).cancel()
                self.rooms.pop(leg, None)
                if any(other[0] == leg for other in self.recording):
                    self.wrong.append("a leg was closed that was being recorded")
                self._later(at, A_WHILE_S, events.LegClosed(leg=leg, job=job, stats=events.LegStats(packets_sent=3)))
            case protocol.StartPlay(loops=0) | protocol.StartTone(duration=0):
                self.begun[at] = self._now()
            case protocol.StartPlay() | protocol.StartTone():
                self.begun[at] = self._now()
                self._later(at, self.PLAY_S, events.PlayFinished(leg=leg, job=job, reason="ended", position=2000))
            case protocol.StopPlay():
                if at in self.begun:
                    position = round((self._now() - self.begun.pop(at)) * 1000)
                    self._later(at, 0, events.PlayFinished(leg=leg, job=job, reason="stopped", position=position))
            case protocol.SendDigits():
                self._later(at, 0.2 * len(command.digits), events.DigitsSent(leg=leg, job=job))
            case protocol.StartRecording():
                self.recording.add(at)
            case protocol.StopRecording():
                self.recording.discard(at)
                self._later(at, A_WHILE_S, events.RecordingFinished(leg=leg, job=job, duration=1000))
            case protocol.Watch():
                self._later(at, self.SILENCE_S, events.SilenceDetected(leg=leg, job=job, duration=3000))
            case protocol.StartAmd():
                self.send(events.AmdState(leg=leg, job=job, state="word", at=1, lasted=1))
                self._later(at, self.MACHINE_S, events.MachineDetected(leg=leg, job=job, status="HUMAN", cause="x"))
            case protocol.Unwatch() | protocol.StopAmd():
                if at in self.timers:
                    self.timers.pop(at).cancel()
            case protocol.Join():
                self.rooms[leg] = command.room
            case protocol.Leave():
                self.rooms.pop(leg, None)
            case _:
                pass

    def _later(self, at: tuple[int, int], after_s: float, event: Any) -> None:
        if at in self.timers:
            self.timers.pop(at).cancel()
        self.timers[at] = asyncio.get_running_loop().call_later(after_s, self._happen, at, event)

    def _happen(self, at: tuple[int, int], event: Any) -> None:
        self.timers.pop(at, None)
        if isinstance(event, events.PlayFinished):
            self.begun.pop(at, None)
        self.send(event)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


@dataclass
class File:
    """A spool."""

    sid: str
    path: str


class Recordings:
    """Implements `call_recordings.RecordingService`; a file takes `takes_s` to make."""

    def __init__(self) -> None:
        self.begun, self.finished, self.takes_s = list[str](), Counter[str](), 0.5

    async def begin(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> Spool:
        await asyncio.sleep(A_WHILE_S)
        self.begun.append(sid := f"recording {len(self.begun) + 1}")
        return File(sid, f"/spool/{sid}")

    async def check(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> None:
        await asyncio.sleep(A_WHILE_S)

    async def finish(self, spool: Spool, facts: Mapping[str, object], error: str = "") -> Recorded:
        await asyncio.sleep(self.takes_s)
        self.finished[spool.sid] += 1
        return Recorded(status="completed", sid=spool.sid, url="http://files/1", duration_s=1)


@dataclass
class App:
    """Implements `Fetcher`: answers with the verbs of `pages`, by URL."""

    pages: Mapping[str, str]
    asked: list[tuple[str, Mapping[str, object]]] = field(default_factory=list[tuple[str, Mapping[str, object]]])

    def cookies(self) -> Cookies:
        return object()

    async def fetch(
        self, url: str, method: str, data: Mapping[str, object], *, cookies: Cookies | None = None
    ) -> Fetched:
        self.asked.append((url, data))
        await asyncio.sleep(A_WHILE_S)
        return Fetched(url=url, status=200, body=f"<Response>{self.pages[url]}</Response>".encode())


class Sounds:
    """Implements `AudioSource`, and speaks: one sound for everything but `missing.wav`."""

    async def fetch(
        self, url: str, rate_hz: int = 8000, *, streaming: bool = False, pre_buffer_s: float = 0.0
    ) -> Prompt:
        await asyncio.sleep(A_WHILE_S)
        if url.endswith("missing.wav"):
            raise PromptError("not found")
        return Prompt(path="/sound", rate_hz=rate_hz, duration_ms=2000, url=url)

    async def fetch_file(self, account: str, sid: str, rate_hz: int = 8000) -> Prompt:
        return await self.fetch(sid, rate_hz)

    async def speak(self, text: str, voice: str, rate_hz: int) -> Prompt:
        return await self.fetch("", rate_hz)


class Books:
    """What would be in the database: implements what calls need of `Database`, `Outbox` and `Timeline`."""

    def __init__(self) -> None:
        self.saved: list[CallRecord] = []
        self.put_sids: set[str] = set()
        self.callbacks: list[tuple[str, Mapping[str, object]]] = []
        self.notes: list[tuple[str, Mapping[str, object]]] = []

    async def patiently(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    async def save_call(self, record: CallRecord) -> None:
        await asyncio.sleep(A_WHILE_S)
        self.saved.append(record)

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        await asyncio.sleep(A_WHILE_S)
        if sid not in self.put_sids:
            self.put_sids.add(sid)
            self.callbacks.append((url, data))
        return sid

    async def flush(self) -> None:
        await asyncio.sleep(0)

    def forget(self, call: str) -> None:
        del call

    def note(self, call: str, at: object, what: str, details: Mapping[str, object]) -> None:
        del call, at
        self.notes.append((what, details))

    def noted(self, what: str) -> list[Mapping[str, object]]:
        return [details for noted, details in self.notes if noted == what]
