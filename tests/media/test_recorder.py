"""Recordings into spool files, 0.64 s at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flexml.media.events import RecordingFinished
from flexml.media.recorder import FLUSH_TICKS, LAG, Recorder, Sides, SpoolWriter
from numpy.typing import NDArray

HEARD, SENT = 1000.0, -300.0
LAG_TICKS = LAG // 160


@pytest.fixture
def writer() -> Iterator[SpoolWriter]:
    writer = SpoolWriter()
    yield writer
    writer.close()


def tick(recorder: Recorder, rows: list[int], times: int = 1) -> None:
    """Let every row hear HEARD plus its number, and be sent SENT."""
    index = np.array(rows, np.intp)
    heard = np.repeat((HEARD + index)[:, None], 160, axis=1).astype(np.float32)
    for _ in range(times):
        recorder.step(heard, np.full_like(heard, SENT), index)


def finished(recorder: Recorder, writer: SpoolWriter) -> list[RecordingFinished]:
    """What has been completed once the writer has written all that it was asked."""
    writer.close()
    return recorder.finished()


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ("heard", [1000] * 160),
        ("sent", [-300] * 160),
        ("mixed", [700] * 160),
        ("dual", [1000, -300] * 160),
        ("dual, sent first", [-300, 1000] * 160),
    ],
)
def test_each_side_is_recorded_as_named(writer: SpoolWriter, tmp_path: Path, sides: Sides, expected: list[int]) -> None:
    path = tmp_path / "spool"
    recorder = Recorder(writer)
    recorder.start(0, leg=7, job=3, path=str(path), sides=sides)
    tick(recorder, [0], 2)
    assert recorder.stop(0, 3)
    assert finished(recorder, writer) == [RecordingFinished(leg=7, job=3, duration=40)]
    assert np.frombuffer(path.read_bytes(), "<i2").tolist() == expected * 2


def test_several_recordings_do_not_mix_and_closing_a_row_ends_its_own(writer: SpoolWriter, tmp_path: Path) -> None:
    recorder = Recorder(writer)
    for job, row in ((1, 2), (2, 2), (3, 5)):
        recorder.start(row, leg=row, job=job, path=str(tmp_path / str(job)), sides="heard")
    tick(recorder, [2, 5])
    assert recorder.stop(2, 1)
    assert not recorder.stop(2, 1)
    tick(recorder, [5, 2])
    recorder.close(2)
    tick(recorder, [5])
    recorder.close(5)
    ends = {event.job: event.duration for event in finished(recorder, writer)}
    assert ends == {1: 20, 2: 40, 3: 60}
    for job, level, frames in ((1, 1002, 1), (2, 1002, 2), (3, 1005, 3)):
        samples = np.frombuffer((tmp_path / str(job)).read_bytes(), "<i2").tolist()
        assert samples == [level] * 160 * frames


def test_a_loud_mix_is_clipped_and_not_wrapped(writer: SpoolWriter, tmp_path: Path) -> None:
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(tmp_path / "loud"), sides="mixed")
    loud = np.full((1, 160), 30000, np.float32)
    recorder.step(loud, loud, np.array([0]))
    recorder.step(-loud, -loud, np.array([0]))
    recorder.close(0)
    writer.close()
    assert set(np.frombuffer((tmp_path / "loud").read_bytes(), "<i2").tolist()) == {32767, -32768}


def test_a_mix_is_the_sum_of_both_sides_as_far_as_16_bits_go(writer: SpoolWriter, tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    heard, sent = random.integers(-32768, 32768, (2, 1, 160)).astype(np.float32)
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(tmp_path / "mix"), sides="mixed")
    for loudness in (1.0, 0.5, 0.01):
        recorder.step(np.rint(heard * loudness), np.rint(sent * loudness), np.array([0]))
    recorder.close(0)
    writer.close()
    expected = [
        np.clip(np.rint(heard * loudness) + np.rint(sent * loudness), -32768, 32767) for loudness in (1.0, 0.5, 0.01)
    ]
    assert (np.fromfile(tmp_path / "mix", "<i2") == np.concatenate(expected, axis=1)[0]).all()


def test_what_a_killed_process_loses_is_less_than_a_second(writer: SpoolWriter, tmp_path: Path) -> None:
    """Nothing is stopped or closed here: what the file has is what was handed over by the ticks alone."""
    path, ticks = tmp_path / "spool", FLUSH_TICKS * 4 - 1
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(path), sides="heard")
    tick(recorder, [0], ticks)
    writer.close()
    lost_ms = ticks * 20 - path.stat().st_size // 16
    assert 0 <= lost_ms < 1000
    assert lost_ms >= LAG_TICKS * 20


def test_a_recording_begun_again_on_the_same_file_goes_on_behind(writer: SpoolWriter, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"\1\0" * 160)
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(path), sides="sent")
    tick(recorder, [0])
    recorder.close(0)
    writer.close()
    assert np.frombuffer(path.read_bytes(), "<i2").tolist() == [1] * 160 + [-300] * 160


@pytest.mark.parametrize(
    ("name", "why"), [("missing/spool", "No such file or directory"), (".", "Is a directory"), ("a\0b", "null byte")]
)
def test_a_path_that_cannot_be_written_is_told_and_others_go_on(
    writer: SpoolWriter, tmp_path: Path, name: str, why: str
) -> None:
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=f"{tmp_path}/{name}", sides="heard")
    recorder.start(1, leg=2, job=1, path=str(tmp_path / "good"), sides="heard")
    tick(recorder, [0, 1], FLUSH_TICKS)
    recorder.close(0)
    recorder.close(1)
    bad, good = finished(recorder, writer)
    assert (bad.leg, bad.duration) == (1, FLUSH_TICKS * 20)
    assert why in bad.error
    assert good == RecordingFinished(leg=2, job=1, duration=FLUSH_TICKS * 20)


def test_a_full_disk_is_told() -> None:
    writer = SpoolWriter()
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path="/dev/full", sides="heard")
    tick(recorder, [0], FLUSH_TICKS)
    recorder.close(0)
    (event,) = finished(recorder, writer)
    assert event.error == "/dev/full: No space left on device"


def ramp(ticks: int) -> NDArray[np.float32]:
    """What is heard: every sample its number, from 1."""
    return np.arange(1, ticks * 160 + 1, dtype=np.float32).reshape(ticks, 1, 160)


def record(path: Path, frames: NDArray[np.float32], delays: list[int], sides: Sides = "dual") -> NDArray[np.int16]:
    """Record frames float32[ticks, 1, 160] heard with those delays, beside a sent ramp; samples int16[n, channels]."""
    writer = SpoolWriter()
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(path), sides=sides)
    for heard, sent, delay in zip(frames, ramp(len(frames)), delays, strict=True):
        recorder.step(heard, sent, np.array([0]), np.array([delay]))
    recorder.close(0)
    writer.close()
    return np.frombuffer(path.read_bytes(), "<i2").reshape(-1, 2 if sides == "dual" else 1)


@pytest.mark.parametrize("delay", [0, 1, 159, 160, 320, 481, LAG])
def test_what_was_heard_is_placed_where_it_came(tmp_path: Path, delay: int) -> None:
    heard, sent = record(tmp_path / "spool", ramp(120), [delay] * 120).T
    assert np.array_equal(sent, np.arange(1, 19201))
    assert np.array_equal(heard[: 19200 - delay], np.arange(1 + delay, 19201))
    assert not heard[19200 - delay :].any(), "what has not been played yet when the recording ends"


def test_a_recording_is_as_long_as_its_ticks_whatever_the_delay_does(tmp_path: Path) -> None:
    delays = np.random.default_rng(1).integers(0, 2 * LAG, 200).tolist()
    heard, sent = record(tmp_path / "spool", ramp(200), delays).T
    assert np.array_equal(sent, np.arange(1, 32001))
    assert np.count_nonzero(heard) > 20000


def test_a_delay_that_grows_by_a_sample_a_tick_leaves_no_gap_and_one_that_shrinks_none_either(tmp_path: Path) -> None:
    for name, delays in (("grows", range(400, 500)), ("shrinks", range(500, 400, -1))):
        heard = record(tmp_path / name, ramp(100), list(delays))[:, 0]
        steps = np.diff(heard[: 16000 - 500].astype(int))
        assert set(steps.tolist()) <= {0, 1, 2}, name
        assert np.count_nonzero(steps != 1) >= 90


def test_a_play_point_that_jumps_forward_leaves_a_gap_of_what_was_never_played(tmp_path: Path) -> None:
    frames = ramp(60)
    frames[30:] += 320  # two frames are left out of what is heard
    heard = record(tmp_path / "spool", frames, [640] * 30 + [320] * 30)[:, 0]
    at = 30 * 160 - 640
    assert heard[at - 1] == 4800
    assert not heard[at : at + 320].any()
    assert heard[at + 320] == 4800 + 320 + 1


def test_skipped_ticks_are_silence_in_every_recording(writer: SpoolWriter, tmp_path: Path) -> None:
    recorder = Recorder(writer)
    all_sides: list[Sides] = ["heard", "dual"]
    for row, sides in enumerate(all_sides):
        recorder.start(row, leg=row + 1, job=1, path=str(tmp_path / sides), sides=sides)
    tick(recorder, [0, 1], 3)
    recorder.skip(100)
    tick(recorder, [0, 1], 2)
    recorder.close(0)
    recorder.close(1)
    assert {event.duration for event in finished(recorder, writer)} == {2100}
    for row, sides in enumerate(all_sides):
        samples = np.frombuffer((tmp_path / sides).read_bytes(), "<i2").reshape(105 * 160, -1)
        expected = np.repeat(np.array([1.0] * 3 + [0.0] * 100 + [1.0] * 2), 160) * (HEARD + row)
        assert np.array_equal(samples[:, 0], expected)


@pytest.mark.parametrize(
    ("there_ms", "sides", "octets"),
    [(400, "heard", 2), (400, "dual", 4), (1500, "mixed", 2)],
)
def test_what_a_dead_worker_did_not_write_becomes_silence(
    writer: SpoolWriter, tmp_path: Path, there_ms: int, sides: Sides, octets: int
) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"\1" * (there_ms * 8 * octets - 1))  # killed while it wrote
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(path), sides=sides, elapsed_ms=1000)
    tick(recorder, [0], 10)
    recorder.close(0)
    (event,) = finished(recorder, writer)
    assert event.duration == 1200
    written = path.read_bytes()
    begin = max(there_ms, 1000) * 8 * octets
    assert len(written) == begin + 10 * 160 * octets
    assert not any(written[there_ms * 8 * octets - 1 : begin])
    assert np.frombuffer(written[begin:], "<i2")[0] == (700 if sides == "mixed" else 1000)


def test_many_recordings_at_once_equal_each_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    ticks, rows = 120, 12
    heard, sent = (random.integers(-9000, 9000, (ticks, rows, 160)).astype(np.float32) for _ in range(2))
    delay = random.integers(0, 700, (ticks, rows))
    starts, ends = random.integers(0, 40, rows), random.integers(60, ticks, rows)
    kinds: list[Sides] = ["heard", "sent", "mixed", "dual", "dual, sent first"]

    def run(folder: Path, chosen: list[int]) -> None:
        folder.mkdir()
        writer = SpoolWriter()
        recorder = Recorder(writer)
        for now in range(ticks):
            for row in chosen:
                if starts[row] == now:
                    recorder.start(row, leg=row, job=1, path=str(folder / str(row)), sides=kinds[row % 5])
                if ends[row] == now:
                    assert recorder.stop(row, 1)
            index = np.array(chosen, np.intp)
            recorder.step(heard[now, index], sent[now, index], index, delay[now, index])
        writer.close()

    run(tmp_path / "all", list(range(rows)))
    for row in range(rows):
        run(tmp_path / f"alone {row}", [row])
        together = (tmp_path / "all" / str(row)).read_bytes()
        assert together == (tmp_path / f"alone {row}" / str(row)).read_bytes()
        assert len(together) == (ends[row] - starts[row]) * 320 * (2 if row % 5 > 2 else 1)


def test_frames_lie_where_they_came_whatever_the_delays(writer: SpoolWriter, tmp_path: Path) -> None:
    """Against a model that places sample by sample, over the ends of chunks and of the ring, and over ticks skipped."""
    rng = np.random.default_rng(7)
    rows, ticks = 5, 4 * FLUSH_TICKS
    recorder = Recorder(writer)
    for row in range(rows):
        recorder.start(row, leg=row, job=row, path=str(tmp_path / str(row)), sides="dual")
    skipped = {30, 77}
    model = np.zeros((rows, 2, (ticks + 2 * len(skipped)) * 160), np.int64)
    now, floor = 0, 0
    for number in range(ticks):
        if number in skipped:
            recorder.skip(2)
            now += 2 * 160
            floor = now  # what was before is written
        heard, sent = rng.integers(-9999, 9999, (2, rows, 160))
        delay = rng.integers(0, LAG + 1, rows)
        recorder.step(heard.astype(np.float32), sent.astype(np.float32), np.arange(rows), delay)
        model[:, 1, now : now + 160] = sent
        for row in range(rows):
            at = now - delay[row] + np.arange(160)
            kept = at >= floor
            model[row, 0, at[kept]] = heard[row, kept]
        now += 160
    for row in range(rows):
        recorder.close(row)
    writer.close()
    for row in range(rows):
        samples = np.frombuffer((tmp_path / str(row)).read_bytes(), "<i2").reshape(-1, 2).T
        assert (samples == model[row]).all()


def test_nothing_is_left_of_the_recording_that_was_in_the_same_place_before(
    writer: SpoolWriter, tmp_path: Path
) -> None:
    recorder = Recorder(writer)
    for job in (1, 2):
        recorder.start(0, leg=1, job=job, path=str(tmp_path / str(job)), sides="heard")
        for number in range(2 * FLUSH_TICKS if job == 1 else 30):
            level = np.full((1, 160), 7 if job == 1 else 8, np.float32)
            late = 640 if number < 15 else 320  # of the second, what lies between is never heard
            recorder.step(level, level, np.array([0]), np.array([late]))
        assert recorder.stop(0, job)
    writer.close()
    samples = np.frombuffer((tmp_path / "2").read_bytes(), "<i2").reshape(-1, 160)
    assert samples.tolist() == [[level] * 160 for level in [8] * 11 + [0] * 2 + [8] * 15 + [0] * 2]
