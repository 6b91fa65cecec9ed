"""What Prometheus is told."""

from __future__ import annotations

import re
from pathlib import Path

from flexml.engine.metrics import Metrics, Sources, WorkerFigures
from prometheus_client.parser import text_string_to_metric_families

WORKER = WorkerFigures(
    name="worker 1",
    up=True,
    legs=7,
    load=0.25,
    tick_p50_ms=5.0,
    tick_max_ms=9.5,
    overruns=1,
    late_packets=3,
    beat_age_s=0.7,
    restarts=2,
)


def test_everything_is_told_in_base_units() -> None:
    metrics = Metrics(
        Sources(
            live_calls=lambda: 2,
            ended=lambda: {("inbound", "completed"): 5, ("outbound", "busy"): 1},
            refused=lambda: 4,
            lag_s=lambda: 0.012,
            workers=lambda: [WORKER],
            database_up=lambda: False,
            database_s=lambda: 0.7,
        )
    )
    said = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    assert said == {
        ("flexml_live_calls",): 2,
        ("flexml_calls_ended_total", "inbound", "completed"): 5,
        ("flexml_calls_ended_total", "outbound", "busy"): 1,
        ("flexml_calls_refused_total",): 4,
        ("flexml_loop_lag_seconds",): 0.012,
        ("flexml_database_up",): 0,
        ("flexml_database_seconds",): 0.7,
        ("flexml_worker_up", "worker 1"): 1,
        ("flexml_worker_beat_age_seconds", "worker 1"): 0.7,
        ("flexml_worker_restarts_total", "worker 1"): 2,
        ("flexml_worker_legs", "worker 1"): 7,
        ("flexml_worker_load_ratio", "worker 1"): 0.25,
        ("flexml_worker_tick_seconds", "worker 1"): 0.005,
        ("flexml_worker_tick_max_seconds", "worker 1"): 0.0095,
        ("flexml_worker_overruns_total", "worker 1"): 1,
        ("flexml_worker_late_packets_total", "worker 1"): 3,
    }
    documented = (Path(__file__).parents[2] / "docs/performance.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(flexml_\w+)`", documented)) == {name for name, *_ in said}
