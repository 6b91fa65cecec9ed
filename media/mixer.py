"""Sum what a leg hears: foreground, background, aside, and the others of its room.

A layer that is alone passes as it is, in 16 bits, so that what is played reaches the codec to the sample. Nothing is
clipped before the codec or the recorder, which take no more than 16 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..codecs.g711 import AnySamples

Frames = NDArray[np.float32]
Indices = NDArray[np.intp]


def mix(first: AnySamples, *layers: AnySamples) -> AnySamples:
    """Return the sum of `first` and `layers`, of one shape on the int16 scale, as float32; alone, `first` itself."""
    if not layers:
        return first
    total = first.astype(np.float32)
    for layer in layers:
        total += layer
    return total


def add(frames: AnySamples, at: Indices, more: Frames) -> Frames:
    """Return `frames` with `more` added at the positions `at`, which are distinct; `frames` is not written to."""
    total = frames.astype(np.float32)
    total[at] += more
    return total
