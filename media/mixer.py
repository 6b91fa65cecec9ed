"""Sum what a leg hears: foreground, background, later the others of its room, clipped to 16 bits.

A layer that is alone passes as it is, so that what is played reaches the codec to the sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]


def mix(first: Frames, *layers: Frames) -> Frames:
    """Return the sum of `first` and `layers`, all float32 of one shape on the int16 scale; alone, `first` itself."""
    if not layers:
        return first
    total = first + layers[0]
    for layer in layers[1:]:
        total += layer
    return np.clip(total, -32768.0, 32767.0, out=total)
