"""RTP packets by the batch: RFC 3550 section 5.1 as array arithmetic.

A batch describes packets that lie in the receive buffer; nothing is copied but the headers. What is in a
batch is well-formed: its payload lies within the packet that came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .rows import every

Octets = NDArray[np.uint8]
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

MAX_PACKET: Final = 1500
"""Octets of the longest packet that is received whole: what an Ethernet frame carries."""

HEADER: Final = 12
"""Octets of the fixed header (section 5.1)."""

TIMESTAMP_MODULUS: Final = 1 << 32

_VERSION: Final = 2
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_MARKER: Final = 0x80
_RTCP_FIRST: Final = 192
_RTCP_LAST: Final = 223
"""What the second octet of an RTCP packet lies within; no RTP payload type may look like it (RFC 5761 section 4)."""
_TOP: Final = np.arange(1 << 16)
_PLAIN: Final = (_TOP >> 8 == _VERSION << 6) & ((_TOP & 0xFF < _RTCP_FIRST) | (_TOP & 0xFF > _RTCP_LAST))
"""Whether a packet that begins with these two octets has a header of 12 octets and no padding, as nearly all."""


@dataclass(frozen=True, slots=True)
class RtpBatch:
    """Well-formed RTP packets, in the order in which they came. All arrays but `data` are [n]."""

    index: Indices  # which row of `data` holds the packet
    rows: Indices
    payload_type: Octets
    marker: Flags
    sequence: Integers  # 0 .. 2^16 - 1
    timestamp: Integers  # 0 .. 2^32 - 1
    ssrc: Integers
    start: Integers  # octet of the packet at which the payload begins
    length: Integers  # octets of payload, without padding
    data: Octets  # [m, MAX_PACKET], the receive buffer
    distinct: bool = False  # it is known that no row occurs twice

    def __len__(self) -> int:
        return self.index.size

    def where(self, chosen: Flags | Indices) -> RtpBatch:
        """Return the packets that `chosen`, a mask [n] or indices, names."""
        return RtpBatch(
            index=self.index[chosen],
            rows=self.rows[chosen],
            payload_type=self.payload_type[chosen],
            marker=self.marker[chosen],
            sequence=self.sequence[chosen],
            timestamp=self.timestamp[chosen],
            ssrc=self.ssrc[chosen],
            start=self.start[chosen],
            length=self.length[chosen],
            data=self.data,
            distinct=self.distinct,
        )

    def octets(self, count: int) -> NDArray[Any]:
        """Return the first `count` octets behind the fixed header of each packet, as `elements`."""
        return _parts(self.data, HEADER, count)[self.index]

    def rounds(self) -> Iterator[RtpBatch]:
        """Return the packets of each of `rounds`."""
        if self.distinct:
            yield self
        else:
            yield from (self.where(turn) for turn in rounds(self.rows))


def parse_batch(
    data: Octets, lengths: NDArray[np.int32], rows: Indices, slots: Indices | None = None
) -> tuple[RtpBatch, Flags]:
    """Read the packets `data[slots[i], :lengths[i]]` that came on `rows[i]`; without `slots` they lie in order.

    Return the well-formed ones, and which those are: bool[n]. Any octets will do.
    """
    index = np.arange(lengths.size) if slots is None else slots
    words = _parts(data, 0, HEADER)[index].view(">u4").reshape(index.size, HEADER // 4).astype(np.int64)
    whole = lengths.astype(np.int64)
    top = words[:, 0] >> 16  # the first two octets
    good = _PLAIN[top] & (whole >= HEADER) & (whole <= data.shape[1])
    if every(good):
        start, length = np.full(whole.size, HEADER), whole - HEADER
    else:
        start, length, good = _measure(data, index, top, whole)
    batch = RtpBatch(
        index=index,
        rows=rows,
        payload_type=(top & 0x7F).astype(np.uint8),
        marker=top & _MARKER != 0,
        sequence=words[:, 0] & 0xFFFF,
        timestamp=words[:, 1],
        ssrc=words[:, 2],
        start=start,
        length=length,
        data=data,
        distinct=bool(np.bincount(rows).max(initial=0) <= 1),
    )
    return batch if every(good) else batch.where(good), good


def build_batch(payload: Octets, payload_type: Any, marker: Any, sequence: Any, timestamp: Any, ssrc: Any) -> Octets:
    """Return packets uint8[n, 12 + L] around `payload` uint8[n, L].

    The others are arrays [n] of integers, or one value for all; sequence and timestamp wrap by themselves.
    """
    count, length = payload.shape
    words = np.empty((count, (HEADER + length + 3) // 4), ">u4")  # numbers wrap as they are put into it
    second = (np.asarray(marker) != 0) * _MARKER | np.asarray(payload_type, np.int64) & 0x7F
    words[:, 0] = _VERSION << 30 | second << 16 | np.asarray(sequence, np.int64) & 0xFFFF
    words[:, 1] = np.asarray(timestamp, np.int64)
    words[:, 2] = np.asarray(ssrc, np.int64)
    packets = words.view(np.uint8)[:, : HEADER + length]
    packets[:, HEADER:] = payload
    return packets


def timestamp_gap(later: Integers, earlier: Integers) -> Integers:
    """Return `later - earlier` in RTP ticks, taking the short way round the 32 bits: -2^31 .. 2^31 - 1."""
    half = TIMESTAMP_MODULUS >> 1
    return (later - earlier + half) % TIMESTAMP_MODULUS - half


def rounds(rows: Indices) -> Iterator[Indices]:
    """Split packets into rounds in which every row occurs at most once, keeping the order within each row.

    What depends on the packet before is then array arithmetic still: nearly always there is one round.
    """
    if np.bincount(rows).max(initial=0) <= 1:
        if rows.size:
            yield np.arange(rows.size)
        return
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(begins, append=rows.size)
    turn = np.arange(rows.size) - np.repeat(begins, counts)
    for number in range(int(counts.max())):
        yield order[turn == number]


def _parts(data: Octets, start: int, count: int) -> NDArray[Any]:
    """Return `count` octets of each of `data` from `start` on, as elements over the same memory."""
    return data[:, start : start + count].view(np.dtype((np.void, count)))[:, 0]


def _measure(data: Octets, index: Indices, top: Integers, whole: Integers) -> tuple[Integers, Integers, Flags]:
    """Return where each payload begins, how long it is, and which packets are well-formed."""
    first, second = top >> 8, top & 0xFF
    good = (whole >= HEADER) & (whole <= data.shape[1]) & (first >> 6 == _VERSION)
    good &= (second < _RTCP_FIRST) | (second > _RTCP_LAST)
    start = HEADER + 4 * (first & 0x0F)
    _skip_extension(data, index, first, start, good)
    length = whole - start
    _strip_padding(data, index, first, whole, length, good)
    return start, length, good & (length >= 0)


def _skip_extension(data: Octets, index: Indices, first: Integers, start: Integers, good: Flags) -> None:
    # Section 5.3.1: two octets of profile, two of length in 32-bit words, not counting these four octets.
    # Where they are beyond the end, so is the payload, whatever they say.
    extended = np.flatnonzero(good & (first & _EXTENSION != 0))
    if not extended.size:
        return
    at = start[extended]
    words = data[index[extended], at + 2].astype(np.int64) << 8 | data[index[extended], at + 3]
    start[extended] += 4 + 4 * words


def _strip_padding(
    data: Octets, index: Indices, first: Integers, whole: Integers, length: Integers, good: Flags
) -> None:
    # Section 5.1: the last octet says how much padding there is, itself included.
    padded = np.flatnonzero(good & (first & _PADDING != 0))
    if not padded.size:
        return
    count = data[index[padded], whole[padded] - 1].astype(np.int64)
    good[padded[count == 0]] = False
    length[padded] -= count
