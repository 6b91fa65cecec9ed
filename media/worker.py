"""A media worker: one process, one thread, one pipeline, a tick every 20 ms for as long as control lives.

`python -m flexml.media.worker --fd N --name "worker 1" --capacity 1000`, where N is its end of the control
channel. Between ticks it carries out what control asks. It ends when control's end of the channel closes,
when a drain (Drain or SIGTERM) has come to its end, or at once on a second SIGTERM; SIGINT is control's
affair. Ticks that are late run back to back and none is left out, unless more than a second is lost.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import select
import signal
import statistics
import sys
from functools import partial
from types import FrameType
from typing import Final

from setproctitle import setproctitle

from . import channel, clock
from .channel import Channel
from .events import Beat
from .haste import EARLY_S, LEAST_S
from .lead import Lead
from .pipeline import JITTER_MS, REPORT_S, SILENT_AFTER_S, Pipeline
from .protocol import Command, Drain
from .rows import FRAME_MS
from .sockets import UdpTransport
from .uring import best_transport

COMMANDS_AT_ONCE: Final = 16
"""Carried out between two looks at the clock; the slowest, OpenLeg, takes a tenth of a millisecond."""

LOOK_S: Final = 0.0015
"""What a look at what has come may take."""

TICKS_A_BEAT: Final = 1000 // FRAME_MS

FIFO_PRIORITY: Final = 1
"""The lowest real-time priority is above everything that is not real-time, which is all there is to ask."""

KEPT_OCTETS: Final = 32 << 20
"""Memory that is kept when it is freed. A tick frees what the next one needs again: to get it from the kernel anew,
page by page, costs more than a third of the tick's time."""

MALLOC_OPTIONS: Final = (-1, -2, -3)
"""M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of mallopt(3)."""

FIRST_BEAT: Final = Beat(legs=0, ticks=0, work_p50_us=0, work_max_us=0, overruns=0, late_packets=0)
"""The sign that the worker is up, before anything was measured."""


class Tally:
    """What the ticks since the last beat were like."""

    def __init__(self) -> None:
        self._work_us: list[int] = []
        self._overruns: int = 0
        self._late_packets: int = 0
        self._streak: int = 0  # ticks late in a row, up to now
        self._longest: int = 0
        self._skipped: int = 0

    def skip(self, ticks: int) -> None:
        """Count ticks that were given up."""
        self._skipped += ticks

    def add(self, work_s: float, packets: int, *, late: bool, overrun: bool) -> bool:
        """Add a tick that sent `packets`; True when it is time for a beat."""
        self._work_us.append(round(work_s * 1e6))
        self._overruns += overrun
        self._late_packets += packets if late else 0
        self._streak = self._streak + 1 if late else 0
        self._longest = max(self._longest, self._streak)
        return len(self._work_us) >= TICKS_A_BEAT

    def beat(self, legs: int) -> Beat:
        """Return the sign of life and start over. Only a streak that lasts goes on into the next."""
        beat = Beat(
            legs=legs,
            ticks=len(self._work_us),
            work_p50_us=round(statistics.median(self._work_us)),
            work_max_us=max(self._work_us),
            overruns=self._overruns,
            late_packets=self._late_packets,
            streak_ms=self._longest * FRAME_MS,
            skipped=self._skipped,
        )
        self._work_us, self._overruns, self._late_packets, self._longest, self._skipped = [], 0, 0, self._streak, 0
        return beat


