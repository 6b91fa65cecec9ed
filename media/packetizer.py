"""Cut the stream of each leg into packets of the length its peer asked for (ptime, RFC 4566 section 6).

20 ms is the tick and passes as it is. 10 ms makes two packets of a tick; 30 to 60 ms gather ticks until
there is enough. A packet's timestamp is that of its first sample (RFC 3550 section 5.1).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FRAME_MS, FRAME_SAMPLES

Octets = NDArray[np.uint8]

SHORTEST_MS: Final = 10
LONGEST_MS: Final = 60


class Outgoing(NamedTuple):
    """Packets of one length, not more than one a row."""

    rows: NDArray[np.intp]  # [n]
    payload: Octets  # [n, octets]
    timestamp: NDArray[np.int64]  # [n]


def nearest_ptime(asked_ms: int) -> int:
    """Return the packet length used when the peer asks for `asked_ms`: whole 10 ms from 10 to 60, 20 if unsaid."""
    if asked_ms <= 0:
        return FRAME_MS
    return min(LONGEST_MS, max(SHORTEST_MS, asked_ms // SHORTEST_MS * SHORTEST_MS))


class Packetizer:
    """Packet length and what waits for a full packet, by row. One octet a sample."""

    def __init__(self, capacity: int) -> None:
        self._ptime: NDArray[np.int64] = np.full(capacity, FRAME_MS, np.int64)  # ms
        self._waiting: NDArray[np.int64] = np.zeros(capacity, np.int64)  # samples
        self._store: Octets = np.zeros((capacity, (LONGEST_MS + FRAME_MS) * FRAME_SAMPLES // FRAME_MS), np.uint8)
        self._others: set[int] = set()  # rows whose ptime is not the tick

    def open(self, row: int, ptime: int = FRAME_MS) -> None:
        """Send packets of (about) `ptime` ms on `row` from now on; what waits for a fuller packet is dropped."""
        self._ptime[row] = nearest_ptime(ptime)
        self._waiting[row] = 0
        if self._ptime[row] == FRAME_MS:
            self._others.discard(row)
        else:
            self._others.add(row)

    def close(self, row: int) -> None:
        """Forget `row`."""
        self.open(row)

    def drop(self, rows: NDArray[np.intp]) -> None:
        """Drop what waits on `rows`: other packets take the place of the audio."""
        self._waiting[rows] = 0

    def step(self, rows: NDArray[np.intp], octets: Octets, timestamp: NDArray[np.int64]) -> list[Outgoing]:
        """Return the packets due after the tick `octets` (uint8[n, 160]), whose first sample is `timestamp`."""
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
                outgoing += _halved(tick)
            else:
                outgoing.append(self._gathered(tick, ptime * FRAME_SAMPLES // FRAME_MS))
        return [packets for packets in outgoing if packets.rows.size]

    def _gathered(self, tick: Outgoing, size: int) -> Outgoing:
        """Add a tick to what waits and return the packets of `size` samples that are full now."""
        rows, waiting = tick.rows, self._waiting[tick.rows]
        self._store[rows[:, None], waiting[:, None] + np.arange(FRAME_SAMPLES)] = tick.payload
        first = tick.timestamp - waiting
        waiting = waiting + FRAME_SAMPLES
        full = waiting >= size
        ready = rows[full]
        payload = self._store[ready, :size]
        rest = self._store.shape[1] - size
        self._store[ready, :rest] = self._store[ready, size:]
        self._waiting[rows] = np.where(full, waiting - size, waiting)
        return Outgoing(ready, payload, first[full] % (1 << 32))


def _halved(tick: Outgoing) -> list[Outgoing]:
    half = FRAME_SAMPLES // 2
    later = (tick.timestamp + half) % (1 << 32)
    return [
        Outgoing(tick.rows, np.ascontiguousarray(tick.payload[:, :half]), tick.timestamp),
        Outgoing(tick.rows, np.ascontiguousarray(tick.payload[:, half:]), later),
    ]
