"""What is kept of the spool of a recording: all, or from the first to the last voice in it.

Voice is told from silence by level, or by WebRTC's voice activity detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import webrtcvad
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Levels = NDArray[np.float64]

RATE_HZ: Final = 8000
FRAME: Final = 160
"""Samples of 20 ms, the grain of trimming."""
BLOCK: Final = 60 * RATE_HZ
"""Samples that are worked on at a time: what a recording costs in memory does not depend on its length."""
KEEP_FRAMES: Final = 5
"""100 ms stay at either end."""
LEAST_FRAMES: Final = 2
"""A single loud frame is a click and no voice."""

FULL_SCALE_DBM0: Final = 3.14
"""A sine as loud as 16 bits go (ITU-T G.711)."""
THRESHOLD_DBM0: Final = -45.0
"""Below is silence, on any line."""
NOISY_DBM0: Final = -30.0
"""What is above is never silence, however noisy the line."""
ABOVE_FLOOR_DB: Final = 8.0
"""How far above the noise of the line voice begins."""
BELOW_VOICE_DB: Final = 20.0
"""How far below its loudest the quietest voice is, so that a recording without a pause is not taken for noise."""
AGGRESSIVENESS: Final = 2
"""Of webrtcvad, 0 to 3."""
WARM_UP: Final = RATE_HZ
"""Samples that it hears twice."""


@dataclass(frozen=True, slots=True)
class Spool:
    """A spool file: `size` samples, each of `channels`; what is behind `longest` samples is not looked at."""

    path: Path
    channels: int
    longest: int | None = None

    @property
    def size(self) -> int:
        """How many whole samples there are; a process that was killed may have left a part of one."""
        size = self.path.stat().st_size // (2 * self.channels)
        return size if self.longest is None else min(size, self.longest)

    def blocks(self, first: int, end: int) -> Iterator[Samples]:
        """The samples from `first` to `end`, int16[n, channels], a block at a time."""
        with self.path.open("rb") as file:
            file.seek(first * 2 * self.channels)
            for at in range(first, end, BLOCK):
                octets = file.read(min(BLOCK, end - at) * 2 * self.channels)
                yield np.frombuffer(octets, "<i2").reshape(-1, self.channels)


def voiced_span(spool: Spool, detector: str) -> tuple[int, int]:
    """Return the samples from the first to the last voice with 100 ms around them; (0, 0) if there is none."""
    voice = _loud(_levels(spool)) if detector == "energy" else _voiced(spool)
    frames = np.flatnonzero(_lasting(voice))
    if not frames.size:
        return 0, 0
    first, last = int(frames[0]), int(frames[-1])
    return max(0, first - KEEP_FRAMES) * FRAME, min(spool.size, (last + 1 + KEEP_FRAMES) * FRAME)


def _levels(spool: Spool) -> Levels:
    """The level of each 20 ms in dBm0, of the louder party."""
    parts = [np.zeros(0)]
    for block in spool.blocks(0, spool.size):
        power = _frames(block.astype(np.float64) ** 2).mean(axis=1).max(axis=1)
        full_scale = 32768.0**2 / 2
        parts.append(10 * np.log10(np.maximum(power, 1e-3) / full_scale) + FULL_SCALE_DBM0)
    return np.concatenate(parts)


def _loud(levels: Levels) -> NDArray[np.bool_]:
    if not levels.size:
        return np.zeros(0, np.bool_)
    floor, loudest = np.percentile(levels, (10, 95))
    threshold = max(THRESHOLD_DBM0, min(floor + ABOVE_FLOOR_DB, loudest - BELOW_VOICE_DB, NOISY_DBM0))
    return levels > threshold


def _voiced(spool: Spool) -> NDArray[np.bool_]:
    detectors = [webrtcvad.Vad(AGGRESSIVENESS) for _ in range(spool.channels)]
    for _ in _said(spool, detectors, min(spool.size, WARM_UP)):
        pass  # a detector takes the first noise that it hears for voice
    return np.fromiter(_said(spool, detectors, spool.size), np.bool_)


def _said(spool: Spool, detectors: list[webrtcvad.Vad], end: int) -> Iterator[bool]:
    """Say of each 20 ms up to sample `end` whether one of the parties is heard there by its detector."""
    for block in spool.blocks(0, end):
        for frame in _frames(block).astype("<i2"):
            sides = (np.ascontiguousarray(frame[:, side]).tobytes() for side in range(spool.channels))
            said = [vad.is_speech(octets, RATE_HZ) for vad, octets in zip(detectors, sides, strict=True)]
            yield any(said)


def _frames(block: NDArray[Any]) -> NDArray[Any]:
    """[n, channels] as [frames, 160, channels], the last one filled up with zeros."""
    short = -block.shape[0] % FRAME
    return np.pad(block, ((0, short), (0, 0))).reshape(-1, FRAME, block.shape[1])


def _lasting(voice: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Only what is voice for LEAST_FRAMES in a row."""
    if voice.size < LEAST_FRAMES:
        return np.zeros_like(voice)
    both = voice[:-1] & voice[1:]
    return np.append(both, False) | np.insert(both, 0, False)