class Worker:
    """The loop around a pipeline."""

    def __init__(self, control: Channel[Command], pipeline: Pipeline) -> None:
        self._control: Channel[Command] = control
        self._pipeline: Pipeline = pipeline
        self._tally: Tally = Tally()
        self._lead: Lead = Lead()
        self._looked: bool = False  # the pipeline has taken what came early for the tick to come
        self._terminations: int = 0

    def terminate(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Drain at the first call, end at the second: a signal handler."""
        self._terminations += 1

    def run(self) -> None:
        """Tick until there is no more reason to; then close what is open and say what is left to say."""
        self._control.send(FIRST_BEAT)
        schedule = clock.Schedule(clock.now())
        while not self._over():
            if self._pipeline.conversing and not self._looked:
                self._listen(schedule.deadline_s - EARLY_S)
                self._look(schedule.deadline_s)
            self._listen(schedule.deadline_s)
            self._tick(schedule)
        self._pipeline.close()
        self._control.flush()
        self._control.close()

    def _over(self) -> bool:
        if self._terminations and not self._pipeline.draining:
            self._pipeline.command(Drain())
        drained = self._pipeline.draining and not self._pipeline.legs
        return self._control.ended or drained or self._terminations > 1

    def _listen(self, deadline_s: float) -> None:
        """Carry out commands until `deadline_s`; one look even if that is past."""
        # Not poll(2): that waits for whole milliseconds, and the rest would be another sleep, which costs as much.
        while not self._control.ended:
            wait_s = clock.left_s(deadline_s)
            ready, _, _ = select.select([self._control], [], [], wait_s)
            if ready:
                for message in self._control.receive(COMMANDS_AT_ONCE):
                    self._pipeline.command(message)
                self._control.flush()
            if not ready or not wait_s:
                return

    def _look(self, deadline_s: float) -> None:
        """Let the pipeline take what comes EARLY_S before the tick; if that is past, what has come, but for LEAST_S."""
        clock.sleep_until(deadline_s - EARLY_S)
        now_s = clock.now()
        if deadline_s - now_s >= LEAST_S:
            self._pipeline.listen(now_s, deadline_s - now_s)

    def _tick(self, schedule: clock.Schedule) -> None:
        deadline_s, begun_s = schedule.deadline_s, clock.now()
        departure_s, next_s = deadline_s + self._lead.now_s, deadline_s + clock.TICK_S
        self._looked = False
        missed = schedule.skip(begun_s)
        if missed:
            self._pipeline.skip(missed)
            self._tally.skip(missed)
        held_s = left_s = begun_s

        def hold() -> float:
            nonlocal held_s, left_s
            held_s = clock.now()
            if self._pipeline.conversing and max(held_s, next_s - EARLY_S) < departure_s - LOOK_S:
                self._look(next_s)
                self._looked = True
            clock.sleep_until(departure_s)
            left_s = clock.now()
            return left_s

        packets = self._pipeline.tick(begun_s, hold)
        self._control.flush()
        ended_s = clock.now()
        waited_s = left_s - held_s
        self._lead.add(begun_s - deadline_s, held_s - deadline_s)
        late = left_s - departure_s > clock.LATE_S
        overrun = schedule.finish(ended_s - waited_s)
        if self._tally.add(ended_s - begun_s - waited_s, packets, late=late, overrun=overrun):
            self._control.send(self._tally.beat(self._pipeline.legs))


def main(arguments: list[str] | None = None) -> int:
    """Run a worker on the channel end that was inherited."""
    parser = argparse.ArgumentParser(prog="flexml.media.worker", description="One media worker of a FlexML engine.")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the control channel")
    parser.add_argument("--name", default="worker", help="what the process is called")
    parser.add_argument("--capacity", type=int, default=1000, help="legs carried at most")
    parser.add_argument("--jitter-ms", type=int, default=JITTER_MS, help="delay to even out arrival with, at first")
    parser.add_argument("--silent-after", type=float, default=SILENT_AFTER_S, help="seconds without packets to tell of")
    parser.add_argument("--report", type=float, default=REPORT_S, help="seconds between two reports of a leg")
    parser.add_argument("--no-io-uring", dest="io_uring", action="store_false", help="move packets one by one")
    options = parser.parse_args(arguments)
    setproctitle(f"flexml: {options.name}")
    control = channel.worker_end(options.fd)
    pipeline = Pipeline(
        options.capacity,
        (best_transport if options.io_uring else UdpTransport)(options.capacity),
        partial(control.send, now=False),
        randomness=random.SystemRandom(),
        silent_after_s=options.silent_after,
        jitter_ms=options.jitter_ms,
        report_s=options.report,
        now_s=clock.now(),
        wall_offset_s=clock.wall_offset_s(),
    )
    worker = Worker(control, pipeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, worker.terminate)
    _prefer_punctuality()
    worker.run()
    return 0


def _prefer_punctuality() -> None:
    """Keep the collector and other processes from between a tick and its deadline, as far as we may."""
    gc.collect()
    gc.freeze()
    gc.disable()  # the tick makes no cycles; what it makes is freed by counting
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if set_option is not None:
        for option in MALLOC_OPTIONS:
            set_option(option, KEPT_OCTETS)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(FIFO_PRIORITY))
    except OSError:  # not permitted here: it works without, less evenly under load
        pass


if __name__ == "__main__":
    sys.exit(main())
