"""Both detectors know speech from silence and from noise, and each row by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile
from flexml.media import tones
from flexml.media.voice import EnergyVoice, Voice, WebRtcVoice, level_dbm0
from numpy.typing import NDArray

SPEECH: Final = Path(__file__).parents[2].parent / "shared" / "data" / "speech"

Frames = NDArray[np.float32]
Make = Callable[[int], Voice]

both = pytest.mark.parametrize("make", [EnergyVoice, WebRtcVoice])


def decide(voice: Voice, frames: Frames, row: int = 0) -> NDArray[np.bool_]:
    return np.concatenate([voice.step(frames[at : at + 1], np.array([row])) for at in range(len(frames))])


def sine(level: float, count: int, hz: float = 700.0) -> Frames:
    t = np.arange(count * 160) / 8000
    return (tones.amplitude(level) * np.sin(2 * np.pi * hz * t)).astype(np.float32).reshape(-1, 160)


def noise(level: float, count: int) -> Frames:
    rms = tones.amplitude(level) / np.sqrt(2)
    return np.random.default_rng(1).normal(0.0, rms, (count, 160)).astype(np.float32)


def speech() -> Frames:
    """The first 20 s of the prompts."""
    if not SPEECH.exists():
        pytest.skip(f"no recordings in {SPEECH}")
    samples, _ = soundfile.read(SPEECH / "prompts_0.flac", dtype="int16", stop=20 * 8000)
    return samples.astype(np.float32).reshape(-1, 160)


@pytest.mark.parametrize("level", [3.0, 0.0, -20.0, -45.0, -60.0])
def test_a_level_is_that_of_a_sine_in_dbm0(level: float) -> None:
    assert level_dbm0(sine(level, 5)) == pytest.approx(np.full(5, level), abs=0.01)


def test_a_level_of_nothing_is_that_of_the_quietest_line() -> None:
    assert level_dbm0(np.zeros((2, 160), np.float32)).tolist() == [-70.0, -70.0]


@pytest.mark.parametrize("level", [0.0, -20.0, -29.0])
def test_a_tone_is_heard_by_its_level_however_long_it_lasts(level: float) -> None:
    assert decide(EnergyVoice(1), sine(level, 3000)).all()


@both
def test_a_tone_is_heard_from_its_first_frame(make: Make) -> None:
    assert decide(make(1), np.concatenate([np.zeros((50, 160), np.float32), sine(-20.0, 5)]))[50:].all()


@both
def test_silence_is_no_voice(make: Make) -> None:
    assert not decide(make(1), np.zeros((500, 160), np.float32)).any()


def test_a_row_begins_with_a_threshold_of_minus_45_dbm0() -> None:
    assert decide(EnergyVoice(1), sine(-44.5, 1)).tolist() == [True]
    assert decide(EnergyVoice(1), sine(-45.5, 1)).tolist() == [False]


def test_on_a_quiet_line_a_quieter_voice_counts() -> None:
    line = noise(-65.0, 100)
    assert decide(EnergyVoice(1), np.concatenate([line, sine(-48.0, 5)]))[-5:].all()


def test_noise_of_the_line_is_no_voice_once_it_is_known() -> None:
    voice = EnergyVoice(1)
    assert not decide(voice, noise(-40.0, 500))[250:].any()
    assert decide(voice, sine(-25.0, 5)).all()


def test_the_floor_of_a_quiet_line_does_not_make_a_whisper_a_voice() -> None:
    voice = EnergyVoice(1)
    decide(voice, np.zeros((500, 160), np.float32))
    assert decide(voice, sine(-49.5, 1)).tolist() == [True]
    assert decide(voice, sine(-50.5, 1)).tolist() == [False]


@pytest.mark.parametrize(("after", "threshold"), [(0, -45.0), (25, -44.0), (50, -43.0), (200, -37.0), (3000, -36.0)])
def test_the_threshold_rises_2_db_a_second_to_10_db_above_the_noise(after: int, threshold: float) -> None:
    for level, heard in ((threshold + 0.3, True), (threshold - 0.3, False)):
        voice = EnergyVoice(1)
        if after:
            decide(voice, sine(-46.0, after))
        assert decide(voice, sine(level, 1)).tolist() == [heard]


@pytest.mark.parametrize(("after", "threshold"), [(0, -36.0), (25, -41.0), (50, -46.0), (70, -50.0), (500, -50.0)])
def test_the_threshold_falls_10_db_a_second_where_the_line_becomes_quiet(after: int, threshold: float) -> None:
    for level, heard in ((threshold + 0.3, True), (threshold - 0.3, False)):
        voice = EnergyVoice(1)
        decide(voice, sine(-46.0, 1000))
        if after:
            decide(voice, np.zeros((after, 160), np.float32))
        assert decide(voice, sine(level, 1)).tolist() == [heard]


def test_webrtc_goes_on_for_at_most_its_hangover_after_the_voice_has_ended() -> None:
    voice, said = WebRtcVoice(1), speech()
    loud = said[level_dbm0(said) > -30][:40]
    heard = decide(voice, np.concatenate([loud, np.zeros((20, 160), np.float32)]))
    assert heard[35:40].all()
    assert 0 < np.count_nonzero(heard[40:]) * 20 <= voice.hangover_ms


def test_webrtc_forgets_a_row_that_closes() -> None:
    used, fresh = WebRtcVoice(1), WebRtcVoice(1)
    assert decide(used, sine(-10.0, 4)).all()
    used.close(0)
    assert (
        decide(used, np.zeros((5, 160), np.float32)).tolist() == decide(fresh, np.zeros((5, 160), np.float32)).tolist()
    )


def test_what_a_row_has_learned_is_forgotten_when_it_closes() -> None:
    voice = EnergyVoice(2)
    decide(voice, noise(-40.0, 500), row=1)
    assert not decide(voice, sine(-38.0, 1), row=1).any()
    voice.close(1)
    assert decide(voice, sine(-38.0, 1), row=1).all()


def test_webrtc_hears_speech_in_noise_in_which_levels_say_nothing() -> None:
    said = speech()
    loud = level_dbm0(said) > -30
    quiet = 0.05 * said + noise(-45.0, len(said))
    by_level, by_spectrum = (decide(make(1), quiet)[loud].mean() for make in (EnergyVoice, WebRtcVoice))
    assert by_spectrum > 0.9
    assert by_level < 0.6


@both
def test_speech_is_heard_and_the_pauses_between_are_not(make: Make) -> None:
    said = speech()
    level = level_dbm0(said)
    voice = make(1)
    heard = decide(voice, said)
    assert heard[level > -30].mean() > 0.98
    hangover = voice.hangover_ms // 20
    after = np.array([level[max(0, at - hangover - 1) : at + 1].max() for at in range(len(said))])
    assert heard[after <= -65].mean() < 0.02


@both
def test_many_rows_at_once_hear_what_each_hears_alone(make: Make) -> None:
    said = speech()[:400]
    each = [said, 0.03 * said, noise(-42.0, 400), np.zeros((400, 160), np.float32)]
    alone = [decide(make(1), frames).tolist() for frames in each]
    voice = make(6)
    rows = np.array([5, 0, 3, 2])
    together = np.stack([voice.step(np.stack([frames[at] for frames in each]), rows) for at in range(400)])
    assert together.T.tolist() == alone


@both
def test_samples_beyond_16_bits_are_heard_too(make: Make) -> None:
    assert decide(make(1), sine(12.0, 20)).all()
