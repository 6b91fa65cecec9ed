"""RTCP packets: RFC 3550 section 6, and what they say about the way there and back.

Pure: octets in, structs out, and the other way round. `ValueError` says what is wrong at which octet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
GOODBYE: Final = 203

CNAME: Final = 1

NTP_EPOCH_S: Final = 2_208_988_800
"""Seconds from 1900, where NTP counts from, to 1970."""

_VERSION: Final = 2
_PADDING: Final = 0x20
_HEADER: Final = struct.Struct("!BBH")
_BLOCK: Final = struct.Struct("!IB3sIIII")
_SENDER: Final = struct.Struct("!IQIII")
_SSRC: Final = struct.Struct("!I")
_LOST_MAX: Final = (1 << 23) - 1


class ReportBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver has to say of one source (section 6.4.1)."""

    ssrc: int
    fraction_lost: int = 0  # of 256, since the report before
    lost: int = 0  # packets, less those that came twice: -2^23 .. 2^23 - 1
    highest_sequence: int = 0  # extended to 32 bits
    jitter: int = 0  # RTP ticks
    last_sr: int = 0  # the middle 32 bits of an NTP timestamp; 0: none came
    delay_since_last_sr: int = 0  # 1/65536 s

    @classmethod
    def parse(cls, octets: bytes) -> ReportBlock:
        """Read 24 octets."""
        ssrc, fraction, lost, highest, jitter, last_sr, delay = _BLOCK.unpack(octets)
        return cls(
            ssrc=ssrc,
            fraction_lost=fraction,
            lost=int.from_bytes(lost, "big", signed=True),
            highest_sequence=highest,
            jitter=jitter,
            last_sr=last_sr,
            delay_since_last_sr=delay,
        )

    def __bytes__(self) -> bytes:
        lost = min(max(self.lost, -_LOST_MAX - 1), _LOST_MAX).to_bytes(3, "big", signed=True)
        return _BLOCK.pack(
            self.ssrc, self.fraction_lost, lost, self.highest_sequence,
            self.jitter, self.last_sr, self.delay_since_last_sr,
        )  # fmt: skip


class SenderReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report of one who sends (section 6.4.1)."""

    type: ClassVar[int] = SENDER_REPORT
    ssrc: int
    ntp_timestamp: int  # 64 bits, fixed point at 32
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()

    @classmethod
    def parse(cls, body: bytes, count: int) -> SenderReport:
        """Read what follows the header, with `count` report blocks."""
        _at_least(len(body), _SENDER.size + count * _BLOCK.size, "sender report")
        ssrc, ntp, rtp, packets, octets = _SENDER.unpack_from(body)
        return cls(
            ssrc=ssrc,
            ntp_timestamp=ntp,
            rtp_timestamp=rtp,
            packets=packets,
            octets=octets,
            blocks=_blocks(body, _SENDER.size, count),
        )

    def __bytes__(self) -> bytes:
        sender = _SENDER.pack(
            self.ssrc, self.ntp_timestamp, self.rtp_timestamp % 2**32, self.packets % 2**32, self.octets % 2**32
        )
        return _packet(self.type, len(self.blocks), sender + b"".join(map(bytes, self.blocks)))


class ReceiverReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report of one who only listens (section 6.4.2)."""

    type: ClassVar[int] = RECEIVER_REPORT
    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    @classmethod
    def parse(cls, body: bytes, count: int) -> ReceiverReport:
        """Read what follows the header, with `count` report blocks."""
        _at_least(len(body), _SSRC.size + count * _BLOCK.size, "receiver report")
        return cls(ssrc=_SSRC.unpack_from(body)[0], blocks=_blocks(body, _SSRC.size, count))

    def __bytes__(self) -> bytes:
        return _packet(self.type, len(self.blocks), _SSRC.pack(self.ssrc) + b"".join(map(bytes, self.blocks)))


class Sdes(msgspec.Struct, frozen=True, kw_only=True):
    """Who a source is, by its canonical name (section 6.5.1); other items are of no use here."""

    type: ClassVar[int] = SOURCE_DESCRIPTION
    names: tuple[tuple[int, str], ...]  # SSRC, CNAME

    @classmethod
    def parse(cls, body: bytes, count: int) -> Sdes:
        """Read `count` chunks."""
        names: list[tuple[int, str]] = []
        at = 0
        for _ in range(count):
            _at_least(len(body), at + _SSRC.size, "source description chunk")
            ssrc: int = _SSRC.unpack_from(body, at)[0]
            items, at = _items(body, at + _SSRC.size)
            names += [(ssrc, text.decode("utf-8", "replace")) for kind, text in items if kind == CNAME]
        return cls(names=tuple(names))

    def __bytes__(self) -> bytes:
        chunks = b""
        for ssrc, name in self.names:
            text = name.encode()[:255]
            chunk = _SSRC.pack(ssrc) + bytes([CNAME, len(text)]) + text
            chunks += chunk + bytes(4 - len(chunk) % 4)  # one to four null octets end the list
        return _packet(self.type, len(self.names), chunks)


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """Sources that leave (section 6.6)."""

    type: ClassVar[int] = GOODBYE
    ssrcs: tuple[int, ...]

    @classmethod
    def parse(cls, body: bytes, count: int) -> Bye:
        """Read `count` sources; why they leave is not kept."""
        _at_least(len(body), count * _SSRC.size, "goodbye")
        return cls(ssrcs=struct.unpack_from(f"!{count}I", body))

    def __bytes__(self) -> bytes:
        return _packet(self.type, len(self.ssrcs), struct.pack(f"!{len(self.ssrcs)}I", *self.ssrcs))


