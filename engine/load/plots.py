"""Plots as SVG, by hand: axes with round ticks, lines, points and bars, and a legend where there is more than one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final, Literal

Point = tuple[float, float]
Kind = Literal["line", "points", "bars"]

WIDTH: Final = 720
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 40
COLOURS: Final = ("#2f6fde", "#d9822b", "#2e9e6b", "#b24a9f", "#8a6d3b", "#5b6b7b", "#c43c3c", "#3aa6b9")
TICKS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Series:
    """Some points of one kind under one name."""

    name: str
    points: Sequence[Point]
    kind: Kind = "line"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis from `low` to `high`; a `log` one shows nothing at or below 0."""

    title: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return where `value` lies, 0 .. 1; what is beyond an end lies there."""
        low, high, value = (self._scaled(one) for one in (self.low, self.high, max(value, self.low)))
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.0

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[float]:
        """Return round values to write at the axis."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1) if self.low <= 10.0**power <= self.high * 1.001]
        step = _round_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [round(count * step, 9) for count in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis(title: str, values: Iterable[float], *, log: bool = False) -> Axis:
    """Return an axis that holds `values`, from 0 or, where it is `log`, from a power of ten."""
    found = [value for value in values if not log or value > 0]
    if log:
        low, high = min(found, default=0.1), max(found, default=1.0)
        low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
        return Axis(title=title, low=low, high=high if high > low else 10 * low, log=True)
    top = max(found, default=0.0)
    step = _round_step(top / TICKS) if top > 0 else 1.0
    return Axis(title=title, low=0.0, high=max(math.ceil(top / step), 1) * step)


def plot(series: Sequence[Series], x: Axis, y: Axis) -> str:
    """Return the SVG of `series` between two axes, below a legend where there are several."""
    drawn = [_DRAW[one.kind](_placed(one, x, y), COLOURS[at % len(COLOURS)]) for at, one in enumerate(series)]
    legend = _legend([one.name for one in series]) if len(series) > 1 else ""
    label = escape(f"{y.title} over {x.title}")
    return (
        f'{legend}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join([*_grid(x, y), *drawn])}</svg>"
    )


def number(value: float) -> str:
    """Write a tick: no more digits than it needs."""
    return f"{value:g}" if 1e-4 <= abs(value) < 1e6 or value == 0 else f"{value:.0e}"


def _round_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _placed(series: Series, x: Axis, y: Axis) -> list[Point]:
    """Return the points in the picture's own units."""
    shown = [(a, b) for a, b in series.points if not (x.log and a <= 0)]
    if series.kind == "points":
        shown = [(a, b) for a, b in shown if not (y.log and b <= 0)]
    return [(_across(x.place(a)), _down(y.place(b))) for a, b in shown]


def _across(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _down(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _line(points: list[Point], colour: str) -> str:
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{_joined(points)}"/>'


def _points(points: list[Point], colour: str) -> str:
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="1.8"/>' for x, y in points)
    return f'<g fill="{colour}" fill-opacity="0.6">{dots}</g>'


def _bars(points: list[Point], colour: str) -> str:
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    width = max(1.0, round(min(gaps, default=6.0) * 0.8, 1))
    bars = "".join(
        f'<rect x="{x - width / 2:.1f}" y="{y}" width="{width}" height="{_down(0) - y:.1f}"/>' for x, y in points
    )
    return f'<g fill="{colour}" fill-opacity="0.8">{bars}</g>'


_DRAW: Final[dict[Kind, Callable[[list[Point], str], str]]] = {"line": _line, "points": _points, "bars": _bars}


def _joined(points: list[Point]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _grid(x: Axis, y: Axis) -> list[str]:
    parts: list[str] = []
    for value in y.ticks():
        at = _down(y.place(value))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>')
    for value in x.ticks():
        at = _across(x.place(value))
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{number(value)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.title)}</text>'
    )
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y.title)}</text>'
    )
    return parts


def _legend(names: list[str]) -> str:
    entries = "".join(
        f'<span><i style="background:{COLOURS[at % len(COLOURS)]}"></i>{escape(name)}</span>'
        for at, name in enumerate(names)
    )
    return f'<div class="legend">{entries}</div>'
