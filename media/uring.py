"""The sockets of `sockets`, moved by io_uring: a tick's packets are a few system calls, whatever their number.

Only connected sockets are, the normal case of a call that talks; whoever is still to be heard, and RTCP, goes the
other way. Each row has one request to receive and one to send, prepared once. Sockets are asked whether something has
come, without a poll: each once a tick, and again those where a second packet is to be expected - since none came in
the tick before, or a second one did - and each of the others every LOOK_AGAIN ticks, so that nothing piles up. These
come in blocks of rows, so that with few rows most ticks have none of them.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .ring import QUIET, RECEIVE, SEND, Ring, address, addresses
from .rows import every
from .rtp import MAX_PACKET
from .sockets import UdpTransport
from .transport import ROUNDS, Address, Packets, Received

Indices = NDArray[np.intp]
Lengths = NDArray[np.int32]

LOOK_AGAIN: Final = 8
BLOCK: Final = 512
"""So many rows in a row are looked at in the same tick: to ask at all costs as much as to ask many of them in vain."""


class UringTransport(UdpTransport):
    """UdpTransport with the packets of connected sockets by io_uring. OSError where there is none."""

    def __init__(self, capacity: int) -> None:
        self._ring: Ring = Ring(2 * capacity)
        super().__init__(capacity, more_slots=capacity * ROUNDS)
        self._ringed: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._ringed_rows: Indices = np.flatnonzero(self._ringed)
        self._again: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # a second packet is to be expected
        self._look: Indices = np.arange(capacity) // BLOCK % LOOK_AGAIN  # in which of so many ticks to look again
        self._tick: int = 0
        self._capacity: int = capacity
        self._first_slot: int = len(self._slots)
        self._places: NDArray[np.uint64] = addresses(self._data)
        requests = self._ring.requests
        self._addresses: NDArray[np.uint64] = requests["address"]
        self._lengths: NDArray[np.uint32] = requests["length"]
        self._descriptors: NDArray[np.int32] = requests["descriptor"]
        requests["operation"][:capacity] = RECEIVE
        self._lengths[:capacity] = MAX_PACKET
        self._addresses[:capacity] = self._places[self._first_slot : self._first_slot + capacity]
        requests["operation"][capacity : 2 * capacity] = SEND
        requests["flags"][capacity : 2 * capacity] = QUIET
        self._sent: Indices | None = None  # rows that were last sent from, the same array as long as they are the same,
        self._sent_places: Indices = self._ringed_rows  # their requests,
        self._sent_from: tuple[int, int] = 0, 0  # and the address and length of the packets in these

    def close(self, row: int) -> None:
        """See Transport."""
        self._unring(row)
        super().close(row)

    def aim(self, row: int, address: Address) -> None:
        """See Transport."""
        self._unring(row)
        super().aim(row, address)

    def receive(self) -> Received:
        """See Transport."""
        polled, sources = self._poll_all()
        packets = [polled] if polled[0].size else []
        rest, turn = self._ringed_rows, 0
        while rest.size and turn < ROUNDS:
            found, length = self._read_ring(rest, turn)
            packets.append((found, self._first_slot + turn * self._capacity + found, length))
            if turn:
                rest = found
                self._again[rest] = True
            else:
                rest = self._expectant(rest, found)
            turn += 1
        self._tick += 1
        if len(packets) == 1:
            found, slot, length = packets[0]
        else:
            packets = packets or [polled]
            found, slot, length = (np.concatenate(part) for part in zip(*packets, strict=True))
        return Received(found, self._data, length, sources, self._control.receive(), slot)

    def send(self, rows: NDArray[np.intp], packets: Packets) -> None:
        """See Transport."""
        if rows is not self._sent:
            ringed = self._ringed[rows]
            if not every(ringed):
                super().send(rows[~ringed], packets[~ringed])
                rows, packets = rows[ringed], packets[ringed]
            if not rows.size:
                return
            self._sent, self._sent_places, self._sent_from = rows, rows + self._capacity, (0, 0)
        packets = np.ascontiguousarray(packets)
        start, length = address(packets), packets.shape[1]
        if (start, length) != self._sent_from:
            self._sent_from = start, length
            self._addresses[self._sent_places] = addresses(packets)
            self._lengths[self._sent_places] = length
        self._ring.submit(self._sent_places)  # what fails is lost, like a packet on the way

    def _trust(self, descriptor: int, rtp: socket.socket) -> None:
        row = self._read[descriptor].row
        self._ignore(rtp)
        self._descriptors[row] = self._descriptors[row + self._capacity] = descriptor
        self._again[row] = True
        self._mark(row, ringed=True)

    def _unring(self, row: int) -> None:
        if self._ringed[row]:
            self._mark(row, ringed=False)

    def _mark(self, row: int, *, ringed: bool) -> None:
        self._ringed[row] = ringed
        self._ringed_rows = self._ringed.nonzero()[0]
        self._sent = None

    def _read_ring(self, rows: Indices, turn: int) -> tuple[Indices, Lengths]:
        """Ask `rows` for a packet each, for the slots of `turn`; return the rows that had one, and its length."""
        if turn:
            self._addresses[rows] = self._places[self._first_slot + turn * self._capacity + rows]
        results = self._ring.ask(rows)
        if turn:
            self._addresses[rows] = self._places[self._first_slot + rows]
        came = results >= 0
        return (rows, results) if every(came) else (rows[came], results[came])

    def _expectant(self, asked: Indices, found: Indices) -> Indices:
        """Return those of `found` that may have another packet; remember of all `asked` for the next tick."""
        expectant = found[self._again[found] | (self._look[found] == self._tick % LOOK_AGAIN)]
        if found.size < asked.size:
            self._again[asked] = True
        self._again[found] = False
        return expectant


def best_transport(capacity: int) -> UdpTransport:
    """Return the fastest transport that this machine allows; where it is not this one, say why."""
    try:
        return UringTransport(capacity)
    except OSError as error:
        print(f"packets go one by one, which costs more: {error.strerror}", file=sys.stderr, flush=True)
        return UdpTransport(capacity)
