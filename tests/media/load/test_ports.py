"""Sockets on the loopback, moved both ways."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from flexml.media.load.ports import PlainPorts, RingPorts, bind, drops

HERE = "127.0.0.1"
COUNT = 5

Kind = TypeVar("Kind", PlainPorts, RingPorts)


@pytest.fixture(params=[PlainPorts, RingPorts], ids=["plain", "ring"])
def ports(request: pytest.FixtureRequest) -> Iterator[PlainPorts | RingPorts]:
    sockets = bind(HERE, 33000, COUNT)
    make: Callable[[list[socket.socket]], PlainPorts | RingPorts] = request.param
    try:
        yield make(sockets)
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    finally:
        for end in sockets:
            end.close()


def write(ports: PlainPorts | RingPorts, row: int, octets: bytes) -> None:
    ports.packets[row, : len(octets)] = np.frombuffer(octets, np.uint8)
    ports.lengths[row] = len(octets)


def test_packets_arrive_whole_and_stamped(ports: PlainPorts | RingPorts) -> None:
    everybody = np.arange(COUNT)
    for row in range(COUNT):
        ports.aim(row, HERE, ports.ports[(row + 1) % COUNT])  # to the next one
        write(ports, row, bytes([row]) * (10 + row))
    ports.send(everybody)
    received = ports.receive(everybody)
    assert received.rows.tolist() == [0, 1, 2, 3, 4]
    assert received.lengths.tolist() == [14, 10, 11, 12, 13]
    assert [ports.data[slot, 0] for slot in received.slots.tolist()] == [4, 0, 1, 2, 3]
    assert received.stamps.min() > 1_600_000_000 * 10**9
    assert np.ptp(received.stamps) < 5 * 10**9
    assert ports.receive(everybody).rows.size == 0


def test_only_the_rows_asked_are_sent_and_fetched(ports: PlainPorts | RingPorts) -> None:
    for row in range(COUNT):
        ports.aim(row, HERE, ports.ports[0])
        write(ports, row, bytes([row]) * 20)
    ports.send(np.array([2]))
    assert ports.receive(np.array([1, 3])).rows.size == 0
    assert ports.receive(np.array([0, 1])).rows.tolist() == [0]
    assert ports.data[0, 0] == 2


def test_stamps_are_of_the_arrival_not_of_the_fetching(ports: PlainPorts | RingPorts) -> None:
    ports.aim(0, HERE, ports.ports[1])
    write(ports, 0, b"x" * 20)
    ports.send(np.array([0]))
    ports.send(np.array([0]))
    first, second = (ports.receive(np.array([1])).stamps[0] for _ in range(2))
    assert first < second


def test_what_is_no_address_is_refused(ports: PlainPorts | RingPorts) -> None:
    with pytest.raises(OSError):
        ports.aim(0, "::1", 4000)


def test_ports_in_use_are_left_out() -> None:
    (taken,) = bind(HERE, 34000, 1)
    port = taken.getsockname()[1]
    with taken:
        sockets = bind(HERE, port, 3)
        found = [end.getsockname()[1] for end in sockets]
        for end in sockets:
            end.close()
    assert found[0] > port
    assert [number % 2 for number in found] == [0, 0, 0]


def test_too_few_ports_are_told() -> None:
    with pytest.raises(OSError, match="are needed"):
        bind(HERE, 65530, 10)


def test_drops_are_those_of_our_ports(tmp_path: Path) -> None:
    table = tmp_path / "udp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ... drops\n"
        " 1: 0100007F:7530 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 8 2 0 3\n"
        " 2: 0100007F:7532 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0 4\n"
        " 3: 0100007F:0050 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 100\n"
    )
    assert drops([30000, 30002], (table, tmp_path / "none")) == 7
