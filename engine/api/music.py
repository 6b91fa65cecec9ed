"""The demo's music: a few bars of broken chords, computed once, so that no sound file need be shipped."""

from __future__ import annotations

import io
import math
import sys
import wave
from array import array
from collections.abc import Iterator
from functools import cache
from typing import Final

RATE_HZ: Final = 8000
NOTE_MS: Final = 220
_AMPLITUDE: Final = 9000
_DECAY_S: Final = 0.35
_REFERENCE_HZ: Final = 440.0
_CHORDS: Final = ((57, 60, 64, 69), (53, 57, 60, 65), (48, 52, 55, 60), (55, 59, 62, 67))
"""A minor, F, C, G, as MIDI note numbers; each is played up and down."""


@cache
def music_wav() -> bytes:
    """About 5 s of 8 kHz 16-bit mono in a WAV container."""
    samples = array("h", (sample for note in _melody() for sample in _pluck(note)))
    if sys.byteorder == "big":
        samples.byteswap()
    container = io.BytesIO()
    with wave.open(container, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples.tobytes())
    return container.getvalue()


def _melody() -> Iterator[int]:
    for chord in _CHORDS:
        yield from chord
        yield from (chord[2], chord[1])


def _pluck(note: int) -> Iterator[int]:
    """One plucked note: a fundamental and two partials that fade; it starts and ends at zero, so nothing clicks."""
    step = 2 * math.pi * _REFERENCE_HZ * 2 ** ((note - 69) / 12) / RATE_HZ
    length = RATE_HZ * NOTE_MS // 1000
    for index in range(length):
        edge = min(1.0, index / 40, (length - 1 - index) / 80)
        fade = math.exp(-index / (RATE_HZ * _DECAY_S)) * edge
        tone = math.sin(step * index) + math.sin(2 * step * index) / 3 + math.sin(3 * step * index) / 8
        yield round(_AMPLITUDE * fade * tone / 1.4)
