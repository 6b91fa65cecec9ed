"""What pressing a string of keys means, tick by tick: as telephone events (RFC 4733), or as tones (ITU-T Q.23).

A program is computed when keys are to be pressed and then only followed. The report of a tick covers the
20 ms whose audio it replaces, so a key of 100 ms is five reports and the fifth says that it has ended.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_MS, FRAME_SAMPLES, RATE_HZ

EVENT_DIGITS: Final = "0123456789*#ABCD"
"""The keys by event code (RFC 4733 section 3.2, table 3)."""

PAUSES_MS: Final = {",": 500, "w": 500, "W": 1000}

SHORTEST_MS: Final = 40
"""A key or a gap that is shorter need not be recognised (ITU-T Q.24); it is made as long."""

LONGEST_MS: Final = 8000
"""What an event can last before it needs segments (RFC 4733 section 2.5.1.3), less a little; no gap is longer."""

LONGEST_PROGRAM_MS: Final = 600_000
"""A longer string would hold up the tick in which it is compiled."""

END_REPORTS: Final = 3
"""How often the end of an event is reported, as its packet may be lost (RFC 4733 section 2.5.1.4)."""

LOW_HZ: Final = (697, 770, 852, 941)
HIGH_HZ: Final = (1209, 1336, 1477, 1633)
KEYPAD: Final = ("123A", "456B", "789C", "*0#D")
"""Rows share a low frequency, columns a high one (ITU-T Q.23)."""

LOW_PEAK: Final = 8100.0
HIGH_PEAK: Final = 10198.0
"""-9 and -7 dBm0 on the int16 scale, where a sine of full scale is 3.14 dBm0: high tones suffer more on the way."""


class Kind(Enum):
    """What a leg is sent in a tick."""

    AUDIO = auto()  # whatever it hears anyway
    REPORT = auto()  # an event packet instead of audio
    TONE = auto()
    REST = auto()  # silence between tones


class Step(NamedTuple):
    """One tick of a program."""

    kind: Kind
    event: int = 0
    age: int = 0  # samples since the key was pressed
    duration: int = 0  # samples to report
    end: bool = False


Program = tuple[Step, ...]


def compile_digits(digits: str, on_ms: int, off_ms: int, *, inband: bool) -> Program:
    """Return what to do at each tick to press `digits`: 0-9 * # A-D, and `,` `w` `W` to wait.

    `on_ms` and `off_ms`, how long a key is pressed and not, are rounded up to whole ticks and to 40 ms.
    ValueError for another character, for a key or gap of more than 8 s, or for more than ten minutes in all.
    """
    for name, length_ms in (("key", on_ms), ("gap", off_ms)):
        if length_ms > LONGEST_MS:
            raise ValueError(f"a {name} of {length_ms} ms, expected at most {LONGEST_MS}")
    on, off = (-(-max(SHORTEST_MS, length_ms) // FRAME_MS) for length_ms in (on_ms, off_ms))
    in_all_ms = sum(PAUSES_MS.get(key, (on + off) * FRAME_MS) for key in digits)
    if in_all_ms > LONGEST_PROGRAM_MS:
        raise ValueError(f"keys that take {in_all_ms} ms, expected at most {LONGEST_PROGRAM_MS}")
    press = _tones if inband else _reports
    program: list[Step] = []
    for number, key in enumerate(digits):
        if key in PAUSES_MS:
            program += [Step(Kind.AUDIO)] * (PAUSES_MS[key] // FRAME_MS)
        elif key.upper() in EVENT_DIGITS:
            program += press(EVENT_DIGITS.index(key.upper()), on, off)
        else:
            raise ValueError(f"character {number + 1} is {key!r}, expected one of {EVENT_DIGITS + ''.join(PAUSES_MS)}")
    return tuple(program)


def tone(event: int, age: int) -> NDArray[np.float32]:
    """Return 20 ms, float32[160], of the key's two tones, `age` samples after it was pressed."""
    low_hz, high_hz = _FREQUENCIES[EVENT_DIGITS[event]]
    phase = (age + np.arange(FRAME_SAMPLES)) * (2 * np.pi / RATE_HZ)
    return (LOW_PEAK * np.sin(phase * low_hz) + HIGH_PEAK * np.sin(phase * high_hz)).astype(np.float32)


def _reports(event: int, on: int, off: int) -> list[Step]:
    last = on - 1
    steps = [
        Step(Kind.REPORT, event, tick * FRAME_SAMPLES, (min(tick, last) + 1) * FRAME_SAMPLES, tick >= last)
        for tick in range(last + END_REPORTS)
    ]
    return steps + [Step(Kind.AUDIO)] * (on + off - len(steps))


def _tones(event: int, on: int, off: int) -> list[Step]:
    return [Step(Kind.TONE, event, tick * FRAME_SAMPLES) for tick in range(on)] + [Step(Kind.REST)] * off


_FREQUENCIES: Final = {
    key: (low_hz, high_hz) for low_hz, keys in zip(LOW_HZ, KEYPAD, strict=True)
    for high_hz, key in zip(HIGH_HZ, keys, strict=True)
}  # fmt: skip
