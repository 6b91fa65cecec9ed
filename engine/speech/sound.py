"""What a synthesiser made, as a file ready to play: one level, one rate, no silence around it.

Runs in the worker processes of the voices. The level is that of speech while there is speech, in the manner of
ITU-T P.56: frames far below the loudest do not count. All voices come out at LEVEL_DBOV unless a peak forbids.
Every file ends in exactly TAIL_MS of what followed the last sound, so that whoever joins files knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from numpy.typing import NDArray

from .voices import TAIL_MS

LEVEL_DBOV: Final = -20.0
PEAK_DBOV: Final = -1.0
ACTIVE_DB: Final = 26.0
"""A frame this far below the loudest is none of speech."""
FRAME_MS: Final = 20
QUIET: Final = 100 / 32768
LEAD_MS: Final = 20

Samples = NDArray[np.float32]
Synthesise = Callable[[dict[str, Any]], tuple[Samples, int]]


def answer(synthesise: Synthesise) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A request handler: `synthesise` gives float32[n] within ±1 and its rate, the file `target` gets `rate_hz`."""

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        samples, from_hz = synthesise(request)
        return {"samples": write(finish(samples, from_hz, request["rate_hz"]), Path(request["target"]))}

    return handle


def pcm16(octets: bytes) -> Samples:
    """Little-endian 16-bit PCM as samples; an odd octet at the end is none."""
    return np.frombuffer(octets[: len(octets) & ~1], "<i2").astype(np.float32) * np.float32(1 / 32768)


def one(chunks: Sequence[object]) -> Samples:
    """Chunks of float samples as one."""
    return np.concatenate([np.zeros(0, np.float32), *(np.asarray(chunk, np.float32) for chunk in chunks)])


def finish(samples: Samples, from_hz: int, rate_hz: int) -> NDArray[np.int16]:
    """`samples` at `rate_hz`, levelled and trimmed; no sound at all becomes TAIL_MS of silence."""
    if samples.size and from_hz != rate_hz:
        samples = soxr.resample(samples, from_hz, rate_hz, "HQ")
    levelled = trim(samples * gain(samples, rate_hz), rate_hz)
    return np.round(levelled * 32767).astype("<i2")


def gain(samples: Samples, rate_hz: int) -> float:
    """The factor that brings `samples` to LEVEL_DBOV, or as near as PEAK_DBOV lets them."""
    peak = float(np.abs(samples).max(initial=0))
    if peak < QUIET:
        return 1.0
    frames = samples[: samples.size - samples.size % _samples(FRAME_MS, rate_hz)].reshape(
        -1, _samples(FRAME_MS, rate_hz)
    )
    powers = (frames.astype(np.float64) ** 2).mean(axis=1) if frames.size else np.array([peak**2])
    active = powers[powers > powers.max() * 10 ** (-ACTIVE_DB / 10)]
    level = float(np.sqrt(active.mean())) if active.size else peak
    return min(10 ** (LEVEL_DBOV / 20) / level, 10 ** (PEAK_DBOV / 20) / peak)


def trim(samples: Samples, rate_hz: int) -> Samples:
    """At most LEAD_MS before the first sound, TAIL_MS after the last."""
    tail = np.zeros(_samples(TAIL_MS, rate_hz), np.float32)
    loud = np.flatnonzero(np.abs(samples) >= QUIET)
    if not loud.size:
        return tail
    first, last = max(0, int(loud[0]) - _samples(LEAD_MS, rate_hz)), int(loud[-1]) + 1
    return np.concatenate([samples[first:], tail])[: last - first + tail.size]


def write(samples: NDArray[np.int16], target: Path) -> int:
    """Write the file, whole or not at all; gives the number of samples."""
    target.parent.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the cache
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_bytes(samples.tobytes())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return samples.size


def _samples(ms: int, rate_hz: int) -> int:
    return ms * rate_hz // 1000
