"""The page: complete in itself, well-formed, and with what was found in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from flexml.engine.load.page import decades, exceeding, page
from flexml.engine.load.plots import Axis, Series, axis, plot
from flexml.media.load.messages import Spread
from load_figures import SPREAD, figures, result


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = page(figures())
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\(", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_plots_are_well_formed_and_told_apart() -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", page(figures()))
    assert titles == [
        "How far packet intervals are from 20 ms", "How many are further off than that", "From INVITE to answer",
        "CPU", "Losses", "Deviation", "Calls",
    ]  # fmt: skip
    drawings = re.findall(r"<svg.*?</svg>", page(figures()))
    assert len(drawings) == len(titles)
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_what_the_server_says_is_no_markup() -> None:
    text = page(figures(calls={"failed": 1, "reasons": {"600 <script>alert(1)</script>": 1}}))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "some &lt;fast&gt; one" in text


def test_the_judgement_stands_on_it() -> None:
    assert "Clean." in page(figures())
    text = page(figures(media=result(lost=9999), generator={"sipp_cpu_percent": 99.0}))
    assert "Not clean" in text
    assert "may be its own fault, not the server&#x27;s: SIPp took 99 % of a core." in text


def test_a_run_in_which_nothing_came_has_a_page_too() -> None:
    nothing = result(received=0, deviation=Spread(), first_packet=Spread(), send_late=Spread())
    text = page(figures(media=nothing, answers=[], seconds=[], server=None, calls={"answered": 0}))
    assert "<svg" not in text
    assert "no call was answered" in text


def test_many_answers_are_thinned() -> None:
    text = page(figures(answers=[(n / 100, 3.0) for n in range(50_000)], seconds=[]))
    assert text.count("<circle") == 4000


def test_distributions_become_shares() -> None:
    assert sum(share for _, share in decades(SPREAD)) == pytest.approx(100)
    assert exceeding(SPREAD) == [(0.01, 0.6), (0.02, pytest.approx(0.2)), (0.5, pytest.approx(0.01))]


@pytest.mark.parametrize(
    ("made", "ticks"),
    [
        (axis("x", [0.3, 17.0]), [0, 5, 10, 15, 20]),
        (axis("x", []), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (axis("x", [0.02, 30.0], log=True), [0.01, 0.1, 1, 10, 100]),
        (axis("x", [0.0, -1.0], log=True), [0.1, 1]),
    ],
)
def test_axes_have_round_ticks(made: Axis, ticks: list[float]) -> None:
    assert made.ticks() == pytest.approx(ticks)


def test_points_lie_where_their_values_are() -> None:
    x, y = Axis(title="x", low=0, high=10), Axis(title="y", low=1, high=100, log=True)
    drawing = plot([Series(name="one", points=[(0, 1), (5, 10), (10, 100), (20, 0.1)])], x, y)
    found = re.search(r'points="([^"]*)"', drawing)
    assert found is not None
    # 720 x 260 with margins of 64, 16, 12 and 40; what is beyond an axis lies at its end.
    assert found[1] == "64.0,220.0 384.0,116.0 704.0,12.0 704.0,220.0"
