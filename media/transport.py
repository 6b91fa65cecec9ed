"""How packets come and go: the seam between the tick and the network, and a network of lists for tests.

`sockets` has the UDP sockets behind it, `uring` moves the same packets with fewer system calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .rtp import MAX_PACKET

Address = tuple[str, int]
Packets = NDArray[np.uint8]

ROUNDS: Final = 4
"""Packets taken from one socket at a look at most: a burst is caught up with, a flood is left in the kernel."""


class ControlPacket(NamedTuple):
    """A packet that came on an RTCP port."""

    row: int
    octets: bytes
    source: Address
    age_s: float = 0.0  # how long ago it came


@dataclass(frozen=True, slots=True)
class Received:
    """What has come since the last tick. `data` is only valid until the next `receive`."""

    rows: NDArray[np.intp]  # [m]
    data: Packets  # [k, MAX_PACKET]
    lengths: NDArray[np.int32]  # [m] octets
    sources: list[Address]  # of the first packets; those after them came on connected sockets
    control: list[ControlPacket] = field(default_factory=list[ControlPacket])
    slots: NDArray[np.intp] | None = None  # [m] which row of `data` holds each packet; None: they lie in order


class Transport(Protocol):
    """Sockets by row. Nothing here waits, and a packet that cannot be sent is lost as on any network."""

    def open(self, row: int, address: str, port: int) -> None:
        """Bind RTP to `port` and RTCP to `port + 1`; OSError if one cannot be bound."""
        ...

    def close(self, row: int) -> None:
        """Free the ports of `row`."""
        ...

    def aim(self, row: int, address: Address) -> None:
        """Send the RTP of `row` to `address` from now on, and take RTP from anybody."""
        ...

    def connect(self, row: int, address: Address) -> None:
        """Send the RTP of `row` to `address`, and take RTP from there only, from now on or soon."""
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

    def connect(self, row: int, address: Address) -> None:
        """See Transport. Others are still delivered, as what is on its way when a socket is connected is."""
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
