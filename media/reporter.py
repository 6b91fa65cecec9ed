"""RTCP by leg: what we tell the peer and when, what it tells us, and where that comes from.

Reports go out every 5 s on average, at random between half and one and a half times that (RFC 3550
section 6.2; two participants never need longer). A compound packet is a report and our CNAME (section
6.1); a leg that has sent anything leaves with BYE (section 6.3.7). RTCP is latched like media (`latch`),
but only to a port of the host that media comes from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import rtcp
from .legs import Legs
from .reception import Reception
from .rtcp import Bye, ReceiverReport, ReportBlock, Sdes, SenderReport
from .transport import Address, ControlPacket

INTERVAL_S: Final = 5.0
FIRST_INTERVAL_S: Final = 2.5
"""Section 6.2: the first report may come twice as soon."""

NEVER: Final = np.inf
SHORT_UNITS: Final = 65536
"""Delays in reports are in units of 1/65536 s."""

LONGEST_DELAY: Final = 0xFFFFFFFF
"""What the field holds: some 18 hours, after which a peer's last report helps nobody to a round trip."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What the peer has reported of what we send."""

    lost: int = 0
    jitter_ms: float = 0.0
    round_trip_ms: float | None = None


NOTHING_YET: Final = Peer()


class _Told(NamedTuple):
    """The last sender report that came."""

    ssrc: int  # of its sender
    middle: int  # as ReportBlock has it
    came_s: float


class Reporter:
    """RTCP by row. `clock_hz` is that of the RTP timestamps we send."""

    def __init__(self, capacity: int, randomness: random.Random, wall_offset_s: float) -> None:
        self.clock_hz: NDArray[np.int64] = np.full(capacity, 8000, np.int64)
        self._randomness: random.Random = randomness
        self._wall_offset_s: float = wall_offset_s
        self._cname: list[str] = [""] * capacity
        self._peer: list[Peer] = [NOTHING_YET] * capacity
        self._signalled: list[Address | None] = [None] * capacity
        self._free: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # may still latch
        self._next_s: NDArray[np.float64] = np.full(capacity, NEVER)  # when to report
        self._reported: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._sent_before: NDArray[np.int64] = np.zeros(capacity, np.int64)  # packets, at the last report
        self._told: list[_Told | None] = [None] * capacity

    def open(self, row: int, cname: str) -> None:
        """Begin on `row`, with nothing said and nothing heard."""
        self._cname[row] = cname
        self._peer[row] = NOTHING_YET
        self._reported[row] = False
        self._sent_before[row] = 0
        self._told[row] = None

    def close(self, row: int) -> None:
        """Say nothing more on `row`."""
        self._signalled[row] = None
        self._next_s[row] = NEVER

    def peer(self, row: int) -> Peer:
        """Return what the peer of `row` last reported."""
        return self._peer[row]

    def set_remote(self, row: int, address: Address, *, latch: bool, now_s: float) -> bool:
        """Report to `address`, or to where RTCP comes from first; False if that is what is done already."""
        if self._signalled[row] == address:
            return False
        if self._signalled[row] is None:
            self._schedule(row, now_s, FIRST_INTERVAL_S)
        self._signalled[row] = address
        self._free[row] = latch
        return True

    def due(self, now_s: float) -> list[int]:
        """Return the rows whose report is due, and put each of them off by an interval."""
        rows = (self._next_s <= now_s).nonzero()[0].tolist()
        for row in rows:
            self._schedule(row, now_s, INTERVAL_S)
        return rows

    def report(self, row: int, legs: Legs, reception: Reception, now_s: float) -> bytes:
        """Return a compound report: a sender's if anything was sent since the last one (section 6.4)."""
        return rtcp.build_compound(self._report(row, legs, reception, now_s))

    def farewell(self, row: int, legs: Legs, reception: Reception, now_s: float) -> bytes:
        """Return a last report with BYE; nothing if nothing was ever sent, as section 6.3.7 asks."""
        if self._signalled[row] is None or not (self._reported[row] or legs.packets_sent[row]):
            return b""
        return rtcp.build_compound([*self._report(row, legs, reception, now_s), Bye(ssrcs=(int(legs.ssrc[row]),))])

    def receive(self, packet: ControlPacket, ssrc: int, host: str | None, now_s: float) -> bool:
        """Take in RTCP for our source `ssrc`, whose media comes from `host`; True if reports are to go there now.

        ValueError if it is from elsewhere or not RTCP.
        """
        row, source = packet.row, packet.source
        signalled = self._signalled[row]
        if source != signalled and (source[0] != host or signalled is None):
            raise ValueError(f"RTCP from {source[0]}:{source[1]}, expected from {signalled or 'nobody yet'}")
        for part in rtcp.parse_compound(packet.octets):
            if isinstance(part, SenderReport):
                self._told[row] = _Told(part.ssrc, rtcp.middle(part.ntp_timestamp), now_s)
            if isinstance(part, (SenderReport, ReceiverReport)):
                for block in part.blocks:
                    if block.ssrc == ssrc:
                        self._peer[row] = self._heard(row, block, now_s)
        latched, self._free[row] = bool(self._free[row]) or source == signalled, False
        return latched

    def _heard(self, row: int, block: ReportBlock, now_s: float) -> Peer:
        round_trip_s = rtcp.round_trip_s(block, rtcp.ntp_timestamp(now_s + self._wall_offset_s))
        return Peer(
            lost=max(0, block.lost),
            jitter_ms=block.jitter * 1000 / int(self.clock_hz[row]),
            round_trip_ms=self._peer[row].round_trip_ms if round_trip_s is None else round_trip_s * 1000,
        )

    def _report(self, row: int, legs: Legs, reception: Reception, now_s: float) -> list[rtcp.Packet]:
        ssrc, sent = int(legs.ssrc[row]), int(legs.packets_sent[row])
        block = reception.block(row)
        blocks = () if block is None else (self._timed(row, block, now_s),)
        if sent > self._sent_before[row]:
            report = SenderReport(
                ssrc=ssrc,
                ntp_timestamp=rtcp.ntp_timestamp(now_s + self._wall_offset_s),
                rtp_timestamp=int(legs.timestamp[row]),
                packets=sent,
                octets=int(legs.octets_sent[row]),
                blocks=blocks,
            )
        else:
            report = ReceiverReport(ssrc=ssrc, blocks=blocks)
        self._sent_before[row], self._reported[row] = sent, True
        return [report, Sdes(names=((ssrc, self._cname[row]),))]

    def _timed(self, row: int, block: ReportBlock, now_s: float) -> ReportBlock:
        """Return `block` with when its source last reported, by which that measures the round trip (section 6.4.1)."""
        told = self._told[row]
        if told is None or told.ssrc != block.ssrc:
            return block
        delay = min(int((now_s - told.came_s) * SHORT_UNITS), LONGEST_DELAY)
        return msgspec.structs.replace(block, last_sr=told.middle, delay_since_last_sr=delay)

    def _schedule(self, row: int, now_s: float, interval_s: float) -> None:
        self._next_s[row] = now_s + interval_s * self._randomness.uniform(0.5, 1.5)
