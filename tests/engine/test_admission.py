"""Room for one more call, or a reason why not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import cast

import pytest
from flexml.engine.admission import LAG_LIMIT_S, RETRY_AFTER_S, SAMPLE_S, SAMPLES, Admission, LoopLag
from flexml.engine.errors import MediaError
from flexml.engine.leg_listener import LegListener
from flexml.engine.media_client import MediaClient, WorkerLink
from flexml.engine.media_leg import MediaLeg
from flexml.engine.registry import Refusal
from flexml.engine.sip.events import Invited, LiveCall
from flexml.media import channel
from flexml.media.events import Beat

INVITE = Invited(
    dialog=1, request_uri="sip:1@here", from_uri="sip:2@there", to_uri="sip:1@here", source="192.0.2.1",
    transport="udp", call_id="1", headers=(), offer=None,
)  # fmt: skip


def beat(work_us: int, legs: int) -> Beat:
    return Beat(legs=legs, ticks=50, work_p50_us=work_us, work_max_us=work_us, overruns=0, late_packets=0)


@contextmanager
def workers(*beats: Beat | None) -> Generator[MediaClient]:
    """Workers that are connected and have said so of themselves; with as many legs."""
    media = MediaClient()
    with ExitStack() as stack:
        for number, said in enumerate(beats):
            link = WorkerLink(f"worker {number}", capacity=1000)
            control, end = channel.pair()
            stack.callback(end.close)
            stack.callback(link.disconnect)
            link.connect(control, lambda: None)
            link.beat = said
            add_legs(link, said.legs if said else 0)
            media.workers.append(link)
        yield media


def add_legs(link: WorkerLink, count: int) -> None:
    for _ in range(count):
        number = len(link.legs)
        link.legs[number] = MediaLeg(link, number, listener=cast("LegListener", None))


def admission(media: MediaClient, lag_s: float = 0.0) -> Admission:
    return Admission(media, max_load=0.8, lag=lambda: lag_s)


@pytest.mark.parametrize(
    ("beats", "lag_s", "why"),
    [
        ([beat(15_000, 1)], 0.0, ""),
        ([None], 0.0, ""),
        ([beat(17_000, 1), beat(2_000, 1)], 0.0, ""),
        ([beat(17_000, 1), beat(16_000, 1)], 0.0, "every media worker is at work for 80% of its time or more"),
        ([beat(2_000, 1000)], 0.0, "all media workers have their 1000 legs"),
        ([beat(2_000, 1)], LAG_LIMIT_S + 0.1, "control is 400 ms behind"),
        ([], 0.0, "no media worker is up"),
    ],
)
def test_there_is_room_or_a_reason(beats: list[Beat | None], lag_s: float, why: str) -> None:
    async def main() -> str:
        with workers(*beats) as media:
            return admission(media, lag_s).why_not()

    assert asyncio.run(main()) == why


def test_a_worker_without_signs_gets_no_calls() -> None:
    async def main() -> list[str]:
        with workers(beat(2_000, 1), beat(9_000, 1)) as media:
            gate = admission(media)
            media.workers[0].silent = True
            why = [gate.why_not()]
            leg = media.new_leg(cast("LegListener", None))
            assert leg in media.workers[1].legs.values(), "though the other one seems to have less to do"
            media.workers[1].silent = True
            with pytest.raises(MediaError):
                media.new_leg(cast("LegListener", None))
            return [*why, gate.why_not()]

    assert asyncio.run(main()) == ["", "no media worker gives signs of life"]


def test_legs_that_came_since_the_last_beat_count_as_those_before() -> None:
    async def main() -> list[float]:
        with workers(beat(10_000, 100)) as media:
            (link,) = media.workers
            before = link.load
            add_legs(link, 50)
            return [before, link.load]

    assert asyncio.run(main()) == pytest.approx([0.5, 0.75])


def test_an_invite_too_many_gets_503_and_when_to_come_again(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Invited] = []

    def admit(invite: Invited) -> LiveCall | Refusal:
        asked.append(invite)
        return Refusal(status=404, why="admitted so far")

    async def main() -> None:
        with workers(beat(17_000, 1)) as media:
            gate = admission(media)
            ask = gate.before(admit)
            for _ in range(3):
                refusal = ask(INVITE)
                assert isinstance(refusal, Refusal)
                assert (refusal.status, refusal.headers) == (503, {"Retry-After": str(RETRY_AFTER_S)})
            assert (asked, gate.refused) == ([], 3)
            media.workers[0].beat = beat(9_000, 1)
            ask(INVITE)
            assert asked == [INVITE]

    with caplog.at_level(logging.WARNING, logger="flexml.admission"):
        asyncio.run(main())
    assert caplog.messages == [
        "no room for new calls: every media worker is at work for 85% of its time or more",
        "there is room for new calls again; 3 were refused up to now",
    ]


def test_one_hiccup_is_no_overload() -> None:
    lag = LoopLag()
    lag.take(5.0)
    assert (lag.worst_s, lag.usual_s) == (5.0, 0.0)
    for _ in range(SAMPLES - 1):
        lag.take(0.4)
    assert (lag.worst_s, lag.usual_s) == (5.0, 0.4)
    lag.take(0.4)
    assert lag.worst_s == 0.4


def test_a_loop_that_is_held_up_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> float:
        lag, loop = LoopLag(), asyncio.get_running_loop()
        clock, skew = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: clock() + skew)
        await lag.start()
        await asyncio.sleep(0)
        skew = 5.0  # as if something had taken so long
        await asyncio.sleep(SAMPLE_S)
        await asyncio.sleep(0)
        await lag.close()
        return lag.worst_s

    assert 4.5 < asyncio.run(main()) < 6
