"""Pause ends when real speech is followed by enough silence, heard over a real call."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile
from caller import Call, place
from engine_process import EngineProcess
from flexml_app import Line

SPEECH: Final = Path(__file__).parents[2].parent / "shared" / "data" / "speech" / "prompts_0.flac"
WAIT_MS: Final = 600


def spoken(seconds: float) -> np.ndarray:
    """A stretch of speech that begins and ends with voice and has no pause in it."""
    samples, _ = soundfile.read(SPEECH, dtype="int16")
    frames = samples[: samples.size // 160 * 160].reshape(-1, 160).astype(np.float64)
    loud = np.sqrt((frames**2).mean(axis=1)) > 400
    pauses = np.convolve(~loud, np.ones(15), "valid") == 15
    count = round(seconds * 50)
    for at in range(len(loud) - count):
        ends = loud[at : at + 4].all() and loud[at + count - 4 : at + count].all()
        if ends and not pauses[at : at + count].any():
            return samples[at * 160 : (at + count) * 160]
    raise AssertionError(f"no {seconds} s of speech without a pause in {SPEECH}")


@pytest.mark.skipif(not SPEECH.exists(), reason=f"{SPEECH} is missing")
def test_the_example_of_the_reference_ends_eleven_and_a_half_seconds_after_the_audio_began(
    line: Line, engine: EngineProcess, tmp_path: Path
) -> None:
    """5 s of silence, 4 s of speech, silence: with minNoise 2000 and minSilence 2500 that is 5 + 4 + 2.5 s."""
    line.serve('<Pause length="60" noise="true" minNoise="2000" silence="true" minSilence="2500"/><Hangup/>')
    audio = np.concatenate([np.zeros(5 * 8000, np.int16), spoken(4.0), np.zeros(5 * 8000, np.int16)])
    recording = tmp_path / "example.wav"
    soundfile.write(recording, audio, 8000)
    calls = [Call(caller=str(15165550100 + n), recording=str(recording), wait_ms=WAIT_MS) for n in range(4)]
    for outcome in place(engine.target, line.number, calls):
        assert outcome.end == "they hung up"
        late_s = outcome.lasted_s - WAIT_MS / 1000 - 11.5
        assert -0.1 < late_s < 0.1 + 0.1, f"{late_s:.3f} s late"  # the jitter buffer's delay and the BYE's way besides
