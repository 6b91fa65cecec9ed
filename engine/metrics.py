"""What `GET /metrics` tells Prometheus: read when it is asked for, so that counting costs a call nothing.

Names follow Prometheus's conventions: base units, `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFigures:
    """A media worker. `load` is the share of its time that it works; tick times are those of the last second.

    It gives a sign every second: `beat_age_s` is how long ago it did; it is `up` while it does.
    """

    name: str
    up: bool
    legs: int
    load: float
    tick_p50_ms: float
    tick_max_ms: float
    overruns: int
    late_packets: int
    beat_age_s: float = 0.0
    restarts: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where figures come from. `ended` counts calls by direction and status."""

    live_calls: Callable[[], int]
    ended: Callable[[], Mapping[tuple[str, str], int]]
    refused: Callable[[], int]
    lag_s: Callable[[], float]
    workers: Callable[[], Sequence[WorkerFigures]]
    database_up: Callable[[], bool] = lambda: True
    database_s: Callable[[], float] = lambda: 0.0


class Metrics(Collector):
    """Collects from `sources`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        sources = self._sources
        yield GaugeMetricFamily("flexml_live_calls", "Calls that are alive.", sources.live_calls())
        ended = CounterMetricFamily("flexml_calls_ended", "Calls that are over.", labels=["direction", "status"])
        for labels, count in sources.ended().items():
            ended.add_metric(labels, count)
        yield ended
        yield CounterMetricFamily("flexml_calls_refused", "INVITEs refused for lack of room.", sources.refused())
        yield GaugeMetricFamily("flexml_loop_lag_seconds", "How late the event loop was at worst.", sources.lag_s())
        up = "Whether the database did what it was asked last."
        yield GaugeMetricFamily("flexml_database_up", up, sources.database_up())
        took = "How long a transaction took at worst in the last 10 to 20 s, or is under way."
        yield GaugeMetricFamily("flexml_database_seconds", took, sources.database_s())
        yield from _of_workers(sources.workers())


def _of_workers(workers: Sequence[WorkerFigures]) -> Iterable[Metric]:
    gauges: list[tuple[str, str, Callable[[WorkerFigures], float]]] = [
        ("flexml_worker_up", "Whether the worker runs and gives signs.", lambda worker: worker.up),
        ("flexml_worker_beat_age_seconds", "How long ago it gave a sign.", lambda worker: worker.beat_age_s),
        ("flexml_worker_legs", "Legs it carries.", lambda worker: worker.legs),
        ("flexml_worker_load_ratio", "Share of its time that it works.", lambda worker: worker.load),
        ("flexml_worker_tick_seconds", "Work of a tick, median.", lambda worker: worker.tick_p50_ms / 1000),
        ("flexml_worker_tick_max_seconds", "Work of a tick, longest.", lambda worker: worker.tick_max_ms / 1000),
    ]
    counters: list[tuple[str, str, Callable[[WorkerFigures], float]]] = [
        ("flexml_worker_overruns", "Ticks that were not done before the next was due.", lambda each: each.overruns),
        ("flexml_worker_late_packets", "Packets that left too late.", lambda each: each.late_packets),
        ("flexml_worker_restarts", "How often it was replaced.", lambda each: each.restarts),
    ]
    for kind, metrics in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
        for name, text, figure in metrics:
            family = kind(name, text, labels=["worker"])
            for worker in workers:
                family.add_metric([worker.name], figure(worker))
            yield family