Packet = SenderReport | ReceiverReport | Sdes | Bye

_TYPES: Final[dict[int, type[SenderReport] | type[ReceiverReport] | type[Sdes] | type[Bye]]] = {
    kind.type: kind for kind in (SenderReport, ReceiverReport, Sdes, Bye)
}


def parse_compound(octets: bytes) -> list[Packet]:
    """Read a compound packet; types that are not known here are left out (section 6.1).

    ValueError, naming the octet, unless it is valid as appendix A.2 says.
    """
    packets: list[Packet] = []
    at = 0
    while at < len(octets):
        if len(octets) - at < _HEADER.size:
            raise ValueError(f"octet {at}: {len(octets) - at} octets, expected a header of {_HEADER.size}")
        first, kind, words = _HEADER.unpack_from(octets, at)
        end = at + 4 + 4 * words
        if first >> 6 != _VERSION:
            raise ValueError(f"octet {at}: version {first >> 6}, expected {_VERSION}")
        if at == 0 and kind not in (SENDER_REPORT, RECEIVER_REPORT):
            raise ValueError(f"octet {at}: packet type {kind} comes first, expected a report (200 or 201)")
        if end > len(octets):
            raise ValueError(f"octet {at}: packet of {end - at} octets, but {len(octets) - at} are left")
        body = octets[at + 4 : end]
        if first & _PADDING:
            body = _unpadded(body, at, last=end == len(octets))
        if kind in _TYPES:
            try:
                packets.append(_TYPES[kind].parse(body, first & 0x1F))
            except ValueError as error:
                raise ValueError(f"octet {at}: {error}") from None
        at = end
    if at == 0:
        raise ValueError("octet 0: nothing, expected a report (200 or 201)")
    return packets


def build_compound(packets: Iterable[Packet]) -> bytes:
    """Return `packets` as one datagram; the first must be a report (section 6.1)."""
    return b"".join(map(bytes, packets))


def ntp_timestamp(unix_s: float) -> int:
    """Return seconds since 1970 as a 64-bit NTP timestamp."""
    return int((unix_s + NTP_EPOCH_S) * 2**32) % 2**64


def middle(ntp: int) -> int:
    """Return the middle 32 bits of an NTP timestamp: units of 1/65536 s, as reports carry them."""
    return ntp >> 16 & 0xFFFFFFFF


def round_trip_s(block: ReportBlock, arrival_ntp: int) -> float | None:
    """Return the round trip that `block` tells when it comes at `arrival_ntp`; None if it tells none (section 6.4.1).

    Clocks that were set meanwhile, or a peer that invents its delay, make it negative: that is none, too.
    """
    if not block.last_sr:
        return None
    units = (middle(arrival_ntp) - block.last_sr - block.delay_since_last_sr) % 2**32
    return units / 65536 if units < 2**31 else None


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(_VERSION << 6 | count, kind, len(body) // 4) + body


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    size = _BLOCK.size
    return tuple(ReportBlock.parse(body[at : at + size]) for at in range(start, start + count * size, size))


def _items(body: bytes, at: int) -> tuple[list[tuple[int, bytes]], int]:
    """Read the items of a chunk up to the null octet that ends them; return them and where the next chunk begins."""
    items: list[tuple[int, bytes]] = []
    while True:
        _at_least(len(body), at + 1, "source description item")
        if body[at] == 0:
            return items, (at // 4 + 1) * 4
        _at_least(len(body), at + 2, "source description item")
        end = at + 2 + body[at + 1]
        _at_least(len(body), end, "source description item")
        items.append((body[at], body[at + 2 : end]))
        at = end


def _unpadded(body: bytes, at: int, *, last: bool) -> bytes:
    if not last:
        raise ValueError(f"octet {at}: padding, expected in the last packet only")
    count = body[-1] if body else 0
    if not 0 < count <= len(body):
        raise ValueError(f"octet {at}: {count} octets of padding, expected 1 to {len(body)}")
    return body[:-count]


def _at_least(found: int, expected: int, what: str) -> None:
    if found < expected:
        raise ValueError(f"{what} of {found} octets, expected {expected}")
