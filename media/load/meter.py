"""What came on every stream against what should have: arithmetic only, packets in, counts out.

- Lost: gaps in the sequence numbers (RFC 3550 section 6.4.1), less what came later after all.
- Never sent: what a sender of a packet every 20 ms would have sent by now, had it not left out some without a gap.
- Deviation: how far the interval between two packets of audio that follow each other is from 20 ms.
- Late: how long after its time by the RTP timestamps a packet came. Its time is that of the packets that came
  earliest in the last 10 to 20 s, so that clocks of sender and receiver may differ a little.
Stamps are nanoseconds since 1970.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..rows import FRAME_MS, FRAME_SAMPLES, RATE_HZ
from ..rtp import RtpBatch, rounds, timestamp_gap
from .histogram import Histogram

Stamps = NDArray[np.int64]
Rows = NDArray[np.intp]

FRAME_NS: Final = FRAME_MS * 1_000_000
UNIT_NS: Final = 1_000_000_000 // RATE_HZ
"""One step of the RTP timestamp."""

WINDOW: Final = 64
"""Sequence numbers back to which a second copy is told from a straggler."""

JUMP: Final = 1000
"""Sequence numbers; who goes further in one packet has begun anew (RFC 3550 appendix A.1 has 3000 and 100)."""

ASTRAY_NS: Final = 5_000_000_000
"""A timestamp this far from the time of arrival has begun anew."""

REVIEW_NS: Final = 10_000_000_000
AFTERMATH_NS: Final = 500_000_000
"""What comes so soon after a call is of that call still, even if another has begun on its port."""

PATIENCE_NS: Final = 1_000_000_000
"""From the answer to when packets of a stream that never sent any count as not sent."""


class Meter:
    """Streams by row. Counts are of what came while `measuring`."""

    def __init__(self, capacity: int, audio_type: int) -> None:
        self._audio_type: int = audio_type
        self.deviation: Histogram = Histogram()
        self.second: Histogram = Histogram()  # of deviations, since the caller cleared it
        self.first_packet: Histogram = Histogram()
        self.measuring: bool = False
        self.duplicates: int = 0
        self.reordered: int = 0
        self.restarts: int = 0
        self.late_10: int = 0
        self.late_40: int = 0
        self.never_sent: int = 0
        self.silent_streams: int = 0
        self.received: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.lost: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.open_rows: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._deaf_until: Stamps = np.zeros(capacity, np.int64)
        self._heard: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._answered: Stamps = np.zeros(capacity, np.int64)
        self._begun: Stamps = np.zeros(capacity, np.int64)  # from when packets are due
        self._span: NDArray[np.int64] = np.zeros(capacity, np.int64)  # packets since then, those lost included
        self._ssrc: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self._top: NDArray[np.int64] = np.zeros(capacity, np.int64)  # highest sequence number
        self._seen: NDArray[np.uint64] = np.zeros(capacity, np.uint64)  # bit n: that number less n has come
        self._stamp: Stamps = np.zeros(capacity, np.int64)  # of the packet before
        self._was_audio: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._timestamp: NDArray[np.int64] = np.zeros(capacity, np.int64)  # of the audio before
        self._elapsed: NDArray[np.int64] = np.zeros(capacity, np.int64)  # units since the first of the stream
        self._least: Stamps = np.zeros(capacity, np.int64)  # stamp less elapsed, the least of this review
        self._least_before: Stamps = np.zeros(capacity, np.int64)
        self._review_end: Stamps = np.zeros(capacity, np.int64)

    def open(self, row: int, answered_ns: int) -> None:
        """Begin with another call on `row`, answered at `answered_ns`."""
        self.open_rows[row] = True
        self._heard[row] = False
        self._answered[row] = answered_ns
        self._begun[row] = answered_ns + PATIENCE_NS
        self._span[row] = 0

    def close(self, row: int, at_ns: int) -> None:
        """The call on `row` has been over since `at_ns`. What came by then is to be pushed before."""
        if self.open_rows[row]:
            self._settle(np.array([row], np.intp), at_ns)
            self.open_rows[row] = False
            self._deaf_until[row] = at_ns + AFTERMATH_NS

    def measure(self, *, on: bool, now_ns: int) -> None:
        """Begin to count, or end. What came by now is to be pushed before."""
        if on == self.measuring:
            return
        rows = np.flatnonzero(self.open_rows)
        if on:
            self._begun[rows] = np.maximum(self._begun[rows], now_ns)
            self._span[rows] = 0
        else:
            self._settle(rows, now_ns)
        self.measuring = on

    def push(self, batch: RtpBatch, stamps: Stamps) -> None:
        """Take packets that came at `stamps` [n], those of each row in the order in which they came."""
        keep = self.open_rows[batch.rows] & (stamps > self._deaf_until[batch.rows])
        if not keep.all():
            batch, stamps = batch.where(keep), stamps[keep]
        for turn in rounds(batch.rows):
            if turn.size == len(batch):
                self._push(batch, stamps)
            else:
                self._push(batch.where(turn), stamps[turn])

    def _push(self, batch: RtpBatch, stamps: Stamps) -> None:
        rows = batch.rows
        audio = batch.payload_type == self._audio_type
        gap = (batch.sequence - self._top[rows] + 0x8000 & 0xFFFF) - 0x8000
        new = ~self._heard[rows] | (batch.ssrc != self._ssrc[rows]) | (np.abs(gap) > JUMP)
        if new.any():
            self._begin(batch, stamps, np.flatnonzero(new))
            gap[new] = 1
        fresh = self._sequence(rows, gap)
        steps = timestamp_gap(batch.timestamp, self._timestamp[rows])
        follows = audio & self._was_audio[rows] & (gap == 1) & (steps == FRAME_SAMPLES) & ~new
        self._intervals(rows[follows], stamps[follows])
        heard = audio & fresh
        self._lateness(rows[heard], stamps[heard], batch.timestamp[heard], steps[heard])
        ahead = gap > 0
        on = rows[ahead]
        self._stamp[on] = stamps[ahead]
        self._was_audio[on] = audio[ahead]

    def _begin(self, batch: RtpBatch, stamps: Stamps, new: Rows) -> None:
        """Take the packets `new` of the batch for the first of their streams."""
        rows = batch.rows[new]
        again = self._heard[rows]
        self.restarts += int(again.sum())
        first, at = rows[~again], stamps[new[~again]]
        self.first_packet.add((at - self._answered[first]) / 1e6)
        self._begun[first] = at
        self._heard[rows] = True
        self._ssrc[rows] = batch.ssrc[new]
        self._top[rows] = (batch.sequence[new] - 1) & 0xFFFF
        self._seen[rows] = 0
        self._was_audio[rows] = False
        self._settle_grid(rows, stamps[new], batch.timestamp[new])

    def _settle_grid(self, rows: Rows, stamps: Stamps, timestamps: NDArray[np.int64]) -> None:
        self._timestamp[rows] = timestamps
        self._elapsed[rows] = 0
        self._least[rows] = self._least_before[rows] = stamps
        self._review_end[rows] = stamps + REVIEW_NS

    def _sequence(self, rows: Rows, gap: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Count what `gap` beyond the highest number says; return which packets are no second copies."""
        ahead, fresh = gap > 0, np.ones(rows.size, np.bool_)
        on, by = rows[ahead], gap[ahead]
        shift = np.minimum(by, WINDOW - 1).astype(np.uint64)
        seen = np.where(by < WINDOW, self._seen[on] << shift, np.uint64(0))
        self._seen[on] = seen | np.uint64(1)
        self._top[on] = (self._top[on] + by) & 0xFFFF
        if self.measuring:
            self.lost[on] += by - 1
            self._span[on] += by
        if not ahead.all():
            self._stragglers(rows, gap, fresh)
        if self.measuring:
            self.received[rows[fresh]] += 1
        return fresh

    def _stragglers(self, rows: Rows, gap: NDArray[np.int64], fresh: NDArray[np.bool_]) -> None:
        """Tell copies, which are taken out of `fresh`, from packets that were overtaken and had been thought lost."""
        for at in np.flatnonzero(gap <= 0).tolist():
            row, back = int(rows[at]), -int(gap[at])
            bit = 1 << back if back < WINDOW else 0
            if not bit or int(self._seen[row]) & bit:
                fresh[at] = False
                self.duplicates += self.measuring
                continue
            self._seen[row] = np.uint64(int(self._seen[row]) | bit)
            self.reordered += self.measuring
            if self.lost[row] and self.measuring:
                self.lost[row] -= 1

    def _intervals(self, rows: Rows, stamps: Stamps) -> None:
        if self.measuring and rows.size:
            deviation_ms = np.abs(stamps - self._stamp[rows] - FRAME_NS) / 1e6
            self.second.add(deviation_ms)

    def _lateness(self, rows: Rows, stamps: Stamps, timestamps: NDArray[np.int64], steps: NDArray[np.int64]) -> None:
        elapsed = self._elapsed[rows] + steps
        base = stamps - elapsed * UNIT_NS
        late = base - np.minimum(self._least[rows], self._least_before[rows])
        astray = np.abs(late) > ASTRAY_NS
        if astray.any():
            self._settle_grid(rows[astray], stamps[astray], timestamps[astray])
            keep = ~astray
            rows, stamps, timestamps = rows[keep], stamps[keep], timestamps[keep]
            elapsed, base, late = elapsed[keep], base[keep], late[keep]
        if self.measuring:
            self.late_10 += int((late > 10_000_000).sum())
            self.late_40 += int((late > 40_000_000).sum())
        self._elapsed[rows] = elapsed
        self._timestamp[rows] = timestamps
        self._least[rows] = np.minimum(self._least[rows], base)
        over = stamps >= self._review_end[rows]
        if over.any():
            ended = rows[over]
            self._least_before[ended] = self._least[ended]
            self._least[ended] = base[over]
            self._review_end[ended] = stamps[over] + REVIEW_NS

    def _settle(self, rows: Rows, now_ns: int) -> None:
        """Count what streams on `rows` should have sent until now, and did not."""
        if not self.measuring:
            return
        due = np.maximum(now_ns - self._begun[rows], 0) // FRAME_NS - 1  # one may be just about to come
        self.never_sent += int(np.maximum(due - self._span[rows], 0).sum())
        self.silent_streams += int((~self._heard[rows]).sum())

    def end_second(self) -> tuple[float, float]:
        """Return p99 and maximum of the deviations since the last time, in ms."""
        p99_ms, max_ms = self.second.quantile(0.99), self.second.max_ms
        self.deviation.merge(self.second)
        self.second.clear()
        return p99_ms, max_ms

    def state(self) -> dict[str, Any]:
        """Return what a Result has of this."""
        self.end_second()
        return {
            "received": int(self.received.sum()),
            "lost": int(self.lost.sum()),
            "never_sent": self.never_sent,
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "restarts": self.restarts,
            "late_10": self.late_10,
            "late_40": self.late_40,
            "silent_streams": self.silent_streams,
            "worst_stream_lost": int(self.lost.max(initial=0)),
            "deviation": self.deviation.spread(),
            "first_packet": self.first_packet.spread(),
        }
