"""Real sockets on the loopback, and the fake network that stands in for them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from flexml.media.transport import ROUNDS, Address, ControlPacket, FakeNetwork, UdpTransport

HERE = "127.0.0.1"


def free_pair() -> int:
    """Return a port that is free together with the next one."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind((HERE, 0))
            port = int(first.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                try:
                    second.bind((HERE, port + 1))
                except (OSError, OverflowError):
                    continue
                return port


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((HERE, 0))
        end.settimeout(5)
        yield end


def address_of(end: socket.socket) -> Address:
    host, port = end.getsockname()
    return str(host), int(port)


def test_packets_go_out_from_the_rtp_port_and_come_in_by_row(peer: socket.socket) -> None:
    transport, ports = UdpTransport(4), [free_pair(), free_pair()]
    for row, port in zip((0, 2), ports, strict=True):
        transport.open(row, HERE, port)
        transport.aim(row, address_of(peer))
    packets = np.arange(24, dtype=np.uint8).reshape(2, 12)
    transport.send(np.array([2, 0]), packets)
    got = [peer.recvfrom(100) for _ in range(2)]
    assert got == [(packets[0].tobytes(), (HERE, ports[1])), (packets[1].tobytes(), (HERE, ports[0]))]

    peer.sendto(b"to row 2", (HERE, ports[1]))
    peer.sendto(b"first to row 0", (HERE, ports[0]))
    peer.sendto(b"second to row 0", (HERE, ports[0]))
    received = transport.receive()
    octets = [data[:size].tobytes() for data, size in zip(received.data, received.lengths, strict=True)]
    taken = sorted(zip(received.rows.tolist(), octets, strict=True))
    assert taken == [(0, b"first to row 0"), (0, b"second to row 0"), (2, b"to row 2")]
    assert received.sources == [address_of(peer)] * 3
    assert transport.receive().rows.size == 0
    for row in (0, 2):
        transport.close(row)


def test_rtcp_has_the_next_port(peer: socket.socket) -> None:
    transport, port = UdpTransport(1), free_pair()
    transport.open(0, HERE, port)
    transport.aim_control(0, address_of(peer))
    transport.send_control(0, b"report")
    assert peer.recvfrom(100) == (b"report", (HERE, port + 1))
    peer.sendto(b"answer", (HERE, port + 1))
    received = transport.receive()
    assert received.control == [ControlPacket(0, b"answer", address_of(peer))]
    assert received.rows.size == 0
    transport.close(0)


def test_a_burst_is_taken_in_parts_and_none_of_it_is_lost(peer: socket.socket) -> None:
    transport, port = UdpTransport(1), free_pair()
    transport.open(0, HERE, port)
    for number in range(2 * ROUNDS + 1):
        peer.sendto(bytes([number]), (HERE, port))
    taken = [transport.receive().data[:, 0].tolist() for _ in range(3)]
    assert [len(part) for part in taken] == [ROUNDS, ROUNDS, 1]
    assert sum(taken, []) == list(range(2 * ROUNDS + 1))  # noqa: RUF017
    transport.close(0)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_port_that_is_taken_is_named_and_nothing_stays_bound(offset: int) -> None:
    transport, port = UdpTransport(1), free_pair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HERE, port + offset))
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port + offset} cannot be bound: Address already in use"):
            transport.open(0, HERE, port)
    transport.open(0, HERE, port)
    transport.close(0)


def test_closed_ports_are_free_again_and_closing_twice_is_harmless() -> None:
    transport, port = UdpTransport(1), free_pair()
    for _ in range(3):
        transport.open(0, HERE, port)
        transport.close(0)
        transport.close(0)


def test_a_destination_that_does_not_exist_disturbs_nobody(peer: socket.socket) -> None:
    transport, ports = UdpTransport(2), [free_pair(), free_pair()]
    for row, port in enumerate(ports):
        transport.open(row, HERE, port)
    transport.aim(0, (HERE, free_pair()))  # nobody listens: answered by ICMP
    transport.aim(1, address_of(peer))
    for number in range(3):
        transport.send(np.array([0, 1]), np.full((2, 12), number, np.uint8))
        assert transport.receive().rows.size == 0
        assert peer.recv(100) == bytes([number]) * 12
    for row in (0, 1):
        transport.close(row)


def test_ipv6_works_alike() -> None:
    transport, port = UdpTransport(1), free_pair()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as end:
        end.bind(("::1", 0))
        end.settimeout(5)
        transport.open(0, "::1", port)
        transport.aim(0, ("::1", end.getsockname()[1]))
        transport.send(np.array([0]), np.ones((1, 12), np.uint8))
        assert end.recvfrom(100)[1][:2] == ("::1", port)
        transport.close(0)


def test_the_fake_network_delivers_at_its_tick_and_keeps_what_is_sent() -> None:
    network = FakeNetwork([(1, 0, b"one"), (1, 3, b"no such row")])
    network.arrive(1, 0, b"two", ("192.0.2.9", 9))
    network.open(0, HERE, 4000)
    network.aim(0, FakeNetwork.PEER)
    assert network.receive().rows.size == 0
    received = network.receive()
    assert received.rows.tolist() == [0, 0]
    assert received.lengths.tolist() == [3, 3]
    assert received.sources == [FakeNetwork.PEER, ("192.0.2.9", 9)]
    network.send(np.array([0, 1]), np.ones((2, 2), np.uint8))
    assert network.sent == [(1, 0, b"\x01\x01")]
    with pytest.raises(OSError, match="already in use"):
        network.open(1, HERE, 4000)
