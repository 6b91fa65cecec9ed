"""How packets come and go: the seam that a test network replaces, and the UDP sockets behind it.

One RTP and one RTCP socket a leg (RFC 3550 section 11: RTCP on the next port). A tick takes what has
come with one poll and one call a packet, and sends a batch with one call a packet; nothing waits. What a
destination answers by ICMP is not our concern: media stops when signalling or silence says so.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .rtp import MAX_PACKET

Address = tuple[str, int]
Packets = NDArray[np.uint8]

ROUNDS: Final = 4
"""Packets taken from one socket in one tick at most: a burst is caught up with, a flood is left in the kernel."""

SOCKET_BUFFER: Final = 1 << 17
"""Octets; some 150 packets of 20 ms as the kernel counts them, 3 s that a worker may be late without loss."""

EXPEDITED: Final = 46 << 2
"""Expedited Forwarding, what RFC 4594 section 4.1 gives telephony, as the octet of the IP header."""


class ControlPacket(NamedTuple):
    """A packet that came on an RTCP port."""

    row: int
    octets: bytes
    source: Address


@dataclass(frozen=True, slots=True)
class Received:
    """What has come since the last tick. `data` is only valid until the next `receive`."""

    rows: NDArray[np.intp]  # [m]
    data: Packets  # [m, MAX_PACKET]
    lengths: NDArray[np.int32]  # [m] octets
    sources: list[Address]
    control: list[ControlPacket] = field(default_factory=list[ControlPacket])


class Transport(Protocol):
    """Sockets by row. Nothing here waits, and a packet that cannot be sent is lost as on any network."""

    def open(self, row: int, address: str, port: int) -> None:
        """Bind RTP to `port` and RTCP to `port + 1`; OSError if one cannot be bound."""
        ...

    def close(self, row: int) -> None:
        """Free the ports of `row`."""
        ...

    def aim(self, row: int, address: Address) -> None:
        """Send the RTP of `row` to `address` from now on."""
        ...

    def aim_control(self, row: int, address: Address) -> None:
        """Send the RTCP of `row` to `address` from now on."""
        ...

    def receive(self) -> Received:
        """Return the packets that have come."""
        ...

    def send(self, rows: NDArray[np.intp], packets: Packets) -> None:
        """Send `packets[i]` (uint8[n, length]) from the RTP port of `rows[i]`; the rows are aimed."""
        ...

    def send_control(self, row: int, octets: bytes) -> None:
        """Send `octets` from the RTCP port of `row`."""
        ...


class UdpTransport:
    """Non-blocking UDP sockets under one epoll, level-triggered so that no read ever comes up empty."""

    def __init__(self, capacity: int) -> None:
        self._poll: select.epoll = select.epoll()
        self._sockets: list[tuple[socket.socket, socket.socket] | None] = [None] * capacity
        self._sendto: list[Callable[[Any, Address], int] | None] = [None] * capacity
        self._aims: list[Address | None] = [None] * capacity
        self._control_aims: list[Address | None] = [None] * capacity
        self._read: dict[int, tuple[int, Callable[[Any], tuple[int, Any]]]] = {}  # RTP: descriptor to row, read
        self._read_control: dict[int, tuple[int, socket.socket]] = {}
        self._data: Packets = np.zeros((capacity * ROUNDS, MAX_PACKET), np.uint8)
        view = self._data.data.cast("B")
        self._slots: list[memoryview] = [view[start : start + MAX_PACKET] for start in range(0, len(view), MAX_PACKET)]

    def open(self, row: int, address: str, port: int) -> None:
        """See Transport."""
        rtp = _bound(address, port)
        try:
            rtcp = _bound(address, port + 1)
        except OSError:
            rtp.close()
            raise
        self._sockets[row] = rtp, rtcp
        self._sendto[row] = rtp.sendto
        self._read[rtp.fileno()] = row, rtp.recvfrom_into
        self._read_control[rtcp.fileno()] = row, rtcp
        self._poll.register(rtp.fileno(), select.EPOLLIN)
        self._poll.register(rtcp.fileno(), select.EPOLLIN)

    def close(self, row: int) -> None:
        """See Transport."""
        sockets = self._sockets[row]
        if sockets is None:
            return
        for end in sockets:
            self._read.pop(end.fileno(), None)
            self._read_control.pop(end.fileno(), None)
            self._poll.unregister(end.fileno())
            end.close()
        self._sockets[row] = self._sendto[row] = self._aims[row] = self._control_aims[row] = None

    def aim(self, row: int, address: Address) -> None:
        """See Transport."""
        self._aims[row] = address

    def aim_control(self, row: int, address: Address) -> None:
        """See Transport."""
        self._control_aims[row] = address

    def receive(self) -> Received:
        """See Transport."""
        rows: list[int] = []
        lengths: list[int] = []
        sources: list[Address] = []
        control: list[ControlPacket] = []
        slots, read = self._slots, self._read
        filled = 0
        for _ in range(ROUNDS):
            ready = self._poll.poll(0, max(1, len(read) * 2))
            for descriptor, _events in ready:
                entry = read.get(descriptor)
                if entry is None:
                    self._receive_control(descriptor, control)
                    continue
                try:
                    length, source = entry[1](slots[filled])
                except OSError:  # an ICMP answer to what we sent
                    continue
                rows.append(entry[0])
                lengths.append(length)
                sources.append(source)
                filled += 1
            if not ready:
                break
        return Received(np.array(rows, np.intp), self._data[:filled], np.array(lengths, np.int32), sources, control)

    def send(self, rows: NDArray[np.intp], packets: Packets) -> None:
        """See Transport."""
        sendto, aims = self._sendto, self._aims
        length = packets.shape[1]
        octets = packets.tobytes()
        start = 0
        for row in rows.tolist():
            call, aim = sendto[row], aims[row]
            if call is not None and aim is not None:
                try:
                    call(octets[start : start + length], aim)
                except OSError:  # no route, full buffer: lost, like a packet on the way
                    pass
            start += length

    def send_control(self, row: int, octets: bytes) -> None:
        """See Transport."""
        sockets, aim = self._sockets[row], self._control_aims[row]
        if sockets is not None and aim is not None:
            try:
                sockets[1].sendto(octets, aim)
            except OSError:
                pass

    def _receive_control(self, descriptor: int, control: list[ControlPacket]) -> None:
        row, end = self._read_control[descriptor]
        try:
            octets, source = end.recvfrom(MAX_PACKET)
        except OSError:
            return
        control.append(ControlPacket(row, octets, source[:2]))


class FakeNetwork:
    """A network of lists: what arrives at which tick is given, what is sent is kept.

    `arrivals` holds (tick, row, octets), which come from PEER; a tick is one `receive`.
    """

    PEER: Final[Address] = ("192.0.2.1", 4000)

    def __init__(self, arrivals: Iterable[tuple[int, int, bytes]] = ()) -> None:
        self.tick: int = 0
        self.sent: list[tuple[int, int, bytes]] = []
        self.sent_control: list[tuple[int, int, bytes]] = []
        self.control: list[tuple[int, ControlPacket]] = []
        self.aims: dict[int, Address] = {}
        self.control_aims: dict[int, Address] = {}
        self.ports: dict[int, tuple[str, int]] = {}
        self._arrivals: dict[int, list[tuple[int, bytes, Address]]] = {}
        for tick, row, octets in arrivals:
            self.arrive(tick, row, octets)

    def arrive(self, tick: int, row: int, octets: bytes, source: Address = PEER) -> None:
        """Let `octets` come in at `tick`."""
        self._arrivals.setdefault(tick, []).append((row, octets, source))

    def open(self, row: int, address: str, port: int) -> None:
        """See Transport. A port that another row holds cannot be bound, as with real sockets."""
        if (address, port) in self.ports.values():
            raise OSError(98, "Address already in use")
        self.ports[row] = address, port

    def close(self, row: int) -> None:
        """See Transport."""
        self.ports.pop(row, None)
        self.aims.pop(row, None)
        self.control_aims.pop(row, None)

    def aim(self, row: int, address: Address) -> None:
        """See Transport."""
        self.aims[row] = address

    def aim_control(self, row: int, address: Address) -> None:
        """See Transport."""
        self.control_aims[row] = address

    def receive(self) -> Received:
        """See Transport."""
        packets = [packet for packet in self._arrivals.pop(self.tick, []) if packet[0] in self.ports]
        control = [packet for tick, packet in self.control if tick == self.tick]
        self.tick += 1
        data = np.zeros((len(packets), MAX_PACKET), np.uint8)
        for slot, (_, octets, _) in zip(data, packets, strict=True):
            slot[: len(octets)] = np.frombuffer(octets, np.uint8)
        rows = np.array([row for row, _, _ in packets], np.intp)
        lengths = np.array([len(octets) for _, octets, _ in packets], np.int32)
        return Received(rows, data, lengths, [source for _, _, source in packets], control)

    def send(self, rows: NDArray[np.intp], packets: Packets) -> None:
        """See Transport."""
        now = self.tick - 1
        for row, packet in zip(rows.tolist(), packets, strict=True):
            if row in self.aims:
                self.sent.append((now, row, packet.tobytes()))

    def send_control(self, row: int, octets: bytes) -> None:
        """See Transport."""
        if row in self.control_aims:
            self.sent_control.append((self.tick - 1, row, octets))


def _bound(address: str, port: int) -> socket.socket:
    """Return a non-blocking UDP socket; OSError names the port it could not have."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    end = socket.socket(family, socket.SOCK_DGRAM)
    try:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        if family == socket.AF_INET:
            end.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
        else:
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, EXPEDITED)
        end.bind((address, port))
    except (OSError, OverflowError) as error:
        end.close()
        text = getattr(error, "strerror", None) or str(error)
        raise OSError(getattr(error, "errno", None) or 0, f"{address}:{port} cannot be bound: {text}") from error
    return end
