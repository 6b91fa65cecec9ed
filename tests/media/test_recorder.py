"""Recordings into spool files, half a second at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flexml.media.protocol import RecordingFinished
from flexml.media.recorder import FLUSH_TICKS, Recorder, Sides, SpoolWriter

HEARD, SENT = 1000.0, -300.0


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
    [("heard", [1000] * 160), ("sent", [-300] * 160), ("mixed", [700] * 160), ("dual", [1000, -300] * 160)],
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


def test_what_a_killed_process_loses_is_less_than_a_second(writer: SpoolWriter, tmp_path: Path) -> None:
    """Nothing is stopped or closed here: what the file has is what was handed over by the ticks alone."""
    path, ticks = tmp_path / "spool", FLUSH_TICKS * 4 - 1
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path=str(path), sides="heard")
    tick(recorder, [0], ticks)
    writer.close()
    lost_ms = ticks * 20 - path.stat().st_size // 16
    assert 0 <= lost_ms < 1000
    assert lost_ms == (FLUSH_TICKS - 1) * 20


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
    assert (bad.leg, bad.duration) == (1, 500)
    assert why in bad.error
    assert good == RecordingFinished(leg=2, job=1, duration=500)


def test_a_full_disk_is_told() -> None:
    writer = SpoolWriter()
    recorder = Recorder(writer)
    recorder.start(0, leg=1, job=1, path="/dev/full", sides="heard")
    tick(recorder, [0], FLUSH_TICKS)
    recorder.close(0)
    (event,) = finished(recorder, writer)
    assert event.error == "/dev/full: No space left on device"
