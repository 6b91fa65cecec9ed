"""Distributions."""

from __future__ import annotations

import numpy as np
import pytest
from flexml.media.load.histogram import Histogram


def test_quantiles_are_those_of_the_times_to_a_bin() -> None:
    times = np.random.default_rng(1).lognormal(0.0, 1.0, 20_000)
    histogram = Histogram()
    for part in np.array_split(times, 7):
        histogram.add(part)
    spread = histogram.spread()
    assert spread.count == 20_000
    assert spread.p50 == pytest.approx(np.quantile(times, 0.5), rel=0.025)
    assert spread.p99 == pytest.approx(np.quantile(times, 0.99), rel=0.025)
    assert spread.max == pytest.approx(times.max(), abs=1e-4)
    assert sum(count for _, count in spread.bins) == 20_000


def test_the_ends_hold_what_is_beyond_them() -> None:
    histogram = Histogram()
    histogram.add(np.array([-1.0, 0.0, 1e9]))
    assert [count for _, count in histogram.spread().bins] == [2, 1]
    assert histogram.max_ms == 1e9


def test_no_times_have_no_quantiles() -> None:
    histogram = Histogram()
    histogram.add(np.array([]))
    assert histogram.spread().p99 == 0.0


def test_merging_is_adding_and_clearing_forgets() -> None:
    first, second = Histogram(), Histogram()
    first.add(np.array([1.0, 2.0]))
    second.add(np.array([3.0]))
    first.merge(second)
    second.clear()
    assert (first.spread().count, first.max_ms) == (3, 3.0)
    assert (second.spread().count, second.max_ms) == (0, 0.0)
