"""`flexml call`: a softphone for testing, over the same SIP agent and media worker as the engine.

It places one call, sends and plays what it is told, writes what it hears, and shows one live line meanwhile. The
call has failed unless it was answered; `Report.ok` says so.
"""

from __future__ import annotations

import asyncio
import tempfile
import wave
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..codecs.catalog import PCMA, PCMU, Codec
from ..media.events import LegStats
from ..media.protocol import DigitSource, StartPlay
from .errors import FlexmlError, MediaError, NotAcceptable, SdpError
from .flexml.verb import Prompt
from .leg import Leg, LegSettings
from .media_client import MediaClient
from .media_jobs import Detected
from .moment import Moment
from .ports import PortPool
from .sip.agent import Agent
from .sip.events import Accepted, Ended, Event, Invited, Progressed
from .sip.settings import AgentSettings
from .supervisor import Supervisor, WorkerSettings

RATE_HZ = 8000


@dataclass(frozen=True, kw_only=True)
class CallPlan:
    """What to do in the call. Times in seconds; `prompts` are played in order once the call is answered."""

    target: str
    from_uri: str
    display_name: str = ""
    address: str = "127.0.0.1"
    ports: tuple[int, int] = (46100, 46199)
    codecs: tuple[Codec, ...] = (PCMU, PCMA)
    digits: str = ""
    prompts: tuple[Prompt, ...] = ()
    record: Path | None = None
    duration_s: float = 30.0
    ring_timeout_s: float = 60.0


@dataclass(kw_only=True)
class Report:
    """How the call goes, live, and how it went."""

    state: str = "calling"
    status: int = 0
    reason: str = ""
    answered: bool = False
    early_media: bool = False
    ended_by: str = ""
    digits_heard: str = ""
    stats: LegStats = field(default_factory=LegStats)
    recorded_s: float = 0.0
    problems: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """True where the call was answered and nothing failed."""
        return self.answered and not self.problems

    def line(self) -> str:
        """One line that says it all."""
        stats = self.stats
        status = f" {self.status} {self.reason}" if self.status else ""
        return (
            f"{self.state}{status} · received {stats.packets_received} packets, sent {stats.packets_sent}, "
            f"lost {stats.lost}, jitter {stats.jitter_ms:.1f} ms · digits heard: {self.digits_heard or 'none'}"
        )


