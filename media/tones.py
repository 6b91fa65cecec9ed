"""Named tones as tables: frequencies, level and cadence, each made into samples once.

Sources: ITU-T E.180 supplement 2 (tones of national networks), ITU-T E.180 section 5 for ringing, busy and
congestion in Europe; the North American precise tone plan for those of the USA. Comfort noise follows
RFC 3389's idea of a level, without its spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .rows import RATE_HZ

Samples = NDArray[np.int16]

FULL_SCALE_DBM0: Final = 3.14
"""Level of a sine that just reaches full scale in mu-law (ITU-T G.711 table 2)."""

RAMP_MS: Final = 2
"""Rise and fall of each burst, so that it does not click."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tone:
    """One tone. `cadence` is (on, off) in ms, repeated; no frequencies means noise."""

    frequencies_hz: tuple[int, ...]
    level_dbm0: float
    cadence: tuple[tuple[int, int], ...]


TONES: Final = {
    "ringback-us": Tone(frequencies_hz=(440, 480), level_dbm0=-19, cadence=((2000, 4000),)),
    "ringback-eu": Tone(frequencies_hz=(425,), level_dbm0=-16, cadence=((1000, 4000),)),
    "ringback-uk": Tone(frequencies_hz=(400, 450), level_dbm0=-19, cadence=((400, 200), (400, 2000))),
    "busy-us": Tone(frequencies_hz=(480, 620), level_dbm0=-24, cadence=((500, 500),)),
    "busy-eu": Tone(frequencies_hz=(425,), level_dbm0=-16, cadence=((500, 500),)),
    "busy-uk": Tone(frequencies_hz=(400,), level_dbm0=-16, cadence=((375, 375),)),
    "congestion-us": Tone(frequencies_hz=(480, 620), level_dbm0=-24, cadence=((250, 250),)),
    "congestion-eu": Tone(frequencies_hz=(425,), level_dbm0=-16, cadence=((250, 250),)),
    "congestion-uk": Tone(frequencies_hz=(400,), level_dbm0=-16, cadence=((400, 350), (225, 525))),
    "beep": Tone(frequencies_hz=(1000,), level_dbm0=-13, cadence=((500, 0),)),
    "comfort-noise": Tone(frequencies_hz=(), level_dbm0=-60, cadence=((8000, 0),)),
}
"""By name. `level_dbm0` is that of each frequency; for noise, that of the whole."""

ALIASES: Final = {"busy": "busy-us", "congestion": "congestion-us"}


@cache
def samples(name: str) -> Samples:
    """Return one whole cadence of the tone `name`, int16 at RATE_HZ, read-only. KeyError lists what there is."""
    tone = TONES.get(ALIASES.get(name, name))
    if tone is None:
        raise KeyError(f"tone {name!r} is not known; known: {', '.join(sorted((*TONES, *ALIASES)))}")
    bursts = [_burst(tone, on, off) for on, off in tone.cadence]
    made = np.rint(np.concatenate(bursts)).astype(np.int16)
    made.flags.writeable = False
    return made


def amplitude(level_dbm0: float) -> float:
    """Return the peak of a sine of `level_dbm0` on the int16 scale."""
    return 32767.0 * 10.0 ** ((level_dbm0 - FULL_SCALE_DBM0) / 20.0)


def _burst(tone: Tone, on_ms: int, off_ms: int) -> NDArray[np.float64]:
    count = on_ms * RATE_HZ // 1000
    peak = amplitude(tone.level_dbm0)
    if tone.frequencies_hz:
        t = np.arange(count) / RATE_HZ
        sound = peak * np.sum([np.sin(2 * np.pi * hz * t) for hz in tone.frequencies_hz], axis=0)
    else:
        # A fixed seed: the same noise in every worker, so that a leg taken over sounds the same.
        sound = np.random.default_rng(3389).normal(0.0, peak / np.sqrt(2.0), count)
    if off_ms:
        ramp = np.linspace(0.0, 1.0, RAMP_MS * RATE_HZ // 1000)
        sound[: ramp.size] *= ramp
        sound[-ramp.size :] *= ramp[::-1]
    return np.concatenate([sound, np.zeros(off_ms * RATE_HZ // 1000)])
