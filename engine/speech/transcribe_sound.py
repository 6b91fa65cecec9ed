"""What transcription engines hear: a recording's samples, both parties mixed, at their rate. For worker processes.

Whatever the length of the recording, a minute of it is in memory at a time, unless the engine wants it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from numpy.typing import NDArray

from ..errors import PromptError
from ..wave_header import WaveFormat, wave_header

RATE_HZ: Final = 8000
BLOCK: Final = 60 * RATE_HZ
"""Samples that are read at a time."""
LOUDEST: Final = 32767

Samples = NDArray[np.int16]
Words = Iterable[tuple[str, float]]
"""In their order, each with the confidence that it was understood, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Headerless 16-bit PCM at 8 kHz: one party, or two interleaved."""

    path: Path
    channels: int

    @property
    def size(self) -> int:
        """Samples of each party."""
        return self.path.stat().st_size // (2 * self.channels)

    def mono(self) -> Iterator[Samples]:
        """The sum of the parties, int16[n], a minute at a time."""
        octets = 2 * self.channels
        with self.path.open("rb") as file:
            while block := file.read(BLOCK * octets):
                parties = np.frombuffer(block[: len(block) // octets * octets], "<i2").reshape(-1, self.channels)
                yield np.clip(parties.sum(axis=1, dtype=np.int32), -LOUDEST - 1, LOUDEST).astype(np.int16)

    def at(self, rate_hz: int) -> Iterator[Samples]:
        """The same at another rate."""
        resampler = soxr.ResampleStream(RATE_HZ, rate_hz, 1, dtype="int16")
        for block in self.mono():
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.zeros(0, np.int16), last=True)

    def floats_at(self, rate_hz: int) -> NDArray[np.float32]:
        """All of it at another rate, float32[n] within ±1."""
        return np.concatenate([block.astype(np.float32) * np.float32(1 / (LOUDEST + 1)) for block in self.at(rate_hz)])

    def write_wave(self, target: Path) -> int:
        """Make a mono WAV file of it; returns its octets."""
        octets = 2 * self.size
        with target.open("wb") as out:
            out.write(wave_header(WaveFormat(1, RATE_HZ), octets))
            for block in self.mono():
                out.write(block.astype("<i2").tobytes())
        return target.stat().st_size


def noisy(octets: bytes, deviation: float) -> bytes:
    """16-bit PCM with white noise of that standard deviation on it, always the same."""
    samples = np.frombuffer(octets, "<i2")
    noise = np.random.default_rng(0).normal(0, deviation, samples.size)
    return np.clip(samples + np.rint(noise), -LOUDEST - 1, LOUDEST).astype("<i2").tobytes()


def answer(transcribe: Callable[[Sound, dict[str, Any]], Words]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A request handler: the words of the recording `samples`, which may not be longer than `longest_s`."""

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        sound = Sound(Path(request["samples"]), request["channels"])
        length_s = sound.size / RATE_HZ
        if length_s > request["longest_s"]:
            raise PromptError(f"a recording of {length_s:.0f} s; at most {request['longest_s']} s are transcribed")
        return {"words": [[word, min(1.0, max(0.0, confidence))] for word, confidence in transcribe(sound, request)]}

    return handle
