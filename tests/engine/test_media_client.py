"""Legs and their jobs over a channel whose other end the test plays, and over the death of that end."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from flexml.engine.errors import MediaError
from flexml.engine.media_client import MediaClient, MediaLeg
from flexml.engine.stream import WORKER_START_S
from flexml.media.events import (
    DigitReceived,
    LegHeard,
    LegOpened,
    LegReport,
    LegStats,
    OtherCodec,
    PlayFinished,
    RecordingFinished,
)
from flexml.media.protocol import (
    CloseLeg,
    OpenLeg,
    SetRemote,
    SrtpKeys,
    StartPlay,
    StartRecording,
    StopPlay,
    StopRecording,
)

from .fakes_sip import FakeWorker, Heard, run, settle

REMOTE = SetRemote(address="127.0.0.1", port=9000, rtcp_port=9001, codec="PCMU", payload_type=0)
PLAY = StartPlay(path="/tone", offset=500)


async def opened() -> tuple[MediaLeg, FakeWorker, Heard]:
    client, heard = MediaClient(), Heard()
    worker = FakeWorker(client)
    leg = client.new_leg(heard)
    leg.begin_to_open("127.0.0.1", 20000, "name")
    await leg.opened()
    return leg, worker, heard


async def replaced(worker: FakeWorker) -> None:
    worker.die()
    await settle()
    assert not worker.link.connected
    worker.commands.clear()
    worker.replace()
    await settle()


def test_the_listener_hears_of_keys_and_of_the_first_packet() -> None:
    async def main() -> None:
        _, worker, heard = await opened()
        worker.send(LegHeard(leg=1, address="127.0.0.1", port=9000))
        worker.send(DigitReceived(leg=1, digit="7"))
        worker.send(DigitReceived(leg=99, digit="8"))
        await settle()
        assert heard.digits == ["heard", "7"]

    run(main())


def test_a_leg_goes_over_to_another_codec_that_was_agreed_with_its_peer() -> None:
    async def main() -> None:
        leg, worker, heard = await opened()
        pcma = msgspec.structs.replace(REMOTE, codec="PCMA", payload_type=8)
        leg.set_remote(REMOTE, {0: REMOTE, 8: pcma})
        for kind in (8, 8, 11, 0):
            worker.send(OtherCodec(leg=1, payload_type=kind))
            await settle()
        leg.set_remote(pcma)
        worker.send(OtherCodec(leg=1, payload_type=0))
        await settle()
        codecs = [command.codec for command in worker.commands if isinstance(command, SetRemote)]
        assert codecs == ["PCMU", "PCMA", "PCMU", "PCMA"]
        assert heard.digits == ["PCMA", "PCMU"]

    run(main())


def test_without_an_answer_opening_fails_after_a_while() -> None:
    async def main() -> None:
        client = MediaClient()
        worker = FakeWorker(client)
        worker.opens = False
        leg = client.new_leg(Heard())
        leg.begin_to_open("127.0.0.1", 20000, "name")
        with pytest.raises(MediaError, match="did not open port 20000 within 5 s"):
            await leg.opened()

    run(main())


def test_a_full_worker_takes_no_more_legs() -> None:
    async def main() -> None:
        client = MediaClient()
        FakeWorker(client, capacity=1)
        client.new_leg(Heard())
        with pytest.raises(MediaError, match="no media worker"):
            client.new_leg(Heard())

    run(main())


def test_a_closed_leg_resolves_all_its_jobs() -> None:
    async def main() -> None:
        leg, _, _ = await opened()
        playback = leg.start(PLAY)
        recording = leg.start_recording("/spool", "heard")
        digits = asyncio.ensure_future(leg.send_digits("1"))
        stopped = asyncio.ensure_future(leg.stop_recording(recording))
        await settle()
        assert (await leg.close()).packets_sent == 3
        assert (await playback.finished).reason == "closed"
        for job in (digits, stopped):
            with pytest.raises(MediaError):
                await job
        assert (await leg.start(PLAY).finished).reason == "closed"
        assert (await leg.close()).packets_sent == 3

    run(main())


def test_a_replaced_worker_goes_on_with_the_stream() -> None:
    async def main() -> None:
        leg, worker, heard = await opened()
        leg.set_remote(REMOTE)
        await settle()
        await asyncio.sleep(10)
        worker.send(LegReport(leg=1, stats=LegStats(packets_sent=490)))
        await settle()
        await asyncio.sleep(2)
        await replaced(worker)
        again, remote = worker.commands
        assert isinstance(again, OpenLeg)
        start = round(WORKER_START_S * 50)
        assert (again.leg, again.port, again.cname, again.ssrc) == (1, 20000, "name", 77)
        assert abs(again.sequence - (1000 + 490 + 100 + start)) <= 1
        assert abs(again.timestamp - (5000 + (600 + start) * 160)) <= 160
        assert isinstance(remote, SetRemote)
        assert leg.stats.packets_sent == 490, "what the dead worker had counted stays counted"
        assert heard.replaced == [pytest.approx(2, abs=0.1)], "what it had not told yet is not"
        assert (await leg.close()).packets_sent == 493

    run(main())


def test_a_protected_stream_goes_on_as_a_new_source_and_is_found_however_often_it_wrapped() -> None:
    """What SRTCP index the old source had come to died with its worker: none may be used twice under one key."""

    async def main() -> None:
        leg, worker, _ = await opened()
        keys = SrtpKeys(suite="AES_CM_128_HMAC_SHA1_80", ours=bytes(30), theirs=bytes(30))
        leg.set_remote(msgspec.structs.replace(REMOTE, srtp=keys))
        await settle()
        worker.send(LegReport(leg=1, stats=LegStats(packets_received=3 * 65536 + 5)))
        await settle()
        await replaced(worker)
        again, remote = worker.commands
        assert isinstance(again, OpenLeg)
        assert (again.ssrc, again.sequence) == (0, 0), "as the worker chooses"
        assert isinstance(remote, SetRemote)
        assert remote.srtp is not None
        assert remote.srtp.rollovers >= 4
        assert (remote.srtp.ours, remote.srtp.theirs) == (keys.ours, keys.theirs)

    run(main())


def test_a_stream_that_changed_its_clock_goes_on_at_both() -> None:
    async def main() -> None:
        leg, worker, _ = await opened()
        leg.set_remote(REMOTE)
        await asyncio.sleep(10)
        leg.set_remote(msgspec.structs.replace(REMOTE, codec="OPUS"))
        await asyncio.sleep(2)
        await replaced(worker)
        (again,) = worker.got(OpenLeg)
        assert isinstance(again, OpenLeg)
        assert abs(again.timestamp - (5000 + 500 * 160 + (100 + round(WORKER_START_S * 50)) * 960)) <= 960

    run(main())


@pytest.mark.parametrize(("sequence", "timestamp"), [(65535 - 14, 2**32 - 160 * 15)])
def test_a_stream_goes_on_past_the_end_of_its_numbers(sequence: int, timestamp: int) -> None:
    async def main() -> None:
        leg, worker, _ = await opened()
        leg.on_event(worker_opened(sequence, timestamp))
        leg.set_remote(REMOTE)
        await replaced(worker)
        (again,) = worker.got(OpenLeg)
        assert isinstance(again, OpenLeg)
        assert (again.sequence, again.timestamp) == (1, 1), "zero would let the worker choose"

    run(main())


def worker_opened(sequence: int, timestamp: int) -> LegOpened:
    return LegOpened(leg=1, port=20000, ssrc=77, sequence=sequence, timestamp=timestamp)


def test_what_is_under_way_goes_on_and_what_cannot_ends() -> None:
    async def main() -> None:
        leg, worker, _ = await opened()
        leg.set_remote(REMOTE)
        once, ever = leg.start(PLAY), leg.start(StartPlay(path="/music", loops=0, layer="background"))
        live = leg.start(StartPlay(path="/ring", loops=0, layer="aside", ring=480_000, offset=3000))
        began = asyncio.get_running_loop().time()
        recording = leg.start_recording("/spool", "mixed")
        digits = asyncio.ensure_future(leg.send_digits("1"))
        await asyncio.sleep(2)
        await replaced(worker)
        assert [(p.job, p.offset) for p in worker.got(StartPlay) if isinstance(p, StartPlay)] == [
            (once.job, 500 + 2000 + int(WORKER_START_S * 1000)),
            (ever.job, 0),
            (live.job, 3000 + 2000 + int(WORKER_START_S * 1000)),
        ]
        assert [(r.job, r.began) for r in worker.got(StartRecording) if isinstance(r, StartRecording)] == [
            (recording, began)
        ]
        with pytest.raises(MediaError, match="replaced"):
            await digits
        worker.send(PlayFinished(leg=1, job=once.job, reason="ended", position=9000))
        assert (await once.finished).position == 9000

    run(main())


@pytest.mark.parametrize(
    ("by_ms", "strict", "offset"),
    [(60000, False, 63500), (-1000, False, 2500), (-9000, False, 1000), (60000, True, 3500)],
)
def test_a_play_that_was_moved_goes_on_from_there(by_ms: int, strict: bool, offset: int) -> None:
    async def main() -> None:
        leg, worker, _ = await opened()
        playback = leg.start(PLAY)
        await asyncio.sleep(2)
        leg.seek(playback.job, by_ms=by_ms, strict=strict)
        await asyncio.sleep(1)
        await replaced(worker)
        assert [p.offset for p in worker.got(StartPlay) if isinstance(p, StartPlay)] == [offset]

    run(main())


def test_what_was_to_stop_when_the_worker_died_stops() -> None:
    async def main() -> None:
        leg, worker, _ = await opened()
        playback = leg.start(PLAY)
        recording = leg.start_recording("/spool", "mixed")
        await asyncio.sleep(1)
        worker.die()
        playback.stop()
        stopped = asyncio.ensure_future(leg.stop_recording(recording))
        await settle()
        worker.commands.clear()
        worker.replace()
        await settle()
        assert worker.got(StartPlay) == worker.got(StopPlay) == []
        finished = await playback.finished
        assert (finished.reason, finished.position) == ("stopped", 1500)
        assert [command.job for command in worker.got(StopRecording)] == [recording]
        assert [r.began for r in worker.got(StartRecording) if isinstance(r, StartRecording)] == [0.0]
        worker.send(RecordingFinished(leg=1, job=recording, duration=20))
        assert (await stopped).duration == 20

    run(main())


def test_a_leg_closed_while_its_worker_is_away_is_not_opened_again() -> None:
    async def main() -> None:
        leg, worker, _ = await opened()
        worker.die()
        closing = asyncio.ensure_future(leg.close())  # before control has noticed
        await settle()
        worker.commands.clear()
        worker.replace()
        await closing
        await settle()
        assert worker.commands == []
        assert asyncio.get_running_loop().time() == 0

        leg, worker, _ = await opened()
        worker.die()
        await settle()
        await leg.close()
        worker.commands.clear()
        worker.replace()
        await settle()
        assert worker.got(OpenLeg) == worker.got(CloseLeg) == []

    run(main())


def test_a_leg_being_opened_when_the_worker_dies_opens_in_the_next() -> None:
    async def main() -> None:
        client = MediaClient()
        worker = FakeWorker(client)
        worker.opens = False
        leg = client.new_leg(Heard())
        leg.begin_to_open("127.0.0.1", 20000, "name")
        opening = asyncio.ensure_future(leg.opened())
        await settle()
        worker.opens = True
        await replaced(worker)
        await opening

    run(main())


def test_commands_that_follow_each_other_wake_the_worker_twice_and_the_first_one_goes_at_once() -> None:
    async def main() -> None:
        client = MediaClient()
        worker = FakeWorker(client, gather_s=0.002)
        leg = client.new_leg(Heard())
        await asyncio.sleep(1)
        leg.begin_to_open("127.0.0.1", 20000, "name")
        await leg.opened()
        assert asyncio.get_running_loop().time() == 1
        leg.set_remote(REMOTE)
        await settle()
        leg.start(PLAY)
        await asyncio.sleep(0.001)
        assert worker.wakings == 1
        leg.start(PLAY)
        await asyncio.sleep(0.002)
        assert [type(command) for command in worker.commands] == [OpenLeg, SetRemote, StartPlay, StartPlay]
        assert worker.wakings == 2

    run(main())
