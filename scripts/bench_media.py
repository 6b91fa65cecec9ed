"""Load one real media worker with calls that play a prompt, and measure what leaves it and what that costs.

    scripts/bench_media.py [--calls 50] [--seconds 10] [--record] [--inband] [--core N]

Each call is a leg of the worker that plays noise and a socket here that sends silence, or noise, to it and stamps
what comes (in the kernel, so that this process may be late without it showing). Printed: the deviation of
packet intervals from 20 ms, losses, and the worker's CPU time a call, all in the middle of the run.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from flexml.engine.load.processes import cpu_s, steal_s
from flexml.media import channel
from flexml.media.channel import Channel
from flexml.media.control_ports import STAMP, STAMP_OPTION
from flexml.media.events import Beat, CommandFailed, Event
from flexml.media.protocol import CloseLeg, OpenLeg, SetRemote, StartPlay, StartRecording

HERE: Final = "127.0.0.1"
FIRST_PORT: Final = 21_000
DISCARD_PORT: Final = 9
TICK_S: Final = 0.020
SETTLE_S: Final = 2.0


def stamping_socket() -> socket.socket:
    """Return a UDP socket on a port of its own; when a packet comes the kernel stamps it (STAMP)."""
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, STAMP_OPTION, 1)
    end.setblocking(False)
    end.bind((HERE, 0))
    return end


class Meter:
    """Sockets that say nothing but silence, and when each packet came to each of them."""

    def __init__(self, calls: int) -> None:
        self.sockets: list[socket.socket] = []
        self.payload: bytes = b"\xff" * 160
        self.stamps: list[array.array[float]] = [array.array("d") for _ in range(calls)]
        self.sequences: list[array.array[int]] = [array.array("H") for _ in range(calls)]
        self._poll: select.epoll = select.epoll()
        self._call: dict[int, int] = {}
        self._since_s: float = 0.0  # since 1970
        self._number: int = 0  # of the next packet
        for call in range(calls):
            end = stamping_socket()
            self.sockets.append(end)
            self._call[end.fileno()] = call
            self._poll.register(end.fileno(), select.EPOLLIN)

    def port(self, call: int) -> int:
        """Return where `call` receives."""
        return int(self.sockets[call].getsockname()[1])

    def take(self, wait_s: float) -> None:
        """Take packets that come within `wait_s`."""
        for descriptor, _ in self._poll.poll(wait_s, len(self.sockets)):
            call = self._call[descriptor]
            octets, ancillary, _, _ = self.sockets[call].recvmsg(200, 64)
            seconds, nanoseconds = STAMP.unpack(ancillary[0][2])
            came_s = seconds + nanoseconds / 1e9
            if came_s >= self._since_s:
                self.stamps[call].append(came_s)
                self.sequences[call].append(int.from_bytes(octets[2:4], "big"))

    def clear(self) -> None:
        """Forget what came so far, and what of it is still to be taken."""
        self._since_s = time.time()
        for stamps, sequences in zip(self.stamps, self.sequences, strict=True):
            del stamps[:], sequences[:]

    def speak(self) -> None:
        """Send the next packet on every call."""
        header = struct.pack("!BBHII", 0x80, 0, self._number % 65536, self._number * 160 % 2**32, 4242)
        self._number += 1
        packet = header + self.payload
        for call, end in enumerate(self.sockets):
            end.sendto(packet, (HERE, FIRST_PORT + 2 * call))


def resident_kb(process: int) -> int:
    """Return the memory that `process` holds."""
    rows = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmRSS"))


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a worker is to carry, for how long. `inband`: peers have no telephone events, and make noise.

    `core` is the one that the worker is kept on.
    """

    calls: int
    seconds: float
    record: bool = False
    inband: bool = False
    core: int | None = None


def start_calls(control: Channel[Event], meter: Meter, load: Load, folder: Path) -> None:
    """Open legs, each towards its socket, and let them play noise on and on from different places."""
    prompt = folder / "prompt.s16"
    noise = np.random.default_rng(1).integers(-8000, 8000, 8000 * 30).astype(np.int16)
    prompt.write_bytes(noise.tobytes())
    event = None if load.inband else 101
    for call in range(load.calls):
        leg, port = call + 1, meter.port(call)
        control.send(OpenLeg(leg=leg, address=HERE, port=FIRST_PORT + 2 * call))
        # Reports go where nobody measures: they would pass for media out of time.
        remote = SetRemote(
            leg=leg, address=HERE, port=port, rtcp_port=DISCARD_PORT, codec="PCMU", payload_type=0,
            telephone_event=event,
        )  # fmt: skip
        control.send(remote)
        control.send(StartPlay(leg=leg, job=leg, path=str(prompt), loops=0, offset=call * 37 % 4000))
        if load.record:
            control.send(StartRecording(leg=leg, job=-leg, path=str(folder / f"{leg}.s16")))


