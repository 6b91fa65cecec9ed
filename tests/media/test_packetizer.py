"""Packets of the length the peer asked for, with the timestamp of their first sample."""

from __future__ import annotations

import numpy as np
import pytest
from flexml.media.packetizer import Packetizer, nearest_ptime
from numpy.typing import NDArray

Sent = dict[int, list[tuple[int, bytes]]]


def run(packetizer: Packetizer, rows: NDArray[np.intp], audio: NDArray[np.uint8], start: int = 0) -> Sent:
    sent: Sent = {int(row): [] for row in rows}
    for tick in range(audio.shape[1] // 160):
        timestamp = np.full(rows.size, (start + tick * 160) % (1 << 32), np.int64)
        for packets in packetizer.step(rows, audio[:, tick * 160 : (tick + 1) * 160], timestamp):
            for row, payload, stamp in zip(packets.rows, packets.payload, packets.timestamp, strict=True):
                sent[int(row)].append((int(stamp), payload.tobytes()))
    return sent


def octets(rows: int, ticks: int) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (rows, ticks * 160)).astype(np.uint8)


PTIMES = [(-1, 20), (0, 20), (1, 10), (5, 10), (10, 10), (20, 20), (25, 20), (30, 30), (40, 40), (60, 60), (200, 60)]


@pytest.mark.parametrize(("asked", "used"), PTIMES)
def test_the_packet_length_is_near_what_was_asked(asked: int, used: int) -> None:
    assert nearest_ptime(asked) == used


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 50, 60])
def test_no_sample_is_lost_or_moved(ptime: int) -> None:
    packetizer = Packetizer(1)
    packetizer.open(0, ptime)
    audio = octets(1, 60)
    start = (1 << 32) - 1000  # the timestamp wraps on the way
    sent = run(packetizer, np.array([0]), audio, start)[0]
    assert [len(payload) for _, payload in sent] == [ptime * 8] * (1200 // ptime)
    assert b"".join(payload for _, payload in sent) == audio.tobytes()
    assert [stamp for stamp, _ in sent] == [(start + n * ptime * 8) % (1 << 32) for n in range(len(sent))]


@pytest.mark.parametrize(("ptime", "used"), [(10, 10), (30, 30), (40, 40), (60, 40)])
def test_two_samples_of_two_octets_a_tick_are_cut_at_their_clock(ptime: int, used: int) -> None:
    packetizer = Packetizer(1)
    packetizer.open(0, ptime, octets_per_tick=4, frame_units=320)
    audio = np.random.default_rng(8).integers(0, 256, (12, 1, 640)).astype(np.uint8)
    sent = [
        (int(packets.timestamp[0]), packets.payload[0].tobytes())
        for tick in range(12)
        for packets in packetizer.step(np.array([0]), audio[tick], np.array([7 + tick * 320]))
    ]
    assert b"".join(payload for _, payload in sent) == audio.tobytes()
    assert [stamp for stamp, _ in sent] == [7 + n * used * 16 for n in range(240 // used)]


def test_mixed_lengths_at_once_equal_each_row_alone() -> None:
    ptimes = [20, 10, 30, 20, 60, 40, 10, 30]
    rows = np.arange(len(ptimes))
    audio = octets(len(ptimes), 30)
    together = Packetizer(len(ptimes))
    for row, ptime in enumerate(ptimes):
        together.open(row, ptime)
    sent = run(together, rows, audio)
    for row, ptime in enumerate(ptimes):
        alone = Packetizer(1)
        alone.open(0, ptime)
        assert run(alone, np.array([0]), audio[row : row + 1])[0] == sent[row]


def test_what_is_dropped_is_not_sent_later() -> None:
    packetizer = Packetizer(1)
    packetizer.open(0, 40)
    rows, audio = np.array([0]), octets(1, 4)
    assert run(packetizer, rows, audio[:, :160])[0] == []
    packetizer.drop(rows)
    assert run(packetizer, rows, audio[:, 160:], start=1600)[0] == [(1600, audio[0, 160:480].tobytes())]


@pytest.mark.parametrize("between", [20, 30])
def test_what_waits_is_not_sent_in_packets_of_another_length(between: int) -> None:
    packetizer = Packetizer(1)
    packetizer.open(0, 60)
    rows, audio = np.array([0]), octets(1, 6)
    assert run(packetizer, rows, audio[:, :160])[0] == []
    packetizer.open(0, between)
    packetizer.open(0, 40)
    assert run(packetizer, rows, audio[:, 160:480], start=160)[0] == [(160, audio[0, 160:480].tobytes())]


def test_what_waits_outlasts_the_same_length_agreed_again() -> None:
    packetizer = Packetizer(1)
    packetizer.open(0, 60)
    audio = octets(1, 6)
    before = run(packetizer, np.array([0]), audio[:, :640])[0]
    packetizer.open(0, 60)
    after = run(packetizer, np.array([0]), audio[:, 640:], 640)[0]
    assert [stamp for stamp, _ in before + after] == [0, 480]
    assert b"".join(payload for _, payload in before + after) == audio.tobytes()


def test_a_closed_row_starts_again_at_20_ms() -> None:
    packetizer = Packetizer(1)
    packetizer.open(0, 60)
    packetizer.close(0)
    audio = octets(1, 1)
    assert run(packetizer, np.array([0]), audio)[0] == [(0, audio.tobytes())]
