"""Absolute deadlines: late ticks do not shift later ones, and only a long stall gives ticks up."""

from __future__ import annotations

import pytest
from flexml.media import clock
from flexml.media.clock import Schedule


def test_deadlines_are_multiples_of_the_tick_after_days() -> None:
    schedule = Schedule(1000.0)
    for _ in range(100_000):
        schedule.finish(0.0)
    assert schedule.deadline_s == 1000.0 + 100_001 * 0.02


def test_a_late_tick_does_not_move_the_next_deadline() -> None:
    schedule = Schedule(0.0)
    assert schedule.finish(0.075)  # due at 0.02, over after 0.04
    assert schedule.finish(0.076)
    assert not schedule.finish(0.079)
    assert (schedule.overruns, schedule.deadline_s) == (2, pytest.approx(0.08))


@pytest.mark.parametrize(("now_s", "missed"), [(0.02, 0), (0.9, 0), (1.02, 0), (1.05, 51), (10.01, 499)])
def test_ticks_are_given_up_only_when_more_than_a_second_behind(now_s: float, missed: int) -> None:
    schedule = Schedule(0.0)
    assert schedule.skip(now_s) == missed
    assert schedule.skipped == missed
    assert schedule.skip(now_s) == 0
    if missed:
        assert now_s - 0.02 < schedule.deadline_s <= now_s


def test_waiting_never_ends_before_a_deadline() -> None:
    deadline_s = clock.now() + 0.0045
    assert 0.0 < clock.left_s(deadline_s) <= 0.0045
    clock.sleep_until(deadline_s)
    assert clock.now() >= deadline_s
    assert clock.left_s(deadline_s) == 0.0
    clock.sleep_until(deadline_s)
