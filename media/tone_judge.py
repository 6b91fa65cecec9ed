"""Judge windows of sound (`tone_bank`): of which key the tones stand out in one, and whether it holds nothing else."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .rows import RATE_HZ
from .tone_bank import DIAL_BAND, EXPECTED_TURN, GROUP, HOP, KEY_HZ, WINDOW
from .tones import amplitude

Floats = NDArray[np.float32]
Phasors = NDArray[np.complex64]
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

LEVEL_DBM0: Final = -39.0
"""Each tone is at least so strong."""

NORMAL_TWIST_DB: Final = 9.5
"""By how much the low tone may be the louder, as a line takes more from the high one."""

REVERSE_TWIST_DB: Final = 5.5
"""By how much the high tone may be the louder."""

DETUNED: Final = 0.025
"""How far a tone may be from its frequency, of that frequency: 1.5 % must be heard, 3.5 % must not."""

ALONE: Final = 0.85
"""The least share of a tone in what all four of its group have."""

SHARE: Final = 0.7
"""The least share of the two tones in the energy of the window. Speech has less, in any five windows."""

NONE: Final = -1
"""Instead of the number of a key: there is none."""


def power_of(real: Floats, imaginary: Floats) -> Floats:
    """Return the power of tones, on the scale of squared samples, from the parts of what finds them."""
    return np.square(real) + np.square(imaginary)


def may_be_keys(power: Floats) -> Flags:
    """Say where one tone of each group stands out of `power` float32[8, ...], so that it may be a key.

    It is generous: a detuned tone shows weaker than it is.
    """
    low, high = power[:GROUP], power[GROUP:]
    low_one, high_one = low.max(axis=0), high.max(axis=0)
    may = (low_one > ALONE * low.sum(axis=0)) & (high_one > ALONE * high.sum(axis=0))
    may &= (low_one > _LEVEL / 2) & (high_one > _LEVEL / 2)
    return may & (LEAST_SEEN * low_one < _NORMAL_TWIST * high_one) & (LEAST_SEEN * high_one < _REVERSE_TWIST * low_one)


def keys_of(power: Floats) -> Integers:
    """Return the key of the strongest tones of each group of `power` float32[8, ...]."""
    return GROUP * power[:GROUP].argmax(axis=0) + power[GROUP:].argmax(axis=0)


def are_clean(power: Floats, turned: Phasors, pair: Integers, energy: Floats) -> Flags:
    """Judge m windows closely.

    `pair` int[m, 2] says which two tones each may hold; `power` and `turned`, their power and by how much they turned
    since the window before, are of the same shape. `energy` [m] is that of the whole window.
    """
    off_hz = np.angle(turned * EXPECTED_TURN[pair]) * np.float32(RATE_HZ / HOP / (2 * np.pi))
    near = (np.abs(off_hz) < DETUNED * KEY_HZ[pair]).all(axis=1)
    power = power / _response(off_hz)
    low, high = power[:, 0], power[:, 1]
    level = (np.minimum(low, high) > _LEVEL) & (low < _NORMAL_TWIST * high) & (high < _REVERSE_TWIST * low)
    return near & level & (low + high > SHARE * energy)


def dial_energy(span: Floats, row: Indices, hop: Indices) -> Floats:
    """Return the energy up to DIAL_BAND_HZ in some windows of `span`."""
    windows = span[row[:, None], (hop * HOP)[:, None] + np.arange(WINDOW)]
    return np.square(windows @ DIAL_BAND).sum(axis=1)


def _response(off_hz: Floats) -> Floats:
    """Return what a window leaves of the power of a tone that is `off_hz` beside what it is tuned to."""
    bins = np.clip(np.abs(off_hz) * np.float32(WINDOW / RATE_HZ), 0, 0.99)
    return np.square(np.sinc(bins) / (1 - bins * bins))


def mean_square(dbm0: float) -> float:
    """Return the mean square of the samples of a tone of that level."""
    return amplitude(dbm0) ** 2 / 2


_LEVEL: Final = mean_square(LEVEL_DBM0)
LEAST_SEEN: Final = float(_response(np.array(DETUNED * KEY_HZ.max(), np.float32)))
"""What a window shows of the power of a tone at least, however detuned it may be."""
_NORMAL_TWIST: Final = 10.0 ** (NORMAL_TWIST_DB / 10.0)
_REVERSE_TWIST: Final = 10.0 ** (REVERSE_TWIST_DB / 10.0)
