"""The process: one thread that sends, receives and counts for all streams, told what to do by lines on its input.

Streams are spread over slots of the 20 ms, so that packets leave one after the other, as those of real callers do, and
not all at once. Deadlines are absolute. See `messages` for what is said.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import clock
from ..rtp import parse_batch
from ..telephone_event import EventReceiver
from .histogram import Histogram
from .messages import (
    Aim,
    Bound,
    Command,
    Down,
    Event,
    Finish,
    Measure,
    Plan,
    Result,
    Second,
    Unable,
    Up,
    decode_command,
    encode,
)
from .meter import Meter
from .ports import PlainPorts, Ports, Rows, drops, open_ports
from .speaker import TYPES, Speaker

SLOTS: Final = 20
LEAST_SLOTS: Final = 5
STREAMS_A_SLOT: Final = 25
"""Fewer streams are moved in fewer slots, since each costs something even if there is little to do in it."""

LOOK_AGAIN: Final = 4
"""In one round of so many, streams that had a packet are asked for more until there is none: stamps are the kernel's,
so that a packet may wait."""

TICKS_A_SECOND: Final = round(1 / clock.TICK_S)
INPUT_OCTETS: Final = 1 << 16


class Streams:
    """All streams, and the loop that moves them."""

    def __init__(self, plan: Plan, ports: Ports) -> None:
        count = len(ports.ports)
        self._ports: Ports = ports
        self._speaker: Speaker = Speaker(plan, ports.packets, ports.lengths)
        self._meter: Meter = Meter(count, TYPES[plan.codec])
        self._keys: EventReceiver = EventReceiver(count)
        self._event_type: int = plan.event_type
        self._slots: list[Rows] = slots(count)
        self._listened: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self._digits_heard: NDArray[np.int64] = np.zeros(count, np.int64)
        self._wall_offset_s: float = clock.wall_offset_s()
        self._drops: int = drops(ports.ports)
        self._send_late: Histogram = Histogram()
        self._late_max_ms: float = 0.0
        self._skipped: int = 0
        self._before: tuple[int, int] = 0, 0
        self._input: bytes = b""
        self._over: bool = False

    def run(self) -> None:
        """Go on until told to finish, or nobody is there any more to tell."""
        os.set_blocking(sys.stdin.fileno(), False)
        schedule = clock.Schedule(clock.now(), clock.TICK_S / len(self._slots))
        turn = 0
        while not self._over:
            self._listen()
            clock.sleep_until(schedule.deadline_s)
            missed = schedule.skip(clock.now())
            self._skipped += missed * self._meter.measuring
            turn += 1 + missed
            self._slot(self._slots[turn % len(self._slots)], schedule.deadline_s, turn // len(self._slots))
            schedule.finish(clock.now())
            if turn % (len(self._slots) * TICKS_A_SECOND) == 0:
                self._say_second()

    def _slot(self, rows: Rows, deadline_s: float, tick: int) -> None:
        going = self._speaker.step(rows)
        if going.size:
            self._ports.send(going)
            late_ms = (clock.now() - deadline_s) * 1000
            self._late_max_ms = max(self._late_max_ms, late_ms)
            if self._meter.measuring:
                self._send_late.add(np.full(going.size, late_ms))
        self._fetch(rows[self._listened[rows]], whole=tick % LOOK_AGAIN == 0)

    def _fetch(self, rows: Rows, *, whole: bool) -> None:
        """Take a packet of each of `rows` that has one, or the `whole` of what they have."""
        while rows.size:
            received = self._ports.receive(rows)
            if received.rows.size:
                self._take(received.rows, received.slots, received.lengths, received.stamps)
            rows = received.rows if whole else received.rows[:0]

    def _take(self, rows: Rows, slots: Rows, lengths: NDArray[np.int32], stamps: NDArray[np.int64]) -> None:
        batch, good = parse_batch(self._ports.data, lengths, rows, slots)
        self._meter.push(batch, stamps if good.all() else stamps[good])
        events = np.flatnonzero(batch.payload_type == self._event_type)
        if events.size:
            for row, _ in self._keys.push(batch.where(events)):
                self._digits_heard[row] += 1

    def _listen(self) -> None:
        try:
            octets = os.read(sys.stdin.fileno(), INPUT_OCTETS)
        except BlockingIOError:
            return
        self._over |= not octets
        *lines, self._input = (self._input + octets).split(b"\n")
        for line in lines:
            self._obey(decode_command(line))

    def _obey(self, command: Command) -> None:
        match command:
            case Up(stream=row):
                self._aim(row, command.host, command.port)
                self._speaker.open(row)
                self._meter.open(row, command.at_ns)
                self._keys.open(row)
                self._listened[row] = True
            case Aim(stream=row):
                self._aim(row, command.host, command.port)
            case Down(stream=row):
                self._speaker.close(row)
                self._fetch(np.array([row], np.intp), whole=True)
                self._meter.close(row, command.at_ns or self._now_ns())
                self._keys.close(row)
            case Measure():
                self._measure(on=command.on)
            case Finish():
                self._over = True
                say(self._result())
            case Plan():
                raise ValueError("a plan is made once")

    def _aim(self, row: int, host: str, port: int) -> None:
        try:
            self._ports.aim(row, host, port)
        except OSError:
            print(f"nothing is sent to {host}: no IPv4 address", file=sys.stderr, flush=True)

    def _measure(self, *, on: bool) -> None:
        self._fetch(np.flatnonzero(self._listened), whole=True)
        if on:
            self._drops = drops(self._ports.ports)
        elif self._meter.measuring:
            self._drops = drops(self._ports.ports) - self._drops
        self._meter.measure(on=on, now_ns=self._now_ns())

    def _now_ns(self) -> int:
        return round((clock.now() + self._wall_offset_s) * 1e9)

    def _say_second(self) -> None:
        # A stream whose call is over is listened to for a while, so that what still comes is not the next call's.
        self._listened &= self._meter.open_rows
        received, lost = int(self._meter.received.sum()), int(self._meter.lost.sum())
        p99_ms, max_ms = self._meter.end_second()
        say(
            Second(
                live=int(self._meter.open_rows.sum()),
                received=received - self._before[0],
                lost=lost - self._before[1],
                deviation_p99_ms=round(p99_ms, 4),
                deviation_max_ms=round(max_ms, 4),
                send_late_max_ms=round(self._late_max_ms, 4),
            )
        )
        self._before, self._late_max_ms = (received, lost), 0.0

    def _result(self) -> Result:
        self._measure(on=False)
        sent, heard = self._speaker.digits_sent, self._digits_heard
        return Result(
            **self._meter.state(),
            sent=self._speaker.sent,
            send_late=self._send_late.spread(),
            send_skipped=self._skipped,
            receive_drops=self._drops,
            digits_sent=int(sent.sum()),
            digits_heard=int(heard.sum()),
            digits_lost=int(np.maximum(sent - heard, 0).sum()),
        )


def slots(streams: int) -> list[Rows]:
    """Return which streams have their turn in which slot of the 20 ms."""
    count = min(max(streams // STREAMS_A_SLOT, LEAST_SLOTS), SLOTS)
    return [np.arange(slot, streams, count) for slot in range(count)]


def say(event: Event) -> None:
    """Write `event` on standard output."""
    sys.stdout.buffer.write(encode(event) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    """Carry out the plan that the first line of the input holds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to us too; who started us ends us
    plan = decode_command(sys.stdin.buffer.readline())
    if not isinstance(plan, Plan):
        raise SystemExit("the first line must be a Plan")
    try:
        ports = open_ports(plan.address, plan.first_port, plan.streams)
        streams = Streams(plan, ports)
    except OSError as error:
        say(Unable(reason=f"{error.strerror or error}"))
        return 1
    say(Bound(ports=ports.ports, batched=not isinstance(ports, PlainPorts)))
    gc.collect()
    gc.freeze()
    gc.disable()  # what a slot makes is freed by counting
    streams.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
