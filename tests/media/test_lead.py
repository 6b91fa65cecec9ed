"""When packets leave, for work that varies: ticks are numbers here, and time is what the test says it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from flexml.media.clock import TICK_S
from flexml.media.lead import CALM_REVIEWS, GLIDE_S, REVIEW_TICKS, STEPS_S, Lead
from numpy.typing import NDArray


def departures(lead: Lead, work_s: Iterable[float]) -> NDArray[np.float64]:
    """Return how long after the deadlines packets leave that take `work_s` to make; a late tick makes the next late."""
    left: list[float] = []
    behind_s = 0.0
    for work in work_s:
        ready_s = behind_s + work
        left.append(max(ready_s, lead.now_s))
        lead.add(behind_s, ready_s)
        behind_s = max(0.0, left[-1] - TICK_S)
    return np.array(left)


def wavering(least_s: float, most_s: float, ticks: int) -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(least_s, most_s, ticks)


@pytest.mark.parametrize(
    ("least_s", "most_s", "lead_s"),
    [(0.0005, 0.004, 0.005), (0.002, 0.009, 0.010), (0.008, 0.013, 0.015), (0.011, 0.0175, 0.018)],
)
def test_wavering_work_does_not_show_in_when_packets_leave(least_s: float, most_s: float, lead_s: float) -> None:
    left = departures(Lead(), wavering(least_s, most_s, 3000))
    assert left[500:] == pytest.approx(lead_s)


def test_a_change_of_lead_shifts_no_packet_by_more_than_half_a_millisecond() -> None:
    lead = Lead()
    departures(lead, [0.003] * 10)
    seen = [lead.now_s]
    for _ in range(100):
        lead.add(0.0, 0.014)
        seen.append(lead.now_s)
    assert seen[-1] == STEPS_S[2]
    assert np.diff(seen).max() == pytest.approx(GLIDE_S)


def test_rare_long_ticks_and_the_ticks_behind_them_make_nobody_wait() -> None:
    lead = Lead()
    departures(lead, ([0.003] * (REVIEW_TICKS // 2) + [0.065]) * 100)
    assert lead.now_s == STEPS_S[0]


def test_the_lead_goes_back_a_step_after_minutes_in_which_it_was_not_needed() -> None:
    lead = Lead()
    departures(lead, [0.012] * 200)
    assert lead.now_s == STEPS_S[2]
    departures(lead, [0.003] * REVIEW_TICKS * (CALM_REVIEWS - 1))
    assert lead.now_s == STEPS_S[2]
    departures(lead, [0.003] * REVIEW_TICKS * 2)
    assert lead.now_s == STEPS_S[1]


def test_it_does_not_go_back_to_what_would_hardly_do() -> None:
    lead = Lead()
    departures(lead, [0.006] * 200)
    departures(lead, [0.0045] * REVIEW_TICKS * CALM_REVIEWS * 2)
    assert lead.now_s == STEPS_S[1]


def test_beyond_the_last_step_packets_leave_when_they_are_ready() -> None:
    lead = Lead()
    left = departures(lead, [0.019] * 300)
    assert lead.now_s == STEPS_S[-1]
    assert left[-1] == pytest.approx(0.019)
