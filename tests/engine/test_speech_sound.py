"""What becomes of a synthesiser's samples: level, rate, and silence around them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from flexml.engine.speech.sound import LEVEL_DBOV, PEAK_DBOV, Samples, finish, one, pcm16, write
from flexml.engine.speech.voices import TAIL_MS

RATE_HZ = 8000
TAIL = TAIL_MS * RATE_HZ // 1000


def bursts(amplitude: float, rate_hz: int = RATE_HZ) -> Samples:
    """Noise like speech: 2 s, half of it silent, silence at both ends."""
    noise = np.random.default_rng(3).normal(0, amplitude, 2 * rate_hz)
    on = (np.arange(noise.size) // (rate_hz // 4)) % 2
    return (np.pad(noise * on, rate_hz)).astype(np.float32)


def dbov(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt((samples.astype(np.float64) ** 2).mean()) / 32768))


@pytest.mark.parametrize("amplitude", [0.001, 0.02, 0.1, 0.3])
def test_speech_comes_out_at_one_level_whatever_it_was(amplitude: float) -> None:
    out = finish(bursts(amplitude), RATE_HZ, RATE_HZ)
    active = out[np.abs(out) > 0]
    assert dbov(active) == pytest.approx(LEVEL_DBOV, abs=0.5)


def test_a_peak_limits_the_level_and_nothing_clips() -> None:
    samples = bursts(0.01)
    samples[RATE_HZ + 3000] = 0.9
    out = finish(samples, RATE_HZ, RATE_HZ)
    assert np.abs(out).max() == round(10 ** (PEAK_DBOV / 20) * 32767)


@pytest.mark.parametrize("from_hz", [8000, 16000, 22050, 24000])
def test_every_rate_becomes_the_one_wanted(from_hz: int) -> None:
    time = np.arange(from_hz) / from_hz
    tone = (0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    out = finish(tone, from_hz, RATE_HZ)[:-TAIL]
    assert out.size == pytest.approx(RATE_HZ, abs=4)
    spectrum = np.abs(np.fft.rfft(out[:RATE_HZ] * np.hanning(out[:RATE_HZ].size)))
    assert int(spectrum.argmax()) == pytest.approx(1000, abs=2)


def test_silence_around_speech_goes_but_for_a_tail_of_known_length() -> None:
    out = finish(bursts(0.1), RATE_HZ, RATE_HZ)
    loud = np.flatnonzero(np.abs(out) >= 100)
    assert loud[0] <= RATE_HZ * 20 // 1000
    assert out.size - 1 - loud[-1] == TAIL


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(9000, np.float32)], ids=["none", "silence"])
def test_no_sound_becomes_a_tail_of_silence(samples: Samples) -> None:
    assert finish(samples, 22050, RATE_HZ).tolist() == [0] * TAIL


def test_octets_become_samples() -> None:
    assert pcm16(b"\x00\x40\x00\x80\x01").tolist() == [0.5, -1.0]
    assert one([]).tolist() == []
    assert one([np.ones(2), np.zeros(1, np.float32)]).dtype == np.float32


def test_what_is_written_is_raw_pcm(tmp_path: Path) -> None:
    target = tmp_path / "made" / "x.pcm"
    assert write(np.array([1, -2, 3], "<i2"), target) == 3
    raw = ["sox", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "8000", str(target), "-t", "dat", "-"]
    lines = subprocess.run(raw, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [round(float(line.split()[1]) * 32768) for line in lines if not line.startswith(";")] == [1, -2, 3]
    assert [path.name for path in target.parent.iterdir()] == ["x.pcm"]
