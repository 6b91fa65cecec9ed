"""What arrives of each source: RFC 3550 appendices A.1 (sequence numbers), A.3 (loss) and A.8 (jitter), by row.

A source counts from its first packet, without the probation of A.1: signalling has announced it. Another
SSRC, or two packets in a row far off in sequence, are a new source; the loss of a row goes on over it. Arrival
times are those of the tick, or of the look before it, and jitter is known no better.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .rows import elements, every
from .rtcp import ReportBlock
from .rtp import TIMESTAMP_MODULUS, Flags, Indices, Integers, RtpBatch, timestamp_gap

MAX_DROPOUT: Final = 3000
MAX_MISORDER: Final = 100
SEQUENCE_MODULUS: Final = 1 << 16

_NONE: Final = -1

_SSRC, _HIGHEST, _RECEIVED, _TIMESTAMP, _CLOCK, _JITTER, _ARRIVAL = range(7)
_WIDTH: Final = 8
"""The columns of the table of what every packet changes: a row is read and written at once. Those from _CLOCK on are
float64 in the same memory."""


class Reception:
    """Statistics of the source on each row."""

    def __init__(self, capacity: int) -> None:
        table: Integers = np.zeros((capacity, _WIDTH), np.int64)
        times = table.view(np.float64)
        self._records: NDArray[Any] = elements(table)
        self._clock_hz = times[:, _CLOCK]  # 0 while closed
        self._ssrc: Integers = table[:, _SSRC]
        self._ssrc[:] = _NONE
        self._base: Integers = np.zeros(capacity, np.int64)  # first sequence number
        self._highest: Integers = table[:, _HIGHEST]  # sequence number, extended by cycles
        self._bad: Integers = np.full(capacity, _NONE, np.int64)  # what would follow one far off
        self._received: Integers = table[:, _RECEIVED]  # packets of the present source
        self._lost_before: Integers = np.zeros(capacity, np.int64)  # packets of the sources before
        self._expected_prior: Integers = np.zeros(capacity, np.int64)  # at the last report
        self._received_prior: Integers = np.zeros(capacity, np.int64)
        self._jitter = times[:, _JITTER]  # RTP ticks
        self._timestamp: Integers = table[:, _TIMESTAMP]  # of the last packet
        self._arrival = times[:, _ARRIVAL]  # seconds, of the last packet

    def open(self, row: int, clock_hz: int, *, lost: int = 0) -> None:
        """Count on `row` anew, for timestamps of `clock_hz`, on top of `lost` packets before."""
        self._clock_hz[row] = clock_hz
        self._lost_before[row] = lost
        self._ssrc[row] = _NONE

    def close(self, row: int) -> None:
        """Count nothing more on `row`."""
        self._clock_hz[row] = 0
        self._ssrc[row] = _NONE

    def push(self, batch: RtpBatch, now_s: float) -> None:
        """Count the packets of `batch`, which came at `now_s`; those of closed rows are ignored."""
        for turn in batch.rounds():
            rest = self._go_on(turn, now_s)
            if rest is not None:
                rest = self._take_first(rest.where(self._clock_hz[rest.rows] > 0), now_s)
                if len(rest):
                    self._push_round(rest, now_s)

    def block(self, row: int) -> ReportBlock | None:
        """Return the report block of `row`'s source, and begin the next interval; None if nothing has come.

        The caller knows of the sender reports that came.
        """
        if self._ssrc[row] == _NONE:
            return None
        expected = int(self._highest[row] - self._base[row]) + 1
        received = int(self._received[row])
        expected_interval = expected - int(self._expected_prior[row])
        lost_interval = expected_interval - (received - int(self._received_prior[row]))
        self._expected_prior[row], self._received_prior[row] = expected, received
        fraction = (lost_interval << 8) // expected_interval if expected_interval and lost_interval > 0 else 0
        return ReportBlock(
            ssrc=int(self._ssrc[row]),
            fraction_lost=min(fraction, 255),
            lost=expected - received,
            highest_sequence=int(self._highest[row]) % 2**32,
            jitter=min(int(self._jitter[row]), 2**32 - 1),
        )

    def lost(self, row: int) -> int:
        """Return how many packets never came on `row` since it was opened; never negative."""
        return int(self._lost_before[row]) + self._lost(row)

    def jitter_ms(self, row: int) -> float:
        """Return the interarrival jitter of the source on `row`; 0 without one."""
        return float(self._jitter[row]) * 1000 / float(self._clock_hz[row]) if self._ssrc[row] != _NONE else 0.0

    def _lost(self, row: int) -> int:
        # A packet that came twice makes up for none that did not come, but cannot be told from it (A.3).
        if self._ssrc[row] == _NONE:
            return 0
        return max(0, int(self._highest[row] - self._base[row]) + 1 - int(self._received[row]))

    def _go_on(self, batch: RtpBatch, now_s: float) -> RtpBatch | None:
        """Count the packets that follow the one before in everything; return the others, if any.

        No row occurs twice.
        """
        rows = batch.rows
        records = self._records.take(rows)
        now = records.view(np.int64).reshape(rows.size, _WIDTH)
        gap = (batch.timestamp - now[:, _TIMESTAMP]) & (TIMESTAMP_MODULUS - 1)
        follows = (batch.ssrc == now[:, _SSRC]) & (batch.sequence == (now[:, _HIGHEST] + 1) & (SEQUENCE_MODULUS - 1))
        follows &= (gap > 0) & (gap < TIMESTAMP_MODULUS // 2)
        rest = None
        if not every(follows):
            rest, batch = batch.where(~follows), batch.where(follows)
            rows, records, gap = batch.rows, records[follows], gap[follows]
            now = records.view(np.int64).reshape(rows.size, _WIDTH)
        now[:, _HIGHEST] += 1
        now[:, _RECEIVED] += 1
        now[:, _TIMESTAMP] = batch.timestamp
        times = now.view(np.float64)
        deviation = np.abs((now_s - times[:, _ARRIVAL]) * times[:, _CLOCK] - gap)
        times[:, _JITTER] += (deviation - times[:, _JITTER]) / 16
        times[:, _ARRIVAL] = now_s
        self._records[rows] = records
        return rest

    def _take_first(self, batch: RtpBatch, now_s: float) -> RtpBatch:
        """Count the packets of rows that had no source yet; return the others. No row occurs twice."""
        first = self._ssrc[batch.rows] == _NONE
        for at in first.nonzero()[0].tolist():
            row = int(batch.rows[at])
            self._begin(row, int(batch.ssrc[at]), int(batch.sequence[at]))
            self._received[row] = 1
            self._timestamp[row], self._arrival[row] = batch.timestamp[at], now_s
        return batch.where(~first)

    def _push_round(self, batch: RtpBatch, now_s: float) -> None:
        # No row occurs twice.
        counted = self._count(batch)
        if not counted.all():
            batch = batch.where(counted)
        self._received[batch.rows] += 1
        self._measure(batch, now_s)

    def _count(self, batch: RtpBatch) -> Flags:
        """Keep up with sequence numbers as update_seq of A.1 does; say which packets are valid."""
        rows, sequence = batch.rows, batch.sequence
        step = (sequence - self._highest[rows]) % SEQUENCE_MODULUS
        onward = step < MAX_DROPOUT
        far = ~onward & (step <= SEQUENCE_MODULUS - MAX_MISORDER)
        new = (self._ssrc[rows] != batch.ssrc) | (far & (sequence == self._bad[rows]))
        far &= ~new
        onward &= ~new
        self._bad[rows[far]] = (sequence[far] + 1) % SEQUENCE_MODULUS
        self._highest[rows[onward]] += step[onward]
        for at in np.flatnonzero(new).tolist():
            self._begin(int(rows[at]), int(batch.ssrc[at]), int(sequence[at]))
        return ~far

    def _begin(self, row: int, ssrc: int, sequence: int) -> None:
        self._lost_before[row] += self._lost(row)
        self._ssrc[row] = ssrc
        self._base[row] = self._highest[row] = sequence
        self._bad[row] = _NONE
        self._received[row] = self._expected_prior[row] = self._received_prior[row] = 0
        self._jitter[row] = 0.0

    def _measure(self, batch: RtpBatch, now_s: float) -> None:
        """Go on with the interarrival jitter of A.8.

        Packets that share a timestamp are updates of one telephone event (RFC 4733 section 2.5.1.2), sent at
        different times on purpose: only the first of them is measured.
        """
        rows: Indices = batch.rows
        gap = timestamp_gap(batch.timestamp, self._timestamp[rows])
        first = self._received[rows] == 1
        known = rows[~first & (gap != 0)]
        between = (now_s - self._arrival[known]) * self._clock_hz[known]
        deviation = np.abs(between - gap[~first & (gap != 0)])
        self._jitter[known] += (deviation - self._jitter[known]) / 16
        fresh = first | (gap != 0)
        self._timestamp[rows[fresh]] = batch.timestamp[fresh]
        self._arrival[rows[fresh]] = now_s
