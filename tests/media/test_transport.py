"""Real sockets on the loopback, moved by calls of their own and by io_uring, and the fake network in their place."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from flexml.media import clock
from flexml.media.control_ports import SELDOM
from flexml.media.sockets import UdpTransport
from flexml.media.transport import ROUNDS, Address, ControlPacket, FakeNetwork, Received
from flexml.media.uring import LOOK_AGAIN, UringTransport

HERE = "127.0.0.1"
Make = Callable[[int], UdpTransport]


@pytest.fixture(params=[UdpTransport, UringTransport])
def make(request: pytest.FixtureRequest) -> Make:
    kind: Make = request.param
    try:
        kind(1)
    except OSError as error:
        pytest.skip(f"no {request.param.__name__} here: {error}")
    return kind


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


def packets_of(received: Received) -> list[tuple[int, bytes]]:
    slots = range(received.rows.size) if received.slots is None else received.slots.tolist()
    octets = [received.data[slot, :length].tobytes() for slot, length in zip(slots, received.lengths, strict=True)]
    return list(zip(received.rows.tolist(), octets, strict=True))


def address_of(end: socket.socket) -> Address:
    host, port = end.getsockname()
    return str(host), int(port)


def test_packets_go_out_from_the_rtp_port_and_come_in_by_row(make: Make, peer: socket.socket) -> None:
    transport, ports = make(4), [free_pair(), free_pair()]
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
    assert sorted(packets_of(received)) == [(0, b"first to row 0"), (0, b"second to row 0"), (2, b"to row 2")]
    assert received.sources == [address_of(peer)] * 3
    assert transport.receive().rows.size == 0
    for row in (0, 2):
        transport.close(row)


def test_rtcp_has_the_next_port(make: Make, peer: socket.socket) -> None:
    transport, port = make(1), free_pair()
    transport.open(0, HERE, port)
    transport.aim_control(0, address_of(peer))
    transport.send_control(0, b"report")
    assert peer.recvfrom(100) == (b"report", (HERE, port + 1))
    peer.sendto(b"answer", (HERE, port + 1))
    received = transport.receive()
    assert [packet._replace(age_s=0.0) for packet in received.control] == [
        ControlPacket(0, b"answer", address_of(peer))
    ]
    assert received.rows.size == 0
    transport.close(0)


def test_rtcp_is_looked_for_now_and_then_and_when_it_came_is_known(make: Make, peer: socket.socket) -> None:
    transport, port = make(2), free_pair()
    transport.open(0, HERE, port)
    transport.receive()
    begun_s = clock.now()
    for number in range(ROUNDS + 1):
        peer.sendto(bytes([number]), (HERE, port + 1))
    sent_s = clock.now()
    clock.sleep_until(sent_s + 0.05)
    assert [packet for _ in range(SELDOM - 1) for packet in transport.receive().control] == []
    looked_s = clock.now()
    first = transport.receive().control
    done_s = clock.now()
    assert [packet.octets[0] for packet in first] == list(range(ROUNDS))
    assert all(looked_s - sent_s - 0.01 <= packet.age_s <= done_s - begun_s + 0.01 for packet in first)
    rest = [packet.octets[0] for _ in range(SELDOM) for packet in transport.receive().control]
    assert rest == [ROUNDS]
    transport.close(0)


def test_a_burst_is_taken_in_parts_and_none_of_it_is_lost(make: Make, peer: socket.socket) -> None:
    transport, port = make(1), free_pair()
    transport.open(0, HERE, port)
    for number in range(2 * ROUNDS + 1):
        peer.sendto(bytes([number]), (HERE, port))
    taken = [packets_of(transport.receive()) for _ in range(3)]
    assert [len(part) for part in taken] == [ROUNDS, ROUNDS, 1]
    assert [octets[0] for part in taken for _, octets in part] == list(range(2 * ROUNDS + 1))
    transport.close(0)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_port_that_is_taken_is_named_and_nothing_stays_bound(make: Make, offset: int) -> None:
    transport, port = make(1), free_pair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HERE, port + offset))
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port + offset} cannot be bound: Address already in use"):
            transport.open(0, HERE, port)
    transport.open(0, HERE, port)
    transport.close(0)


def test_closed_ports_are_free_again_and_closing_twice_is_harmless(make: Make) -> None:
    transport, port = make(1), free_pair()
    for _ in range(3):
        transport.open(0, HERE, port)
        transport.close(0)
        transport.close(0)


def test_a_destination_that_does_not_exist_disturbs_nobody(make: Make, peer: socket.socket) -> None:
    transport, ports = make(2), [free_pair(), free_pair()]
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


def test_ipv6_works_alike(make: Make) -> None:
    transport, port = make(1), free_pair()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as end:
        end.bind(("::1", 0))
        end.settimeout(5)
        transport.open(0, "::1", port)
        transport.aim(0, ("::1", end.getsockname()[1]))
        transport.send(np.array([0]), np.ones((1, 12), np.uint8))
        assert end.recvfrom(100)[1][:2] == ("::1", port)
        transport.close(0)


def connected(make: Make, peer: socket.socket) -> tuple[UdpTransport, int]:
    """Return a transport whose row 0 has been connected to `peer` and found empty, and its port."""
    transport, port = make(2), free_pair()
    transport.open(0, HERE, port)
    transport.connect(0, address_of(peer))
    assert transport.receive().rows.size == 0
    return transport, port


def test_a_connected_row_is_spoken_to_and_hears_its_peer_only(make: Make, peer: socket.socket) -> None:
    transport, port = connected(make, peer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"injected", (HERE, port))
    peer.sendto(b"one", (HERE, port))
    received = transport.receive()
    assert (packets_of(received), received.sources) == ([(0, b"one")], [])
    transport.send(np.array([0, 1]), np.arange(24, dtype=np.uint8).reshape(2, 12))
    assert peer.recvfrom(100) == (bytes(range(12)), (HERE, port))
    transport.close(0)


def test_what_came_before_a_row_was_connected_is_told_with_its_source(make: Make, peer: socket.socket) -> None:
    transport, port = make(1), free_pair()
    transport.open(0, HERE, port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((HERE, 0))
        for _ in range(ROUNDS + 1):  # more than one look finds
            stranger.sendto(b"injected", (HERE, port))
        transport.connect(0, address_of(peer))
        peer.sendto(b"one", (HERE, port))
        first, second = transport.receive(), transport.receive()
        assert first.sources + second.sources == [*[address_of(stranger)] * (ROUNDS + 1), address_of(peer)]
    peer.sendto(b"two", (HERE, port))
    third = transport.receive()
    assert (packets_of(third), third.sources) == ([(0, b"two")], [])
    transport.close(0)


def test_a_peer_without_a_port_is_heard(make: Make, peer: socket.socket) -> None:
    """SIPp sends captures so. A raw socket would be needed to do it here: at least nothing is different from before."""
    transport, port = make(1), free_pair()
    transport.open(0, HERE, port)
    transport.connect(0, (HERE, 0))
    transport.receive()
    peer.sendto(b"one", (HERE, port))
    received = transport.receive()
    assert (packets_of(received), received.sources) == ([(0, b"one")], [address_of(peer)])
    transport.close(0)


def test_a_row_that_is_aimed_anew_hears_anybody_again(make: Make, peer: socket.socket) -> None:
    transport, port = connected(make, peer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HERE, 0))
        other.settimeout(5)
        transport.aim(0, address_of(other))
        transport.send(np.array([0]), np.ones((1, 12), np.uint8))
        assert other.recvfrom(100) == (b"\x01" * 12, (HERE, port))
        peer.sendto(b"the last of the old", (HERE, port))
        other.sendto(b"the first of the new", (HERE, port))
        received = transport.receive()
        assert received.sources == [address_of(peer), address_of(other)]
        transport.connect(0, address_of(other))
        transport.receive()
        peer.sendto(b"too late", (HERE, port))
        other.sendto(b"as before", (HERE, port))
        assert packets_of(transport.receive()) == [(0, b"as before")]
    transport.close(0)


@pytest.mark.parametrize("each", [1, 2, 3])
def test_a_connected_row_is_caught_up_with(make: Make, peer: socket.socket, each: int) -> None:
    """However many packets a peer sends in a tick, all are taken in order, and none waits for long."""
    transport, port = connected(make, peer)
    taken: list[int] = []
    for tick in range(4 * LOOK_AGAIN):
        for number in range(each * tick, each * tick + each):
            peer.sendto(bytes([number]), (HERE, port))
        taken += [octets[0] for _, octets in packets_of(transport.receive())]
        if tick > LOOK_AGAIN:
            assert len(taken) == each * tick + each
    assert taken == list(range(4 * LOOK_AGAIN * each))
    transport.close(0)


def test_a_packet_that_comes_late_does_not_keep_the_next_one_waiting(make: Make, peer: socket.socket) -> None:
    transport, port = connected(make, peer)
    for _ in range(LOOK_AGAIN + 1):
        peer.sendto(b"on time", (HERE, port))
        transport.receive()
    assert transport.receive().rows.size == 0
    peer.sendto(b"late", (HERE, port))
    peer.sendto(b"next", (HERE, port))
    assert packets_of(transport.receive()) == [(0, b"late"), (0, b"next")]
    transport.close(0)


def test_rows_that_are_connected_and_others_get_what_is_theirs(make: Make, peer: socket.socket) -> None:
    transport, ports = make(64), list[int]()
    for row in range(64):
        ports.append(free_pair())
        transport.open(row, HERE, ports[row])
        (transport.connect if row % 2 else transport.aim)(row, address_of(peer))
    transport.receive()
    for row, port in enumerate(ports):
        peer.sendto(bytes([row]), (HERE, port))
    received = transport.receive()
    assert sorted(packets_of(received)) == [(row, bytes([row])) for row in range(64)]
    assert received.sources == [address_of(peer)] * 32
    assert received.rows[:32].tolist() == list(range(0, 64, 2))
    transport.send(np.arange(64)[::-1], np.repeat(np.arange(64, dtype=np.uint8)[:, None], 12, axis=1))
    got = [peer.recvfrom(100) for _ in range(64)]
    assert sorted(got) == [(bytes([63 - row]) * 12, (HERE, port)) for row, port in reversed(list(enumerate(ports)))]
    for row in range(64):
        transport.close(row)


def test_rows_and_lengths_that_change_from_tick_to_tick_go_out_as_they_are(make: Make, peer: socket.socket) -> None:
    transport = make(3)  # io_uring's own tables are gone through several times
    ports = [free_pair() for _ in range(3)]
    for row, port in enumerate(ports):
        transport.open(row, HERE, port)
        transport.connect(row, address_of(peer))
    transport.receive()
    both, last = np.array([0, 1]), np.array([2])
    for tick in range(40):
        length = 20 + tick % 3
        packets = np.full((2, length), tick, np.uint8) + np.array([[0], [100]], np.uint8)
        transport.send(both, packets)
        if tick % 4 == 0:
            transport.send(last, packets[1:])
        assert peer.recvfrom(100) == (bytes([tick] * length), (HERE, ports[0]))
        assert peer.recvfrom(100) == (bytes([tick + 100] * length), (HERE, ports[1]))
        if tick % 4 == 0:
            assert peer.recvfrom(100) == (bytes([tick + 100] * length), (HERE, ports[2]))
        for row in range(3):
            peer.sendto(bytes([row, tick]), (HERE, ports[row]))
        assert sorted(packets_of(transport.receive())) == [(row, bytes([row, tick])) for row in range(3)]
    for row in range(3):
        transport.close(row)


def test_a_connected_peer_that_has_gone_disturbs_nobody(make: Make, peer: socket.socket) -> None:
    transport, ports = make(2), [free_pair(), free_pair()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind((HERE, 0))
        for row, (port, end) in enumerate(zip(ports, (gone, peer), strict=True)):
            transport.open(row, HERE, port)
            transport.connect(row, address_of(end))
        transport.receive()
    for number in range(4):
        transport.send(np.array([0, 1]), np.full((2, 12), number, np.uint8))
        assert peer.recv(100) == bytes([number]) * 12
        peer.sendto(bytes([number]), (HERE, ports[1]))
        assert packets_of(transport.receive()) == [(1, bytes([number]))]
    for row in (0, 1):
        transport.close(row)


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
