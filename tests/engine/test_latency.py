"""The longest of what has ended of late, and of what has not."""

from __future__ import annotations

import pytest
from flexml.engine.latency import WINDOW_S, Latency


def test_the_longest_counts_until_it_is_old_and_what_is_under_way_counts_at_once() -> None:
    now = 1000.0
    latency = Latency(lambda: now)
    assert latency.worst_s == 0.0
    with latency.measuring():
        now += 3.0
        assert latency.worst_s == 3.0
        with latency.measuring():
            now += 0.5
            assert latency.worst_s == 3.5
    assert latency.worst_s == 3.5
    now = 1000.0 + WINDOW_S + 1.0
    with latency.measuring():
        now += 1.0
    assert latency.worst_s == 3.5
    now += WINDOW_S
    assert latency.worst_s == 1.0
    now += 2 * WINDOW_S
    assert latency.worst_s == 0.0


def test_what_fails_took_its_time_too() -> None:
    now = 1000.0
    latency = Latency(lambda: now)

    def fail() -> None:
        nonlocal now
        with latency.measuring():
            now += 2.0
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert latency.worst_s == 2.0
