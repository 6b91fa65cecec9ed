"""A call's recordings: each finished once, whoever ends it, and before the leg that it is of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
from flexml.codecs.catalog import PCMU
from flexml.engine.call import Call
from flexml.engine.call_recordings import Spool
from flexml.engine.call_services import Services
from flexml.engine.leg import Leg, LegSettings
from flexml.engine.media_client import MediaClient
from flexml.engine.ports import PortPool
from flexml.engine.recording import Channels, Direction, Recorded, RecordingRequest
from flexml.engine.sip.events import Ended
from flexml.media.events import RecordingFinished
from flexml.media.protocol import CloseLeg, StartRecording, StopRecording

from .fakes_sip import OFFER, FakeAgent, FakeWorker, NoAudio, no_speech, run, settle

BYE = Ended(dialog=1, status=200, reason="OK", by="remote")


@dataclass
class File:
    path: str
    sid: str = "the recording"


class Service:
    """Takes a second to make a file."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, str]] = []

    async def begin(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> Spool:
        return File(f"/spool/{request.file_sid}")

    async def check(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> None:
        raise AssertionError("nothing is dialled")

    async def finish(self, spool: Spool, facts: Mapping[str, object], error: str = "") -> Recorded:
        await asyncio.sleep(1)
        self.finished.append((spool.path, error))
        return Recorded(status="failed" if error else "completed", sid=spool.path)


class Scene:
    def __init__(self, kind: type[Call] = Call) -> None:
        self.service, client = Service(), MediaClient()
        self.worker = FakeWorker(client)
        self.notes: list[tuple[str, Mapping[str, object]]] = []
        services = Services(agent=FakeAgent(), speak=no_speech, audio=NoAudio(), recordings=self.service)
        services.note = lambda call, at, what, details: self.notes.append((what, details))
        self.call = kind(sid="sid", dialog=1, services=services)
        settings = LegSettings(address="127.0.0.1", advertised="127.0.0.1", codecs=(PCMU,))
        self.call.media.attach(Leg(settings, PortPool(20000, 20003), client, self.call.media))
        self.call.on_offer(OFFER)

    async def written(self, error: str = "") -> None:
        """Let the worker say that each recording it was asked to stop is complete."""
        await settle()
        for stop in self.worker.got(StopRecording):
            self.worker.send(RecordingFinished(leg=1, job=stop.job, duration=1000, error=error))
        await settle()


def test_a_recording_is_finished_once_whoever_asks() -> None:
    async def main() -> None:
        scene = Scene()
        living = asyncio.ensure_future(scene.call.live(asyncio.Event().wait))  # type: ignore[arg-type]
        await settle()
        recording = await scene.call.record(RecordingRequest(file_sid="a"))
        first, second = asyncio.ensure_future(recording.finish()), asyncio.ensure_future(recording.finish())
        await scene.written()
        assert await first == await second == Recorded(status="completed", sid="/spool/a")
        scene.call.on_sip_event(BYE)
        await living
        assert scene.service.finished == [("/spool/a", "")]
        assert len(scene.worker.got(StopRecording)) == 1

    run(main())


def test_the_end_of_the_call_finishes_what_runs_and_closes_the_leg_in_between() -> None:
    async def main() -> None:
        scene = Scene()
        living = asyncio.ensure_future(scene.call.live(asyncio.Event().wait))  # type: ignore[arg-type]
        await settle()
        await scene.call.record(RecordingRequest(file_sid="a"))
        await scene.call.record(RecordingRequest(file_sid="b"))
        scene.call.on_sip_event(BYE)
        await settle()
        assert scene.worker.got(CloseLeg) == [], "the last samples are still to be written"
        await scene.written()
        assert len(scene.worker.got(CloseLeg)) == 1, "nothing is sent while files are made"
        assert scene.service.finished == []
        await living
        assert sorted(scene.service.finished) == [("/spool/a", ""), ("/spool/b", "")]

    run(main())


def test_a_verb_that_is_cancelled_while_its_file_is_made_changes_nothing() -> None:
    async def main() -> None:
        scene = Scene()

        async def work() -> None:
            recording = await scene.call.record(RecordingRequest(file_sid="a"))
            await recording.finish()

        living = asyncio.ensure_future(scene.call.live(work))
        await scene.written()
        scene.call.on_sip_event(BYE)
        await living
        assert scene.service.finished == [("/spool/a", "")]

    run(main())


def test_a_spool_that_could_not_be_written_is_a_failed_recording() -> None:
    async def main() -> None:
        scene = Scene()
        living = asyncio.ensure_future(scene.call.live(asyncio.Event().wait))  # type: ignore[arg-type]
        await settle()
        recording = await scene.call.record(RecordingRequest(file_sid="a"))
        finishing = asyncio.ensure_future(recording.finish())
        await scene.written(error="/spool/a: No space left on device")
        assert (await finishing).status == "failed"
        (told,) = [details for what, details in scene.notes if what == "recording ended"]
        assert (told["recording"], told["status"]) == ("the recording", "failed")
        scene.call.on_sip_event(BYE)
        await living

    run(main())


class CalledByUs(Call):
    """As on a call of the API's."""

    inbound: ClassVar[bool] = False


@pytest.mark.parametrize(
    ("direction", "channels", "sides"),
    [("any", "mono", "mixed"), ("any", "dual", "dual, sent first"), ("in", "mono", "sent"), ("out", "mono", "heard")],
)
def test_where_we_have_called_the_calling_party_is_what_we_send(
    direction: Direction, channels: Channels, sides: str
) -> None:
    run(started_sides(CalledByUs, direction, channels, sides))


@pytest.mark.parametrize(
    ("direction", "channels", "sides"),
    [("any", "mono", "mixed"), ("any", "dual", "dual"), ("in", "mono", "heard"), ("out", "mono", "sent"),
     ("in", "dual", "heard")],
)  # fmt: skip
def test_in_is_the_calling_party(direction: Direction, channels: Channels, sides: str) -> None:
    run(started_sides(Call, direction, channels, sides))


async def started_sides(kind: type[Call], direction: Direction, channels: Channels, sides: str) -> None:
    """See which sides the worker is asked to record."""
    scene = Scene(kind)
    living = asyncio.ensure_future(scene.call.live(asyncio.Event().wait))  # type: ignore[arg-type]
    await settle()
    await scene.call.record(RecordingRequest(direction=direction, channels=channels))
    await settle()
    (started,) = scene.worker.got(StartRecording)
    assert isinstance(started, StartRecording)
    assert started.sides == sides
    scene.call.on_sip_event(BYE)
    await scene.written()
    await living
