"""G.711 as the peers have it: tables of the sample that each octet stands for, and the search in them (ITU-T G.711)."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""Audio at 8 kHz in -1..1."""

Codec = Literal[0, 8]
"""The payload types of RFC 3551: PCMU and PCMA."""

SILENT_OCTET: Final = {0: b"\xff", 8: b"\xd5"}


def _ulaw_table() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude) / 32768


def _alaw_table() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    linear = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment > 0, (linear + 0x100) << np.maximum(segment - 1, 0), linear)
    return np.where(code & 0x80, magnitude, -magnitude) / 32768


_SAMPLES: Final = {0: _ulaw_table(), 8: _alaw_table()}


def decode(octets: bytes, codec: int) -> Samples:
    """The samples that `octets` stand for."""
    return _SAMPLES[codec][np.frombuffer(octets, np.uint8)]


def encode(samples: Samples, codec: Codec) -> bytes:
    """For each sample the octet whose own sample is nearest to it."""
    order = np.argsort(_SAMPLES[codec], kind="stable")
    levels = _SAMPLES[codec][order]
    above = np.clip(np.searchsorted(levels, samples), 1, len(levels) - 1)
    nearest = above - (samples - levels[above - 1] < levels[above] - samples)
    return order[nearest].astype(np.uint8).tobytes()
