"""Bridge pairs of peers in one real media worker: how long what they say is on the way, and what that costs.

    scripts/bench_bridge.py [--pairs 25] [--seconds 10] [--jitter-ms 40] [--record]

Each peer is a UDP socket that sends a packet of loud noise every 20 ms, each with its number in it and at a phase of
its own within the tick. The delay is that from a packet's departure to the (kernel's) arrival of the packet with the
same octets at the other peer: what lies between mouth and ear and is the engine's.

By turns of TURN_S nothing listens to the pairs, so that their packets pass as they come, and something does, so that
all is mixed: it listens for keys in the audio or, with `--record`, records both sides. What else goes on on the machine
touches both alike. Then each leg is played a prompt instead, for comparison of the CPU time.

A packet ends with mu-law's negative zero, with which only those arrive that pass as they come: once decoded it is zero,
which is encoded as the positive one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from bench_media import DISCARD_PORT, HERE, TICK_S, stamping_socket
from flexml.engine.load.processes import cpu_s, steal_s
from flexml.media import channel, rtp
from flexml.media.channel import Channel
from flexml.media.control_ports import STAMP
from flexml.media.events import Beat, CommandFailed, Event
from flexml.media.protocol import Join, OpenLeg, SetRemote, StartPlay, StartRecording, StopRecording

FIRST_PORT: Final = 23_000
SETTLE_S: Final = 6.0
"""Until legs in rooms have given up the delay that nobody needs."""

GOLDEN: Final = 0.618034
"""Multiples of it, modulo 1, are spread evenly however many there are: the phases of the peers."""

DIGITS: Final = 4
BASE: Final = 100
"""A packet's number is its first octets, to this base, and the others are less than it, too."""

NEGATIVE_ZERO: Final = b"\x7f"
POSITIVE_ZERO: Final = b"\xff"

CHANGE_S: Final = 1.0
"""What is left out at the beginning of a turn: the last beat from before it is then over."""

TURN_S: Final = 2.0
EVENTS: Final = 101

Use = Literal["passing", "mixed"]
USES: Final[tuple[Use, ...]] = ("passing", "mixed")


