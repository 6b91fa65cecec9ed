"""Sum what a leg hears: foreground, background, later the others of its room, clipped to 16 bits.

A layer that is alone passes as it is, so that what is played reaches the codec to the sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_SAMPLES

Frames = NDArray[np.float32]


def mix(count: int, *layers: Frames | None) -> Frames:
    """Return the sum of `layers`, each float32[count, 160] on the int16 scale or None for silence."""
    heard = [layer for layer in layers if layer is not None]
    if not heard:
        return np.zeros((count, FRAME_SAMPLES), np.float32)
    if len(heard) == 1:
        return heard[0]
    total = heard[0] + heard[1]
    for layer in heard[2:]:
        total += layer
    return np.clip(total, -32768.0, 32767.0, out=total)
