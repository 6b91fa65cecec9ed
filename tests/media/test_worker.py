"""A real worker process over a real channel, and legs that talk to each other over the loopback."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from flexml.media import channel, clock
from flexml.media.channel import Channel
from flexml.media.events import (
    Beat,
    CommandFailed,
    DigitReceived,
    DigitsSent,
    Event,
    LegClosed,
    LegHeard,
    LegOpened,
    PlayFinished,
)
from flexml.media.haste import LEAST_S
from flexml.media.pipeline import Pipeline
from flexml.media.protocol import CloseLeg, Drain, OpenLeg, SendDigits, SetRemote, StartPlay
from flexml.media.worker import Tally, Worker

HERE = "127.0.0.1"
PATIENCE_S = 20.0


class Process:
    """A worker process and control's end of its channel."""

    def __init__(self) -> None:
        self.control: Channel[Event]
        self.control, worker = channel.pair()
        command = [sys.executable, "-m", "flexml.media.worker", "--fd", str(worker.fileno()), "--name", "worker 7"]
        self.process = subprocess.Popen([*command, "--capacity", "8"], pass_fds=[worker.fileno()])
        worker.close()
        self.events: list[Event] = []

    def until(self, happened: Callable[[list[Event]], bool]) -> list[Event]:
        """Wait until `happened` is true of all events that came, and return them."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not happened(self.events):
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"not in {PATIENCE_S} s; came: {self.events}"
            select.select([self.control], [], [], left_s)
            self.events += self.control.receive()
            assert not self.control.ended, f"the worker ended; came: {self.events}"
        return self.events

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def worker() -> Iterator[Process]:
    process = Process()
    yield process
    process.control.close()
    process.wait()


def free_pairs(count: int) -> list[int]:
    """Return even ports that are free together with the next one."""
    held: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HERE, 0))
            port = int(probe.getsockname()[1]) & ~1
        try:
            for number in (port, port + 1):
                end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                held.append(end)
                end.bind((HERE, number))
        except OSError:
            continue
        ports.append(port)
    for end in held:
        end.close()
    return ports


def came(kind: type[Event], leg: int = 0, count: int = 1) -> Callable[[list[Event]], bool]:
    return lambda events: sum(isinstance(event, kind) and leg in (0, event.leg) for event in events) >= count


def connect(worker: Process, ports: list[int]) -> None:
    """Open legs 1 and 2 on `ports`, each the other's remote."""
    for leg, port in enumerate(ports, 1):
        worker.control.send(OpenLeg(leg=leg, address=HERE, port=port))
    for leg, port in enumerate(reversed(ports), 1):
        remote = SetRemote(
            leg=leg, address=HERE, port=port, rtcp_port=port + 1, codec="PCMU", payload_type=0, telephone_event=101
        )
        worker.control.send(remote)
    worker.until(came(LegHeard, count=2))


def test_two_legs_play_and_press_keys_to_each_other(worker: Process, tmp_path: Path) -> None:
    path = tmp_path / "second.s16"
    path.write_bytes(np.random.default_rng(1).integers(-9000, 9000, 8000).astype(np.int16).tobytes())
    ports = free_pairs(2)
    connect(worker, ports)
    worker.control.send(StartPlay(leg=1, job=1, path=str(path)))
    worker.control.send(SendDigits(leg=2, job=2, digits="123#"))
    worker.until(came(PlayFinished))
    worker.until(came(DigitReceived, count=4))
    worker.until(came(DigitsSent))
    for leg in (1, 2):
        worker.control.send(CloseLeg(leg=leg))
    events = worker.until(came(LegClosed, count=2))

    assert [event.digit for event in events if isinstance(event, DigitReceived)] == ["1", "2", "3", "#"]
    assert {event.leg for event in events if isinstance(event, DigitReceived)} == {1}
    played = [event for event in events if isinstance(event, PlayFinished)]
    assert played == [PlayFinished(leg=1, job=1, reason="ended", position=1000)]
    heard = {event.leg: event.port for event in events if isinstance(event, LegHeard)}
    assert heard == {1: ports[1], 2: ports[0]}
    stats = {event.leg: event.stats for event in events if isinstance(event, LegClosed)}
    for one, other in ((stats[1], stats[2]), (stats[2], stats[1])):
        assert one.packets_sent >= 50
        assert 0 <= one.packets_sent - other.packets_received <= 2
        assert (one.lost, one.duplicates, one.invalid) == (0, 0, 0)
    assert not [event for event in events if isinstance(event, CommandFailed)]