class Peers:
    """Sockets that talk, when each packet left, and how long each that came was on the way."""

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(1)
        self.delays_s: list[float] = []
        self.passed: int = 0  # packets that came as they left, to the octet
        self.strange: int = 0  # packets that nobody sent as they came
        self._noise: list[bytes] = [random.integers(0, BASE, 159 - DIGITS, np.uint8).tobytes() for _ in range(count)]
        self._left: dict[bytes, float] = {}
        self._poll: select.epoll = select.epoll()
        self._sockets: list[socket.socket] = []
        self._ends: dict[int, socket.socket] = {}
        begun_s = time.monotonic()
        self._due = [(begun_s + peer * GOLDEN % 1 * TICK_S, peer, 0) for peer in range(count)]  # when, who, which
        heapq.heapify(self._due)
        for _ in range(count):
            end = stamping_socket()
            self._sockets.append(end)
            self._ends[end.fileno()] = end
            self._poll.register(end.fileno(), select.EPOLLIN)

    def port(self, peer: int) -> int:
        """Return where `peer` receives."""
        return int(self._sockets[peer].getsockname()[1])

    def speak(self, peer: int, number: int) -> None:
        """Send packet `number` of what `peer` says."""
        digits = bytes(number // BASE**place % BASE for place in range(DIGITS))
        said = digits + self._noise[peer]
        packet = struct.pack("!BBHII", 0x80, 0, number % 65536, number * 160 % 2**32, 4242) + said + NEGATIVE_ZERO
        self._left[said] = time.time()
        self._sockets[peer].sendto(packet, (HERE, FIRST_PORT + 2 * peer))

    def take(self, wait_s: float) -> None:
        """Take packets that come within `wait_s`."""
        for descriptor, _ in self._poll.poll(wait_s, len(self._sockets)):
            octets, ancillary, _, _ = self._ends[descriptor].recvmsg(200, 64)
            seconds, nanoseconds = STAMP.unpack(ancillary[0][2])
            said, last = octets[rtp.HEADER : -1], octets[-1:]
            left_s = self._left.pop(said, None) if last in (NEGATIVE_ZERO, POSITIVE_ZERO) else None
            if left_s is None:
                self.strange += 1
            else:
                self.passed += last == NEGATIVE_ZERO
                self.delays_s.append(seconds + nanoseconds / 1e9 - left_s)

    def clear(self) -> None:
        """Forget how long what came so far was on the way."""
        self.delays_s.clear()
        self.passed = self.strange = 0

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


@dataclasses.dataclass(slots=True)
class Tally:
    """What the worker and the peers did in turns of one kind."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    stolen_s: float = 0.0
    beats: list[Beat] = dataclasses.field(default_factory=list[Beat])
    delays_s: list[float] = dataclasses.field(default_factory=list[float])
    passed: int = 0
    strange: int = 0

    def run(self, worker: int, control: Channel[Event], peers: Peers, seconds: float) -> None:
        """Let the peers talk for `seconds`, once what was before has settled."""
        settle(control, peers, CHANGE_S)
        used, stolen = cpu_s(worker), steal_s()
        events = checked(peers.run(control, seconds))
        self.seconds += seconds
        self.cpu_s += cpu_s(worker) - used
        self.stolen_s += steal_s() - stolen
        self.beats += [event for event in events if isinstance(event, Beat)]
        self.delays_s += peers.delays_s
        self.passed += peers.passed
        self.strange += peers.strange

    def worker(self) -> dict[str, Any]:
        """Return the figures of the worker: times in ms, CPU in percent of one core."""
        return {
            "work_ms_p50": round(float(np.median([beat.work_p50_us for beat in self.beats])) / 1000, 2),
            "overruns": sum(beat.overruns for beat in self.beats),
            "late_packets": sum(beat.late_packets for beat in self.beats),
            "stolen_percent": round(100 * self.stolen_s / self.seconds, 1),
            "cpu_percent": round(100 * self.cpu_s / self.seconds, 1),
        }

    def packets(self, legs: int) -> dict[str, Any]:
        """Return how long packets were on the way, and how many came otherwise than they left, or not at all."""
        delay_ms = 1000 * np.array(self.delays_s)
        shares = {f"p{share}": round(float(np.percentile(delay_ms, share)), 2) for share in (1, 50, 99)}
        came = {"expected": round(legs * self.seconds / TICK_S), "came": delay_ms.size}
        return {
            "packets": {**came, "passed": self.passed, "strange": self.strange},
            "delay_ms": {**shares, "max": round(float(delay_ms.max()), 2)},
        }


@contextlib.contextmanager
def worker(options: argparse.Namespace) -> Iterator[tuple[int, Channel[Event]]]:
    """Run a media worker; its process id and the channel to it."""
    control, end = channel.pair()
    command = [sys.executable, "-m", "flexml.media.worker", "--fd", str(end.fileno()), "--name", "bench"]
    command += ["--capacity", str(2 * options.pairs), "--jitter-ms", str(options.jitter_ms)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as control starts it
    process = subprocess.Popen(command, pass_fds=[end.fileno()], env=environment)
    end.close()
    try:
        yield process.pid, control
    finally:
        control.close()
        process.wait(10)


def checked(events: list[Event]) -> list[Event]:
    """Return `events`; there is no measuring where a command failed."""
    for event in events:
        if isinstance(event, CommandFailed):
            raise SystemExit(f"leg {event.leg}: {event.command}: {event.error}")
    return events


def settle(control: Channel[Event], peers: Peers, seconds: float) -> None:
    """Let the peers talk for `seconds`, of which nothing is kept."""
    checked(peers.run(control, seconds))
    peers.clear()


def remote(peers: Peers, leg: int, telephone_event: int | None) -> SetRemote:
    """Return where the peer of `leg` receives. Without telephone events, keys are listened for in what it says."""
    port = peers.port(leg - 1)
    known = SetRemote(leg=leg, address=HERE, port=port, rtcp_port=DISCARD_PORT, codec="PCMU", payload_type=0)
    return msgspec.structs.replace(known, telephone_event=telephone_event)


def open_legs(control: Channel[Event], peers: Peers, legs: range) -> None:
    """Open the legs of all peers."""
    for leg in legs:
        control.send(OpenLeg(leg=leg, address=HERE, port=FIRST_PORT + 2 * (leg - 1)))
        control.send(remote(peers, leg, EVENTS))


def listen(control: Channel[Event], peers: Peers, legs: range, use: Use, folder: Path | None) -> None:
    """Let something listen to all legs, or nothing: with `folder`, pairs are recorded there."""
    for leg in legs:
        if folder is None:
            control.send(remote(peers, leg, EVENTS if use == "passing" else None))
        elif leg % 2 and use == "passing":
            control.send(StopRecording(leg=leg, job=1))
        elif leg % 2:
            control.send(StartRecording(leg=leg, job=1, path=str(folder / str(leg)), sides="dual"))
        control.flush()


def bridged(options: argparse.Namespace, folder: Path | None) -> dict[Use, Tally]:
    """Join all in pairs, and let packets pass and be mixed by turns."""
    legs = range(1, 2 * options.pairs + 1)
    tallies: dict[Use, Tally] = {use: Tally() for use in USES}
    with worker(options) as (process, control):
        peers = Peers(len(legs))
        open_legs(control, peers, legs)
        for leg in legs:
            control.send(Join(leg=leg, room=leg - 1 >> 1))
        settle(control, peers, SETTLE_S)
        use: Use = "passing"
        while tallies["mixed"].seconds < options.seconds:
            tallies[use].run(process, control, peers, TURN_S)
            use = "mixed" if use == "passing" else "passing"
            listen(control, peers, legs, use, folder)
    return tallies


def played(options: argparse.Namespace, prompt: Path) -> Tally:
    """Play `prompt` to all."""
    legs, tally = range(1, 2 * options.pairs + 1), Tally()
    with worker(options) as (process, control):
        peers = Peers(len(legs))
        open_legs(control, peers, legs)
        for leg in legs:
            control.send(StartPlay(leg=leg, job=leg, path=str(prompt), loops=0, offset=leg * 37 % 4000))
        settle(control, peers, SETTLE_S)
        tally.run(process, control, peers, options.seconds)
    return tally


def main() -> None:
    """Print the figures as JSON: times in ms, CPU in percent of one core."""
    parser = argparse.ArgumentParser(description="Bridge pairs of peers in one media worker and measure it.")
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind")
    parser.add_argument("--jitter-ms", type=int, default=40)
    parser.add_argument("--record", action="store_true", help="mix because both sides of each pair are recorded")
    options = parser.parse_args()
    with contextlib.suppress(OSError):  # the peers are to be as punctual as the worker, where that is permitted
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with tempfile.TemporaryDirectory() as name:
        prompt = Path(name) / "prompt.s16"
        prompt.write_bytes(np.random.default_rng(1).integers(-8000, 8000, 8000 * 30).astype("<i2").tobytes())
        tallies = bridged(options, Path(name) if options.record else None)
        playing = played(options, prompt)
    legs = 2 * options.pairs
    pair = {use: 100 * tally.cpu_s / tally.seconds / options.pairs for use, tally in tallies.items()}
    cost = {
        **{f"{use}_pair": round(percent, 4) for use, percent in pair.items()},
        "passing_to_mixed": round(pair["passing"] / pair["mixed"], 2),
        "playing_leg": round(100 * playing.cpu_s / playing.seconds / legs, 4),
    }
    figures = {use: tally.worker() | tally.packets(legs) for use, tally in tallies.items()}
    print(json.dumps({"pairs": options.pairs, **figures, "playing": playing.worker(), "cpu_percent": cost}, indent=2))


if __name__ == "__main__":
    main()
