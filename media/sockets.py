"""The network as UDP sockets: one for RTP and one for RTCP a leg (RFC 3550 section 11: RTCP on the next port).

A tick takes what has come with one poll and one call a packet, and sends a batch with one call a packet; nothing
waits. What a destination answers by ICMP is not our concern: media stops when signalling or silence says so.

A socket is connected once it is known where its media comes from: the kernel then refuses what others send, and
sending costs it a fifth less. What had come from others before waits in the socket still, so packets are taken as
from a connected socket only after it has been found empty.
"""

from __future__ import annotations

import ctypes
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .control_ports import ControlPorts
from .rtp import MAX_PACKET
from .transport import ROUNDS, Address, Packets, Received

Indices = NDArray[np.intp]
Lengths = NDArray[np.int32]

SOCKET_BUFFER: Final = 1 << 17
"""Octets; some 150 packets of 20 ms as the kernel counts them, 3 s that a worker may be late without loss."""

EXPEDITED: Final = 46 << 2
"""Expedited Forwarding, what RFC 4594 section 4.1 gives telephony, as the octet of the IP header."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NOBODY: Final = bytes(16)
"""A sockaddr of family AF_UNSPEC: who connects to it is connected no more (connect(2))."""


class Source(NamedTuple):
    """How to read one RTP socket."""

    row: int
    read: Callable[[Any], Any]  # recv_into of a connected socket, else recvfrom_into
    connected: bool


class Taken(NamedTuple):
    """Packets in the order of their slots."""

    rows: list[int]
    slots: list[int]
    lengths: list[int]


_NOTHING: Final = np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.int32)


class UdpTransport:
    """Non-blocking UDP sockets under one epoll, level-triggered so that no read ever comes up empty."""

    def __init__(self, capacity: int, more_slots: int = 0) -> None:
        """Make room for `capacity` rows; `more_slots` rows of the receive buffer are somebody else's."""
        self._poll: select.epoll = select.epoll()
        self._sockets: list[socket.socket | None] = [None] * capacity  # of RTP
        self._control: ControlPorts = ControlPorts(capacity)
        self._send: list[Callable[[Any], int] | None] = [None] * capacity  # None: no aim
        self._read: dict[int, Source] = {}  # what is under the epoll, by descriptor
        self._connected: set[int] = set()  # rows
        self._emptying: set[int] = set()  # descriptors of sockets that are connected, but may hold what came before
        own_slots = capacity * ROUNDS
        self._data: Packets = np.zeros((own_slots + more_slots, MAX_PACKET), np.uint8)
        self._slots: list[memoryview] = [slot.data for slot in self._data[:own_slots]]

    def open(self, row: int, address: str, port: int) -> None:
        """See Transport."""
        rtp = _bound(address, port)
        try:
            rtcp = _bound(address, port + 1)
        except OSError:
            rtp.close()
            raise
        self._sockets[row] = rtp
        self._watch(row, rtp)
        self._control.open(row, rtcp)

    def close(self, row: int) -> None:
        """See Transport."""
        rtp = self._sockets[row]
        if rtp is None:
            return
        self._ignore(rtp)
        rtp.close()
        self._control.close(row)
        self._connected.discard(row)
        self._sockets[row] = self._send[row] = None

    def aim(self, row: int, address: Address) -> None:
        """See Transport."""
        rtp = self._sockets[row]
        if rtp is None:
            return
        if row in self._connected:
            self._connected.remove(row)
            self._ignore(rtp)
            _disconnect(rtp)
            self._watch(row, rtp)
        self._send[row] = partial(_send_to, rtp.sendto, address)

    def connect(self, row: int, address: Address) -> None:
        """See Transport. Where the kernel does not want to, sources are told apart as before.

        So they are where the peer sends from port 0, that of who wants no answer (RFC 768): nothing would come then.
        """
        rtp = self._sockets[row]
        if rtp is None:
            return
        self.aim(row, address)
        if not address[1]:
            return
        try:
            rtp.connect(address)
        except OSError:
            return
        self._connected.add(row)
        self._send[row] = rtp.send
        self._emptying.add(rtp.fileno())

    def aim_control(self, row: int, address: Address) -> None:
        """See Transport."""
        self._control.aim(row, address)

    def receive(self) -> Received:
        """See Transport."""
        (rows, slots, lengths), sources = self._poll_all()
        return Received(rows, self._data, lengths, sources, self._control.receive(), slots)

    def send(self, rows: NDArray[np.intp], packets: Packets) -> None:
        """See Transport."""
        sends = self._send
        length = packets.shape[1]
        octets = packets.tobytes()
        start = 0
        for row in rows.tolist():
            send = sends[row]
            if send is not None:
                try:
                    send(octets[start : start + length])
                except OSError:  # no route, full buffer, nobody there: lost, like a packet on the way
                    pass
            start += length

    def send_control(self, row: int, octets: bytes) -> None:
        """See Transport."""
        self._control.send(row, octets)

    def _watch(self, row: int, rtp: socket.socket) -> None:
        """Take what anybody sends to the socket, with where it comes from."""
        self._read[rtp.fileno()] = Source(row, rtp.recvfrom_into, connected=False)
        self._poll.register(rtp.fileno(), select.EPOLLIN)

    def _ignore(self, rtp: socket.socket) -> None:
        """Take nothing more from the socket."""
        self._emptying.discard(rtp.fileno())
        if self._read.pop(rtp.fileno(), None) is not None:
            self._poll.unregister(rtp.fileno())

    def _trust(self, descriptor: int, rtp: socket.socket) -> None:
        """Take packets as from a connected socket, on which nothing waits any more that came before it was one."""
        self._read[descriptor] = Source(self._read[descriptor].row, rtp.recv_into, connected=True)

    def _poll_all(self) -> tuple[tuple[Indices, Indices, Lengths], list[Address]]:
        """Read what has come to the sockets under the epoll.

        Return its rows, slots and lengths, and the sources of the first packets: those after them came on connected
        sockets.
        """
        if not self._read:
            return _NOTHING, []
        strange, known, sources = self._take()
        if not strange.rows and not known.rows:
            return _NOTHING, sources
        rows, slots, lengths = (first + second for first, second in zip(strange, known, strict=True))
        return (np.array(rows, np.intp), np.array(slots, np.intp), np.array(lengths, np.int32)), sources

    def _take(self) -> tuple[Taken, Taken, list[Address]]:
        """Read what has come: to sockets that are not connected, to those that are, and the sources of the former."""
        strange, known, sources = Taken([], [], []), Taken([], [], []), list[Address]()
        filled = 0
        for _ in range(ROUNDS):
            ready = self._poll.poll(0, len(self._read))
            for descriptor, _events in ready:
                source = self._read[descriptor]
                try:
                    got = source.read(self._slots[filled])
                except OSError:  # an ICMP answer to what we sent
                    continue
                if source.connected:
                    taken = known
                else:
                    taken = strange
                    got, address = got
                    sources.append(address)
                taken.rows.append(source.row)
                taken.slots.append(filled)
                taken.lengths.append(got)
                filled += 1
            if self._emptying:
                self._find_empty({descriptor for descriptor, _ in ready})
            if not ready:
                break
        return strange, known, sources

    def _find_empty(self, ready: set[int]) -> None:
        for descriptor in self._emptying - ready:
            self._emptying.discard(descriptor)
            rtp = self._sockets[self._read[descriptor].row]
            if rtp is not None:
                self._trust(descriptor, rtp)


def _send_to(sendto: Callable[[Any, Address], int], address: Address, octets: Any) -> int:
    return sendto(octets, address)


def _disconnect(end: socket.socket) -> None:
    """Let `end` take packets from anybody again; its address and port stay, as they were bound."""
    _LIBC.connect(end.fileno(), _NOBODY, len(_NOBODY))


def _bound(address: str, port: int) -> socket.socket:
    """Return a non-blocking UDP socket; OSError names the port it could not have."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    end = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
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
