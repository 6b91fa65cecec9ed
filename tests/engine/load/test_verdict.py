"""What is clean, what is not, and what is the generator's fault."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from flexml.engine.load.figures import Figures, times
from flexml.engine.load.record import as_json
from flexml.engine.load.table import limit_text
from flexml.engine.load.verdict import judge
from flexml.media.load.messages import Spread
from load_figures import figures, result

SHORT: Final = {"hold": 1.0}


def test_a_run_with_nothing_against_it_is_clean() -> None:
    verdict = judge(figures())
    assert (verdict.clean, verdict.complaints, verdict.limits) == (True, (), ())


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (figures(calls={"failed": 3, "reasons": {"503 Service Unavailable": 3}}), "3 of 50 calls failed (3 x 503"),
        (figures(calls={"answered": 0}), "no call was answered"),
        (figures(calls={"cut_short": 2}), "the server ended 2 calls"),
        (figures(media=result(deviation=Spread(count=9, p99=10.0))), "deviation is 10.0 ms"),
        (figures(media=result(lost=60, never_sent=50)), "0.11 % of the packets"),
        (figures(media=result(silent_streams=1)), "on 1 calls not a single packet came"),
        (figures(media=result(digits_sent=9, digits_lost=1), options={"echo": True}), "1 of 9 digits"),
    ],
)
def test_what_is_wrong_is_said(found: Figures, complaint: str) -> None:
    (said,) = judge(found).complaints
    assert complaint in said


@pytest.mark.parametrize(
    "found",
    [
        figures(media=result(deviation=Spread(count=9, p99=9.99))),
        figures(media=result(lost=50, never_sent=49)),
        figures(calls={"cut_short": 2}, options={"hold": 3.0}),
        figures(media=result(digits_sent=9, digits_lost=9)),
    ],
)
def test_what_is_allowed_is_not_complained_of(found: Figures) -> None:
    assert judge(found).clean


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        (figures(media=result(send_late=Spread(count=9, p99=5.1))), "left late (p99 5.1 ms)"),
        (figures(media=result(send_skipped=4)), "4 turns left out"),
        (figures(media=result(receive_drops=7)), "threw away 7 packets"),
        (figures(generator={"streams_cpu_percent": 91.0}), "its RTP process took 91 %"),
        (figures(generator={"sipp_cpu_percent": 95.0}), "SIPp took 95 %"),
        (figures(generator={"streams_cpu_percent": 60.0, "sipp_cpu_percent": 35.0, "core": 1}), "core 1"),
        (figures(generator={"stolen_percent": 6.0}), "hypervisor took 6 %"),
        (figures(calls={"rate": 80.0}, generator={"rate_asked": 100.0}, options=SHORT | {"calls": 99}), "80.0 calls/s"),
    ],
)  # fmt: skip
def test_limits_of_the_generator_are_known(found: Figures, limit: str) -> None:
    (said,) = judge(found).limits
    assert limit in said


def test_a_server_that_lets_no_more_calls_in_is_no_limit_of_the_generator() -> None:
    full = figures(calls={"rate": 80.0}, generator={"rate_asked": 100.0}, options={"hold": 1.0, "calls": 50})
    assert judge(full).limits == ()


def test_who_was_the_limit_is_said_in_words() -> None:
    late: dict[str, Any] = {"send_late": Spread(count=9, p99=30.0)}
    bad = judge(figures(media=result(lost=9999, **late)))
    assert limit_text(bad).startswith("The generator was at its limit, so what is wrong may be its own fault")
    good = judge(figures(media=result(**late)))
    assert limit_text(good).startswith("The generator was at its limit, so the server may be better")


def test_the_judgement_is_in_the_json() -> None:
    found = json.loads(as_json(figures(media=result(lost=5000), generator={"sipp_cpu_percent": 99.0})))
    assert found["clean"] is False
    assert found["missing_percent"] == pytest.approx(4.7619)
    assert len(found["complaints"]) == len(found["generator_limits"]) == 1
    assert found["media"]["deviation"]["p99"] == 0.5
    assert found["server"]["processes"][0]["name"] == "worker"


def test_times_are_by_nearest_rank() -> None:
    found = times([float(n) for n in range(1, 101)])
    assert (found.count, found.p50, found.p99, found.max) == (100, 50.0, 99.0, 100.0)
    assert times([]).count == 0
    assert times([3.0]).p99 == 3.0
