"""Figures of a run that never was."""

from __future__ import annotations

from typing import Any

import msgspec
from flexml.engine.load.figures import Calls, Figures, Generator, Sample, Server, Share, Times
from flexml.media.load.messages import Result, Spread

SPREAD = Spread(count=1000, p50=0.02, p99=0.5, max=3.0, bins=[(0.01, 400), (0.02, 400), (0.5, 190), (3.0, 10)])


def result(**more: Any) -> Result:
    counts: dict[str, Any] = dict.fromkeys(
        (
            "lost", "never_sent", "duplicates", "reordered", "restarts", "late_10", "late_40", "silent_streams",
            "worst_stream_lost", "send_skipped", "receive_drops", "digits_sent", "digits_heard", "digits_lost",
        ),
        0,
    )  # fmt: skip
    spreads: dict[str, Any] = {"deviation": SPREAD, "first_packet": SPREAD, "send_late": SPREAD}
    counts |= spreads | {"received": 100_000, "sent": 100_000} | more
    return Result(**counts)


def figures(
    *, media: Result | None = None, calls: dict[str, Any] | None = None, generator: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None, **more: Any,
) -> Figures:  # fmt: skip
    """A clean run of 50 calls, but for what is given."""
    about_calls: dict[str, Any] = {
        "placed": 50,
        "answered": 50,
        "failed": 0,
        "cut_short": 0,
        "held": 50.0,
        "rate": 25.0,
        "reasons": {},
    }
    about_generator: dict[str, Any] = {
        "streams_cpu_percent": 12.0, "sipp_cpu_percent": 3.0, "retransmissions": 0, "stolen_percent": 0.0,
        "batched": True, "core": None, "rate_asked": 25.0,
    }  # fmt: skip
    made = Figures(
        target="sip:100@192.0.2.1:5060",
        date="2026-01-31T02:20:42+00:00",
        machine={"processor": "some <fast> one", "cores": "2", "kernel": "6.1"},
        options={"calls": 50, "rate": 25.0, "hold": None, "duration": 20.0, "echo": False} | (options or {}),
        measured_s=20.0,
        calls=Calls(**(about_calls | (calls or {}))),
        answer=Times(count=50, p50=5.0, p99=20.0, max=25.0),
        answers=[(n / 25, 5.0 + n % 7) for n in range(50)],
        media=media or result(),
        server=Server(
            cpu_percent=5.0,
            cpu_percent_per_call=0.1,
            cpu_ms_per_call_placed=20.0,
            processes=[Share(name="worker", pid=11, cpu_percent=4.0), Share(name="control", pid=10, cpu_percent=1.0)],
            memory_before_kb=100_000,
            memory_with_calls_kb=105_000,
            memory_kb_per_call=100.0,
        ),
        generator=Generator(**(about_generator | (generator or {}))),
        seconds=[
            Sample(
                at_s=float(n), live=min(50, 25 * n), received=2500, lost=n % 3, deviation_p99_ms=0.4,
                deviation_max_ms=2.0, send_late_max_ms=0.8, server_cpu={"worker (11)": 4.0, "control (10)": 1.0},
                streams_cpu=12.0, sipp_cpu=3.0,
            )
            for n in range(20)
        ],
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)
