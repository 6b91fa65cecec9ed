"""Keys as sound, the way ITU-T Q.24 varies them, and as a G.711 line carries them. Nothing here is the detector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from flexml.codecs import g711
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE_HZ: Final = 8000
LOW_HZ: Final = (697, 770, 852, 941)
HIGH_HZ: Final = (1209, 1336, 1477, 1633)
KEYS: Final = "123A456B789C*0#D"
FULL_SCALE_DBM0: Final = 3.17
"""Of a sine in mu-law (ITU-T G.711)."""


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """How keys are pressed: lengths in ms, levels in dBm0 of each tone, the rest relative to what it should be."""

    on: float = 40
    level: float = -16
    twist: float = 0  # dB by which the high tone is the louder; the softer one has `level`
    low_off: float = 0  # share of its frequency by which the tone is off
    high_off: float = 0
    gap: tuple[float, float] | None = None  # an interruption: after how long, for how long
    snr: float | None = None  # dB, of both tones together over white noise
    dial: float | None = None  # dBm0 of each tone of a dial tone, all the time
    before: float = 60  # silence


def peak(level_dbm0: float) -> float:
    """The peak of a sine of that level on the int16 scale."""
    return 32768 * 10 ** ((level_dbm0 - FULL_SCALE_DBM0) / 20)


def press(key: str, how: Pressed, seed: int) -> Samples:
    """One key, at a chance alignment and phase, with 120 ms of silence after it; float32[samples]."""
    chance = np.random.default_rng(seed)
    low_hz, high_hz = LOW_HZ[KEYS.index(key) // 4], HIGH_HZ[KEYS.index(key) % 4]
    t = np.arange(round(how.on * 8)) / RATE_HZ
    low = peak(how.level + max(0, -how.twist)) * _sine(t, low_hz * (1 + how.low_off), chance)
    high = peak(how.level + max(0, how.twist)) * _sine(t, high_hz * (1 + how.high_off), chance)
    tone = low + high
    power = float(np.mean(tone**2))
    if how.gap is not None:
        after, lasts = (round(ms * 8) for ms in how.gap)
        tone[after : after + lasts] = 0
    start = round(how.before * 8) + int(chance.integers(160))
    line = np.concatenate([np.zeros(start), tone, np.zeros(1120 + 160 - start % 160 - len(tone) % 160)])
    if how.snr is not None:
        line += chance.normal(0, np.sqrt(power / 10 ** (how.snr / 10)), len(line))
    if how.dial is not None:
        t = np.arange(len(line)) / RATE_HZ
        line += peak(how.dial) * (np.sin(2 * np.pi * 350 * t) + np.sin(2 * np.pi * 440 * t))
    return through_mu_law(line)


def through_mu_law(samples: NDArray[np.floating]) -> Samples:
    """What is left of the samples at the other end of a G.711 line."""
    return g711.decode_ulaw(g711.encode_ulaw(np.clip(samples, -32768, 32767).astype(np.float32)))


def presses(how: Pressed, times: int) -> tuple[list[str], list[Samples]]:
    """All keys, each `times` times: the keys and their sound."""
    keys = list(KEYS * times)
    return keys, [press(key, how, seed) for seed, key in enumerate(keys)]


def together(sounds: list[Samples]) -> Samples:
    """The sounds as rows of one matrix, silence after those that are shorter, whole frames."""
    longest = -(-max(map(len, sounds)) // 160) * 160
    return np.stack([np.pad(sound, (0, longest - len(sound))) for sound in sounds])


def _sine(t: NDArray[np.float64], hz: float, chance: np.random.Generator) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hz * t + chance.uniform(0, 2 * np.pi))
