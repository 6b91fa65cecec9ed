"""Sum what a leg hears: foreground, background, aside, and the others of its room.

A layer that is alone passes as it is, so that what is played reaches the codec to the sample. Nothing is clipped
before the codec or the recorder, which take no more than 16 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]
Indices = NDArray[np.intp]


def mix(first: Frames, *layers: Frames) -> Frames:
    """Return the sum of `first` and `layers`, all float32 of one shape on the int16 scale; alone, `first` itself."""
    if not layers:
        return first
    total = first + layers[0]
    for layer in layers[1:]:
        total += layer
    return total


def add(frames: Frames, at: Indices, more: Frames) -> Frames:
    """Return `frames` with `more` added at the positions `at`, which are distinct; `frames` is not written to."""
    total = frames.copy()
    total[at] += more
    return total
