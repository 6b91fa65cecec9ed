"""One UDP socket a stream, and when the kernel took each packet from the network (SO_TIMESTAMPNS, see socket(7)).

Many packets are moved by few system calls where io_uring is to be had, else one by one. Sockets are not connected:
what counts is what comes to the port, wherever from. Since the kernel stamps packets, it matters little when they are
fetched; QUEUE octets hold those of two seconds.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..control_ports import STAMP, STAMP_OPTION
from ..ring import QUIET, Ring, addresses
from ..rtp import MAX_PACKET

Octets = NDArray[np.uint8]
Rows = NDArray[np.intp]

QUEUE: Final = 1 << 17
LONGEST: Final = 172
"""Octets of what is sent: 20 ms of G.711 and a header."""

_SEND_MESSAGE, _RECEIVE_MESSAGE = 9, 10
"""IORING_OP_SENDMSG, IORING_OP_RECVMSG."""

_HEADER: Final = np.dtype(
    [
        ("name", "u8"),
        ("name_length", "u4"),
        ("gap", "u4"),
        ("parts", "u8"),
        ("part_count", "u8"),
        ("control", "u8"),
        ("control_length", "u8"),
        ("flags", "i4"),
        ("rest", "u4"),
    ]
)
"""struct msghdr of 64-bit Linux, recvmsg(2)."""

_PART: Final = np.dtype([("base", "u8"), ("length", "u8")])
_CONTROL: Final = np.dtype(
    [("length", "u8"), ("level", "i4"), ("kind", "i4"), ("seconds", "i8"), ("nanoseconds", "i8"), ("rest", "u8", 4)]
)
"""struct cmsghdr with a timespec, cmsg(3)."""

_SECOND_NS: Final = 1_000_000_000


class Received(NamedTuple):
    """Packets: `data[slots[i], :lengths[i]]` came on `rows[i]` at `stamps[i]`, ns since 1970."""

    rows: Rows
    slots: Rows
    lengths: NDArray[np.int32]
    stamps: NDArray[np.int64]


class Ports(Protocol):
    """The sockets of the streams. What is to be sent is in `packets` [streams, LONGEST] and `lengths`."""

    ports: list[int]
    packets: Octets
    lengths: NDArray[np.uint64]
    data: Octets

    def aim(self, row: int, host: str, port: int) -> None:
        """Send to `host`, `port` from now on. OSError where that is no IPv4 address."""
        ...

    def send(self, rows: Rows) -> None:
        """Send the packet of each of `rows`; what the kernel refuses is lost."""
        ...

    def receive(self, rows: Rows) -> Received:
        """Return a packet of each of `rows` that has one."""
        ...


def bind(address: str, first_port: int, count: int) -> list[socket.socket]:
    """Bind `count` sockets to even ports from `first_port` on, leaving out those in use. OSError if there are none."""
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        ports = iter(range(first_port, 65536, 2))
        while len(sockets) < count:
            port = next(ports, None)
            if port is None:
                raise OSError(f"of the ports from {first_port} on only {len(sockets)} are free, {count} are needed")
            end = _bound(address, port)
            if end is not None:
                sockets.append(stack.enter_context(end))
        stack.pop_all()
        return sockets


def _bound(address: str, port: int) -> socket.socket | None:
    """Return a socket at `port`; None where it is in use. OSError where the address is not ours."""
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
        end.setsockopt(socket.SOL_SOCKET, STAMP_OPTION, 1)
        end.bind((address, port))
    except OSError as error:
        end.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return end


class PlainPorts:
    """One system call a packet."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        count = len(sockets)
        self.ports: list[int] = [end.getsockname()[1] for end in sockets]
        self.packets: Octets = np.zeros((count, LONGEST), np.uint8)
        self.lengths: NDArray[np.uint64] = np.zeros(count, np.uint64)
        self.data: Octets = np.zeros((count, MAX_PACKET), np.uint8)
        self._sockets: list[socket.socket] = sockets
        self._aims: list[tuple[str, int]] = [("", 0)] * count
        self._slots: list[memoryview] = [slot.data for slot in self.data]

    def aim(self, row: int, host: str, port: int) -> None:
        """See Ports."""
        socket.inet_aton(host)
        self._aims[row] = host, port

    def send(self, rows: Rows) -> None:
        """See Ports."""
        for row in rows.tolist():
            try:
                self._sockets[row].sendto(self.packets[row, : int(self.lengths[row])], self._aims[row])
            except OSError:
                pass

    def receive(self, rows: Rows) -> Received:
        """See Ports."""
        came: list[int] = []
        lengths: list[int] = []
        stamps: list[int] = []
        for row in rows.tolist():
            try:
                length, control, _, _ = self._sockets[row].recvmsg_into([self._slots[row]], _CONTROL.itemsize)
            except OSError:  # nothing there, or what ICMP says of what was sent
                continue
            seconds, nanoseconds = STAMP.unpack_from(control[0][2])
            came.append(row)
            lengths.append(length)
            stamps.append(seconds * _SECOND_NS + nanoseconds)
        at = np.array(came, np.intp)
        return Received(at, at, np.array(lengths, np.int32), np.array(stamps, np.int64))


