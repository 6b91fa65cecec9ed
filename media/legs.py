"""What is known of each leg by row: its number, its RTP stream, what may flow, what was counted.

A leg's stream is one SSRC with one sequence and one timestamp line from OpenLeg to CloseLeg, whatever is
renegotiated meanwhile (RFC 3550 section 5.1). The timestamp counts time, not packets: it advances with
every tick from the first SetRemote on, sent or not, so that a hold is a gap and not a jump back.
"""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .protocol import OpenLeg
from .rows import FRAME_MS, FRAME_SAMPLES, Rows, elements

Counts = NDArray[np.int64]

_SSRC, _SEQUENCE, _PACKETS, _OCTETS = range(4)
"""The columns of the table."""

SEQUENCE_SPACE: Final = 1 << 16
TIMESTAMP_SPACE: Final = 1 << 32


class Legs:
    """Arrays by row, and the way from a leg's number to its row and back."""

    def __init__(self, capacity: int) -> None:
        def counts() -> Counts:
            return np.zeros(capacity, np.int64)

        self._rows: Rows = Rows(capacity)
        self._flowing_rows: NDArray[np.intp] = np.zeros(0, np.intp)
        self._row: dict[int, int] = {}
        self.leg: list[int] = [0] * capacity
        self._table: Counts = np.zeros((capacity, 4), np.int64)  # what a packet that is sent needs and changes
        self._records: NDArray[Any] = elements(self._table)
        self.ssrc: Counts = self._table[:, _SSRC]
        self.sequence: Counts = self._table[:, _SEQUENCE]  # of the next packet
        self.timestamp: Counts = counts()  # of the next tick's first sample
        self.frame_units: Counts = counts()  # of the timestamp, a tick: 160 at a clock of 8 kHz
        self.marker: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # the next packet begins a stretch of media
        self.flowing: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # a remote is set
        self.sending: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # direction and address let us send
        self.receiving: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # direction lets the peer send
        self.payload_type: Counts = counts()
        self.event_type: Counts = counts()
        self.packets_sent: Counts = self._table[:, _PACKETS]
        self.octets_sent: Counts = self._table[:, _OCTETS]
        self.packets_received: Counts = counts()
        self.octets_received: Counts = counts()
        self.invalid: Counts = counts()
        self.digits: Counts = counts()

    def __len__(self) -> int:
        return len(self._row)

    @property
    def open_legs(self) -> list[int]:
        """The numbers of all open legs."""
        return list(self._row)

    @property
    def flowing_rows(self) -> NDArray[np.intp]:
        """Rows on which media may flow, ascending: the same array until they change, not to be written to."""
        return self._flowing_rows

    def row(self, leg: int) -> int | None:
        """Return the row of `leg`, None if it is not open."""
        return self._row.get(leg)

    def open(self, message: OpenLeg, randomness: random.Random) -> int:
        """Give the leg a row and its stream; what the message leaves at zero is random. RowsFull without a free row."""
        row = self._rows.open()
        self._row[message.leg] = row
        self.leg[row] = message.leg
        self.ssrc[row] = message.ssrc or randomness.randrange(1, 1 << 32)
        # Not near its wrap: who misses the packet before it could not tell that one (RFC 3711 section 3.3.1).
        self.sequence[row] = message.sequence or randomness.randrange(1, SEQUENCE_SPACE // 2)
        self.timestamp[row] = message.timestamp or randomness.randrange(1, TIMESTAMP_SPACE)
        self.frame_units[row] = FRAME_SAMPLES
        sent, received = (self.packets_sent, self.octets_sent), (self.packets_received, self.octets_received)
        for count in (*sent, *received, self.invalid, self.digits):
            count[row] = 0
        return row

    def close(self, row: int) -> None:
        """Free `row`."""
        self._flow(row, flowing=False)
        self.sending[row] = self.receiving[row] = False
        del self._row[self.leg[row]]
        self._rows.close(row)

    def let_flow(self, row: int) -> None:
        """Let media flow on `row`: its remote is known."""
        self._flow(row, flowing=True)

    def let_send(self, row: int, sending: bool) -> None:
        """Let media be sent on `row` or not; the first packet after a gap carries the marker (RFC 3551 section 4.1)."""
        if sending and not self.sending[row]:
            self.marker[row] = True
        self.sending[row] = sending

    def count_by(self, row: int, clock_hz: int) -> None:
        """Let timestamps of `row` count `clock_hz` from here on."""
        self.frame_units[row] = clock_hz * FRAME_MS // 1000

    def advance(self, ticks: int = 1) -> None:
        """Let `ticks` pass on the timestamp line of every row on which media may flow."""
        self.timestamp += ticks * (self.frame_units * self.flowing)
        self.timestamp &= TIMESTAMP_SPACE - 1

    def send(self, rows: NDArray[np.intp], octets: int | Counts) -> tuple[Counts, Counts]:
        """Count a packet of `octets` (each) payload on each of `rows`, which are distinct.

        Return their sequence numbers and SSRCs. RFC 3550 section 6.4.1 counts payload.
        """
        records = self._records.take(rows)
        now = records.view(np.int64).reshape(rows.size, 4)
        sequence = now[:, _SEQUENCE].copy()
        now[:, _SEQUENCE] = (sequence + 1) & (SEQUENCE_SPACE - 1)
        now[:, _PACKETS] += 1
        now[:, _OCTETS] += octets
        self._records[rows] = records
        return sequence, now[:, _SSRC]

    def count_received(self, rows: NDArray[np.intp], octets: NDArray[np.int64]) -> None:
        """Count a packet of `octets[i]` payload on each of `rows`, which may repeat."""
        np.add.at(self.packets_received, rows, 1)
        np.add.at(self.octets_received, rows, octets)

    def _flow(self, row: int, *, flowing: bool) -> None:
        self.flowing[row] = flowing
        self._flowing_rows = self.flowing.nonzero()[0]
