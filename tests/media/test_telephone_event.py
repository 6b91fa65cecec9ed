"""Telephone events heard and sent: a key counts once, whatever the network does to its packets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from flexml.media.rtp import RtpBatch, build_batch, parse_batch
from flexml.media.telephone_event import EventReceiver, EventSender, EventTick

END = 0x80
KEYS = {"0": 0, "1": 1, "5": 5, "9": 9, "*": 10, "#": 11, "A": 12, "D": 15, "flash": 16, "tone": 66}

Sent = tuple[int, bytes]  # row, RTP packet


def report(
    key: str, start: int, duration: int, *, end: bool = False, marker: bool = False, ssrc: int = 1, row: int = 0
) -> Sent:
    payload = np.array([[KEYS[key], END if end else 0, duration >> 8, duration & 0xFF]], np.uint8)
    return row, build_batch(payload, 101, marker, 0, start, ssrc)[0].tobytes()


def press(key: str, start: int, ticks: int = 5, ssrc: int = 1, row: int = 0) -> list[Sent]:
    """Return the packets of a key pressed for `ticks`, the end sent three times."""
    durations = [160 * tick for tick in range(1, ticks)]
    going = [report(key, start, duration, ssrc=ssrc, row=row) for duration in durations]
    return going + [report(key, start, 160 * ticks, end=True, ssrc=ssrc, row=row)] * 3


def long_press(key: str, start: int, ticks: int) -> list[Sent]:
    """Return the packets of a key pressed so long that its duration does not fit: segments (section 2.5.1.3)."""
    packets: list[Sent] = []
    for tick in range(1, ticks + 1):
        segment, duration = divmod(160 * tick, 0xFFFF)
        packets.append(report(key, start + segment * 0xFFFF, duration))
    segment, duration = divmod(160 * ticks, 0xFFFF)
    return packets + [report(key, start + segment * 0xFFFF, duration, end=True)] * 3


def batch_of(packets: list[Sent]) -> RtpBatch:
    data = np.zeros((len(packets), 1500), np.uint8)
    for at, (_, octets) in enumerate(packets):
        data[at, : len(octets)] = np.frombuffer(octets, np.uint8)
    lengths = np.array([len(octets) for _, octets in packets], np.int32)
    return parse_batch(data, lengths, np.array([row for row, _ in packets], np.intp))[0]


def receiver(*rows: int) -> EventReceiver:
    made = EventReceiver(4)
    for row in rows or (0,):
        made.open(row)
    return made


def hear(packets: list[Sent], at_once: int = 1) -> str:
    """Return the digits heard on row 0 when so many packets come in each tick."""
    made = receiver()
    ticks = [made.push(batch_of(packets[at : at + at_once])) for at in range(0, len(packets), at_once)]
    return "".join(digit for tick in ticks for _, digit in tick)


ONE = press("1", 1000)
TWICE = press("5", 1000) + press("5", 1000 + 10 * 160)
LONG = long_press("9", 7, 500)
HEARD = {
    "a key": (ONE, "1"),
    "every kind of key": ([packet for at, key in enumerate("0*#AD") for packet in press(key, at * 9000)], "0*#AD"),
    "its end only": (ONE[-1:], "1"),
    "its first packet only": (ONE[:1], "1"),
    "backwards": (ONE[::-1], "1"),
    "everything twice": ([packet for packet in ONE for _ in range(2)], "1"),
    "the same key twice": (TWICE, "55"),
    "the same key twice, of the first only the end, of the second only the beginning": (TWICE[6:8], "55"),
    "the same key twice, the first without an end": (TWICE[:2] + TWICE[8:], "55"),
    "a straggler of the key before": ([*TWICE, ONE[0], TWICE[0]], "55"),
    "a second end of the key before": ([*TWICE[:9], TWICE[6], *TWICE[9:]], "55"),
    "over the wrap of the timestamp": (press("1", 2**32 - 300) + press("9", 2000), "19"),
    "held for 2 s": (press("9", 1000, ticks=100), "9"),
    "held for 20 s": (long_press("9", 1000, 1000) + press("9", 1000 + 1010 * 160), "99"),
    "twice for 5 s": (press("5", 1000, ticks=250) + press("5", 1000 + 255 * 160, ticks=250), "55"),
    "twice for 5 s, the end of the first only in its last packet": (
        press("5", 1000, ticks=250)[:250] + press("5", 1000 + 255 * 160, ticks=250), "55",
    ),
    "held for 20 s, every other packet lost": (long_press("9", 1000, 1000)[::2], "9"),
    "a straggler of the first of several segments": (LONG + LONG[300:302], "9"),
    "marked keys": ([report("1", 1000, 160, marker=True), report("1", 1000, 320, marker=True)], "1"),
    "durations that cannot be": (
        [report("1", 1000, duration, end=end) for duration in (0, 0xFFFF, 5) for end in (False, True)]
        + press("5", 3000), "15",
    ),
    "another key at the same time": ([report("1", 1000, 160), *press("5", 1000), *press("9", 3000)], "19"),
    "another source": (press("5", 1000) + press("5", 1000, ssrc=2), "55"),
    "a clock set back": (press("5", 2_000_000) + press("5", 1000), "55"),
    "flash and tones are no keys": (press("flash", 1000) + press("tone", 3000), ""),
    "flash between keys": (press("1", 0) + press("flash", 2000) + press("1", 4000), "11"),
    "too short to be an event": ([(0, ONE[0][1][:-1])], ""),
}  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 3, 1000])
@pytest.mark.parametrize(("packets", "digits"), HEARD.values(), ids=HEARD)
def test_a_key_counts_once(packets: list[Sent], digits: str, at_once: int) -> None:
    assert hear(packets, at_once) == digits


def test_any_order_and_any_loss_of_a_key_is_one_key() -> None:
    for order in permutations(press("1", 1000, ticks=2)):
        for kept in range(1, len(order) + 1):
            assert hear(list(order[:kept])) == "1"


def hear_at_48_khz(packets: list[Sent]) -> str:
    made = receiver()
    made.count_by(0, 48_000)
    return "".join(digit for _, digit in made.push(batch_of(packets)))


def test_at_48_khz_a_straggler_of_2_s_ago_is_no_key() -> None:
    ago = 48_000 * 2 + 0xFFFF
    keys = [report("1", 1000, 960), report("5", 1000 + ago, 960), report("1", 1000, 960, end=True)]
    assert hear_at_48_khz(keys) == "15"


def test_at_48_khz_a_clock_set_back_by_more_is_another_key() -> None:
    assert hear_at_48_khz([report("1", 1000 + 48_000 * 4, 960), report("5", 1000, 960)]) == "15"


def test_at_48_khz_a_segment_may_follow_200_ms_after_what_was_heard_last() -> None:
    first = report("5", 1000, 0xFFFF - 9600)
    assert hear_at_48_khz([first, report("5", 1000 + 0xFFFF, 960)]) == "5"
    assert hear_at_48_khz([first, report("5", 1000 + 0xFFFF + 1, 960)]) == "55"


def test_rows_do_not_disturb_each_other() -> None:
    made = receiver(0, 2)
    packets = [packet for pair in zip(press("1", 0), press("5", 0, row=2), strict=True) for packet in pair]
    assert made.push(batch_of(packets)) == [(0, "1"), (2, "5")]


def test_a_closed_row_hears_nothing() -> None:
    made = receiver(0)
    made.close(0)
    assert made.push(batch_of(press("1", 0) + press("1", 0, row=3))) == []
    made.open(0)
    assert made.push(batch_of(press("1", 0))) == [(0, "1")]


CAPTURED = {f"dtmf_2833_{key}.pcap": key for key in "0123456789"} | {
    "dtmf_2833_star.pcap": "*",
    "dtmf_2833_pound.pcap": "#",
}


@pytest.mark.parametrize(("name", "digit"), CAPTURED.items())
def test_a_captured_key(name: str, digit: str, sipp_capture: Callable[[str], list[tuple[float, bytes]]]) -> None:
    packets = [(0, octets) for _, octets in sipp_capture(name)]
    assert hear(packets) == hear(packets, len(packets)) == digit


# ---- sending --------------------------------------------------------------------------------------------------------


def run(sender: EventSender, ticks: int, row: int = 0) -> list[EventTick]:
    return [sender.step(np.array([row])) for _ in range(ticks)]


def packets_of(ticks: list[EventTick]) -> list[Sent]:
    """Build the packets as the pipeline does, with an RTP clock that starts just before it wraps."""
    return [
        (0, build_batch(tick.payload, 101, tick.marker, number, 2**32 - 500 + number * 160 - tick.age, 1)[0].tobytes())
        for number, tick in enumerate(ticks)
        if tick.at.size
    ]


def test_a_key_is_sent_as_the_rfc_says() -> None:
    sender = EventSender(1)
    sender.start(0, 7, "5", 100, 100, inband=False)
    ticks = run(sender, 12)
    batch = batch_of(packets_of(ticks))
    assert batch.timestamp.tolist() == [2**32 - 500] * 7
    assert batch.marker.tolist() == [True] + [False] * 6
    payloads = [tick.payload[0].tolist() for tick in ticks if tick.at.size]
    assert [payload[0] for payload in payloads] == [5] * 7
    assert [payload[1] for payload in payloads] == [10] * 4 + [END | 10] * 3
    assert [payload[2] << 8 | payload[3] for payload in payloads] == [160, 320, 480, 640, 800, 800, 800]
    assert [bool(tick.at.size) for tick in ticks] == [True] * 7 + [False] * 5
    assert [tick.finished for tick in ticks] == [[]] * 10 + [[(0, 7)], []]


CLOCKS = [(48_000, 48_000), (48_000, 16_000), (16_000, 16_000)]


@pytest.mark.parametrize(("clock_hz", "event_hz"), CLOCKS)
@pytest.mark.parametrize("on_ms", [8000, 4100, 1380, 1360])
def test_a_key_too_long_for_its_duration_is_sent_in_full_segments(clock_hz: int, event_hz: int, on_ms: int) -> None:
    sender = EventSender(1)
    sender.count_by(0, clock_hz, event_hz)
    sender.start(0, 7, "5", on_ms, 100, inband=False)
    segments: dict[int, list[tuple[int, bool]]] = {}  # duration and end, by the timestamp
    for number, tick in enumerate(run(sender, on_ms // 20 + 2)):
        begin = number * clock_hz // 50 - int(tick.age[0])
        _, flags, high, low = tick.payload[0].tolist()
        segments.setdefault(begin, []).append((high << 8 | low, bool(flags & END)))
        assert bool(tick.marker[0]) == (number == 0)
    *full, last = segments.values()
    assert list(segments) == [number * 0xFFFF * clock_hz // event_hz for number in range(len(segments))]
    assert [segment[-1] for segment in full] == [(0xFFFF, False)] * len(full)
    assert len(full) * 0xFFFF + last[-1][0] == on_ms * event_hz // 1000
    assert not any(end for segment in full for _, end in segment)
    assert [end for _, end in last][-2:] == [True, True]
    for segment in segments.values():
        durations = [duration for duration, _ in segment]
        assert durations == sorted(durations)
        assert min(np.diff(durations[:-2]), default=1) > 0


@pytest.mark.parametrize("digits", ["1", "55", "0123456789*#ABCD", "1,2w3W4", "aBcd", "9" * 40])
@pytest.mark.parametrize(("on_ms", "off_ms"), [(100, 100), (40, 40), (10, 0), (250, 50), (2000, 100)])
def test_what_is_sent_is_heard(digits: str, on_ms: int, off_ms: int) -> None:
    sender = EventSender(1)
    sender.start(0, 7, digits, on_ms, off_ms, inband=False)
    ticks: list[EventTick] = []
    while not ticks or not ticks[-1].finished:
        ticks += run(sender, 1)
    assert hear(packets_of(ticks)) == "".join(key.upper() for key in digits if key not in ",wW")


def spectrum_peaks(samples: np.ndarray) -> list[int]:
    """Return the frequencies of the two strongest of the eight, ascending."""
    phases = np.arange(samples.size) / 8000 * 2j * np.pi
    hz = np.array([697, 770, 852, 941, 1209, 1336, 1477, 1633])
    power = np.abs(np.exp(-hz[:, None] * phases) @ samples)
    return sorted(hz[np.argsort(power)[-2:]].tolist())


@pytest.mark.parametrize(
    ("key", "low_hz", "high_hz"),
    [("1", 697, 1209), ("2", 697, 1336), ("6", 770, 1477), ("B", 770, 1633), ("0", 941, 1336), ("*", 941, 1209),
     ("#", 941, 1477), ("D", 941, 1633), ("9", 852, 1477)],
)  # fmt: skip
def test_without_events_a_key_is_two_tones_and_a_rest(key: str, low_hz: int, high_hz: int) -> None:
    sender = EventSender(1)
    sender.start(0, 7, key, 100, 60, inband=True)
    ticks = run(sender, 9)
    assert [tick.tone_at.tolist() for tick in ticks] == [[0]] * 8 + [[]]
    assert not any(tick.at.size for tick in ticks)
    samples = np.concatenate([tick.tones[0] for tick in ticks[:8]])
    assert spectrum_peaks(samples[:800]) == [low_hz, high_hz]
    time = np.arange(800) / 8000 * 2 * np.pi
    sines = np.stack([np.sin(low_hz * time), np.sin(high_hz * time)], axis=1)
    assert np.allclose(sines @ np.linalg.lstsq(sines, samples[:800])[0], samples[:800], atol=10)  # no step anywhere
    assert np.abs(samples).max() < 32767
    assert not samples[800:].any()
    assert ticks[8].finished == [(0, 7)]


def test_a_pause_lets_audio_through() -> None:
    sender = EventSender(1)
    sender.start(0, 7, ",W", 100, 100, inband=True)
    ticks = run(sender, 76)
    assert not any(tick.at.size or tick.tone_at.size for tick in ticks)
    assert not sender.busy[0]
    assert [number for number, tick in enumerate(ticks) if tick.finished] == [75]


def test_jobs_of_a_row_follow_each_other_and_can_be_stopped() -> None:
    sender = EventSender(2)
    sender.start(0, 7, "1", 40, 40, inband=False)
    sender.start(0, 8, "", 40, 40, inband=False)
    sender.start(0, 9, "2", 40, 40, inband=False)
    ticks = run(sender, 5)
    assert [tick.finished for tick in ticks] == [[], [], [], [], [(0, 7), (0, 8)]]
    assert ticks[4].payload[0, 0] == 2
    assert sender.busy.tolist() == [True, False]
    assert sender.stop(0) == [9]
    assert sender.stop(0) == []
    assert not sender.busy.any()
    assert not sender.step(np.array([0])).at.size


def test_rows_are_sent_at_once_by_their_position() -> None:
    sender = EventSender(8)
    sender.start(6, 1, "1", 40, 40, inband=False)
    sender.start(2, 2, "2", 40, 40, inband=True)
    sender.start(3, 3, "3", 40, 40, inband=False)
    tick = sender.step(np.array([1, 2, 3, 6]))
    assert tick.at.tolist() == [2, 3]
    assert tick.payload[:, 0].tolist() == [3, 1]
    assert tick.tone_at.tolist() == [1]
    assert tick.tones.shape == (1, 160)


@pytest.mark.parametrize(
    ("digits", "on_ms", "message"),
    [
        ("12x", 100, "character 3 is 'x', expected one of 0123456789"),
        ("1", 8001, "a key of 8001 ms, expected at most 8000"),
    ],
)
def test_what_cannot_be_sent_is_refused(digits: str, on_ms: int, message: str) -> None:
    sender = EventSender(1)
    with pytest.raises(ValueError, match=message):
        sender.start(0, 7, digits, on_ms, 100, inband=False)
    assert sender.stop(0) == []
