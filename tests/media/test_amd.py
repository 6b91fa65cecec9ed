"""Detections decide as the written rule does, a frame at a time, and as a real Asterisk did on recordings."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pytest
import soundfile
from flexml.codecs import g711
from flexml.media.amd import Amd
from flexml.media.events import AmdState, MachineDetected
from flexml.media.protocol import StartAmd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data" / "amd"
EXAMPLE: Final = StartAmd(
    job=1, initial_silence=5000, greeting=2000, after_greeting_silence=500, total_analysis_time=10000
)
PARAMETERS: Final = {"asterisk_default": StartAmd(job=1), "flexml_example": EXAMPLE}

Found = list[tuple[int, AmdState | MachineDetected]]  # ms, event


class Result(NamedTuple):
    at: int
    status: str
    cause: str


def frame(level: int) -> NDArray[np.float32]:
    """A frame whose mean of absolute samples is `level`."""
    return np.tile(np.array([level, -level], np.float32), 80)


def hear(amd: Amd, levels: Iterable[int], *, row: int = 0, begins: int = 0) -> Found:
    """Let `row` hear a frame of each level; audio has come from frame number `begins` on."""
    found: Found = []
    for number, level in enumerate(levels):
        events = amd.step(frame(level)[None], np.array([row]), np.array([number >= begins]))
        for at, event in events:
            assert at == row
            assert isinstance(event, AmdState | MachineDetected)
            found.append(((number + 1) * 20, event))
    return found


def detect(message: StartAmd, levels: Iterable[int], *, begins: int = 0) -> Found:
    amd = Amd(1)
    amd.open(0)
    amd.start(0, message)
    return hear(amd, levels, begins=begins)


def result(found: Found) -> Result | None:
    """The result, of which there is at most one, and nothing after it."""
    results = [Result(at, event.status, event.cause) for at, event in found if isinstance(event, MachineDetected)]
    assert len(results) <= 1
    assert not results or isinstance(found[-1][1], MachineDetected)
    return results[0] if results else None


def states(found: Found) -> list[tuple[str, int, int]]:
    return [(event.state, event.at, event.lasted) for _, event in found if isinstance(event, AmdState)]


def rule(p: StartAmd, levels: Iterable[int], begins: int = 0) -> Result | None:
    """The rule for one leg, written down sentence by sentence."""
    state, in_initial_silence, in_greeting = "WORD", True, False
    words = voice_run = voice_total = silence_run = total = wall = 0
    for number, level in enumerate(levels):
        wall += 20
        if number >= begins:
            total += 20
            if total >= p.total_analysis_time:
                return Result(wall, "NOTSURE", f"TOOLONG-{total}")
            if level < p.silence_threshold:
                silence_run += 20
                if silence_run >= p.between_word_silence:
                    state, voice_run = "SILENCE", 0
                if in_initial_silence and silence_run >= p.initial_silence:
                    return Result(wall, "MACHINE", f"INITIALSILENCE-{silence_run}-{p.initial_silence}")
                if in_greeting and silence_run >= p.after_greeting_silence:
                    return Result(wall, "HUMAN", f"HUMAN-{silence_run}-{p.after_greeting_silence}")
            else:
                silence_run = 0
                voice_run += 20
                voice_total += 20
                if voice_run >= p.minimum_word_length and state == "SILENCE":
                    words += 1
                    state = "WORD"
                if voice_run >= p.maximum_word_length:
                    return Result(wall, "MACHINE", f"MAXWORDLENGTH-{voice_run}")
                if words > p.maximum_number_of_words:
                    return Result(wall, "MACHINE", f"MAXWORDS-{words}-{p.maximum_number_of_words}")
                if in_greeting and voice_total >= p.greeting:
                    return Result(wall, "MACHINE", f"LONGGREETING-{voice_total}-{p.greeting}")
                if voice_run >= p.minimum_word_length and not in_greeting:
                    in_initial_silence, in_greeting = False, True
        if wall >= p.total_analysis_time:
            return Result(wall, "NOTSURE", f"TOOLONG-{total}" if total else f"NOAUDIODATA-{total}")
    return None


runs = st.lists(st.tuples(st.sampled_from([0, 200, 255, 256, 3000]), st.integers(1, 40)), max_size=14)
"""Levels, and for how many frames each."""


def times(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit)


messages = st.builds(
    StartAmd,
    initial_silence=times(800),
    greeting=times(800),
    after_greeting_silence=times(500),
    total_analysis_time=times(3000),
    minimum_word_length=times(200),
    between_word_silence=times(100),
    maximum_number_of_words=st.integers(0, 4),
    silence_threshold=st.sampled_from([0, 200, 256, 4000]),
    maximum_word_length=times(1500),
)


def levels_of(spans: list[tuple[int, int]]) -> list[int]:
    return [level for level, count in spans for _ in range(count)]


@settings(deadline=None)
@given(messages | st.just(StartAmd()) | st.just(EXAMPLE), runs, times(20))
def test_a_detection_comes_to_the_result_of_the_rule_when_the_rule_does(
    message: StartAmd, spans: list[tuple[int, int]], begins: int
) -> None:
    assert result(detect(message, levels_of(spans), begins=begins)) == rule(message, levels_of(spans), begins)


@settings(deadline=None)
@given(st.lists(st.tuples(messages, runs, times(20)), min_size=2, max_size=6))
def test_many_rows_at_once_find_what_each_finds_alone(
    legs: list[tuple[StartAmd, list[tuple[int, int]], int]],
) -> None:
    alone = [detect(message, levels_of(spans), begins=begins) for message, spans, begins in legs]
    levels = [levels_of(spans) for _, spans, _ in legs]
    amd = Amd(len(legs) + 1)  # the row that is left over detects nothing
    for row, (message, _, _) in enumerate(legs):
        amd.start(row, message)
    together: list[Found] = [[] for _ in range(len(legs) + 1)]
    for number in range(max(map(len, levels))):
        rows = np.array([row for row, those in enumerate(levels) if number < len(those)] + [len(legs)])[::-1]
        frames = np.stack([frame(levels[row][number] if row < len(legs) else 9000) for row in rows.tolist()])
        begun = np.array([row == len(legs) or number >= legs[row][2] for row in rows.tolist()])
        for row, event in amd.step(frames, rows, begun):
            assert isinstance(event, AmdState | MachineDetected)
            together[row].append(((number + 1) * 20, event))
    assert together == [*alone, []]


WORD, PAUSE = [3000] * 6, [0] * 6  # 120 ms each

RESULTS = {
    "a short word and silence": ([0] * 10 + [3000] * 15 + [0] * 60, "HUMAN", "HUMAN-800-800", 1300),
    "a voice from the first frame": ([3000] * 20 + [0] * 60, "HUMAN", "HUMAN-800-800", 1200),
    "nobody speaks": ([0] * 200, "MACHINE", "INITIALSILENCE-2500-2500", 2500),
    "three words": (PAUSE + (WORD + PAUSE) * 3, "MACHINE", "MAXWORDS-3-2", 700),
    "three words, the first of which is not counted": (
        (WORD + PAUSE) * 3 + [0] * 60,
        "HUMAN",
        "HUMAN-800-800",
        1400,
    ),
    "a long greeting": ([0] * 5 + [3000] * 100, "MACHINE", "LONGGREETING-1500-1500", 1600),
    "only clicks": (([3000] * 2 + [0] * 50) * 10, "NOTSURE", "TOOLONG-5000", 5000),
}


@pytest.mark.parametrize("case", RESULTS)
def test_the_defaults_of_the_reference_tell_these_apart(case: str) -> None:
    levels, status, cause, at = RESULTS[case]
    assert result(detect(StartAmd(), levels)) == Result(at, status, cause)


def test_a_word_can_be_too_long() -> None:
    message = StartAmd(greeting=9000, maximum_word_length=1000)
    assert result(detect(message, [3000] * 99)) == Result(1000, "MACHINE", "MAXWORDLENGTH-1000")


def test_a_leg_that_never_sends_is_not_sure_once_the_time_is_over() -> None:
    found = detect(StartAmd(), [0] * 400, begins=400)
    assert result(found) == Result(5000, "NOTSURE", "NOAUDIODATA-0")
    assert states(found) == [("END", 0, 5000)]


def test_audio_that_comes_late_is_measured_from_where_it_begins_but_not_waited_for_longer() -> None:
    late = [0] * 100 + [3000] * 15 + [0] * 60
    assert result(detect(StartAmd(), late, begins=100)) == Result(3100, "HUMAN", "HUMAN-800-800")
    assert result(detect(StartAmd(total_analysis_time=2600), late, begins=100)) == Result(
        2600, "NOTSURE", "TOOLONG-600"
    )


def test_a_leg_whose_audio_stops_has_begun_all_the_same() -> None:
    amd = Amd(1)
    amd.start(0, StartAmd())
    assert result(hear(amd, [3000] * 15)) is None
    assert result(hear(amd, [0] * 60, begins=60)) == Result(800, "HUMAN", "HUMAN-800-800")


def test_a_level_is_the_mean_of_all_samples_and_its_fraction_is_dropped() -> None:
    nearly = frame(256)
    nearly[0] -= 1  # a mean of 255.99
    for one, cause in ((nearly, "INITIALSILENCE-200-200"), (frame(256), "LONGGREETING-200-200")):
        amd = Amd(1)
        amd.start(0, StartAmd(initial_silence=200, greeting=200))
        heard = [amd.step(one[None], np.array([0]), np.array([True])) for _ in range(10)]
        assert isinstance(found := heard[-1][-1][1], MachineDetected)
        assert found.cause == cause


def test_each_change_of_state_is_told_with_how_long_the_state_before_lasted() -> None:
    levels = [0] * 10 + [0] * 5 + WORD + PAUSE + WORD + PAUSE + [0] * 40
    found = detect(StartAmd(job=7), levels, begins=10)
    assert states(found) == [
        ("INITIAL_SILENCE", 0, 200),
        ("GREETING", 200, 200),
        ("SILENCE", 280, 80),  # after between_word_silence
        ("WORD", 440, 160),
        ("SILENCE", 520, 80),
        ("END", 1260, 740),
    ]
    assert {event.job for _, event in found} == {7}


def test_a_detection_that_is_started_anew_begins_from_nothing() -> None:
    amd = Amd(1)
    amd.start(0, StartAmd(job=1))
    assert result(hear(amd, [3000] * 50)) is None
    amd.start(0, StartAmd(job=2, initial_silence=1000))
    found = hear(amd, [0] * 60)
    assert result(found) == Result(1000, "MACHINE", "INITIALSILENCE-1000-1000")
    assert {event.job for _, event in found} == {2}


def test_a_detection_stops_by_its_job_only() -> None:
    amd = Amd(1)
    amd.start(0, StartAmd(job=5, initial_silence=200))
    amd.stop(0, 4)
    assert states(hear(amd, [0] * 5)) == [("INITIAL_SILENCE", 0, 0)]
    amd.stop(0, 5)
    assert hear(amd, [0] * 300) == []


@pytest.mark.parametrize("end", [Amd.open, Amd.close])
def test_a_row_that_is_closed_or_opened_anew_detects_nothing(end: object) -> None:
    assert callable(end)
    amd = Amd(2)
    amd.start(1, StartAmd())
    end(amd, 1)
    assert hear(amd, [0] * 300, row=1) == []


def test_a_parameter_beyond_every_measure_is_never_reached() -> None:
    message = StartAmd(initial_silence=1 << 63, total_analysis_time=1 << 63)
    assert result(detect(message, [0] * 500)) is None


def recordings() -> dict[str, dict[str, str]]:
    """Rows of labels.csv by file; empty where the data is not there."""
    if not DATA.exists():
        return {}
    with (DATA / "labels.csv").open(encoding="utf-8", newline="") as lines:
        return {row["file"]: row for row in csv.DictReader(lines)}


def heard(path: Path) -> NDArray[np.float32]:
    """What a mu-law call hears of a recording: float32[n, 160]."""
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == 8000
    frames = samples[: samples.size // 160 * 160].reshape(-1, 160).astype(np.float32)
    return g711.decode_ulaw(g711.encode_ulaw(frames))


@pytest.mark.skipif(not DATA.exists(), reason=f"no recordings in {DATA}")
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_recordings_have_the_status_and_cause_that_asterisk_gave_them(parameters: str) -> None:
    labels = recordings()
    assert len(labels) > 80
    audio = [heard(DATA / name) for name in labels]
    amd = Amd(len(audio))
    for row in range(len(audio)):
        amd.start(row, PARAMETERS[parameters])
    found: dict[int, tuple[str, str]] = dict.fromkeys(
        range(len(audio)), ("HANGUP", "")
    )  # what is undecided when the recording ends
    for number in range(max(map(len, audio))):
        rows = np.array([row for row, frames in enumerate(audio) if number < len(frames)])
        frames = np.stack([audio[row][number] for row in rows.tolist()])
        for row, event in amd.step(frames, rows, np.ones(rows.size, np.bool_)):
            if isinstance(event, MachineDetected):
                found[row] = (event.status, event.cause)
    expected = [(row[f"{parameters}_status"], row[f"{parameters}_cause"]) for row in labels.values()]
    assert dict(zip(labels, found.values(), strict=True)) == dict(zip(labels, expected, strict=True))