class RingPorts:
    """Many packets a system call. OSError where there is no io_uring."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        count = self._count = len(sockets)
        self._ring: Ring = Ring(2 * count)
        self._sockets: list[socket.socket] = sockets  # open as long as this is
        self.ports: list[int] = [end.getsockname()[1] for end in sockets]
        self.packets: Octets = np.zeros((count, LONGEST), np.uint8)
        self.data: Octets = np.zeros((count, MAX_PACKET), np.uint8)
        self._names: Octets = np.zeros((count, 16), np.uint8)  # struct sockaddr_in
        self._controls: NDArray[Any] = np.zeros(count, _CONTROL)
        self._parts: NDArray[Any] = np.zeros(2 * count, _PART)
        self._headers: NDArray[Any] = np.zeros(2 * count, _HEADER)
        self.lengths: NDArray[np.uint64] = self._parts["length"][count:]
        self._prepare(np.array([end.fileno() for end in sockets]))

    def _prepare(self, descriptors: NDArray[Any]) -> None:
        """Write the requests: at `row` that to receive, at `row + count` that to send."""
        count, parts, headers, requests = self._count, self._parts, self._headers, self._ring.requests
        parts["base"][:count] = addresses(self.data)
        parts["base"][count:] = addresses(self.packets)
        parts["length"][:count] = MAX_PACKET
        headers["parts"] = addresses(parts)
        headers["part_count"] = 1
        headers["control"][:count] = addresses(self._controls)
        headers["name"][count:] = addresses(self._names)
        headers["name_length"][count:] = self._names.shape[1]
        requests["operation"][: 2 * count] = np.repeat([_RECEIVE_MESSAGE, _SEND_MESSAGE], count)
        requests["flags"][count : 2 * count] = QUIET
        requests["descriptor"][: 2 * count] = np.tile(descriptors, 2)
        requests["address"][: 2 * count] = addresses(headers)
        requests["length"][: 2 * count] = 1

    def aim(self, row: int, host: str, port: int) -> None:
        """See Ports."""
        name = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
        self._names[row] = np.frombuffer(name, np.uint8)

    def send(self, rows: Rows) -> None:
        """See Ports."""
        self._ring.submit(rows + self._count)

    def receive(self, rows: Rows) -> Received:
        """See Ports."""
        self._headers["control_length"][rows] = _CONTROL.itemsize
        lengths = self._ring.ask(rows)
        came = lengths >= 0
        rows, lengths = rows[came], lengths[came]
        control = self._controls[rows]
        return Received(rows, rows, lengths, control["seconds"] * _SECOND_NS + control["nanoseconds"])


def open_ports(address: str, first_port: int, count: int) -> RingPorts | PlainPorts:
    """Bind the sockets and return the fastest way to use them that this machine allows. OSError as `bind` has it."""
    sockets = bind(address, first_port, count)
    try:
        return RingPorts(sockets)
    except OSError:
        return PlainPorts(sockets)


def drops(ports: list[int], tables: tuple[Path, ...] = (Path("/proc/net/udp"), Path("/proc/net/udp6"))) -> int:
    """Return how many packets the kernel has thrown away since `ports` were bound, as their queues were full."""
    wanted = set(ports)
    total = 0
    for table in tables:
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) in wanted:
                total += int(fields[-1])
    return total