def run(control: Channel[Event], meter: Meter, seconds: float) -> list[Event]:
    """Receive and speak for `seconds`; return what the worker said."""
    events: list[Event] = []
    begun_s = time.monotonic()
    number = 0
    while (now_s := time.monotonic()) - begun_s < seconds:
        if now_s - begun_s >= number * TICK_S:
            meter.speak()
            number += 1
        meter.take(0.001)
        control.flush()
        events += control.receive()
    return events


def summary(meter: Meter, beats: list[Beat], cpu: float, stolen: float, seconds: float) -> dict[str, Any]:
    """Return the figures: times in ms, CPU in percent of one core."""
    calls = len(meter.sockets)
    intervals = np.concatenate([np.diff(np.asarray(stamps)) for stamps in meter.stamps if len(stamps) > 1])
    deviation_ms = np.abs(intervals - TICK_S) * 1000
    steps = np.concatenate([np.diff(np.asarray(each, np.uint16)).astype(np.int16) for each in meter.sequences])
    return {
        "calls": calls,
        "packets": int(intervals.size),
        "missing": int(np.maximum(steps.astype(np.int64) - 1, 0).sum()),
        "out_of_order": int((steps <= 0).sum()),
        "deviation_ms": {
            "p50": round(float(np.percentile(deviation_ms, 50)), 3),
            "p99": round(float(np.percentile(deviation_ms, 99)), 3),
            "max": round(float(deviation_ms.max()), 3),
        },
        "work_ms": {
            "p50": round(float(np.median([beat.work_p50_us for beat in beats])) / 1000, 2),
            "max": round(max(beat.work_max_us for beat in beats) / 1000, 2),
        },
        "overruns": sum(beat.overruns for beat in beats),
        "late_packets": sum(beat.late_packets for beat in beats),
        "late_streak_ms": max(beat.streak_ms for beat in beats),
        "stolen_percent": round(100 * stolen / seconds, 1),
        "cpu_percent": round(100 * cpu / seconds, 1),
        "cpu_percent_per_call": round(100 * cpu / seconds / calls, 4),
    }


def measure(load: Load) -> dict[str, Any]:
    """Run a worker after it has settled; return the figures."""
    control, end = channel.pair()
    command = [sys.executable, "-m", "flexml.media.worker", "--fd", str(end.fileno()), "--name", "bench"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as control starts it
    with tempfile.TemporaryDirectory() as folder:
        worker = subprocess.Popen([*command, "--capacity", str(load.calls)], pass_fds=[end.fileno()], env=environment)
        end.close()
        try:
            if load.core is not None:
                os.sched_setaffinity(worker.pid, {load.core})
            meter = Meter(load.calls)
            if load.inband:
                meter.payload = np.random.default_rng(2).integers(0, 256, 160).astype(np.uint8).tobytes()
            start_calls(control, meter, load, Path(folder))
            events = run(control, meter, SETTLE_S)
            meter.clear()
            before, stolen_before = cpu_s(worker.pid), steal_s()
            late_events = run(control, meter, load.seconds)
            used, stolen = cpu_s(worker.pid) - before, steal_s() - stolen_before
            resident = resident_kb(worker.pid)
            for leg in range(1, load.calls + 1):
                control.send(CloseLeg(leg=leg))
        finally:
            control.close()
            worker.wait(10)
    for event in [*events, *late_events]:
        if isinstance(event, CommandFailed):
            raise SystemExit(f"leg {event.leg}: {event.command}: {event.error}")
    beats = [event for event in late_events if isinstance(event, Beat)]
    return summary(meter, beats, used, stolen, load.seconds) | {"resident_mb": round(resident / 1024, 1)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Load one media worker and measure it.")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--record", action="store_true", help="record each call")
    parser.add_argument("--inband", action="store_true", help="peers without telephone events, that make noise")
    parser.add_argument("--core", type=int, help="keep the worker on this core")
    options = parser.parse_args()
    print(json.dumps(measure(Load(**vars(options))), indent=2))


if __name__ == "__main__":
    main()
