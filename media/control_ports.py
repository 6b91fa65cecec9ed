"""The RTCP ports of legs, a socket each, and how long ago came what comes to them.

A leg hears reports once in some seconds, so they are fetched in few ticks, those of all legs together; the kernel tells
when each came (SO_TIMESTAMPNS, socket(7)), so that the round trip does not grow by what it waited.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Final

from . import clock
from .rtp import MAX_PACKET
from .transport import ROUNDS, Address, ControlPacket

SELDOM: Final = 10
"""Of so many looks one is taken: 0.2 s."""

LONGEST_WAIT_S: Final = 2.0
"""What waited longer by its stamp was stamped by a clock that has been set since."""

STAMP_OPTION: Final = 35
"""SO_TIMESTAMPNS, and the type of the control message that it makes."""

STAMP: Final = struct.Struct("@qq")
"""What that carries, a timespec: seconds since 1970 and nanoseconds."""

_STAMP_ROOM: Final = socket.CMSG_SPACE(STAMP.size)


class ControlPorts:
    """Sockets by row, under one epoll of their own. Nothing here waits."""

    def __init__(self, capacity: int) -> None:
        self._poll: select.epoll = select.epoll()
        self._sockets: list[socket.socket | None] = [None] * capacity
        self._aims: list[Address | None] = [None] * capacity
        self._rows: dict[int, int] = {}  # by descriptor
        self._looks: int = 0

    def open(self, row: int, end: socket.socket) -> None:
        """Let `row` have `end`, which is bound."""
        end.setsockopt(socket.SOL_SOCKET, STAMP_OPTION, 1)
        self._sockets[row] = end
        self._rows[end.fileno()] = row
        self._poll.register(end.fileno(), select.EPOLLIN)

    def close(self, row: int) -> None:
        """Free the port of `row`, if it has one."""
        end = self._sockets[row]
        if end is not None:
            del self._rows[end.fileno()]
            self._poll.unregister(end.fileno())
            end.close()
        self._sockets[row] = self._aims[row] = None

    def aim(self, row: int, address: Address) -> None:
        """Send what `row` reports to `address` from now on."""
        self._aims[row] = address

    def send(self, row: int, octets: bytes) -> None:
        """Send `octets`; what cannot be sent is lost, like a packet on the way."""
        end, aim = self._sockets[row], self._aims[row]
        if end is not None and aim is not None:
            try:
                end.sendto(octets, aim)
            except OSError:
                pass

    def receive(self) -> list[ControlPacket]:
        """Return what has come, if it is time for a look."""
        self._looks += 1
        if self._looks % SELDOM != 1:
            return []
        packets: list[ControlPacket] = []
        for _ in range(ROUNDS):
            ready = self._poll.poll(0, max(1, len(self._rows)))
            if not ready:
                break
            for descriptor, _events in ready:
                self._take(self._rows[descriptor], packets)
        return packets

    def _take(self, row: int, packets: list[ControlPacket]) -> None:
        end = self._sockets[row]
        assert end is not None
        try:
            octets, stamps, _, source = end.recvmsg(MAX_PACKET, _STAMP_ROOM)
        except OSError:  # an ICMP answer to what we sent
            return
        packets.append(ControlPacket(row, octets, source[:2], _age_s(stamps)))


def _age_s(stamps: list[tuple[int, int, bytes]]) -> float:
    """Return how long ago came what has `stamps`, the control messages of recvmsg(2)."""
    for _, kind, stamp in stamps:
        if kind == STAMP_OPTION and len(stamp) == STAMP.size:
            seconds, nanoseconds = STAMP.unpack(stamp)
            age_s = clock.wall() - seconds - nanoseconds / 1e9
            return age_s if 0.0 <= age_s <= LONGEST_WAIT_S else 0.0
    return 0.0
