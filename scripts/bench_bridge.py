"""Bridge pairs of peers in one real media worker: how long what they say is on the way, and what that costs.

    scripts/bench_bridge.py [--pairs 25] [--seconds 10] [--jitter-ms 40] [--record]

Each peer is a UDP socket that sends a packet of loud noise every 20 ms, each with its number in it and at a phase of
its own within the tick. The delay is that from a packet's departure to the (kernel's) arrival of the packet with the
same octets at the other peer: what lies between mouth and ear and is the engine's. The same legs are then measured
while each is played a prompt instead, for comparison of the CPU time.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from bench_media import DISCARD_PORT, HERE, SO_TIMESTAMPNS, TICK_S, TIMESPEC, cpu_s, steal_s
from flexml.media import channel, rtp
from flexml.media.channel import Channel
from flexml.media.protocol import (
    Beat,
    CloseLeg,
    CommandFailed,
    Event,
    Join,
    OpenLeg,
    SetRemote,
    StartPlay,
    StartRecording,
)

FIRST_PORT: Final = 23_000
SETTLE_S: Final = 6.0
"""Until legs in rooms have given up the delay that nobody needs."""

GOLDEN: Final = 0.618034
"""Multiples of it, modulo 1, are spread evenly however many there are: the phases of the peers."""

DIGITS: Final = 4
BASE: Final = 100
"""A packet's number is its first octets, to this base: mu-law's negative zero, which no encoder makes, is beyond."""


class Peers:
    """Sockets that talk, when each packet left, and how long each that came was on the way."""

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(1)
        self.delays_s: list[float] = []
        self.strange: int = 0  # packets that nobody sent as they came
        self._noise: list[bytes] = [random.integers(0, BASE, 160 - DIGITS, np.uint8).tobytes() for _ in range(count)]
        self._left: dict[bytes, float] = {}
        self._poll: select.epoll = select.epoll()
        self._sockets: list[socket.socket] = []
        self._ends: dict[int, socket.socket] = {}
        begun_s = time.monotonic()
        self._due = [(begun_s + peer * GOLDEN % 1 * TICK_S, peer, 0) for peer in range(count)]  # when, who, which
        heapq.heapify(self._due)
        for _ in range(count):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            end.setblocking(False)
            end.bind((HERE, 0))
            self._sockets.append(end)
            self._ends[end.fileno()] = end
            self._poll.register(end.fileno(), select.EPOLLIN)

    def port(self, peer: int) -> int:
        """Return where `peer` receives."""
        return int(self._sockets[peer].getsockname()[1])

    def speak(self, peer: int, number: int) -> None:
        """Send packet `number` of what `peer` says."""
        digits = bytes(number // BASE**place % BASE for place in range(DIGITS))
        payload = digits + self._noise[peer]
        packet = struct.pack("!BBHII", 0x80, 0, number % 65536, number * 160 % 2**32, 4242) + payload
        self._left[payload] = time.time()
        self._sockets[peer].sendto(packet, (HERE, FIRST_PORT + 2 * peer))

    def take(self, wait_s: float) -> None:
        """Take packets that come within `wait_s`."""
        for descriptor, _ in self._poll.poll(wait_s, len(self._sockets)):
            octets, ancillary, _, _ = self._ends[descriptor].recvmsg(200, 64)
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            left_s = self._left.pop(octets[rtp.HEADER :], None)
            if left_s is None:
                self.strange += 1
            else:
                self.delays_s.append(seconds + nanoseconds / 1e9 - left_s)

    def clear(self) -> None:
        """Forget how long what came so far was on the way."""
        self.delays_s.clear()
        self.strange = 0

    def run(self, control: Channel[Event], seconds: float) -> list[Event]:
        """Talk for `seconds`; return what the worker said."""
        begun_s, events, due = time.monotonic(), list[Event](), self._due
        while (now_s := time.monotonic()) - begun_s < seconds:
            while due[0][0] <= now_s:
                at_s, peer, number = due[0]
                self.speak(peer, number)
                heapq.heapreplace(due, (at_s + TICK_S, peer, number + 1))
            self.take(min(0.001, due[0][0] - now_s))
            control.flush()
            events += control.receive()
        return events


def open_legs(control: Channel[Event], peers: Peers, pairs: int, prompt: str | None) -> None:
    """Open the legs of all peers; join them in pairs, or play `prompt` to each."""
    for peer in range(2 * pairs):
        leg = peer + 1
        control.send(OpenLeg(leg=leg, address=HERE, port=FIRST_PORT + 2 * peer))
        control.send(
            SetRemote(
                leg=leg, address=HERE, port=peers.port(peer), rtcp_port=DISCARD_PORT, codec="PCMU", payload_type=0
            )
        )
        if prompt is None:
            control.send(Join(leg=leg, room=peer // 2))
        else:
            control.send(StartPlay(leg=leg, job=leg, path=prompt, loops=0, offset=peer * 37 % 4000))


def record(control: Channel[Event], pairs: int, folder: Path) -> None:
    """Record both sides of each pair."""
    for pair in range(pairs):
        path = str(folder / str(pair))
        control.send(StartRecording(leg=2 * pair + 1, job=1, path=path, sides="dual"))


def measure(
    pairs: int, seconds: float, jitter_ms: int, prompt: str | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Run a worker with so many pairs for `seconds` after it has settled; return the figures.

    With `prompt` legs are played that, instead of each other; with `folder`, pairs are recorded there.
    """
    control, end = channel.pair()
    command = [sys.executable, "-m", "flexml.media.worker", "--fd", str(end.fileno()), "--name", "bench"]
    command += ["--capacity", str(2 * pairs), "--jitter-ms", str(jitter_ms)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as control starts it
    worker = subprocess.Popen(command, pass_fds=[end.fileno()], env=environment)
    end.close()
    try:
        peers = Peers(2 * pairs)
        open_legs(control, peers, pairs, prompt)
        if folder is not None:
            record(control, pairs, folder)
        events = peers.run(control, SETTLE_S)
        peers.clear()
        before, stolen_before = cpu_s(worker.pid), steal_s()
        late_events = peers.run(control, seconds)
        used, stolen = cpu_s(worker.pid) - before, steal_s() - stolen_before
        for leg in range(1, 2 * pairs + 1):
            control.send(CloseLeg(leg=leg))
    finally:
        control.close()
        worker.wait(10)
    for event in [*events, *late_events]:
        if isinstance(event, CommandFailed):
            raise SystemExit(f"leg {event.leg}: {event.command}: {event.error}")
    beats = [event for event in late_events if isinstance(event, Beat)]
    return {
        "work_ms_p50": round(float(np.median([beat.work_p50_us for beat in beats])) / 1000, 2),
        "overruns": sum(beat.overruns for beat in beats),
        "late_packets": sum(beat.late_packets for beat in beats),
        "stolen_percent": round(100 * stolen / seconds, 1),
        "cpu_percent": round(100 * used / seconds, 1),
        **({} if prompt else delays(peers, round(2 * pairs * seconds / TICK_S))),
    }


def delays(peers: Peers, expected: int) -> dict[str, Any]:
    """Return how long packets were on the way, and how many came otherwise than they left, or not at all."""
    delay_ms = 1000 * np.array(peers.delays_s)
    shares = {f"p{share}": round(float(np.percentile(delay_ms, share)), 2) for share in (1, 50, 99)}
    came = {"expected": expected, "came": delay_ms.size, "strange": peers.strange}
    return {"packets": came, "delay_ms": {**shares, "max": round(float(delay_ms.max()), 2)}}


def main() -> None:
    """Print the figures as JSON: times in ms, CPU in percent of one core."""
    parser = argparse.ArgumentParser(description="Bridge pairs of peers in one media worker and measure it.")
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--jitter-ms", type=int, default=40)
    parser.add_argument("--record", action="store_true", help="record both sides of each pair meanwhile")
    options = parser.parse_args()
    with contextlib.suppress(OSError):  # the peers are to be as punctual as the worker, where that is permitted
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded = folder if options.record else None
        bridged = measure(options.pairs, options.seconds, options.jitter_ms, folder=recorded)
        prompt = folder / "prompt.s16"
        prompt.write_bytes(np.random.default_rng(1).integers(-8000, 8000, 8000 * 30).astype("<i2").tobytes())
        playing = measure(options.pairs, options.seconds, options.jitter_ms, str(prompt))
    legs = 2 * options.pairs
    cost = {
        "bridged_pair": round(bridged["cpu_percent"] / options.pairs, 4),
        "playing_leg": round(playing["cpu_percent"] / legs, 4),
    }
    print(json.dumps({"pairs": options.pairs, "bridged": bridged, "playing": playing, "cpu_percent": cost}, indent=2))


if __name__ == "__main__":
    main()
