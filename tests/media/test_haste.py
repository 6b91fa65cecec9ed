"""How a conversation gets rid of delay that nobody needs, and keeps what is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flexml.media.haste import CALM_REVIEWS, REVIEW_TICKS, Haste, Looks
from flexml.media.headroom import STEP_TICKS
from flexml.media.protocol import CloseLeg, Join, Leave, StartRecording
from numpy.typing import NDArray

from .rig import Rig, packet, payloads
from .test_wide import sent_to

TICK = 160
SILENCE = bytes([0xFF]) * TICK


def numbered(number: int) -> bytes:
    """A packet's worth of octets that tells its number, and is never silence."""
    return bytes([1 + number // 100, 1 + number % 100]) * 80


class Talk:
    """Two joined legs; what the first says comes early in each tick, or late in it, and its delay is looked at."""

    def __init__(self, *, early: bool, joined: bool = True) -> None:
        self.rig = Rig()
        self.early = early
        for leg in (1, 2):
            self.rig.leg(leg)
            self.rig.command(Join(leg=leg, room=1))
        self.number = 0
        self.said: dict[bytes, int] = {}
        if not joined:
            self.rig.pipeline._stages.receiver.hasten(0, wanted=False)  # pyright: ignore[reportPrivateUsage]

    def say(self, ticks: int, late: dict[int, int] | None = None, *, silent: bool = False) -> list[int]:
        """Let so many ticks pass; return how many ticks late each heard packet was, -1 where none was whole.

        `late` says of some packets how many ticks they come later; `silent` ones cannot be told apart.
        """
        rig, delays = self.rig, list[int]()
        half = 0 if self.early else 1
        for tick in range(ticks):
            held, octets = (late or {}).get(tick, 0), SILENCE if silent else numbered(self.number)
            rig.network.arrive(rig.network.tick + half + 2 * held, 0, packet(self.number, octets))
            self.said[octets] = self.number
            rig.pipeline.listen(rig.now_s, 0.012)
            heard = payloads(rig.run(1), 1)
            delays.append(self.number - self.said[heard] if heard in self.said else -1)
            self.number += 1
        return delays


SETTLED = [(True, True, 0), (False, True, 1), (True, False, 2), (False, False, 2)]


@pytest.mark.parametrize(("early", "joined", "ticks"), SETTLED)
def test_a_steady_conversation_keeps_no_more_delay_than_it_needs(early: bool, joined: bool, ticks: int) -> None:
    talk = Talk(early=early, joined=joined)
    assert set(talk.say(95)[5:]) == {2}
    talk.say(50)
    assert set(talk.say(300)) == {ticks}


def test_the_delay_goes_a_tick_at_a_time_and_nothing_else_is_lost() -> None:
    delays = Talk(early=True).say(300)
    assert delays[5:] == sorted(delays[5:], reverse=True)
    assert set(delays[5:]) == {2, 1, 0}
    assert delays.count(1) == STEP_TICKS


@pytest.mark.parametrize(("silent", "ticks"), [(True, 0), (False, 1)])
def test_in_silence_the_delay_goes_tick_by_tick(tmp_path: Path, silent: bool, ticks: int) -> None:
    talk = Talk(early=True)
    talk.rig.command(StartRecording(leg=1, job=1, path=str(tmp_path / "heard"), sides="heard"))
    while talk.say(1) != [1]:
        assert talk.number < 150
    talk.say(8, silent=silent)
    assert talk.say(5)[-1] == ticks


def test_who_leaves_keeps_what_there_is() -> None:
    talk = Talk(early=False)
    talk.say(50)
    talk.rig.command(Leave(leg=1))
    talk.say(230)
    talk.rig.command(Join(leg=1, room=1))
    assert talk.say(1) == [2]


def test_packets_that_waver_keep_the_delay_that_they_need() -> None:
    talk = Talk(early=False)
    delays = talk.say(400, dict.fromkeys(range(3, 400, 7), 1))
    assert set(delays[5:]) == {2}


def test_late_packets_bring_the_delay_back_and_it_stays_for_a_while() -> None:
    talk = Talk(early=False)
    assert talk.say(150)[-1] == 1
    disturbed = talk.say(20, {5: 2, 7: 2})
    assert disturbed[-1] == 2
    assert set(talk.say(100 * (CALM_REVIEWS - 1))) == {2}
    talk.say(230)
    assert set(talk.say(50)) == {1}


def test_rows_at_once_equal_each_row_alone() -> None:
    random = np.random.default_rng(3)
    rows = np.arange(40)
    wanted, headroom = rows[random.random(40) < 0.7], random.integers(-300, 900, (3, 40))

    def spare(rows: NDArray[np.intp]) -> list[int]:
        haste = Haste(40)
        for row in wanted.tolist():
            haste.want(row, wanted=True)
        for number, each in enumerate(headroom):
            haste.push(rows, each[rows], 96 if number == 1 else 0)
        return haste.review(rows).tolist()

    assert [spare(rows[row : row + 1])[0] for row in rows.tolist()] == spare(rows)
    assert max(spare(rows)) > TICK
    assert not np.array(spare(rows))[np.setdiff1d(rows, wanted)].any()


MARGINS = [
    ([160, 160], [96, 96], 160), ([160, 160], [96, 0], 0), ([160, 320], [96, 0], 160), ([160, 160], [64, 70], 160),
    ([160, 160], [63, 96], 0), ([223, 223], [0, 0], 0), ([224, 224], [0, 0], 160), ([63, 500], [96, 0], 0),
    ([-160, 320], [0, 0], 0), ([800, 900], [0, 96], 640),
]  # fmt: skip


@pytest.mark.parametrize(("headroom", "early", "spare"), MARGINS)
def test_the_packet_with_the_least_time_decides(headroom: list[int], early: list[int], spare: int) -> None:
    haste, row = Haste(1), np.array([0])
    haste.want(0, wanted=True)
    for left, first in zip(headroom, early, strict=True):
        haste.push(row, np.array([left]), first)
    assert haste.review(row).tolist() == [spare]


def test_a_recording_lacks_the_tick_that_was_skipped_and_all_else_lies_in_its_place(tmp_path: Path) -> None:
    rig = Rig()
    l16 = {"codec": "L16/8000", "payload_type": 97}
    for leg in (1, 2):
        rig.leg(leg, **l16)
        rig.command(Join(leg=leg, room=1))
    rig.command(StartRecording(leg=1, job=1, path=str(tmp_path / "heard"), sides="heard"))
    said = np.arange(300 * TICK, dtype=np.int16).reshape(300, TICK)
    for number in range(300):
        rig.network.arrive(number, 0, packet(number, said[number].astype(">i2").tobytes(), kind=97))
    sent = b"".join(payload for _, _, payload in sent_to(rig.run(300), 1))
    rig.pipeline.close()
    passed = np.frombuffer(sent, ">i2")
    assert (passed[299 * TICK :] == said[298]).all()  # a tick behind, two at first
    assert (passed[50 * TICK : 51 * TICK] == said[48]).all()
    recorded = np.frombuffer((tmp_path / "heard").read_bytes(), "<i2")
    first = int(np.flatnonzero(recorded == 160)[0])  # what begins the second packet
    lacking = np.flatnonzero(recorded[first : first + 290 * TICK] != said.reshape(-1)[160 : 160 + 290 * TICK])
    assert lacking.size == TICK
    assert not recorded[first + lacking].any()
    assert lacking[-1] - lacking[0] == TICK - 1


def test_there_is_a_conversation_while_a_leg_is_in_a_room() -> None:
    rig = Rig()
    rig.leg(1)
    assert not rig.pipeline.conversing
    rig.command(Join(leg=1, room=1))
    assert rig.pipeline.conversing
    rig.command(CloseLeg(leg=1))
    assert not rig.pipeline.conversing
    rig.leg(2)  # in the row of leg 1, and in no haste
    for number in range(250):
        rig.network.arrive(number, 0, packet(number, numbered(number)))
    rig.run(250)
    rig.command(Join(leg=2, room=1))
    rig.leg(3)
    rig.command(Join(leg=3, room=1))
    rig.network.arrive(250, 0, packet(250, numbered(250)))
    assert payloads(rig.run(1), 1) == numbered(248)


def test_looks_are_taken_for_whole_reviews_after_somebody_entered_and_seldom_otherwise() -> None:
    looks, taken = Looks(), list[bool]()
    for tick in range(6000):
        if tick in {0, 100, 2100}:
            looks.enter()
        taken.append(looks.due(tick))
        assert looks.due(tick) == taken[-1]
    begun = [tick for tick in range(6000) if taken[tick] and (tick == 0 or not taken[tick - 1])]
    assert begun == [0, 400, 1400, 2100, 3100, 4100, 5100]  # what entered in the first turn may have come too late
    assert sum(taken) == len(begun) * 2 * REVIEW_TICKS


def test_who_enters_a_room_after_a_long_quiet_is_looked_at_in_the_next_tick() -> None:
    rig = Rig()
    rig.leg(1)
    rig.command(Join(leg=1, room=1))
    taken = list[bool]()
    for _ in range(600):
        taken.append(rig.pipeline.conversing)
        rig.run(1)
    assert taken == [True] * 2 * REVIEW_TICKS + [False] * 400
    rig.leg(2)
    rig.command(Join(leg=2, room=1))
    assert rig.pipeline.conversing
