"""Cut the stream of each leg into packets of the length its peer asked for (ptime, RFC 4566 section 6).

20 ms is the tick and passes as it is. 10 ms makes two packets of a tick; 30 to 60 ms gather ticks until
there is enough. A packet's timestamp is that of its first sample (RFC 3550 section 5.1). What a codec has put
into packets itself, as Opus does, is neither cut nor gathered: its packets are 20 ms.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_MS, FRAME_SAMPLES

Octets = NDArray[np.uint8]
Indices = NDArray[np.intp]
Integers = NDArray[np.int64]

SHORTEST_MS: Final = 10
LONGEST_MS: Final = 60

LARGEST: Final = 1440
"""Octets of payload that fit into a packet of an Ethernet frame, over IPv6 too: 40 ms of L16 at 16 kHz."""


class Outgoing(NamedTuple):
    """Packets of one length, or of `lengths`; not more than one a row."""

    rows: Indices  # [n]
    payload: Octets  # [n, octets]
    timestamp: Integers  # [n]
    lengths: Integers | None = None  # [n] octets of payload; None: all there are


def nearest_ptime(asked_ms: int, octets_per_tick: int = 1) -> int:
    """Return the packet length used when the peer asks for `asked_ms`: whole 10 ms from 10 to 60, 20 if unsaid.

    It is shorter where a packet of so many octets a tick (1/8000 s) would be too large.
    """
    if asked_ms <= 0:
        return FRAME_MS
    fitting = LARGEST // (octets_per_tick * FRAME_SAMPLES // FRAME_MS)
    return min(LONGEST_MS, max(SHORTEST_MS, min(asked_ms, fitting) // SHORTEST_MS * SHORTEST_MS))


class Packetizer:
    """Packet length and what waits for a full packet, by row."""

    def __init__(self, capacity: int, octets_per_tick: int = 4) -> None:
        """Make room for `capacity` rows of at most `octets_per_tick` octets a sample of 8 kHz."""
        room = (LONGEST_MS + FRAME_MS) * FRAME_SAMPLES // FRAME_MS * octets_per_tick
        self._ptime: Integers = np.full(capacity, FRAME_MS, np.int64)  # ms
        self._waiting: Integers = np.zeros(capacity, np.int64)  # octets
        self._units: Integers = np.full(capacity, FRAME_SAMPLES, np.int64)  # of the timestamp, a tick
        self._store: Octets = np.zeros((capacity, room), np.uint8)
        self._others: set[int] = set()  # rows whose ptime is not the tick

    def open(
        self, row: int, ptime: int = FRAME_MS, *, octets_per_tick: int = 1, frame_units: int = FRAME_SAMPLES
    ) -> None:
        """Send packets of (about) `ptime` ms on `row` from now on; if that is new, what waits is dropped.

        `frame_units` is how far the RTP timestamp goes in 20 ms.
        """
        ptime = nearest_ptime(ptime, octets_per_tick)
        if (ptime, frame_units) == (self._ptime[row], self._units[row]):
            return
        self._ptime[row], self._units[row] = ptime, frame_units
        self._waiting[row] = 0
        if ptime == FRAME_MS:
            self._others.discard(row)
        else:
            self._others.add(row)

    def close(self, row: int) -> None:
        """Forget `row`."""
        self.open(row)

    def drop(self, rows: Indices | int) -> None:
        """Drop what waits on `rows`: other packets take the place of the audio."""
        self._waiting[rows] = 0

    def step(self, rows: Indices, octets: Octets, timestamp: Integers) -> list[Outgoing]:
        """Return the packets due after the tick `octets` (uint8[n, 20 ms]), whose first sample is `timestamp`."""
        if not self._others:
            return [Outgoing(rows, octets, timestamp)]
        outgoing: list[Outgoing] = []
        ptimes = self._ptime[rows]
        for ptime in np.unique(ptimes).tolist():
            at = np.flatnonzero(ptimes == ptime)
            tick = Outgoing(rows[at], octets[at], timestamp[at])
            if ptime == FRAME_MS:
                outgoing.append(tick)
            elif ptime < FRAME_MS:
                outgoing += self._halved(tick)
            else:
                outgoing.append(self._gathered(tick, ptime * octets.shape[1] // FRAME_MS))
        return [packets for packets in outgoing if packets.rows.size]

    def _gathered(self, tick: Outgoing, size: int) -> Outgoing:
        """Add a tick to what waits and return the packets of `size` octets that are full now."""
        rows, waiting, added = tick.rows, self._waiting[tick.rows], tick.payload.shape[1]
        self._store[rows[:, None], waiting[:, None] + np.arange(added)] = tick.payload
        first = tick.timestamp - waiting * self._units[rows] // added
        waiting = waiting + added
        full = waiting >= size
        ready = rows[full]
        payload = self._store[ready, :size]
        rest = self._store.shape[1] - size
        self._store[ready, :rest] = self._store[ready, size:]
        self._waiting[rows] = np.where(full, waiting - size, waiting)
        return Outgoing(ready, payload, first[full] % (1 << 32))

    def _halved(self, tick: Outgoing) -> list[Outgoing]:
        half = tick.payload.shape[1] // 2
        later = (tick.timestamp + self._units[tick.rows] // 2) % (1 << 32)
        return [
            Outgoing(tick.rows, np.ascontiguousarray(tick.payload[:, :half]), tick.timestamp),
            Outgoing(tick.rows, np.ascontiguousarray(tick.payload[:, half:]), later),
        ]
