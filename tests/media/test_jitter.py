"""The jitter buffer over networks that are lists: what arrives at which tick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from flexml.media.headroom import STEP_TICKS
from flexml.media.jitter import JitterBuffer
from flexml.media.rtp import Flags, Octets, RtpBatch, build_batch, parse_batch

SSRC = 0x1234
Arrivals = dict[int, list[tuple[int, bytes]]]  # tick: (row, packet)


def packet(sequence: int, timestamp: int, payload: Octets, ssrc: int = SSRC) -> bytes:
    """Return one packet of payload uint8[L]."""
    return build_batch(payload[None], 0, False, sequence, timestamp, ssrc)[0].tobytes()


def stream(octets: Octets, size: int = 160, sequence: int = 100, timestamp: int = 5000) -> list[bytes]:
    """Cut octets into packets of `size` samples."""
    return [
        packet(sequence + number, timestamp + start, octets[start : start + size])
        for number, start in enumerate(range(0, octets.size, size))
    ]


def batch_of(packets: list[tuple[int, bytes]]) -> RtpBatch:
    data = np.zeros((len(packets), 1500), np.uint8)
    for at, (_, octets) in enumerate(packets):
        data[at, : len(octets)] = np.frombuffer(octets, np.uint8)
    lengths = np.array([len(octets) for _, octets in packets], np.int32)
    return parse_batch(data, lengths, np.array([row for row, _ in packets], np.intp))[0]


def play(arrivals: Arrivals, ticks: int, buffer: JitterBuffer, rows: list[int] | None = None) -> tuple[Octets, Flags]:
    """Run `ticks`; return octets and have, [rows, ticks * 160]."""
    indices = np.array([0] if rows is None else rows, np.intp)
    octets: list[Octets] = []
    have: list[Flags] = []
    for tick in range(ticks):
        buffer.push(batch_of(arrivals.get(tick, [])), tick)
        frame, filled = buffer.pull(indices)
        octets.append(frame)
        have.append(filled)
    return np.concatenate(octets, axis=1), np.concatenate(have, axis=1)


def opened(*rows: int) -> JitterBuffer:
    buffer = JitterBuffer(4)
    for row in rows or (0,):
        buffer.open(row)
    return buffer


def noise(frames: int, seed: int = 1) -> Octets:
    return np.random.default_rng(seed).integers(0, 256, frames * 160, np.uint8)


def on_time(packets: list[bytes]) -> Arrivals:
    """Let a packet of 20 ms come at every tick."""
    return {tick: [(0, octets)] for tick, octets in enumerate(packets)}


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_packets_of_any_length_come_out_to_the_octet(ptime: int) -> None:
    octets = noise(60)
    size = ptime * 8
    arrivals: Arrivals = defaultdict(list)
    for number, octets_of in enumerate(stream(octets, size)):
        arrivals[-(-number * size // 160)].append((0, octets_of))
    buffer = opened()
    heard, have = play(arrivals, 60, buffer)
    assert not have[0, :320].any()
    assert have[0, 320:].all()
    assert (heard[0, 320:] == octets[: heard.shape[1] - 320]).all()
    assert buffer.late[0] == buffer.duplicates[0] == buffer.concealed[0] == 0


def test_regular_sources_are_exact_for_five_minutes_over_a_jitter_of_15_ms() -> None:
    frames = 15000
    octets = noise(frames)
    packets = stream(octets, timestamp=2**32 - 80000, sequence=65000)
    random = np.random.default_rng(1)
    arrivals: Arrivals = defaultdict(list)
    phases_ms = (0.0, 5.0, 13.0)
    for row, phase_ms in enumerate(phases_ms):
        came_ms = 20 * np.arange(frames) + phase_ms + random.uniform(-15, 15, frames)
        for tick, octets_of in zip(np.ceil(came_ms / 20).astype(int).tolist(), packets, strict=True):
            arrivals[1 + tick].append((row, octets_of))
    buffer = opened(0, 1, 2)
    heard, have = play(arrivals, frames, buffer, [0, 1, 2])
    for row in range(len(phases_ms)):
        first = int(have[row].argmax())
        assert have[row, first:].all()
        assert (heard[row, first:] == octets[: heard.shape[1] - first]).all()
    assert not buffer.late.any()


def test_reordered_and_repeated_packets_come_out_in_order_and_once() -> None:
    octets = noise(20)
    packets = stream(octets)
    arrivals = on_time(packets)
    arrivals[5], arrivals[6] = arrivals[6] + arrivals[6], arrivals[5]  # the copy in the same tick
    arrivals[12] = [*arrivals[12], *arrivals[4], *arrivals[8]]  # copies of what was played long ago
    buffer = opened()
    heard, have = play(arrivals, 20, buffer)
    assert have[0, 320:].all()
    assert (heard[0, 320:] == octets[:-320]).all()
    assert buffer.duplicates[0] == 3
    assert buffer.late[0] == 0


def test_a_lost_packet_leaves_a_gap_of_its_length() -> None:
    octets = noise(20)
    arrivals = on_time(stream(octets))
    del arrivals[7]
    buffer = opened()
    heard, have = play(arrivals, 20, buffer)
    gap = slice(320 + 7 * 160, 320 + 8 * 160)
    assert not have[0, gap].any()
    have[0, gap] = True
    heard[0, gap] = octets[7 * 160 : 8 * 160]
    assert have[0, 320:].all()
    assert (heard[0, 320:] == octets[:-320]).all()
    assert buffer.concealed[0] == 160


def test_silence_suppression_is_a_gap_and_goes_on_where_it_should() -> None:
    octets = noise(600)
    arrivals = {tick: packets for tick, packets in on_time(stream(octets)).items() if not 50 <= tick < 550}
    buffer = opened()
    heard, have = play(arrivals, 600, buffer)
    assert (heard[0, 552 * 160 :] == octets[550 * 160 : -320]).all()
    assert have[0, 552 * 160 :].all()
    assert not have[0, 52 * 160 : 552 * 160].any()
    assert buffer.concealed[0] < 12 * 160


@pytest.mark.parametrize(
    ("ssrc", "sequence", "timestamp"),
    [(99, 7, 1_000_000), (SSRC, 130, 5000 + 30 * 160 + 500_000), (SSRC, 130, 4_000_000_000), (SSRC, 130, 100)],
    ids=["ssrc", "forward", "backward", "backward over the wrap"],
)
def test_a_source_that_restarts_is_heard_at_once(ssrc: int, sequence: int, timestamp: int) -> None:
    before, after = noise(30, 1), noise(30, 2)
    arrivals = on_time(stream(before))
    for number in range(30):
        start = number * 160
        arrivals[30 + number] = [(0, packet(sequence + number, timestamp + start, after[start : start + 160], ssrc))]
    heard, have = play(arrivals, 60, opened())
    assert not have[0, 30 * 160 : 32 * 160].any()
    assert have[0, 32 * 160 :].all()
    assert (heard[0, 32 * 160 :] == after[:-320]).all()


def test_two_packets_far_off_in_sequence_are_believed_and_one_is_not() -> None:
    octets = noise(40)
    arrivals = on_time(stream(octets))
    arrivals[10] = [(0, packet(40000, 3_000_000_000, noise(1, 9))), *arrivals[10]]
    buffer = opened()
    heard, have = play(arrivals, 40, buffer)
    assert have[0, 320:].all()
    assert (heard[0, 320:] == octets[:-320]).all()
    assert buffer.late[0] == 1
    other = noise(4, 3)
    more = {
        tick: [(0, packet(40000 + tick, 3_000_000_000 + 160 * tick, other[tick * 160 : tick * 160 + 160]))]
        for tick in range(4)
    }
    heard, have = play(more, 6, buffer)
    assert have[0, 3 * 160 : 6 * 160].all()
    assert (heard[0, 3 * 160 : 6 * 160] == other[160:]).all()


def test_a_way_that_becomes_longer_moves_the_play_point_back() -> None:
    octets = noise(200)
    arrivals = {tick if tick < 50 else tick + 5: packets for tick, packets in on_time(stream(octets)).items()}
    buffer = opened()
    heard, have = play(arrivals, 200, buffer)
    assert buffer.late[0] < 5
    assert have[0, 60 * 160 :].all()
    lag = 5 * 160
    assert (heard[0, 60 * 160 :] == octets[60 * 160 - lag : -lag]).all()


def test_a_way_longer_by_more_than_the_longest_delay_is_followed() -> None:
    octets = noise(200)
    arrivals = {tick if tick < 50 else tick + 13: packets for tick, packets in on_time(stream(octets)).items()}
    buffer = opened()
    heard, have = play(arrivals, 200, buffer)
    assert have[0, 75 * 160 :].all()
    lag = 13 * 160
    assert (heard[0, 75 * 160 :] == octets[75 * 160 - lag : -lag]).all()


def left_out(octets: Octets, late: dict[int, int] | None = None, silent: range = range(0)) -> list[int]:
    """Let the first seven packets come together, the last in time; return before which ticks a frame is left out.

    `late` says of some packets how many ticks they come later; in the ticks `silent` what is heard is silence.
    """
    arrivals: Arrivals = defaultdict(list)
    for tick, packets in on_time(stream(octets)).items():
        arrivals[max(tick, 6) + (late or {}).get(tick, 0)].extend(packets)
    buffer = opened()
    number = {frame.tobytes(): at for at, frame in enumerate(octets.reshape(-1, 160))}
    behind: list[int] = []
    for tick in range(octets.size // 160):
        buffer.push(batch_of(arrivals.get(tick, [])), tick)
        heard, have = buffer.pull(np.array([0]))
        if tick >= 8:
            behind.append(tick - number[heard.tobytes()] if have.all() else -1)
        buffer.heard(np.array([0]), np.full((1, 160), 0.0 if tick in silent else 5000.0, np.float32))
    assert behind[0] == 8
    return [8 + at for at in range(1, len(behind)) if behind[at] == behind[at - 1] - 1 >= 0]


def test_surplus_delay_is_given_up_after_two_seconds_a_frame_at_a_time() -> None:
    at = left_out(noise(500))
    assert at == [at[0] + step * STEP_TICKS for step in range(6)], "40 ms behind at the end"
    assert 200 < at[0] <= 210, "the review of the source's beginning finds no surplus"


def test_surplus_delay_is_given_up_where_nothing_but_silence_is_heard() -> None:
    at = left_out(noise(400), silent=range(240, 300))
    assert at[:2] == [at[0], at[0] + STEP_TICKS]
    assert at[2:] == [241, 242, 243, 244]


def test_surplus_delay_is_kept_once_a_packet_comes_late() -> None:
    at = left_out(noise(300), late={220: 9})
    assert len(at) == 1, "and then the network needs to be learnt anew"


def test_a_late_burst_of_one_packet_moves_nothing() -> None:
    octets = noise(300)
    arrivals = on_time(stream(octets))
    arrivals[54] = [*arrivals[50], *arrivals[54]]
    del arrivals[50]
    buffer = opened()
    heard, have = play(arrivals, 300, buffer)
    assert buffer.late[0] == 1
    assert (heard[0, 60 * 160 :] == octets[58 * 160 : -320]).all()
    assert have[0, 60 * 160 :].all()


def test_clock_drift_of_200_ppm_costs_next_to_nothing() -> None:
    frames = 9000  # 180 s
    octets = np.resize(noise(500), frames * 160)
    random = np.random.default_rng(4)
    arrivals: Arrivals = defaultdict(list)
    for row, drift in enumerate((200e-6, -200e-6)):
        for number, octets_of in enumerate(stream(octets)):
            arrivals[1 + int(np.ceil(number * (1 + drift) + random.uniform(-0.1, 0.1)))].append((row, octets_of))
    buffer = opened(0, 1)
    _, have = play(arrivals, frames, buffer, [0, 1])
    missing = np.count_nonzero(~have[:, 4 * 160 :], axis=1)
    assert missing.max() <= 10 * 160  # 36 ms are owed in any case
    assert buffer.late.max() <= 10


def test_rows_at_once_equal_each_row_alone() -> None:
    random = np.random.default_rng(5)
    arrivals: Arrivals = defaultdict(list)
    for row, size in ((0, 160), (1, 240), (3, 80)):
        for number, octets_of in enumerate(stream(noise(100, row), size, timestamp=row * 1000)):
            if random.random() > 0.05:
                arrivals[int(number * size / 160 + random.uniform(0, 4))].append((row, octets_of))
    together = opened(0, 1, 3)
    octets, have = play(arrivals, 120, together, [0, 1, 3])
    for at, row in enumerate((0, 1, 3)):
        alone = opened(row)
        own = {tick: [entry for entry in packets if entry[0] == row] for tick, packets in arrivals.items()}
        octets_alone, have_alone = play(own, 120, alone, [row])
        assert (have_alone[0] == have[at]).all()
        assert (octets_alone[0][have[at]] == octets[at][have[at]]).all()
        for counter in ("late", "duplicates", "concealed"):
            assert getattr(alone, counter)[row] == getattr(together, counter)[row]


def test_a_closed_row_is_silent() -> None:
    arrivals = on_time(stream(noise(20)))
    buffer = opened()
    play(arrivals, 10, buffer)
    buffer.close(0)
    _, have = play(arrivals, 20, buffer)
    assert not have.any()
    assert buffer.late[0] == 0


def test_a_row_opened_again_waits_for_its_source_as_if_it_were_new() -> None:
    octets = noise(40)
    packets = stream(octets)
    buffer = opened()
    play(on_time(packets[:10]), 10, buffer)
    buffer.close(0)
    buffer.open(0)
    heard, have = play(on_time(packets[30:40]), 10, buffer)
    assert have[0].tolist() == [False] * 320 + [True] * 1280
    assert (heard[0, 320:] == octets[30 * 160 : 38 * 160]).all()


def test_packets_that_begin_within_a_frame_come_out_to_the_octet() -> None:
    octets = noise(150)
    first, *rest = stream(octets[80:], timestamp=5080)
    arrivals = on_time([packet(99, 5000, octets[:80]), first, *rest])
    heard, have = play(arrivals, 140, opened())
    assert have[0, 320:].all()
    assert (heard[0, 320:] == octets[: 138 * 160]).all()


@pytest.mark.parametrize("size", [160, 80, 1])
def test_a_source_has_begun_when_its_first_sample_is_played(size: int) -> None:
    buffer = opened()
    buffer.push(batch_of([(0, packet(1, 5000, noise(1)[:size]))]), 0)
    begun: list[bool] = []
    for _ in range(5):
        buffer.pull(np.array([0]))
        begun.append(bool(buffer.begun[0]))
    assert begun == [False, False, True, True, True]


def test_samples_of_two_octets_go_beside_samples_of_one() -> None:
    buffer = JitterBuffer(2, octets_per_tick=2)
    buffer.open(0, octets_per_tick=2)
    buffer.open(1)
    wide, narrow = noise(40, 1), noise(20, 2)
    arrivals: Arrivals = {
        tick: [
            (0, packet(tick, tick * 160, wide[tick * 320 : tick * 320 + 320])),
            (1, packet(tick, tick * 160, narrow[tick * 160 : tick * 160 + 160])),
        ]
        for tick in range(20)
    }
    heard, have = play(arrivals, 20, buffer, [0, 1])
    assert have[:, 320:].all()
    frames = heard.reshape(2, 20, 320)[:, 2:]
    assert (frames[0].reshape(-1) == wide[: 18 * 320]).all()
    assert (frames[1, :, :160].reshape(-1) == narrow[: 18 * 160]).all()


@pytest.mark.parametrize(("clock_hz", "first"), [(16000, 2**32 - 3000), (48000, 2**32 - 9000), (48000, 5000)])
def test_timestamps_of_any_clock_go_on_over_their_wrap(clock_hz: int, first: int) -> None:
    buffer = JitterBuffer(1, octets_per_tick=4)
    buffer.open(0, octets_per_tick=4, clock_hz=clock_hz)
    octets, units = noise(80, 3), clock_hz // 50
    arrivals: Arrivals = {
        tick: [(0, packet(tick, (first + tick * units) % 2**32, octets[tick * 640 : tick * 640 + 640]))]
        for tick in range(20)
        if tick != 9
    }
    heard, have = play(arrivals, 20, buffer)
    assert have.reshape(20, 160).all(axis=1).tolist() == [tick >= 2 and tick != 11 for tick in range(20)]
    wanted = octets[: 18 * 640].reshape(18, 640)
    assert (np.delete(heard.reshape(20, 640)[2:], 9, 0) == np.delete(wanted, 9, 0)).all()
    assert (buffer.late[0], buffer.concealed[0]) == (0, 160)


def test_what_follows_a_frame_can_be_seen_before_it_is_pulled() -> None:
    buffer = opened()
    octets = noise(3)
    pulled: list[tuple[Octets, Flags]] = []
    for tick, octets_of in enumerate(stream(octets)):
        buffer.push(batch_of([(0, octets_of)]), tick)
        pulled.append(buffer.pull(np.array([0]), 1))
    seen, have = pulled[-1]
    assert have.all()
    assert (seen[0] == octets[:161]).all()
    assert (buffer.pull(np.array([0]))[0][0] == octets[160:320]).all()


def test_too_wide_a_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="octets_per_tick is 2, expected 1 to 1"):
        JitterBuffer(1).open(0, octets_per_tick=2)


def test_any_packet_of_any_timestamp_is_survived() -> None:
    random = np.random.default_rng(6)
    buffer = opened()
    for tick in range(400):
        packets = [
            (
                0,
                packet(
                    int(random.integers(0, 65536)), int(random.integers(0, 2**32)), noise(9)[: random.integers(0, 1400)]
                ),
            )
            for _ in range(random.integers(0, 5))
        ]
        buffer.push(batch_of(packets), tick)
        octets, have = buffer.pull(np.array([0]))
        assert octets.shape == have.shape == (1, 160)


def test_a_captured_stream_comes_out_to_the_octet(sipp_capture: Callable[[str], list[tuple[float, bytes]]]) -> None:
    packets = sipp_capture("g711a.pcap")
    began = packets[0][0]
    arrivals: Arrivals = defaultdict(list)
    for seconds, octets in packets:
        arrivals[int(np.ceil((seconds - began) / 0.02))].append((0, octets))
    buffer = opened()
    heard, have = play(arrivals, max(arrivals) + 20, buffer)
    sent = np.frombuffer(b"".join(octets[12:] for _, octets in packets), np.uint8)
    assert (heard[have] == sent).all()
    assert buffer.late[0] == buffer.duplicates[0] == 0
