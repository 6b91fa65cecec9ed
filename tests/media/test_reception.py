"""Statistics of RTP sources, against RFC 3550's own C code written out packet by packet."""

from __future__ import annotations

import numpy as np
import pytest
from flexml.media.reception import Reception
from flexml.media.rtp import RtpBatch, build_batch, parse_batch

Came = tuple[int, int, int]  # sequence, timestamp, SSRC


def batch_of(packets: list[tuple[int, Came]]) -> RtpBatch:
    data = np.zeros((len(packets), 1500), np.uint8)
    for at, (_, (sequence, timestamp, ssrc)) in enumerate(packets):
        data[at, :172] = build_batch(np.zeros((1, 160), np.uint8), 0, False, sequence, timestamp, ssrc)[0]
    lengths = np.full(len(packets), 172, np.int32)
    return parse_batch(data, lengths, np.array([row for row, _ in packets], np.intp))[0]


def heard(sequences: list[int], row: int = 0) -> Reception:
    """Return what a packet of each sequence number leaves, 20 ms apart."""
    reception = Reception(4)
    reception.open(row, 8000)
    for number, sequence in enumerate(sequences):
        reception.push(batch_of([(row, (sequence % 65536, number * 160, 9))]), number * 0.02)
    return reception


LOSSES = {
    "all came": (list(range(100)), 0, 99),
    "over the wrap": (list(range(65500, 65600)), 0, 65599),
    "two lost": ([1, 2, 5, 6], 2, 6),
    "lost over the wrap": ([65534, 65537], 2, 65537),
    "reordered": ([1, 3, 2, 4], 0, 4),
    "reordered over the wrap": ([65535, 65537, 65536, 65538], 0, 65538),
    "older than the first": ([5, 4, 6], -1, 6),
    "twice": ([1, 2, 2, 3], -1, 3),
    "one far off": ([1, 2, 30000, 3, 4], 0, 4),
    "one far off after a loss": ([1, 3, 30000, 4], 1, 4),
    "two far off, but not one after the other": ([1, 3, 30000, 30002, 4], 1, 4),
    "as far ahead as may be": ([1, 3000], 2998, 3000),
    "a step further": ([1, 3001, 2], 0, 2),
    "as far behind as may be": ([200, 202, 103], 0, 202),
    "a step further behind": ([200, 202, 102], 1, 202),
}


@pytest.mark.parametrize(("sequences", "lost", "highest"), LOSSES.values(), ids=LOSSES)
def test_loss_and_highest_sequence(sequences: list[int], lost: int, highest: int) -> None:
    reception = heard(sequences)
    block = reception.block(0)
    assert block is not None
    assert (block.ssrc, block.lost, block.highest_sequence) == (9, lost, highest)
    assert reception.lost(0) == max(0, lost)


def test_two_in_a_row_far_off_restart_the_source_and_loss_goes_on() -> None:
    reception = heard([1, 2, 5, 30000, 30001, 30003])
    block = reception.block(0)
    assert block is not None
    assert (block.lost, block.highest_sequence) == (1, 30003)
    assert reception.lost(0) == 3


@pytest.mark.parametrize("first", [700, 5], ids=["elsewhere", "where the one before would go on"])
def test_another_ssrc_restarts_the_source(first: int) -> None:
    reception = heard([1, 2, 4])
    reception.push(batch_of([(0, (4, 481, 9))]), 0.5)
    assert reception.jitter_ms(0) > 1
    reception.push(batch_of([(0, (first, 700, 10))]), 1.0)
    block = reception.block(0)
    assert block is not None
    assert (block.ssrc, block.lost, block.highest_sequence, block.jitter) == (10, 0, first, 0)


def test_the_loss_of_a_row_goes_on_over_another_ssrc() -> None:
    reception = heard([1, 2, 4])
    reception.push(batch_of([(0, (700, 5, 10)), (0, (703, 5, 10))]), 1.0)
    assert reception.lost(0) == 3


def test_what_was_far_off_in_one_source_does_not_restart_the_next() -> None:
    reception = heard([1, 30000])
    reception.push(batch_of([(0, (5, 320, 10)), (0, (30001, 480, 10)), (0, (7, 640, 10))]), 1.0)
    block = reception.block(0)
    assert block is not None
    assert (block.lost, block.highest_sequence) == (1, 7)


def test_a_row_opened_anew_waits_for_its_source_and_goes_on_with_what_was_lost() -> None:
    reception = heard([1, 4])
    reception.push(batch_of([(0, (4, 481, 9))]), 0.5)
    reception.open(0, 16000, lost=reception.lost(0))
    assert reception.block(0) is None
    assert reception.jitter_ms(0) == 0.0
    reception.push(batch_of([(0, (5, 640, 9)), (0, (7, 640, 9))]), 1.0)
    assert reception.lost(0) == 2
    reception.close(0)
    assert reception.jitter_ms(0) == 0.0


