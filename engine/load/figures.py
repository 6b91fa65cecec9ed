"""What a load run came to, as data: everything that its table, its page and its JSON show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from ...media.load.messages import Result


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Some times in ms."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


def times(values: Sequence[float]) -> Times:
    """Return how `values` (ms) are distributed, by nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return Times()

    def rank(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)

    return Times(count=len(ordered), p50=rank(0.5), p99=rank(0.99), max=rank(1.0))


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """Calls by how they went; `held` is how many lived when it counted, on average."""

    placed: int
    answered: int
    failed: int
    cut_short: int  # by the server, before their time
    held: float
    rate: float  # placed a second
    reasons: dict[str, int]  # of failures


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of the server took."""

    name: str
    pid: int
    cpu_percent: float  # of one core


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What the server took, where it runs on this machine. CPU in percent of one core."""

    cpu_percent: float
    cpu_percent_per_call: float
    cpu_ms_per_call_placed: float
    processes: list[Share]
    memory_before_kb: int | None
    memory_with_calls_kb: int | None
    memory_kb_per_call: float | None


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator took, in percent of one core, and how it fared."""

    streams_cpu_percent: float
    sipp_cpu_percent: float
    retransmissions: int
    stolen_percent: float  # of all cores together, by the hypervisor
    batched: bool
    core: int | None
    rate_asked: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One second. CPU in percent of one core, packets of that second."""

    at_s: float
    live: int
    received: int
    lost: int
    deviation_p99_ms: float
    deviation_max_ms: float
    send_late_max_ms: float
    server_cpu: dict[str, float]
    streams_cpu: float
    sipp_cpu: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    target: str
    date: str
    machine: dict[str, str]
    options: dict[str, Any]
    measured_s: float
    calls: Calls
    answer: Times
    answers: list[tuple[float, float]]  # seconds since the beginning, ms
    media: Result
    server: Server | None
    generator: Generator
    seconds: list[Sample]

    @property
    def missing_percent(self) -> float:
        """Packets lost or never sent, in percent of those that there should have been."""
        missing = self.media.lost + self.media.never_sent
        due = self.media.received + missing
        return 100 * missing / due if due else 0.0
