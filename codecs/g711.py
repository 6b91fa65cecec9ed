"""G.711, both laws, by table: 256 values to decode, 65,536 to encode (ITU-T G.711 tables 1a to 2b).

Samples are float32 on the int16 scale. The encoder takes the ones' complement of a negative sample, as the
ITU's reference code does, which makes both laws symmetric about the step at zero.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Octets = NDArray[np.uint8]
Samples = NDArray[np.float32]
AnySamples = NDArray[np.int16] | Samples
"""On the int16 scale. What is in whole steps already, as sounds are, is encoded as it is."""

_BIAS: Final = 33
"""What mu-law adds to a 14-bit magnitude so that segment borders fall on powers of two."""

_ALAW_TOGGLE: Final = 0x55
"""A-law inverts every other bit on the line, so that silence is not all zeros."""


def _ulaw_values() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    segment = (code >> 4 & 7).astype(np.int32)
    step = (code & 0x0F).astype(np.int32)
    magnitude = ((2 * step + _BIAS << segment) - _BIAS) * 4
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


def _alaw_values() -> Samples:
    code = np.arange(256, dtype=np.uint8) ^ _ALAW_TOGGLE
    segment = (code >> 4 & 7).astype(np.int32)
    step = (code & 0x0F).astype(np.int32)
    linear = 2 * step + 1
    magnitude = np.where(segment == 0, linear, linear + 32 << np.maximum(segment - 1, 0)) * 8
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32)


def _magnitudes() -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    # In the order of the 16-bit patterns of the samples: 0 .. 32767, -32768 .. -1.
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return np.where(sample < 0, ~sample, sample), sample < 0


def _ulaw_codes() -> Octets:
    magnitude, negative = _magnitudes()
    biased = np.minimum((magnitude >> 2) + _BIAS, 0x1FFF)
    segment = np.frexp(biased)[1] - 6  # the position of the highest bit set
    code = segment << 4 | biased >> segment + 1 & 0x0F
    return (~(code | np.where(negative, 0x80, 0)) & 0xFF).astype(np.uint8)


def _alaw_codes() -> Octets:
    magnitude, negative = _magnitudes()
    short = magnitude >> 3
    segment = np.maximum(np.frexp(short)[1] - 5, 0)
    code = segment << 4 | short >> np.maximum(segment, 1) & 0x0F
    return ((code | np.where(negative, 0, 0x80)) ^ _ALAW_TOGGLE).astype(np.uint8)


def _pairs(values: Samples) -> NDArray[np.complex64]:
    # By the 16 bits that two octets are in memory; a pair of samples is moved as one number.
    octets = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return values[octets].view(np.complex64)[:, 0]


ULAW_VALUES: Final = _ulaw_values()
ALAW_VALUES: Final = _alaw_values()
_ULAW_PAIRS: Final = _pairs(ULAW_VALUES)
_ALAW_PAIRS: Final = _pairs(ALAW_VALUES)
ULAW_CODES: Final = _ulaw_codes()
ALAW_CODES: Final = _alaw_codes()


def decode_ulaw(octets: Octets) -> Samples:
    """Return the samples of mu-law `octets`, in the same shape."""
    return _decode(octets, ULAW_VALUES, _ULAW_PAIRS)


def decode_alaw(octets: Octets) -> Samples:
    """Return the samples of A-law `octets`, in the same shape."""
    return _decode(octets, ALAW_VALUES, _ALAW_PAIRS)


def encode_ulaw(samples: AnySamples) -> Octets:
    """Return `samples` in mu-law, in the same shape; what is beyond 16 bits is clipped."""
    return ULAW_CODES.take(whole(samples).view(np.uint16))


def encode_alaw(samples: AnySamples) -> Octets:
    """Return `samples` in A-law, in the same shape; what is beyond 16 bits is clipped."""
    return ALAW_CODES.take(whole(samples).view(np.uint16))


def _decode(octets: Octets, values: Samples, pairs: NDArray[np.complex64]) -> Samples:
    if octets.flags.c_contiguous and octets.ndim and octets.shape[-1] % 2 == 0:
        return pairs.take(octets.view(np.uint16)).view(np.float32)
    return values.take(octets)


def whole(samples: AnySamples) -> NDArray[np.int16]:
    """Return `samples` in whole steps, in the same shape; what is beyond 16 bits is clipped. Whole ones stay."""
    if samples.dtype == np.int16:
        return samples.view(np.int16)
    rounded = np.rint(samples)
    np.clip(rounded, -32768.0, 32767.0, out=rounded)
    return rounded.astype(np.int16)
