"""The arithmetic of what came, with arrivals made up."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from flexml.media.load.meter import Meter
from flexml.media.rtp import MAX_PACKET, build_batch, parse_batch

AUDIO = 0
EVENT = 101
MS = 1_000_000
START = 1_700_000_000_000_000_000
FRAME = 160

Arrival = tuple[float, int]
"""When a packet came, in ms, and its sequence number; its timestamp goes with that."""


def push(
    meter: Meter, arrivals: Iterable[Arrival], *, row: int = 0, ssrc: int = 7, payload_type: int = AUDIO, first: int = 0
) -> None:
    """Let packets come, one batch each, as if `first` had been the sequence number at timestamp 0."""
    for at_ms, sequence in arrivals:
        timestamp = (sequence - first) * FRAME
        packet = build_batch(np.zeros((1, FRAME), np.uint8), payload_type, 0, sequence, timestamp, ssrc)
        data = np.zeros((1, MAX_PACKET), np.uint8)
        data[:, : packet.shape[1]] = packet
        batch, _ = parse_batch(data, np.array([packet.shape[1]], np.int32), np.array([row]))
        meter.push(batch, np.array([START + round(at_ms * MS)]))


def measuring(rows: int = 1) -> Meter:
    """A meter of which every row is in a call that was answered at 0 ms, and counts."""
    meter = Meter(rows, AUDIO)
    for row in range(rows):
        meter.open(row, START)
    meter.measure(on=True, now_ns=START)
    return meter


def settle(meter: Meter, at_ms: float) -> None:
    meter.measure(on=False, now_ns=START + round(at_ms * MS))


def grid(count: int, *, first: int = 0) -> list[Arrival]:
    return [(20.0 * n, first + n) for n in range(count)]


def test_a_stream_on_time_has_nothing_against_it() -> None:
    meter = measuring()
    push(meter, grid(100))
    settle(meter, 2000)
    state = meter.state()
    assert (state["received"], state["lost"], state["never_sent"], state["late_10"]) == (100, 0, 0, 0)
    assert (state["duplicates"], state["reordered"], state["restarts"], state["silent_streams"]) == (0, 0, 0, 0)
    assert (state["deviation"].count, state["deviation"].max) == (99, 0.0)


def test_gaps_in_the_sequence_numbers_are_lost_packets() -> None:
    meter = measuring()
    push(meter, [arrival for n, arrival in enumerate(grid(100)) if n % 10 != 5])
    state = meter.state()
    assert (state["received"], state["lost"], state["worst_stream_lost"]) == (90, 10, 10)
    assert state["deviation"].count == 79, "an interval with a gap in it is no interval"


def test_what_is_lost_was_sent() -> None:
    meter = measuring()
    push(meter, [arrival for n, arrival in enumerate(grid(100)) if n % 4 != 1])
    settle(meter, 2000)
    state = meter.state()
    assert (state["lost"], state["never_sent"]) == (25, 0)


def test_an_interval_across_a_gap_is_none_even_if_the_timestamps_go_on() -> None:
    meter = measuring()
    push(meter, [(0.0, 0), (20.0, 1)])
    push(meter, [(60.0, 3)], first=1)
    assert meter.state()["deviation"].count == 1


def test_sequence_numbers_wrap() -> None:
    meter = measuring()
    push(meter, [(20.0 * n, (65530 + n) % 65536) for n in range(12)], first=65530)
    push(meter, [(20.0 * 13, 7)], first=-6)
    state = meter.state()
    assert (state["received"], state["lost"], state["restarts"]) == (13, 1, 0)


@pytest.mark.parametrize(
    ("sequences", "received", "lost", "reordered", "duplicates"),
    [
        ([0, 1, 2, 3], 4, 0, 0, 0),
        ([0, 2, 1, 3], 4, 0, 1, 0),
        ([0, 1, 1, 2], 3, 0, 0, 1),
        ([0, 3, 2, 2, 4], 4, 1, 1, 1),
        ([5, 4, 6], 3, 0, 1, 0),
        ([0, 70, 1], 2, 69, 0, 1),  # too far back to tell from a copy
    ],
)
def test_overtaken_packets_are_not_lost_and_copies_count_once(
    sequences: list[int], received: int, lost: int, reordered: int, duplicates: int
) -> None:
    meter = measuring()
    push(meter, [(20.0 * n, sequence) for n, sequence in enumerate(sequences)])
    state = meter.state()
    assert (state["received"], state["lost"]) == (received, lost)
    assert (state["reordered"], state["duplicates"]) == (reordered, duplicates)


def test_deviation_is_how_far_intervals_are_from_20_ms() -> None:
    meter = measuring()
    push(meter, [(0.0, 0), (25.0, 1), (40.0, 2), (60.0, 3)])
    deviation = meter.state()["deviation"]
    assert deviation.count == 3
    assert deviation.max == pytest.approx(5.0)
    assert deviation.p50 == pytest.approx(5.0, rel=0.03)


def test_packets_are_late_against_the_earliest_of_their_stream() -> None:
    meter = measuring()
    # The first is 15 ms late itself, which only the second shows.
    push(meter, [(15.0, 0), (20.0, 1), (40.0, 2), (71.0, 3), (125.0, 4), (100.0, 5)])
    state = meter.state()
    assert (state["late_10"], state["late_40"]) == (2, 1)


def test_a_slow_clock_of_the_sender_makes_no_packet_late() -> None:
    meter = measuring()
    push(meter, [(20.01 * n, n) for n in range(5000)])  # 500 ppm: 50 ms in all
    assert meter.state()["late_10"] == 0


def test_packets_that_were_never_sent_leave_no_gap_but_are_missed() -> None:
    meter = measuring()
    push(meter, grid(50))
    push(meter, [(20.0 * n + 200, n) for n in range(50, 100)])  # silent for ten packets, sequence going on
    settle(meter, 2200)
    state = meter.state()
    assert (state["lost"], state["never_sent"]) == (0, 9)  # one may always be about to come


def test_a_stream_that_falls_silent_is_missed_until_its_call_ends() -> None:
    meter = measuring()
    push(meter, grid(50))
    meter.close(0, START + 2000 * MS)
    settle(meter, 9000)
    assert meter.state()["never_sent"] == 49


def test_a_call_without_any_packet_is_told_apart() -> None:
    meter = measuring(2)
    push(meter, grid(100), row=1)
    settle(meter, 2000)
    state = meter.state()
    assert state["silent_streams"] == 1
    assert state["never_sent"] == 49, "after a second of patience"


def test_only_what_comes_while_it_counts_counts() -> None:
    meter = Meter(1, AUDIO)
    meter.open(0, START)
    push(meter, [(0.0, 0), (300.0, 5)])
    meter.measure(on=True, now_ns=START + 310 * MS)
    push(meter, [(320.0 + 20 * n, 6 + n) for n in range(10)])
    settle(meter, 520)
    push(meter, [(900.0, 90)])
    state = meter.state()
    assert (state["received"], state["lost"], state["never_sent"]) == (10, 0, 0)


def test_another_source_or_a_leap_begins_anew_and_loses_nothing() -> None:
    meter = measuring()
    push(meter, grid(10))
    push(meter, [(200.0, 40000)], ssrc=8)
    push(meter, [(220.0, 3000)], ssrc=8)
    state = meter.state()
    assert (state["received"], state["lost"], state["restarts"], state["late_10"]) == (12, 0, 2, 0)


def test_the_first_packet_is_timed_from_the_answer() -> None:
    meter = Meter(1, AUDIO)
    meter.open(0, START)
    push(meter, [(12.5, 100), (32.5, 101)])
    first = meter.state()["first_packet"]
    assert (first.count, first.max) == (1, 12.5)


def test_telephone_events_keep_the_sequence_but_not_the_interval() -> None:
    meter = measuring()
    push(meter, [(0.0, 0)])
    push(meter, [(1.0, 1), (2.0, 2)], payload_type=EVENT)
    push(meter, [(60.0, 3), (80.0, 4)])
    state = meter.state()
    assert (state["received"], state["lost"], state["deviation"].count, state["deviation"].max) == (5, 0, 1, 0.0)


def test_what_comes_to_a_closed_row_is_nobodys() -> None:
    meter = measuring(2)
    meter.close(0, START)
    push(meter, grid(3), row=0)
    assert meter.state()["received"] == 0


def test_what_still_comes_of_a_call_is_not_the_next_ones() -> None:
    meter = measuring()
    push(meter, grid(10))
    meter.close(0, START + 200 * MS)
    meter.open(0, START + 600 * MS)
    push(meter, [(220.0, 11)])
    push(meter, [(710.0, 500), (730.0, 501)], ssrc=8)
    state = meter.state()
    assert (state["received"], state["restarts"], state["first_packet"].count) == (12, 0, 2)
    assert state["first_packet"].max == pytest.approx(110)


def test_many_rows_at_once_equal_each_alone() -> None:
    random = np.random.default_rng(3)
    arrivals = [
        sorted((20.0 * n + float(random.exponential(4)), n) for n in range(200) if random.random() > 0.02)
        for _ in range(8)
    ]
    together = measuring(8)
    for turn in range(max(map(len, arrivals))):
        for row, mine in enumerate(arrivals):
            push(together, mine[turn : turn + 1], row=row, ssrc=row)
    alone = [measuring() for _ in arrivals]
    for meter, mine in zip(alone, arrivals, strict=True):
        push(meter, mine)
    sums = [meter.state() for meter in alone]
    state = together.state()
    for name in ("received", "lost", "duplicates", "reordered", "late_10"):
        assert state[name] == sum(one[name] for one in sums), name
    assert state["deviation"].max == max(one["deviation"].max for one in sums)
