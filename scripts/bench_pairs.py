"""Record both sides of many bridged pairs in one real media worker, and check every recording.

    scripts/bench_pairs.py [--pairs 150] [--seconds 60] [--jitter-ms 40] [--engine]

Each pair is two UDP peers that talk by turns (see `voices`), and a recording with a track for each. Checked of all:
that it is there and as long as the time it took, that every packet of both is in it, and that both are in step. With
`--engine`, the pairs are calls to the whole engine, whose document dials and records (see `bench_pairs_engine`).
The exit status is 1 where a recording is missing, lacks a party or is out of step by more than 20 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import bench_pairs_engine
import numpy as np
from bench_media import DISCARD_PORT, HERE
from flexml.engine.load.processes import cpu_s, steal_s
from flexml.media import channel
from flexml.media.channel import Channel
from flexml.media.events import Beat, CommandFailed, Event, RecordingFinished
from flexml.media.protocol import CloseLeg, Join, OpenLeg, SetRemote, StartRecording, StopRecording
from pair_recordings import check, right, summary
from voices import Voices

FIRST_PORT: Final = 23_000
SETTLE_S: Final = 6.0
"""Until legs in rooms have given up the delay that nobody needs."""
FINISH_S: Final = 10.0


class Worker:
    """A media worker, control's end of its channel, and what it has said."""

    def __init__(self, capacity: int, jitter_ms: int) -> None:
        self.control: Channel[Event]
        self.control, end = channel.pair()
        command = [sys.executable, "-m", "flexml.media.worker", "--fd", str(end.fileno()), "--name", "bench"]
        command += ["--capacity", str(capacity), "--jitter-ms", str(jitter_ms)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as control starts it
        self.process = subprocess.Popen(command, pass_fds=[end.fileno()], env=environment)
        self.events: list[Event] = []
        end.close()

    def take(self) -> None:
        """Send what is to be sent, take what has come."""
        self.control.flush()
        for event in self.control.receive():
            if isinstance(event, CommandFailed):
                raise SystemExit(f"leg {event.leg}: {event.command}: {event.error}")
            self.events.append(event)

    def close(self) -> None:
        """End it."""
        self.control.close()
        self.process.wait(10)


def open_pairs(worker: Worker, voices: Voices, pairs: int) -> None:
    """Open a leg for each voice, and join the two of each pair."""
    for voice in range(2 * pairs):
        leg, port = voice + 1, FIRST_PORT + 2 * voice
        voices.aim(voice, port)
        worker.control.send(OpenLeg(leg=leg, address=HERE, port=port))
        # Reports go where nobody measures: they would pass for media out of time.
        remote = SetRemote(
            leg=leg, address=HERE, port=voices.port(voice), rtcp_port=DISCARD_PORT, codec="PCMU", payload_type=0
        )
        worker.control.send(remote)
        worker.control.send(Join(leg=leg, room=voice // 2))


def measure(pairs: int, seconds: float, jitter_ms: int, folder: Path) -> dict[str, Any]:
    """Record all pairs for `seconds`, once the bridges have settled; return the figures."""
    worker, voices = Worker(2 * pairs, jitter_ms), Voices(2 * pairs)
    first_legs = range(1, 2 * pairs, 2)
    try:
        open_pairs(worker, voices, pairs)
        voices.run(SETTLE_S, worker.take)
        used, stolen, began = cpu_s(worker.process.pid), steal_s(), time.time()
        for leg in first_legs:
            worker.control.send(StartRecording(leg=leg, job=1, path=str(folder / str(leg)), sides="dual"))
        voices.run(seconds, worker.take)
        for leg in first_legs:
            worker.control.send(StopRecording(leg=leg, job=1))
        worker.take()
        ended, used, stolen = time.time(), cpu_s(worker.process.pid) - used, steal_s() - stolen
        until(voices, worker, lambda: len(finished(worker)) == pairs)
        for leg in range(1, 2 * pairs + 1):
            worker.control.send(CloseLeg(leg=leg))
    finally:
        worker.close()
    checked = [
        check(voices, (event.leg - 1) // 2, np.fromfile(folder / str(event.leg), "<i2").reshape(-1, 2))
        for event in finished(worker)
        if not event.error
    ]
    beats = [event for event in worker.events if isinstance(event, Beat)]
    return {
        "pairs": pairs,
        **summary(checked, pairs),
        "length_off_ms_most": round(
            max((1000 * (one.lasts - (ended - began)) for one in checked), key=abs, default=0.0), 1
        ),
        "begins_late_ms_most": round(max((1000 * (one.begins - began) for one in checked), default=0.0), 1),
        "ends_late_ms_most": round(max((1000 * (one.ends - ended) for one in checked), key=abs, default=0.0), 1),
        "overruns": sum(beat.overruns for beat in beats),
        "late_packets": sum(beat.late_packets for beat in beats),
        "voices_late_ms_most": round(1000 * voices.late_s, 1),
        "stolen_percent": round(100 * stolen / seconds, 1),
        "cpu_percent": round(100 * used / seconds, 1),
    }


def finished(worker: Worker) -> list[RecordingFinished]:
    """Return the recordings whose ends the worker has told."""
    return [event for event in worker.events if isinstance(event, RecordingFinished)]


def until(voices: Voices, worker: Worker, done: Callable[[], bool]) -> None:
    """Talk on until that is so, or for as long as it may take."""
    deadline = time.time() + FINISH_S
    while not done() and time.time() < deadline:
        voices.run(0.1, worker.take)


def main() -> int:
    """Print the figures as JSON: times in ms, CPU in percent of one core."""
    parser = argparse.ArgumentParser(description="Record many bridged pairs, and check every recording.")
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--jitter-ms", type=int, default=40)
    parser.add_argument("--engine", action="store_true", help="call the whole engine, which dials and records")
    options = parser.parse_args()
    with contextlib.suppress(OSError):  # the peers are to be as punctual as the worker, where that is permitted
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with tempfile.TemporaryDirectory() as name:
        if options.engine:
            figures = bench_pairs_engine.measure(options.pairs, options.seconds, Path(name))
        else:
            figures = measure(options.pairs, options.seconds, options.jitter_ms, Path(name))
    print(json.dumps(figures, indent=2))
    return 0 if right(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
