"""Time, in one place: the only module of `media` that reads a clock or sleeps.

Everything else is told what time it is. `Schedule` decides when ticks are due and is pure: deadlines are
absolute, so that a late tick does not shift the ones after it, and packets keep leaving at the rate the
RTP clock promises (RFC 3550 section 5.1).
"""

from __future__ import annotations

import time
from typing import Final

TICK_S: Final = 0.020

LATE_S: Final = 0.005
"""A tick that begins this long after its deadline sends its packets late: a listener's buffer notices."""

GIVE_UP_S: Final = 1.0
"""Further behind than this, catching up would only send a burst of stale audio: ticks are skipped."""


def now() -> float:
    """Return seconds on CLOCK_MONOTONIC."""
    return time.monotonic()


def wall() -> float:
    """Return seconds since 1970, by which the kernel stamps packets."""
    return time.time()


def wall_offset_s() -> float:
    """Return what to add to `now()` to get seconds since 1970, for the NTP timestamps of RTCP."""
    return time.time() - time.monotonic()


def left_s(deadline_s: float) -> float:
    """Return how long it is until `deadline_s`; never negative."""
    return max(0.0, deadline_s - time.monotonic())


def sleep_until(deadline_s: float) -> None:
    """Sleep to `deadline_s`, to within the kernel's timer precision (some 50 microseconds)."""
    left = left_s(deadline_s)
    if left:
        time.sleep(left)


class Schedule:
    """Absolute tick deadlines, one every `tick_s`, with a count of those not kept."""

    def __init__(self, start_s: float, tick_s: float = TICK_S) -> None:
        self.deadline_s: float = start_s + tick_s
        self.overruns: int = 0
        self.skipped: int = 0
        self._start_s: float = start_s
        self._tick_s: float = tick_s
        self._tick: int = 1

    def skip(self, now_s: float) -> int:
        """Give up the ticks due before `now_s` if they are more than GIVE_UP_S late; return how many."""
        behind_s = now_s - self.deadline_s
        if behind_s <= GIVE_UP_S:
            return 0
        missed = int(behind_s / self._tick_s)
        self._move(missed)
        self.skipped += missed
        return missed

    def finish(self, now_s: float) -> bool:
        """Go on to the next deadline; True, and counted, if at `now_s` that has passed already."""
        self._move(1)
        overrun = now_s > self.deadline_s
        self.overruns += overrun
        return overrun

    def _move(self, ticks: int) -> None:
        # Multiplied out, not added up: a sum of 20 ms steps drifts by rounding over days.
        self._tick += ticks
        self.deadline_s = self._start_s + self._tick * self._tick_s
