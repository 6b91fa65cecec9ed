"""The figures of a run as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import accumulate
from typing import Final

from ...media.load.messages import Spread
from .figures import Figures, Sample
from .plots import Axis, Point, Series, axis, plot
from .table import limit_text, rows
from .verdict import judge

MOST_POINTS: Final = 4000
"""Of a plot: more cannot be told apart, and only make the page slow."""

LEAST_SHARE: Final = 1e-7
PROCESSES_SHOWN: Final = 5

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2329; --paper: #fff; --rule: #d8dde3; --soft: #5b6b7b }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #15191d; --rule: #333b43; --soft: #9aa7b3 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 800px;
       margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: 0; overflow-wrap: anywhere } h2 { font-size: 1.05rem; margin: 2rem 0 .2rem }
p { margin: .3rem 0; color: var(--soft) } table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
td { border-top: 1px solid var(--rule); padding: .3rem .8rem .3rem 0; vertical-align: top }
td:first-child { white-space: pre; color: var(--soft) }
.verdict { border-left: 4px solid; padding: .3rem .8rem; color: inherit } .good { border-color: #2e9e6b }
.bad { border-color: #c43c3c } .limit { border-color: #d9822b }
section { overflow-x: auto }
svg { width: 100%; min-width: 560px; height: auto } svg text { font: 11px system-ui, sans-serif; fill: var(--soft) }
.legend { font-size: .8rem } .legend span { margin-right: 1rem } .legend i { display: inline-block; width: .7rem;
       height: .7rem; margin-right: .3rem }
.grid { stroke: var(--rule); stroke-width: 1 }
"""


def page(figures: Figures) -> str:
    """Return the page."""
    body = "\n".join([_head(figures), *_verdict(figures), _table(figures), *_plots(figures)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load on {escape(figures.target)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _head(figures: Figures) -> str:
    asked = ", ".join(f"{name} {value}" for name, value in figures.options.items() if value not in (None, "", False))
    machine = f"{figures.machine['processor']}, {figures.machine['cores']} cores, Linux {figures.machine['kernel']}"
    return (
        f"<h1>Load on {escape(figures.target)}</h1>\n<p>{escape(figures.date)}; generator on {escape(machine)}</p>\n"
        f"<p>Asked for: {escape(asked)}. Measured for {figures.measured_s:g} s.</p>"
    )


def _verdict(figures: Figures) -> Iterator[str]:
    verdict = judge(figures)
    if verdict.clean:
        yield '<p class="verdict good">Clean.</p>'
    for complaint in verdict.complaints:
        yield f'<p class="verdict bad">Not clean: {escape(complaint)}.</p>'
    if verdict.limits:
        yield f'<p class="verdict limit">{escape(limit_text(verdict))}</p>'


def _table(figures: Figures) -> str:
    lines = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>\n" for name, text in rows(figures))
    return f"<table>\n{lines}</table>"


def _plots(figures: Figures) -> Iterator[str]:
    yield from _deviation(figures.media.deviation)
    yield from _answers(figures.answers)
    if figures.seconds:
        yield from _over_time(figures.seconds)


def _deviation(spread: Spread) -> Iterator[str]:
    if not spread.count:
        return
    x = axis("deviation from 20 ms, ms", [edge for edge, _ in spread.bins], log=True)
    bars = Series(name="packets", points=decades(spread), kind="bars")
    yield _section(
        "How far packet intervals are from 20 ms",
        "How many packets by their deviation, ten bars a decade.",
        plot([bars], x, axis("share of packets, %", [y for _, y in bars.points])),
    )
    beyond = Series(name="packets", points=exceeding(spread))
    yield _section(
        "How many are further off than that",
        "The share of packets whose interval is off by more than what stands below: 0.01 is where p99 is read off.",
        plot([beyond], x, axis("share of packets", [max(y, LEAST_SHARE) for _, y in beyond.points] + [1.0], log=True)),
    )


def decades(spread: Spread) -> list[Point]:
    """Return the distribution as (middle of a tenth of a decade, percent of all)."""
    sums: dict[int, int] = {}
    for edge, count in spread.bins:
        place = math.ceil(round(10 * math.log10(edge), 6))
        sums[place] = sums.get(place, 0) + count
    return [(10.0 ** ((place - 0.5) / 10), 100 * count / spread.count) for place, count in sorted(sums.items())]


def exceeding(spread: Spread) -> list[Point]:
    """Return (edge, share of the times that lie above it)."""
    below = accumulate(count for _, count in spread.bins)
    return [(edge, 1 - done / spread.count) for (edge, _), done in zip(spread.bins, below, strict=True)][:-1]


def _answers(answers: Sequence[Point]) -> Iterator[str]:
    if not answers:
        return
    shown = [answers[at * len(answers) // MOST_POINTS] for at in range(MOST_POINTS)]
    shown = list(answers) if len(answers) <= MOST_POINTS else shown
    yield _section(
        "From INVITE to answer",
        "Each call, at the time of its answer.",
        plot(
            [Series(name="calls", points=shown, kind="points")],
            axis("seconds since the beginning", [at for at, _ in shown]),
            axis("ms", [took for _, took in shown], log=True),
        ),
    )


def _over_time(seconds: Sequence[Sample]) -> Iterator[str]:
    x = axis("seconds since the beginning", [sample.at_s for sample in seconds])
    yield _section("CPU", "Percent of one core, second by second.", _of_time(x, "% of a core", [*_cpu(seconds)]))
    lost = [
        Series(name="lost packets", points=[(sample.at_s, float(sample.lost)) for sample in seconds], kind="bars"),
    ]
    yield _section("Losses", "Gaps in the sequence numbers, second by second.", _of_time(x, "packets a second", lost))
    worst = [
        Series(name="p99 of the packets", points=[(sample.at_s, sample.deviation_p99_ms) for sample in seconds]),
        Series(name="the generator's own sending, latest", points=[(s.at_s, s.send_late_max_ms) for s in seconds]),
    ]
    yield _section("Deviation", "Milliseconds from 20 ms, second by second.", _of_time(x, "ms", worst))
    live = [Series(name="calls", points=[(sample.at_s, float(sample.live)) for sample in seconds])]
    yield _section("Calls", "How many there are.", _of_time(x, "calls", live))


def _cpu(seconds: Sequence[Sample]) -> Iterator[Series]:
    """The busiest processes of the server, then the generator's two."""
    totals: dict[str, float] = {}
    for sample in seconds:
        for name, percent in sample.server_cpu.items():
            totals[name] = totals.get(name, 0.0) + percent
    for name in sorted(totals, key=lambda one: -totals[one])[:PROCESSES_SHOWN]:
        if totals[name] > 0:
            points = [(sample.at_s, sample.server_cpu.get(name, 0.0)) for sample in seconds]
            yield Series(name=f"server: {name}", points=points)
    yield Series(name="generator: RTP", points=[(sample.at_s, sample.streams_cpu) for sample in seconds])
    yield Series(name="generator: SIPp", points=[(sample.at_s, sample.sipp_cpu) for sample in seconds])


def _of_time(x: Axis, title: str, series: list[Series]) -> str:
    return plot(series, x, axis(title, [value for one in series for _, value in one.points]))


def _section(title: str, text: str, svg: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n{svg}</section>"