class Softphone:
    """One call by one user agent. Implements the agent's and the leg's listeners."""

    def __init__(self, plan: CallPlan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._answered = Moment()
        self._over = Moment()
        self._leg: Leg | None = None
        self._recording: int | None = None
        self._agent = Agent(AgentSettings(listen=(f"udp:{plan.address}:0",), max_calls=4), self)

    # ---- listeners --------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take an event of the dialog."""
        match event:
            case Progressed():
                self._report.state = "ringing"
                self._take_answer(event.sdp)
                self._report.early_media |= event.sdp is not None
            case Accepted():
                self._take_answer(event.sdp)
                self._report.state, self._report.answered = "answered", True
                self._answered.come()
            case Ended():
                self._report.state, self._report.ended_by = "ended", event.by
                self._report.status, self._report.reason = event.status, event.reason
                self._over.come()
            case Invited():
                asyncio.get_running_loop().call_soon(self._refuse, event.dialog)
            case _:
                pass

    def _refuse(self, dialog: int) -> None:
        self._agent.reject(dialog, status=486)

    def _take_answer(self, sdp: str | None) -> None:
        if sdp is None or self._leg is None:
            return
        try:
            self._leg.on_answer(sdp)
            self._leg.start_media()
        except SdpError as error:
            self._report.problems.append(f"the peer's session description cannot be used: {error}")

    def on_offer(self, dialog: int, offer: str | None) -> str:
        """Answer a re-INVITE."""
        if self._leg is None:
            raise NotAcceptable(f"dialog {dialog} has no media")
        return self._leg.on_offer(offer)

    def on_answer(self, dialog: int, answer: str) -> None:
        """Take an answer within the dialog; this phone makes no offers there."""

    def on_refer(self, dialog: int, target: str) -> int:
        """Refuse to be sent elsewhere."""
        return 603

    def on_digit(self, digit: str, source: DigitSource) -> None:
        """The peer pressed a key."""
        del source
        self._report.digits_heard += digit

    def on_detected(self, event: Detected) -> None:
        """This phone listens for nothing."""

    def on_heard(self, address: str, port: int) -> None:
        """The first packet came in."""

    def on_codec(self, codec: str) -> None:
        """The peer has changed to another of the codecs that were agreed."""

    def on_report(self, stats: LegStats) -> None:
        """The statistics of the whole call are asked for at its end."""

    def on_silent(self, silent_ms: int) -> None:
        """No packet has come for that long."""
        self._report.problems.append(f"no RTP for {silent_ms} ms")

    def on_replaced(self, uncounted_s: float) -> None:
        """The softphone's one worker has died, and another goes on."""
        self._report.problems.append("the media worker was replaced")

    # ---- the call ---------------------------------------------------------------------------------------------

    def look(self) -> Report:
        """The report, with the statistics that the worker told last."""
        if self._leg is not None:
            self._report.stats = self._leg.media.stats
        return self._report

    async def run(self) -> Report:
        """Place the call and see it through."""
        media = MediaClient()
        supervisor = Supervisor(media, count=1, settings=WorkerSettings(capacity=8, report_s=0.5))
        supervisor.start()
        try:
            self._agent.start()
            await self._call(media)
        except FlexmlError as error:
            self._report.problems.append(str(error))
        finally:
            await self._agent.close()
            await supervisor.stop()
        return self._report

    async def _call(self, media: MediaClient) -> None:
        plan = self._plan
        settings = LegSettings(address=plan.address, advertised=plan.address, codecs=plan.codecs)
        self._leg = await self._open_leg(settings, media)
        with tempfile.TemporaryDirectory(prefix="flexml-call-") as folder:
            spool = Path(folder) / "heard.s16"
            if plan.record is not None:
                self._recording = self._leg.media.start_recording(str(spool), "heard")
            dialog = self._agent.invite(
                plan.target,
                sdp=self._leg.on_offer(None),
                from_uri=plan.from_uri,
                display_name=plan.display_name,
            )
            try:
                await self._converse(self._leg)
            finally:
                self._agent.hang_up(dialog)
                await self._finish(self._leg, spool)

    async def _open_leg(self, settings: LegSettings, media: MediaClient) -> Leg:
        """Find ports that are free: several softphones may run at once."""
        pool = PortPool(*self._plan.ports)
        while True:
            leg = Leg(settings, pool, media, self)
            try:
                await leg.open()
            except MediaError:
                if not len(pool):
                    raise
                leg.media.abandon()
                continue
            return leg

    async def _converse(self, leg: Leg) -> None:
        over, answered = self._over, self._answered
        await asyncio.wait({over, answered}, timeout=self._plan.ring_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            if not over.done():
                self._report.problems.append(f"not answered within {self._plan.ring_timeout_s:g} s")
            return
        acts = [asyncio.ensure_future(act) for act in self._acts(leg)]
        await asyncio.wait({over}, timeout=self._plan.duration_s)
        for act in acts:
            act.cancel()
        for outcome in await asyncio.gather(*acts, return_exceptions=True):
            if isinstance(outcome, FlexmlError):
                self._report.problems.append(str(outcome))

    def _acts(self, leg: Leg) -> list[Coroutine[Any, Any, None]]:
        acts: list[Coroutine[Any, Any, None]] = []
        if self._plan.digits:
            acts.append(leg.media.send_digits(self._plan.digits))
        if self._plan.prompts:
            acts.append(self._play(leg))
        return acts

    async def _play(self, leg: Leg) -> None:
        for prompt in self._plan.prompts:
            playback = leg.media.start(StartPlay(path=prompt.path, rate_hz=prompt.rate_hz), prompt.growth)
            finished = await playback.finished
            if finished.reason == "failed":
                raise MediaError(finished.error)

    async def _finish(self, leg: Leg, spool: Path) -> None:
        if self._recording is not None and self._plan.record is not None:
            finished = await leg.media.stop_recording(self._recording)
            self._report.recorded_s = finished.duration / 1000
            try:
                await asyncio.to_thread(_write_wav, self._plan.record, spool)
            except OSError as error:
                self._report.recorded_s = 0.0
                self._report.problems.append(f"what was heard cannot be written: {error}")
        self._report.stats = await leg.close()


def _write_wav(path: Path, spool: Path) -> None:
    with path.open("wb") as out, wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(spool.read_bytes())


async def place_call(plan: CallPlan, watch: Callable[[Report], None] | None = None) -> Report:
    """Place a call as planned; `watch` is shown the report a few times a second."""
    report = Report()
    phone = Softphone(plan, report)
    run = asyncio.ensure_future(phone.run())
    try:
        while not run.done():
            await asyncio.wait({run}, timeout=0.25)
            if watch is not None:
                watch(phone.look())
    except asyncio.CancelledError:  # Ctrl-C hangs up
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        return phone.look()
    return run.result()
