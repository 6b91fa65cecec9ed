"""Whether a run was clean, and whether it says something of the server or of the generator that could not do more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .figures import Figures

CLEAN_DEVIATION_MS: Final = 10.0
"""p99 of how far packet intervals are from 20 ms: half a packet's time, which any jitter buffer takes."""

CLEAN_MISSING_PERCENT: Final = 0.1

BUSY_PERCENT: Final = 90.0
"""Of a core; beyond it a process has no time left to be punctual."""

SEND_LATE_MS: Final = 5.0
"""p99; a quarter of a packet's time."""

STOLEN_PERCENT: Final = 5.0
RATE_SHARE: Final = 0.95


@dataclass(frozen=True)
class Verdict:
    """`complaints` say what was not clean, `limits` by what the generator was held up."""

    complaints: tuple[str, ...]
    limits: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.complaints


def judge(figures: Figures) -> Verdict:
    """Return the judgement on a run."""
    return Verdict(tuple(_complaints(figures)), tuple(_limits(figures)))


def _complaints(figures: Figures) -> list[str]:
    calls, media = figures.calls, figures.media
    found: list[str] = []
    if not calls.answered:
        found.append("no call was answered")
    if calls.failed:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in calls.reasons.items())
        found.append(f"{calls.failed} of {calls.placed} calls failed" + (f" ({reasons})" if reasons else ""))
    if calls.cut_short and figures.options.get("hold") is None:
        found.append(f"the server ended {calls.cut_short} calls that were to be held")
    if media.deviation.p99 >= CLEAN_DEVIATION_MS:
        found.append(
            f"p99 of the packet interval deviation is {media.deviation.p99:.1f} ms, expected below "
            f"{CLEAN_DEVIATION_MS:g} ms"
        )
    if figures.missing_percent >= CLEAN_MISSING_PERCENT:
        found.append(
            f"{figures.missing_percent:.2f} % of the packets were lost or never sent, expected below "
            f"{CLEAN_MISSING_PERCENT:g} %"
        )
    if media.silent_streams:
        found.append(f"on {media.silent_streams} calls not a single packet came")
    if figures.options.get("echo") and media.digits_lost:
        found.append(f"{media.digits_lost} of {media.digits_sent} digits were not heard back")
    return found


def _limits(figures: Figures) -> list[str]:
    generator, media = figures.generator, figures.media
    found: list[str] = []
    if media.send_late.p99 > SEND_LATE_MS or media.send_skipped:
        left_out = f", {media.send_skipped} turns left out" if media.send_skipped else ""
        found.append(f"its own packets left late (p99 {media.send_late.p99:.1f} ms{left_out})")
    if media.receive_drops:
        found.append(f"the kernel threw away {media.receive_drops} packets that it did not fetch in time")
    for name, percent in (("its RTP process", generator.streams_cpu_percent), ("SIPp", generator.sipp_cpu_percent)):
        if percent > BUSY_PERCENT:
            found.append(f"{name} took {percent:.0f} % of a core")
    together = generator.streams_cpu_percent + generator.sipp_cpu_percent
    if generator.core is not None and together > BUSY_PERCENT and not found:
        found.append(f"core {generator.core}, which it has to itself at best, was {together:.0f} % busy with it")
    if generator.stolen_percent > STOLEN_PERCENT:
        found.append(f"the hypervisor took {generator.stolen_percent:.0f} % of this machine's time")
    if figures.options.get("hold") is not None and not figures.calls.failed and _slow(figures):
        found.append(f"it placed {figures.calls.rate:.1f} calls/s of the {generator.rate_asked:g} asked for")
    return found


def _slow(figures: Figures) -> bool:
    """Whether fewer calls were placed than asked for, although there was room for more."""
    generator, calls = figures.generator, figures.calls
    full = max((sample.live for sample in figures.seconds), default=0) >= int(figures.options.get("calls", 0))
    return calls.rate < RATE_SHARE * generator.rate_asked and not full