def test_ports_are_free_again_after_the_leg_is_closed(worker: Process) -> None:
    ports = free_pairs(2)
    for _ in range(3):
        worker.events.clear()
        connect(worker, ports)
        for leg in (1, 2):
            worker.control.send(CloseLeg(leg=leg))
        worker.until(came(LegClosed, count=2))
    for port in (*ports, *(port + 1 for port in ports)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind((HERE, port))


def test_a_port_that_is_taken_is_named(worker: Process) -> None:
    (port,) = free_pairs(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((HERE, port + 1))
        worker.control.send(OpenLeg(leg=1, address=HERE, port=port))
        worker.until(came(CommandFailed))
    (failed,) = [event for event in worker.events if isinstance(event, CommandFailed)]
    assert failed.error == f"{HERE}:{port + 1} cannot be bound: Address already in use"


def test_the_worker_beats_every_second_and_bears_its_name(worker: Process) -> None:
    events = worker.until(came(Beat, count=3))
    first, *beats = [event for event in events if isinstance(event, Beat)]
    assert first.ticks == 0  # the sign that it is up
    assert [beat.ticks for beat in beats] == [50] * len(beats)
    assert all(0 < beat.work_p50_us <= beat.work_max_us for beat in beats)
    name = Path(f"/proc/{worker.process.pid}/cmdline").read_bytes().rstrip(b"\0")
    assert name == b"flexml: worker 7"


def test_the_worker_ends_cleanly_when_control_does(worker: Process) -> None:
    ports = free_pairs(2)
    connect(worker, ports)
    worker.control.close()
    assert worker.wait() == 0


def test_an_interrupt_is_controls_affair(worker: Process) -> None:
    worker.until(came(Beat))
    os.kill(worker.process.pid, signal.SIGINT)
    worker.until(came(Beat, count=2))


def test_a_drain_ends_the_worker_after_its_last_leg(worker: Process) -> None:
    (port,) = free_pairs(1)
    worker.control.send(OpenLeg(leg=1, address=HERE, port=port))
    worker.control.send(Drain())
    worker.control.send(OpenLeg(leg=2, address=HERE, port=port + 2))
    worker.until(came(CommandFailed))
    worker.until(came(Beat))
    worker.control.send(CloseLeg(leg=1))
    assert worker.wait() == 0


@pytest.mark.parametrize("terminations", [1, 2])
def test_termination_drains_and_a_second_one_ends(worker: Process, terminations: int) -> None:
    worker.control.send(OpenLeg(leg=1, address=HERE, port=free_pairs(1)[0]))
    worker.until(came(LegOpened))
    os.kill(worker.process.pid, signal.SIGTERM)
    worker.control.send(OpenLeg(leg=2, address=HERE, port=free_pairs(1)[0]))
    worker.until(lambda events: came(CommandFailed)(events) or came(LegOpened, 2)(events))
    if terminations == 1:
        for leg in (1, 2):
            worker.control.send(CloseLeg(leg=leg))
    else:
        os.kill(worker.process.pid, signal.SIGTERM)
    assert worker.wait() == 0


def test_a_beat_sums_up_the_ticks_since_the_last() -> None:
    tally = Tally()
    for number in range(50):
        late = number in {3, 4, 5, 20, 48, 49}
        assert tally.add(number / 1e6, 10, late=late, overrun=number == 4) is (number == 49)
    tally.skip(3)
    tally.skip(2)
    beat = tally.beat(legs=10)
    assert beat == Beat(
        legs=10, ticks=50, work_p50_us=24, work_max_us=49, overruns=1, late_packets=60, streak_ms=60, skipped=5
    )
    tally.add(1e-6, 10, late=True, overrun=False)
    assert tally.beat(legs=10).streak_ms == 60, "a streak that lasts over the beat goes on"


FAULTS = """
import resource, numpy
from flexml.media.worker import _prefer_punctuality
_prefer_punctuality()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): frames = [numpy.ones((1000, 160)) for _ in range(8)]; del frames
before = faults()
for _ in range(100): frames = [numpy.ones((1000, 160)) for _ in range(8)]; del frames
print(faults() - before)
"""


def test_a_worker_does_not_get_the_same_memory_from_the_kernel_at_every_tick() -> None:
    said = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True).stdout
    assert int(said) < 1000  # 100 times 10 MB are 250,000 pages


class Slow:
    """A pipeline with legs in rooms whose packets take a while to be ready; it tells in which order it was asked."""

    def __init__(self, ready_s: float, ticks: int) -> None:
        self.conversing = True
        self.ready_s = ready_s
        self.legs = 0
        self.asked: list[str] = []
        self.ticks = ticks

    @property
    def draining(self) -> bool:
        return self.asked.count("tick") >= self.ticks

    def listen(self, now_s: float, left_s: float) -> None:
        self.asked.append("listen")
        assert left_s >= LEAST_S, now_s

    def tick(self, now_s: float, hold: Callable[[], None]) -> int:
        self.asked.append("tick")
        clock.sleep_until(now_s + self.ready_s)
        hold()
        self.asked.append("sent")
        return 2

    def close(self) -> None:
        self.asked.append("close")


@pytest.mark.parametrize(("ready_s", "held"), [(0.0, False), (0.007, True)])
def test_what_comes_early_is_taken_while_packets_wait_where_that_is_when_it_comes(ready_s: float, held: bool) -> None:
    control, end = channel.pair()
    pipeline = Slow(ready_s, 60)
    Worker(end, cast("Pipeline", pipeline)).run()
    control.close()
    looks = Counter(zip(pipeline.asked, pipeline.asked[1:], strict=False))
    assert ("listen", "listen") not in looks
    assert (looks["tick", "listen"] > looks["sent", "listen"]) is held
