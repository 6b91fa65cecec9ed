"""The figures of a run on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import Figures, Times
from .verdict import Verdict, judge

Row = tuple[str, str]


def show(figures: Figures, console: Console) -> None:
    """Print the figures, then whether all was well, then by what the generator was held up, if it was."""
    table = Table(title=f"{figures.target}, {figures.date}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows(figures):
        table.add_row(name, Text(text))
    console.print(table)
    verdict = judge(figures)
    for complaint in verdict.complaints:
        console.print(Text(f"not clean: {complaint}", style="red"), soft_wrap=True)
    if verdict.clean:
        console.print(Text("clean", style="green"))
    if verdict.limits:
        console.print(Text(limit_text(verdict), style="yellow"), soft_wrap=True)


def limit_text(verdict: Verdict) -> str:
    """Say in plain words whether these figures are the generator's rather than the server's."""
    why = "; ".join(verdict.limits)
    if verdict.clean:
        return f"The generator was at its limit, so the server may be better than these figures: {why}."
    return f"The generator was at its limit, so what is wrong may be its own fault, not the server's: {why}."


def rows(figures: Figures) -> Iterator[Row]:
    """Return what is shown, name by name."""
    yield from _calls(figures)
    yield from _media(figures)
    yield from _server(figures)
    yield from _generator(figures)


def _calls(figures: Figures) -> Iterator[Row]:
    calls = figures.calls
    rate = "" if figures.options.get("hold") is None else f" ({calls.rate:g}/s)"
    yield (
        "calls",
        f"{calls.placed} placed{rate}, {calls.answered} answered, {calls.failed} failed, "
        f"{calls.held:g} held, {calls.cut_short} ended by the server",
    )
    for reason, count in calls.reasons.items():
        yield "  failed", f"{count} x {reason}"
    yield "answer (INVITE to 200)", spread(figures.answer)


def _media(figures: Figures) -> Iterator[Row]:
    media = figures.media
    yield "first packet after it", spread(media.first_packet)
    yield "packet interval deviation", spread(media.deviation)
    yield (
        "packets",
        f"{media.received} came, {media.lost} lost, {media.never_sent} never sent "
        f"({figures.missing_percent:.3f} % missing), {media.duplicates} twice, {media.reordered} overtaken",
    )
    yield "late packets", f"{media.late_10} by more than 10 ms, {media.late_40} by more than 40 ms"
    if media.digits_sent:
        heard = f", {media.digits_heard} heard back, {media.digits_lost} lost" if figures.options.get("echo") else ""
        yield "digits", f"{media.digits_sent} sent{heard}"


def _server(figures: Figures) -> Iterator[Row]:
    server = figures.server
    if server is None:
        return
    yield (
        "server CPU",
        f"{server.cpu_percent:.1f} % of a core, {server.cpu_percent_per_call:.4f} % per call held, "
        f"{server.cpu_ms_per_call_placed:.1f} ms per call placed",
    )
    for share in server.processes:
        if share.cpu_percent >= 0.05:
            yield f"  {share.name}", f"{share.cpu_percent:.1f} %"
    if server.memory_kb_per_call is not None:
        before, after = (server.memory_before_kb or 0) / 1024, (server.memory_with_calls_kb or 0) / 1024
        each = f"{round(server.memory_kb_per_call)} KB per call held"
        yield "server memory", f"{before:.0f} MB before, {after:.0f} MB with calls, {each}"


def _generator(figures: Figures) -> Iterator[Row]:
    generator, media = figures.generator, figures.media
    where = f" on core {generator.core}" if generator.core is not None else ""
    how = "io_uring" if generator.batched else "one system call a packet"
    yield (
        "generator",
        f"RTP {generator.streams_cpu_percent:.1f} % of a core ({how}), SIPp {generator.sipp_cpu_percent:.1f} %{where}; "
        f"packets sent late: p50 {media.send_late.p50:.2f} ms, p99 {media.send_late.p99:.2f} ms; "
        f"{media.receive_drops} dropped on arrival, {generator.retransmissions} SIP retransmissions, "
        f"{generator.stolen_percent:.1f} % stolen",
    )


def spread(found: Times | object) -> str:
    """Say how times are distributed."""
    count, p50, p99, most = (getattr(found, name) for name in ("count", "p50", "p99", "max"))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.2f} ms" if count else "none"
