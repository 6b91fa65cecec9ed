"""What finds tones in windows of sound, as matrices: those of keys (ITU-T Q.23), and dial tone.

A window is weighted by Hann's, 25 ms long, and ends with every HOP samples. A span is two frames, the second of which
has HOPS windows end in it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .dial_string import HIGH_HZ, LOW_HZ
from .rows import FRAME_SAMPLES, RATE_HZ

Floats = NDArray[np.float32]

HOP: Final = 40
WINDOW: Final = 200
"""Samples; a window ends with every HOP samples."""

DIAL_HZ: Final = (350, 440, 425)
"""Dial tone is the first two, or one of the last two alone (ITU-T E.180 supplement 2)."""

DIAL_BAND_HZ: Final = 560

HOPS: Final = FRAME_SAMPLES // HOP
SPAN: Final = 2 * FRAME_SAMPLES
EARLY: Final = WINDOW - FRAME_SAMPLES
"""Samples of the last window of a frame that lie in the frame before."""
GROUP: Final = len(LOW_HZ)
TONES: Final = 2 * GROUP


def _phasors(hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return what finds the tones `hz` in a window, complex[200, n]; the square of what is found is their power."""
    turns = np.arange(WINDOW)[:, None] / RATE_HZ * hz
    return np.exp(-2j * np.pi * turns) * (_HANN * np.sqrt(2) / _HANN.sum())[:, None]


def _bank() -> Floats:
    """Return the matrix float32[320, 64] that finds the tones in the four windows of a span.

    Its columns are the real parts of all tones, each in all windows, and then the imaginary parts.
    """
    tones = _phasors(KEY_HZ)
    bank = np.zeros((SPAN, TONES, HOPS), np.complex128)
    for hop in range(HOPS):
        bank[hop * HOP + np.arange(WINDOW), :, hop] = tones
    return _parts(bank.reshape(SPAN, -1))


def _last() -> Floats:
    """Return the matrix float32[200, 22] that finds the tones, and dial tone, in the last window of a frame.

    Its columns are the real parts of all, and then the imaginary parts.
    """
    return _parts(_phasors(np.array([*KEY_HZ, *DIAL_HZ])))


def _parts(phasors: NDArray[np.complex128]) -> Floats:
    return np.concatenate([phasors.real, phasors.imag], axis=1).astype(np.float32)


def _weights() -> Floats:
    """Return the matrix float32[320, 4] that makes of squared samples the mean square of the four windows of a span."""
    weights = np.zeros((SPAN, HOPS), np.float32)
    for hop in range(HOPS):
        weights[hop * HOP + np.arange(WINDOW), hop] = np.square(_HANN) / np.square(_HANN).sum()
    return weights


def _dial_band() -> Floats:
    """Return the matrix float32[200, 2 k] whose products, squared and added, are the energy up to DIAL_BAND_HZ."""
    bins = np.arange(DIAL_BAND_HZ * WINDOW // RATE_HZ + 1)
    turns = np.arange(WINDOW)[:, None] * bins / WINDOW
    scale = np.sqrt(np.where(bins == 0, 1, 2) / (WINDOW * np.square(_HANN).sum()))
    waves = np.exp(-2j * np.pi * turns) * scale * _HANN[:, None]
    return np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)


KEY_HZ: Final = np.array([*LOW_HZ, *HIGH_HZ], np.float64)
_HANN: Final = np.square(np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW))
EXPECTED_TURN: Final = np.exp(-2j * np.pi * KEY_HZ * HOP / RATE_HZ).astype(np.complex64)
"""What turns the phase of each tone back by as much as it turns from window to window."""
BANK: Final = _bank()
LAST: Final = _last()
WEIGHTS: Final = _weights()
LAST_WEIGHTS: Final = WEIGHTS[-WINDOW:, -1].copy()
DIAL_BAND: Final = _dial_band()
