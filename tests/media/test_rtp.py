"""RTP packets by the batch, valid and broken."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from flexml.media.rtp import MAX_PACKET, RtpBatch, build_batch, parse_batch, rounds, timestamp_gap
from hypothesis import given
from hypothesis import strategies as st

HEADER = bytes.fromhex("80 00 0001 00000010 deadbeef")


def parse(*packets: bytes, rows: list[int] | None = None) -> tuple[RtpBatch, list[int]]:
    data = np.zeros((len(packets), MAX_PACKET), np.uint8)
    for at, packet in enumerate(packets):
        data[at, : len(packet)] = np.frombuffer(packet, np.uint8)
    lengths = np.array([len(packet) for packet in packets], np.int32)
    numbers = np.array(rows if rows is not None else range(len(packets)), np.intp)
    batch, good = parse_batch(data, lengths, numbers)
    return batch, numbers[~good].tolist()


def payload(batch: RtpBatch, at: int) -> bytes:
    start, length = int(batch.start[at]), int(batch.length[at])
    return batch.data[batch.index[at], start : start + length].tobytes()


def test_every_field_is_read() -> None:
    batch, invalid = parse(bytes.fromhex("80 e5 fffe fffffff0 deadbeef 0102"), rows=[7])
    assert invalid == []
    assert (batch.rows[0], batch.payload_type[0], bool(batch.marker[0])) == (7, 101, True)
    assert (batch.sequence[0], batch.timestamp[0], batch.ssrc[0]) == (0xFFFE, 0xFFFFFFF0, 0xDEADBEEF)
    assert payload(batch, 0) == b"\x01\x02"


WELL_FORMED = {
    "plain": (HEADER + b"abc", b"abc"),
    "no payload": (HEADER, b""),
    "two contributing sources": (b"\x82" + HEADER[1:] + bytes(8) + b"abc", b"abc"),
    "extension of two words": (b"\x90" + HEADER[1:] + b"\xbe\xde\x00\x02" + bytes(8) + b"abc", b"abc"),
    "extension without words": (b"\x90" + HEADER[1:] + b"\xbe\xde\x00\x00" + b"abc", b"abc"),
    "extension of 257 words": (b"\x90" + HEADER[1:] + b"\xbe\xde\x01\x01" + bytes(4 * 257) + b"abc", b"abc"),
    "extension without words or payload": (b"\x90" + HEADER[1:] + b"\xbe\xde\x00\x00", b""),
    "sources alone": (b"\x8f" + HEADER[1:] + bytes(60), b""),
    "padding": (b"\xa0" + HEADER[1:] + b"abc\x00\x00\x03", b"abc"),
    "padding alone": (b"\xa0" + HEADER[1:] + b"\x00\x02", b""),
    "all of it": (b"\xb1" + HEADER[1:] + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4) + b"abc\x01", b"abc"),
    "payload type 95 without marker": (b"\x80\x5f" + HEADER[2:] + b"abc", b"abc"),
    "a payload type next to the first of RTCP": (b"\x80\xbf" + HEADER[2:] + b"abc", b"abc"),
    "a payload type next to the last of RTCP": (b"\x80\xe0" + HEADER[2:] + b"abc", b"abc"),
    "as long as can be": (HEADER + bytes(MAX_PACKET - 12), bytes(MAX_PACKET - 12)),
}


@pytest.mark.parametrize(("packet", "expected"), WELL_FORMED.values(), ids=WELL_FORMED)
def test_the_payload_is_found(packet: bytes, expected: bytes) -> None:
    batch, invalid = parse(packet)
    assert invalid == []
    assert payload(batch, 0) == expected


BROKEN = {
    "nothing": b"",
    "half a header": HEADER[:11],
    "version 0": b"\x00" + HEADER[1:],
    "version 3": b"\xc0" + HEADER[1:],
    "sources beyond the end": b"\x8f" + HEADER[1:] + bytes(59),
    "extension header beyond the end": b"\x90" + HEADER[1:] + b"\xbe\xde\x00",
    "extension beyond the end": b"\x90" + HEADER[1:] + b"\xbe\xde\xff\xff" + bytes(8),
    "no padding though it says so": b"\xa0" + HEADER[1:] + b"abc\x00",
    "padding beyond the header": b"\xa0" + HEADER[1:] + b"abc\x05",
    "extension header beyond the end after all sources": b"\x9f" + HEADER[1:] + bytes(60),
    "extension an octet too long": b"\x90" + HEADER[1:] + b"\xbe\xde\x00\x02" + bytes(7),
    "padding that leaves the extension no room": b"\xb0" + HEADER[1:] + b"\xbe\xde\x00\x01" + bytes(3) + b"\x05",
    "padding of 255 octets in a packet of 13": b"\xa0" + HEADER[1:] + b"\xff",
    "an octet": b"\x80",
    "the first packet type of RTCP": b"\x80\xc0" + HEADER[2:] + bytes(16),
    "the last packet type of RTCP": b"\x80\xdf" + HEADER[2:] + bytes(16),
    "the first packet type of RTCP, with a source": b"\x81\xc0" + HEADER[2:] + bytes(16),
    "the last packet type of RTCP, with a source": b"\x81\xdf" + HEADER[2:] + bytes(16),
    "an RTCP sender report": b"\x80\xc8" + HEADER[2:] + bytes(16),
    "an RTCP goodbye": b"\x81\xcb" + HEADER[2:],
}


@pytest.mark.parametrize("packet", BROKEN.values(), ids=BROKEN)
def test_a_broken_packet_is_told_by_its_row(packet: bytes) -> None:
    batch, invalid = parse(HEADER + b"x", packet, HEADER + b"y", rows=[3, 5, 9])
    assert invalid == [5]
    assert batch.rows.tolist() == [3, 9]
    assert [payload(batch, at) for at in range(2)] == [b"x", b"y"]


def test_where_keeps_what_is_chosen() -> None:
    batch, _ = parse(HEADER + b"a", HEADER + b"b", HEADER + b"c")
    chosen = batch.where(np.array([True, False, True]))
    assert len(chosen) == 2
    assert [payload(chosen, at) for at in range(2)] == [b"a", b"c"]


def test_what_is_built_is_read_again() -> None:
    octets = np.arange(320, dtype=np.uint8).reshape(2, 160)
    built = build_batch(
        octets, np.array([0, 101]), np.array([True, False]), np.array([65536, 7]), np.array([2**32 + 5, -1]), 2**32 - 1
    )
    assert built[0, :12].tobytes() == struct.pack("!BBHII", 0x80, 0x80, 0, 5, 2**32 - 1)
    batch, invalid = parse(built[0].tobytes(), built[1].tobytes())
    assert invalid == []
    assert batch.payload_type.tolist() == [0, 101]
    assert batch.timestamp.tolist() == [5, 2**32 - 1]
    assert [payload(batch, at) for at in range(2)] == [octets[0].tobytes(), octets[1].tobytes()]


def test_nothing_is_built_and_read_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert build_batch(np.zeros((0, 160), np.uint8), none, none, none, none, none).shape == (0, 172)
    batch, invalid = parse()
    assert len(batch) == 0
    assert invalid == []


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_any_octets_are_well_formed_or_broken(packets: list[bytes]) -> None:
    forced = [b"\xb0" + packet for packet in packets]  # version 2, padding, extension
    batch, invalid = parse(*packets, *forced)
    assert len(batch) + len(invalid) == 2 * len(packets)
    lengths = np.array([len(packet) for packet in (*packets, *forced)], np.int64)
    assert (batch.length >= 0).all()
    assert (batch.start + batch.length <= lengths[batch.index]).all()


@pytest.mark.parametrize(
    ("later", "earlier", "gap"), [(160, 0, 160), (0, 160, -160), (5, 2**32 - 5, 10), (2**32 - 5, 5, -10)]
)
def test_the_gap_of_timestamps_goes_the_short_way(later: int, earlier: int, gap: int) -> None:
    assert timestamp_gap(np.array([later]), np.array([earlier])).tolist() == [gap]


def test_rounds_keep_the_order_within_each_row() -> None:
    assert [turn.tolist() for turn in rounds(np.array([4, 2, 4, 4, 9]))] == [[1, 0, 4], [2], [3]]
    assert [turn.tolist() for turn in rounds(np.array([4, 2]))] == [[0, 1]]
    assert list(rounds(np.array([], np.intp))) == []
