"""What the benches make of the recordings of pairs: whether all is there, from when to when, and how far it is in step.

The recorded leg is that of the first voice of the pair. What it said is held against when it left that peer, what the
other said against when it came to that peer: so the offset between the two in the recording is compared with that on
the wire, as the recorded peer had it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from voices import Voices, turn

RATE_HZ: Final = 8000
MARGIN_S: Final = 0.2
"""At the ends of a recording a packet may be cut."""
IN_STEP_MS: Final = 20.0
PRESENT: Final = 0.98
"""The share of its packets that a party must have in a recording."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One recording. `begins` and `ends` in seconds of the kernel's clock; `expected` and `found` packets by party.

    `apart_ms`: in each turn, by how much the first party lies later in the recording than on the wire, against the
    second. `delay_ms`: by how much the second does from mouth to mouth, which is the delay of the bridge.
    """

    begins: float
    ends: float
    expected: tuple[int, int]
    found: tuple[int, int]
    apart_ms: list[float]
    delay_ms: list[float]

    @property
    def lasts(self) -> float:
        """How long it is."""
        return self.ends - self.begins

    @property
    def whole(self) -> bool:
        """Whether both parties are there."""
        return all(0 < PRESENT * wanted <= found for wanted, found in zip(self.expected, self.found, strict=True))


def check(voices: Voices, pair: int, samples: np.ndarray) -> Checked:
    """Check the recording of a pair: int16[n] where both are mixed, int16[n, 2] where each has a track."""
    tracks = (samples, samples) if samples.ndim == 1 else (samples[:, 0], samples[:, 1])
    first, second = 2 * pair, 2 * pair + 1
    at = [voices.find(voice, track) for voice, track in zip((first, second), tracks, strict=True)]
    said, came = _offsets(voices.left[first], at[0]), _offsets(voices.came[second], at[1])
    begins = _median(came)
    ends = begins + len(samples) / RATE_HZ
    wire = (voices.left[first], voices.came[second])
    expected = [_within(times, begins + MARGIN_S, ends - MARGIN_S) for times in wire]
    found = [sum(number in places for number in wanted) for wanted, places in zip(expected, at, strict=True)]
    return Checked(
        begins=begins,
        ends=ends,
        expected=(len(expected[0]), len(expected[1])),
        found=(found[0], found[1]),
        apart_ms=_apart_ms(said, came),
        delay_ms=[-ms for ms in _apart_ms(said, _offsets(voices.left[second], at[1]))],
    )


def _offsets(times: dict[int, float], places: dict[int, int]) -> dict[int, float]:
    """When the recording began, as each packet has it that was at a time on the wire and is at a place in the file."""
    return {number: times[number] - at / RATE_HZ for number, at in places.items() if number in times}


def _apart_ms(first: dict[int, float], second: dict[int, float]) -> list[float]:
    """By how much the one is later in the recording than the other, turn by turn."""
    theirs = _by_turn(second)
    return [
        1000 * (theirs[near] - begins)
        for number, begins in _by_turn(first).items()
        if (near := next((each for each in (number + 1, number - 1) if each in theirs), None)) is not None
    ]


def _by_turn(offsets: dict[int, float]) -> dict[int, float]:
    turns: dict[int, list[float]] = defaultdict(list)
    for number, begins in offsets.items():
        turns[turn(number)].append(begins)
    return {number: float(np.median(begins)) for number, begins in turns.items()}


def _within(times: dict[int, float], begins: float, ends: float) -> list[int]:
    return [number for number, at in times.items() if begins < at < ends]


def _median(offsets: dict[int, float]) -> float:
    return float(np.median(list(offsets.values()))) if offsets else 0.0


def summary(checked: list[Checked], wanted: int) -> dict[str, Any]:
    """Return the figures of all recordings, of which so many are wanted: times in ms."""
    apart = np.array([ms for one in checked for ms in one.apart_ms] or [np.inf])
    delay = np.array([ms for one in checked for ms in one.delay_ms] or [np.inf])
    return {
        "recordings": len(checked),
        "missing": wanted - len(checked),
        "without_a_party": sum(not one.whole for one in checked),
        "packets": {"expected": sum(sum(c.expected) for c in checked), "found": sum(sum(c.found) for c in checked)},
        "turns": apart.size,
        "apart_ms": {
            "from": round(float(apart.min()), 2),
            "p50": round(float(np.percentile(apart, 50)), 2),
            "to": round(float(apart.max()), 2),
            "p99": round(float(np.percentile(np.abs(apart), 99)), 2),
            "worst": round(float(np.abs(apart).max()), 2),
        },
        "mouth_to_mouth_ms": {
            "p50": round(float(np.percentile(delay, 50)), 2), "most": round(float(delay.max()), 2),
        },
    }  # fmt: skip


def right(figures: dict[str, Any]) -> bool:
    """Whether every recording is there, with both parties, in step."""
    all_there = not figures["missing"] and not figures["without_a_party"]
    return all_there and figures["apart_ms"]["worst"] <= IN_STEP_MS