def test_the_fraction_lost_is_of_the_interval() -> None:
    reception = heard([1, 2, 3, 5])
    first = reception.block(0)
    assert first is not None
    assert first.fraction_lost == 256 // 5
    quiet = reception.block(0)
    assert quiet is not None
    assert (quiet.fraction_lost, quiet.lost) == (0, 1)
    for sequence in (7, 9):
        reception.push(batch_of([(0, (sequence, 0, 9))]), 1.0)
    second = reception.block(0)
    assert second is not None
    assert (second.fraction_lost, second.lost) == (128, 3)


def test_an_interval_in_which_more_came_than_was_due_has_no_loss() -> None:
    reception = heard([1, 3])
    assert reception.block(0) is not None
    reception.push(batch_of([(0, (4, 640, 9)), (0, (2, 320, 9)), (0, (2, 320, 9))]), 1.0)
    block = reception.block(0)
    assert block is not None
    assert (block.fraction_lost, block.lost) == (0, -1)


def test_nothing_heard_is_no_block() -> None:
    reception = Reception(1)
    reception.open(0, 8000)
    assert reception.block(0) is None
    assert reception.lost(0) == 0
    assert reception.jitter_ms(0) == 0.0


ORDERS = {
    "all in order": list(range(300)),
    "some lost": [number for number in range(300) if number % 7 and number % 11],
    "some in the wrong order": [number ^ 1 if number % 10 < 2 else number for number in range(300)],
    "one that is far off": [*range(40), 20_040, *range(40, 80)],
}


@pytest.mark.parametrize("numbers", ORDERS.values(), ids=ORDERS)
def test_jitter_is_that_of_the_rfc(numbers: list[int]) -> None:
    random = np.random.default_rng(1)
    reception = Reception(1)
    reception.open(0, 8000)
    jitter, transit = 0.0, 0.0
    for position, number in enumerate(numbers):
        timestamp = (2**32 - 8000 + number * 160) % 2**32
        arrival_s = 1000 + position * 0.02 + random.uniform(0, 0.03)
        reception.push(batch_of([(0, (number, timestamp, 9))]), arrival_s)
        if number > 20_000:
            continue
        now = arrival_s * 8000 - number * 160
        if position:
            jitter += (abs(now - transit) - jitter) / 16
        transit = now
    assert reception.jitter_ms(0) == pytest.approx(jitter / 8)
    block = reception.block(0)
    assert block is not None
    assert block.jitter == int(jitter)


@pytest.mark.parametrize("jump", [-8000, 8000, 2**31 - 200, -(2**31) + 200])
def test_a_clock_that_is_set_counts_as_jitter_the_short_way_round(jump: int) -> None:
    reception = Reception(1)
    reception.open(0, 8000)
    for number in range(51):
        timestamp = (number * 160 + (jump if number == 50 else 0)) % 2**32
        reception.push(batch_of([(0, (number, timestamp, 9))]), number * 0.02)
    assert reception.jitter_ms(0) == pytest.approx(abs(jump) / 16 / 8)


def test_updates_of_one_telephone_event_are_no_jitter() -> None:
    reception = Reception(1)
    reception.open(0, 8000)
    for tick in range(50):
        timestamp = 160 * tick if not 10 <= tick < 30 else 1600
        reception.push(batch_of([(0, (tick, timestamp, 9))]), tick * 0.02)
    assert reception.jitter_ms(0) < 0.001


def test_rows_at_once_equal_each_row_alone() -> None:
    random = np.random.default_rng(2)
    rows = [0, 1, 3]
    together = Reception(4)
    alone = Reception(4)
    for row in rows:
        together.open(row, 8000)
        alone.open(row, 8000)
    for tick in range(200):
        packets = [
            (row, (int(tick * 2 + random.integers(0, 4)) % 65536, tick * 160, 5 + tick // 90))
            for row in random.permutation(rows * 2).tolist()
        ]
        together.push(batch_of(packets), tick * 0.02)
        for row in rows:
            alone.push(batch_of([packet for packet in packets if packet[0] == row]), tick * 0.02)
    for row in rows:
        assert together.block(row) == alone.block(row)
        assert together.lost(row) == alone.lost(row)
        assert together.jitter_ms(row) == alone.jitter_ms(row)


def test_a_closed_row_counts_nothing() -> None:
    reception = heard([1, 2, 4])
    reception.close(0)
    reception.push(batch_of([(0, (9, 0, 9)), (2, (9, 0, 9))]), 1.0)
    assert reception.block(0) is None
    assert reception.block(2) is None
    reception.open(0, 8000)
    assert reception.lost(0) == 0
