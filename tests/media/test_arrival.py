"""How long what is heard has lain in the jitter buffer."""

from __future__ import annotations

import numpy as np
import pytest
from flexml.media.arrival import PERIOD_TICKS, Arrival
from flexml.media.rows import FRAME_SAMPLES

ROW = np.array([0])
TICK_S = 0.02


class Line:
    """A source of a packet every 20 ms of its clock, its way, and a play point; the delay as it is and as estimated."""

    def __init__(self, seconds: float, *, ppm: float = 0.0, jitter_s: float = 0.0, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        sent_s = np.arange(round(seconds / TICK_S)) * TICK_S / (1 + ppm * 1e-6) + 0.0131
        came_s = sent_s + random.uniform(0, jitter_s, sent_s.size)
        self.came = np.ceil(came_s / TICK_S).astype(int)
        self.sent_s = sent_s
        self.play = 0  # number of the sample that is played at tick 0, less 160 a tick
        self.arrival = Arrival(3)
        self.errors_ms: list[float] = []

    def run(self, moves: dict[int, int] | None = None) -> None:
        """Note at each tick how far the estimate is from the delay since the network's least."""
        by_tick: dict[int, list[int]] = {}
        for number, tick in enumerate(self.came.tolist()):
            by_tick.setdefault(tick, []).append(number)
        self.play = -int(self.came[0]) * FRAME_SAMPLES - 320
        self.arrival.open(0, 320)
        for tick in range(int(self.came[0]), int(self.came.max())):
            for number in by_tick.get(tick, []):
                headroom = number * FRAME_SAMPLES - (self.play + tick * FRAME_SAMPLES)
                self.arrival.push(ROW, np.array([headroom]), tick)
            if shift := (moves or {}).get(tick, 0):
                self.arrival.move(ROW, np.array([shift]))
                self.play += shift
            estimate = int(self.arrival.step(ROW)[0])
            playing = (self.play + tick * FRAME_SAMPLES) / FRAME_SAMPLES  # packets
            left_s = np.interp(playing, np.arange(self.sent_s.size), self.sent_s)
            if 0 <= playing < self.sent_s.size:
                self.errors_ms.append(estimate / 8 - (tick * TICK_S - float(left_s)) * 1000)


@pytest.mark.parametrize("jitter_ms", [0, 10, 30, 60])
@pytest.mark.parametrize("ppm", [0, 100, -100, 300])
def test_the_delay_is_right_to_a_tick_over_minutes_of_jitter_and_drift(jitter_ms: int, ppm: int) -> None:
    line = Line(420, ppm=ppm, jitter_s=jitter_ms / 1000)
    line.run()
    settled = np.array(line.errors_ms[100:])
    assert np.abs(settled).max() < 17
    assert np.abs(settled.mean()) < 10


def test_an_estimate_once_settled_is_followed_a_sample_a_tick() -> None:
    line = Line(420, ppm=200, jitter_s=0.03)
    line.run()
    steps = np.diff(np.array(line.errors_ms[150:]))
    assert np.abs(steps).max() < 0.2


def test_moves_of_the_play_point_are_taken_off_at_once() -> None:
    line = Line(30, jitter_s=0.02)
    line.run({600: 400, 800: -640, 1000: 200})
    assert np.abs(line.errors_ms[100:]).max() < 17


def test_a_longer_way_is_found_out_within_some_periods() -> None:
    """Packets come 100 ms later all at once, and the play point goes back by that."""
    arrival = Arrival(1)
    arrival.open(0, 320)
    delays: list[int] = []
    for tick in range(4 * PERIOD_TICKS):
        arrival.push(ROW, np.array([-480 if PERIOD_TICKS <= tick <= PERIOD_TICKS + 5 else 320]), tick)
        arrival.move(ROW, np.array([-800 if tick == PERIOD_TICKS + 5 else 0]))
        delays.append(int(arrival.step(ROW)[0]))
    assert set(delays[:PERIOD_TICKS]) == {320 + 80}
    assert delays[PERIOD_TICKS + 10] == 320 + 80 + 800
    assert delays[-1] == 320 + 80


def test_without_packets_the_estimate_stays() -> None:
    arrival = Arrival(1)
    arrival.open(0, 320)
    arrival.push(ROW, np.array([320]), 0)
    before = arrival.step(ROW).tolist()
    arrival.push(np.array([], np.intp), np.array([], np.int64), 10 * PERIOD_TICKS)
    arrival.push(np.array([], np.intp), np.array([], np.int64), 12 * PERIOD_TICKS)
    assert arrival.step(ROW).tolist() == before


def test_many_rows_at_once_equal_each_row_alone() -> None:
    random = np.random.default_rng(3)
    headroom = random.integers(0, 900, (400, 6))
    shift = np.where(random.random((400, 6)) < 0.01, 160, 0)
    rows = np.arange(6)

    def run(chosen: np.ndarray) -> list[list[int]]:
        arrival = Arrival(6)
        for row in chosen.tolist():
            arrival.open(row, int(headroom[0, row]))
        delays: list[list[int]] = []
        for tick in range(400):
            arrival.push(chosen, headroom[tick, chosen], tick)
            arrival.move(chosen, shift[tick, chosen])
            delays.append(arrival.step(chosen).tolist())
        return delays

    together = np.array(run(rows))
    for row in rows:
        assert together[:, row].tolist() == np.array(run(np.array([row])))[:, 0].tolist()
