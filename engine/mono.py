"""Decoded frames of any shape, as mono 16-bit PCM at one rate.

Channels are mixed by weights that add up to one, so that nothing clips that did not before; what has one channel,
16 bits and the rate already comes out sample for sample. Conversion of the rate is soxr's. For worker processes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import soxr
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

Samples = NDArray[np.int16]

SILENT_CHANNELS: Final = frozenset({"LFE", "LFE2"})
"""Bass effects are left out of a mix (ITU-R BS.775)."""
SURROUND_WEIGHT: Final = 0.7071
"""Of every channel that is not in front, beside those that are."""
FRONT: Final = frozenset({"FL", "FR", "FC", "DL", "DR"})

LOUDEST: Final = 4 * 32768.0
"""On the int16 scale: what a sample of floating point is held to, as one that says anything would spoil all near it."""

SCALE: Final = {
    # format: what is silence, and what to multiply by for the int16 scale
    "u8": (128, 256.0),
    "s16": (0, 1.0),
    "s32": (0, 1 / 65536),
    "s64": (0, 1 / 2**48),
    "flt": (0, 32768.0),
    "dbl": (0, 32768.0),
}


class Mono:
    """Converts the frames of one stream to `rate_hz`; a stream may change its rate and channels on the way."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._from_hz = 0
        self._resampler: soxr.ResampleStream | None = None

    def convert(self, frame: AudioFrame) -> Samples:
        """The samples of `frame` as far as the resampler has come, int16[n]."""
        if frame.sample_rate <= 0:
            raise ValueError(f"a sample rate of {frame.sample_rate} Hz")
        before = np.zeros(0, np.int16)
        if frame.sample_rate != self._from_hz:
            before = self.flush()
            self._from_hz = frame.sample_rate
            if frame.sample_rate != self._rate_hz:
                self._resampler = soxr.ResampleStream(frame.sample_rate, self._rate_hz, 1, dtype="float32")
        samples = _mixed(frame)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples.astype(np.float32))
        return np.concatenate([before, _rounded(samples)])

    def flush(self) -> Samples:
        """What the resampler still has, int16[n]."""
        resampler, self._resampler, self._from_hz = self._resampler, None, 0
        if resampler is None:
            return np.zeros(0, np.int16)
        return _rounded(resampler.resample_chunk(np.zeros(0, np.float32), last=True))


def _mixed(frame: AudioFrame) -> NDArray[Any]:
    """One channel on the int16 scale: int16[n] if it was that, else float32[n]."""
    channels = frame.layout.nb_channels
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, channels).T
    name = frame.format.packed.name
    if channels == 1 and name == "s16":
        return array[0]
    zero, scale = SCALE[name]
    weights = _weights(tuple(channel.name for channel in frame.layout.channels))
    samples = np.nan_to_num((array.astype(np.float64) - zero) * scale)
    return (weights @ np.clip(samples, -LOUDEST, LOUDEST)).astype(np.float32)


def _weights(names: tuple[str, ...]) -> NDArray[np.float64]:
    """How much of each channel there is in the mix; 1 altogether."""
    weights = np.array([0.0 if name in SILENT_CHANNELS else SURROUND_WEIGHT for name in names])
    for index, name in enumerate(names):
        if name in FRONT:
            weights[index] = 1.0
    total = weights.sum()
    return weights / total if total else np.full(len(names), 1 / len(names))


def _rounded(samples: NDArray[Any]) -> Samples:
    if samples.dtype == np.int16:
        return samples
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
