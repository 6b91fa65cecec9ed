"""Sounds for the peers to play and to say: tones, stairs of tones, noise, recordings. 8 kHz, -1..1."""

import io
import subprocess
import wave
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import soxr
from g711 import Samples

RATE_HZ: Final = 8000
LEVEL: Final = 0.25
FIRST_STEP_HZ: Final = 400
STEP_HZ: Final = 100


def tone(hz: float, seconds: float, level: float = LEVEL) -> Samples:
    """A sine whose peak is `level`."""
    return level * np.sin(2 * np.pi * hz * np.arange(round(RATE_HZ * seconds)) / RATE_HZ)


def silence(seconds: float) -> Samples:
    return np.zeros(round(RATE_HZ * seconds))


def stairs(seconds: int) -> Samples:
    """A second of 400 Hz, a second of 500 Hz, and so on: what is heard tells where in the file one is."""
    return np.concatenate([tone(FIRST_STEP_HZ + STEP_HZ * step, 1.0) for step in range(seconds)])


def noise(seconds: float, level: float = LEVEL) -> Samples:
    """White noise, the same each time."""
    return np.random.default_rng(1).uniform(-level, level, round(RATE_HZ * seconds))


def join(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def named(name: str) -> Samples:
    """`tone-600-500.wav`: 500 ms of 600 Hz; `stairs-20.wav`: 20 s of stairs."""
    kind, *numbers = Path(name).stem.split("-")
    values = [int(number) for number in numbers]
    if kind == "tone":
        return tone(values[0], values[1] / 1000)
    if kind == "stairs":
        return stairs(values[0])
    raise ValueError(f"no sound is called {name}")


def spoken(text: str, folder: Path) -> Samples:
    """`text` as eSpeak NG says it, which the engine needs anyway."""
    path = folder / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", path, text], check=True)
    samples, rate_hz = soundfile.read(path, dtype="float64")
    return np.asarray(soxr.resample(samples, rate_hz, RATE_HZ), np.float64)


def load(path: Path) -> Samples:
    """A mono recording at 8 kHz: WAV, FLAC and whatever else libsndfile reads."""
    samples, rate_hz = soundfile.read(path, dtype="float64")
    assert (rate_hz, samples.ndim) == (RATE_HZ, 1), f"{path}: expected 8 kHz mono"
    return np.asarray(samples, np.float64)


def pcm(samples: Samples) -> bytes:
    """16-bit samples without a container."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def wav(samples: Samples) -> bytes:
    """8 kHz mono in a WAV container."""
    container = io.BytesIO()
    with wave.open(container, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(pcm(samples))
    return container.getvalue()
