"""Watches tell of noise and silence in the tick in which there has been enough, and then are gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile
from flexml.codecs import g711
from flexml.media.events import Event, NoiseDetected, SilenceDetected
from flexml.media.protocol import Detector
from flexml.media.voice import level_dbm0
from flexml.media.watch import Watches
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

SPEECH: Final = Path(__file__).parents[2].parent / "shared" / "data" / "speech"
DETECTORS: Final[tuple[Detector, ...]] = ("energy", "webrtc")

Frames = NDArray[np.float32]
Told = list[tuple[int, Event]]  # ms since the start, event


def silence(ms: int) -> Frames:
    return np.zeros((ms // 20, 160), np.float32)


def tone(ms: int) -> Frames:
    t = np.arange(ms * 8)
    return (6000 * np.sin(2 * np.pi * 700 / 8000 * t)).astype(np.float32).reshape(-1, 160)


def click(ms: int, offset_ms: int) -> Frames:
    """A burst of `ms` that begins `offset_ms` into a frame, in 80 ms."""
    made = np.zeros(640, np.float32)
    made[offset_ms * 8 : (offset_ms + ms) * 8] = tone(100).ravel()[: ms * 8]
    return made.reshape(-1, 160)


def watch(*frames: Frames, noise: int | None = None, silent: int | None = None, detector: Detector = "energy") -> Told:
    watches = Watches(1)
    watches.open(0)
    watches.start(0, 9, noise_ms=noise, silence_ms=silent, detector=detector)
    return hear(watches, *frames)


def hear(watches: Watches, *frames: Frames, row: int = 0) -> Told:
    told: Told = []
    for number, one in enumerate(np.concatenate(frames)):
        for at, event in watches.step(one[None], np.array([row]), np.array([True])):
            assert at == row
            told.append(((number + 1) * 20, event))
    return told


def noisy(at: int, duration: int, job: int = 9) -> tuple[int, Event]:
    return at, NoiseDetected(job=job, duration=duration)


def quiet(at: int, duration: int, job: int = 9) -> tuple[int, Event]:
    return at, SilenceDetected(job=job, duration=duration)


NOISE = {
    "enough": ([tone(600)], [noisy(500, 500)]),
    "enough, after a silence": ([silence(400), tone(600)], [noisy(900, 500)]),
    "too little": ([tone(480), silence(1000)], []),
    "words with gaps": ([tone(200), silence(240), tone(200)], [noisy(520, 520)]),
    "words with a pause": ([tone(200), silence(300), tone(400), silence(400)], []),
    "after a pause, enough": ([tone(200), silence(300), tone(600)], [noisy(1000, 500)]),
    "a rain of clicks": ([click(39, 0)] * 30, []),
    "told once": ([tone(2000), silence(1000), tone(2000)], [noisy(500, 500)]),
}


@pytest.mark.parametrize("case", NOISE)
def test_noise_is_voice_with_short_gaps(case: str) -> None:
    frames, told = NOISE[case]
    assert watch(*frames, noise=500) == told


def test_a_gap_in_which_the_noise_would_be_long_enough_is_no_noise_until_the_voice_goes_on() -> None:
    assert watch(tone(400), silence(200), tone(100), noise=500) == [noisy(680, 680)]


SILENCE = {
    "from the start": ([silence(600)], [quiet(500, 500)]),
    "too little": ([silence(480), tone(500)], []),
    "from the end of the voice": ([tone(700), silence(600)], [quiet(1200, 500)]),
    "counted anew after each voice": ([silence(400), tone(100), silence(600)], [quiet(1000, 500)]),
    "told once": ([silence(600), tone(500), silence(600)], [quiet(500, 500)]),
}


@pytest.mark.parametrize("case", SILENCE)
def test_silence_counts_from_the_true_end_of_the_voice(case: str) -> None:
    frames, told = SILENCE[case]
    assert watch(*frames, silent=500) == told


@pytest.mark.parametrize("offset_ms", range(0, 20, 5))
@pytest.mark.parametrize("ms", [1, 20, 39])
def test_a_click_does_not_break_silence(ms: int, offset_ms: int) -> None:
    assert watch(silence(200), click(ms, offset_ms), silence(400), silent=500) == [quiet(500, 500)]


def test_silence_waits_for_a_click_at_its_end_to_turn_out_as_one() -> None:
    assert watch(silence(480), tone(40), silence(100), silent=500) == [quiet(540, 540)]
    assert watch(silence(480), tone(400), silence(600), silent=500) == [quiet(1380, 500)]


def test_with_both_silence_counts_after_the_noise_only() -> None:
    frames = [silence(900), tone(700), silence(900)]
    assert watch(*frames, noise=500, silent=800) == [noisy(1400, 500), quiet(2400, 800)]


def test_a_watch_for_nothing_tells_nothing() -> None:
    assert watch(silence(500), tone(500), silence(500)) == []


def test_the_example_of_the_reference_ends_after_eleven_and_a_half_seconds_with_a_tone() -> None:
    told = watch(silence(5000), tone(4000), silence(4000), noise=2000, silent=2500)
    assert told == [noisy(7000, 2000), quiet(11500, 2500)]


def spoken(ms: int) -> list[Frames]:
    """Stretches of `ms` of real speech as a mu-law call hears it, that begin and end with voice, from all prompts."""
    if not SPEECH.exists():
        pytest.skip(f"no recordings in {SPEECH}")
    found: list[Frames] = []
    for path in sorted(SPEECH.glob("*.flac")):
        samples, _ = soundfile.read(path, dtype="int16", stop=120 * 8000)
        frames = g711.decode_ulaw(g711.encode_ulaw(samples.astype(np.float32))).reshape(-1, 160)
        loud = level_dbm0(frames) > -40
        pauses = np.convolve(~loud, np.ones(15), "valid") == 15  # no 300 ms without voice
        count = ms // 20
        found += [
            frames[at : at + count]
            for at in range(0, len(frames) - count, 100)
            if loud[at : at + 4].all() and loud[at + count - 4 : at + count].all() and not pauses[at : at + count].any()
        ]
    return found


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_example_of_the_reference_ends_after_eleven_and_a_half_seconds_with_speech(detector: Detector) -> None:
    stretches = spoken(4000)
    assert len(stretches) >= 10
    ends: list[int] = []
    for said in stretches:
        told = watch(silence(5000), said, silence(4000), noise=2000, silent=2500, detector=detector)
        assert [type(event) for _, event in told] == [NoiseDetected, SilenceDetected]
        ends.append(told[-1][0])
    assert max(abs(end - 11500) for end in ends) <= 100, ends


def test_a_leg_on_which_nothing_has_come_is_silent() -> None:
    watches = Watches(1)
    watches.start(0, 1, noise_ms=None, silence_ms=100, detector="energy")
    nothing = np.zeros((1, 160), np.float32)
    told = [watches.step(nothing, np.array([0]), np.array([False])) for _ in range(6)]
    assert told == [[], [], [], [], [(0, SilenceDetected(job=1, duration=100))], []]


def test_a_leg_that_is_not_heard_is_neither_silent_nor_noisy() -> None:
    watches = Watches(2)
    watches.start(0, 1, noise_ms=None, silence_ms=100, detector="energy")
    assert hear(watches, tone(1000), row=1) == []
    assert hear(watches, silence(200)) == [quiet(100, 100, job=1)]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.booleans(), st.integers(1, 30)), min_size=1, max_size=10),
            st.none() | st.integers(0, 900),
            st.none() | st.integers(0, 900),
            st.sampled_from(DETECTORS),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_many_watches_on_many_rows_at_once_tell_what_each_tells_alone(
    legs: list[tuple[list[tuple[bool, int]], int | None, int | None, Detector]],
) -> None:
    audio = [np.concatenate([(tone if loud else silence)(20 * n) for loud, n in spans]) for spans, *_ in legs]
    longest = max(map(len, audio))
    audio = [np.concatenate([frames, silence(20 * (longest - len(frames)))]) for frames in audio]
    watches = Watches(len(legs))
    for row in range(len(legs)):
        for job, leg in enumerate(legs):
            watches.start(row, job, noise_ms=leg[1], silence_ms=leg[2], detector=leg[3])
    together: dict[tuple[int, int], Told] = {}
    rows = np.arange(len(legs))[::-1]
    for number in range(longest):
        frames = np.stack([audio[row][number] for row in rows.tolist()])
        for row, event in watches.step(frames, rows, np.ones(rows.size, np.bool_)):
            together.setdefault((row, event.job), []).append(((number + 1) * 20, event))
    for row in range(len(legs)):
        for job, leg in enumerate(legs):
            alone = Watches(1)
            alone.start(0, job, noise_ms=leg[1], silence_ms=leg[2], detector=leg[3])
            assert together.get((row, job), []) == hear(alone, audio[row])


def test_watches_of_a_row_end_each_by_itself() -> None:
    watches = Watches(1)
    for job, ms in enumerate((100, 200, 300, 400)):
        watches.start(0, job, noise_ms=None, silence_ms=ms, detector="energy")
    watches.stop(0, 1)
    watches.stop(0, 77)
    told = hear(watches, silence(300))
    assert told == [quiet(100, 100, job=0), quiet(300, 300, job=2)]
    assert hear(watches, silence(300)) == [quiet(100, 400, job=3)]


def test_a_watch_with_the_job_of_another_takes_its_place() -> None:
    watches = Watches(1)
    watches.start(0, 1, noise_ms=None, silence_ms=100, detector="energy")
    watches.start(0, 1, noise_ms=200, silence_ms=None, detector="energy")
    assert hear(watches, silence(300), tone(300)) == [noisy(500, 200, job=1)]


@pytest.mark.parametrize("end", [Watches.open, Watches.close])
def test_a_row_that_is_closed_or_opened_anew_is_not_watched(end: Callable[[Watches, int], None]) -> None:
    watches = Watches(2)
    for row in (0, 1):
        watches.start(row, 1, noise_ms=None, silence_ms=100, detector="energy")
    end(watches, 1)
    assert hear(watches, silence(200), row=1) == []
    assert hear(watches, silence(200)) == [quiet(100, 100, job=1)]
