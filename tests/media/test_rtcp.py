"""RTCP packets there and back, valid and broken."""

from __future__ import annotations

import pytest
from flexml.media.rtcp import (
    Bye,
    Packet,
    ReceiverReport,
    ReportBlock,
    Sdes,
    SenderReport,
    build_compound,
    middle,
    ntp_timestamp,
    parse_compound,
    round_trip_s,
)
from hypothesis import given
from hypothesis import strategies as st

BLOCK = ReportBlock(
    ssrc=0xAABBCCDD, fraction_lost=51, lost=-2, highest_sequence=0x10005, jitter=80, last_sr=0xB7052000,
    delay_since_last_sr=0x00054000,
)  # fmt: skip
SR = SenderReport(ssrc=1, ntp_timestamp=0x1122334455667788, rtp_timestamp=160, packets=5, octets=800, blocks=(BLOCK,))
RR = ReceiverReport(ssrc=2, blocks=(BLOCK, BLOCK))
EMPTY_RR = ReceiverReport(ssrc=2)

GOLDEN: dict[str, tuple[str, list[Packet]]] = {
    "receiver report": ("80c90001 00000002", [EMPTY_RR]),
    "sender report": (
        "81c8000c 00000001 1122334455667788 000000a0 00000005 00000320"
        "aabbccdd 33fffffe 00010005 00000050 b7052000 00054000",
        [SR],
    ),
    "with a name": ("80c90001 00000002 81ca0003 00000002 0104 6a6f6540 0000", [EMPTY_RR, Sdes(names=((2, "joe@"),))]),
    "with a name that needs four nulls": (
        "80c90001 00000002 81ca0003 00000002 0102 6a6f 00000000",
        [EMPTY_RR, Sdes(names=((2, "jo"),))],
    ),
    "with goodbye": ("80c90001 00000002 82cb0002 00000002 00000003", [EMPTY_RR, Bye(ssrcs=(2, 3))]),
}


@pytest.mark.parametrize(("octets", "packets"), GOLDEN.values(), ids=GOLDEN)
def test_packets_there_and_back(octets: str, packets: list[Packet]) -> None:
    assert parse_compound(bytes.fromhex(octets)) == packets
    assert build_compound(packets) == bytes.fromhex(octets)


READ_ONLY: dict[str, tuple[str, list[Packet]]] = {
    "padding": ("80c90001 00000002 a1cb0002 00000002 00000004", [EMPTY_RR, Bye(ssrcs=(2,))]),
    "nothing but padding": ("80c90001 00000002 a0cb0001 00000004", [EMPTY_RR, Bye(ssrcs=())]),
    "an unknown type": ("80c90001 00000002 80cc0001 00000002", [EMPTY_RR]),
    "goodbye with a reason": ("80c90001 00000002 81cb0002 00000002 02686900", [EMPTY_RR, Bye(ssrcs=(2,))]),
    "an extended report": ("80c90003 00000002 00000000 00000000", [EMPTY_RR]),
    "other items and two chunks": (
        "80c90001 00000002 82ca0005 00000002 02017800 00000003 0103616263 000000",
        [EMPTY_RR, Sdes(names=((3, "abc"),))],
    ),
    "a name that is no UTF-8": ("80c90001 00000002 81ca0002 00000002 0101ff00", [EMPTY_RR, Sdes(names=((2, "�"),))]),
}


@pytest.mark.parametrize(("octets", "packets"), READ_ONLY.values(), ids=READ_ONLY)
def test_what_is_not_sent_is_read(octets: str, packets: list[Packet]) -> None:
    assert parse_compound(bytes.fromhex(octets)) == packets


BROKEN = {
    "nothing": ("", "octet 0: nothing, expected a report"),
    "half a header": ("80c9", "octet 0: 2 octets, expected a header of 4"),
    "version": ("40c90001 00000002", "octet 0: version 1, expected 2"),
    "goodbye first": ("81cb0001 00000002", "octet 0: packet type 203 comes first"),
    "cut off": ("80c90002 00000002", "octet 0: packet of 12 octets, but 8 are left"),
    "a block too few": ("81c90001 00000002", "octet 0: receiver report of 4 octets, expected 28"),
    "a block of the sender too few": (
        "82c8000c 00000001 1122334455667788 000000a0 00000005 00000320"
        "aabbccdd 33fffffe 00010005 00000050 b7052000 00054000",
        "octet 0: sender report of 48 octets, expected 72",
    ),
    "31 blocks that are not there": ("9fc80006" + 24 * "00", "octet 0: sender report of 24 octets, expected 768"),
    "no sender": ("80c80001 00000002", "octet 0: sender report of 4 octets, expected 24"),
    "junk behind": ("80c90001 00000002 ffff", "octet 8: 2 octets, expected a header"),
    "padding in the middle": ("a0c90001 00000002 80c90001 00000002", "octet 0: padding, expected in the last packet"),
    "padding too long": ("80c90001 00000002 a1cb0001 00000009", "octet 8: 9 octets of padding, expected 1 to 4"),
    "no padding": ("80c90001 00000002 a0cb0000", "octet 8: 0 octets of padding"),
    "an item beyond the end": ("80c90001 00000002 81ca0002 00000002 01ff6162", "octet 8: source description item of 8"),
    "an item without a length": (
        "80c90001 00000002 81ca0002 00000002 01016101",
        "octet 8: source description item of 8",
    ),
    "a chunk without end": ("80c90001 00000002 81ca0002 00000002 01026162", "octet 8: source description item of 8"),
    "a chunk too few": ("80c90001 00000002 82ca0002 00000002 00000000", "octet 8: source description chunk of 8"),
    "a source too few": ("80c90001 00000002 82cb0001 00000002", "octet 8: goodbye of 4 octets, expected 8"),
}


@pytest.mark.parametrize(("octets", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_packets_say_where(octets: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_compound(bytes.fromhex(octets))


@given(
    st.binary(max_size=80), st.sampled_from(["", "80c90001 00000002", "81ca0009", "81c80009", "b1c9000a", "9fcb0003"])
)
def test_any_octets_are_read_or_refused(octets: bytes, head: str) -> None:
    try:
        packets = parse_compound(bytes.fromhex(head) + octets)
    except ValueError:
        return
    assert parse_compound(build_compound(packets)) == packets


def test_loss_is_held_to_24_bits() -> None:
    for lost, kept in ((1 << 30, (1 << 23) - 1), (-(1 << 30), -(1 << 23))):
        assert ReportBlock.parse(bytes(ReportBlock(ssrc=1, lost=lost))).lost == kept


def test_counters_of_a_long_call_wrap() -> None:
    long = SenderReport(ssrc=1, ntp_timestamp=9, rtp_timestamp=2**32 + 3, packets=2**32 + 4, octets=2**33 + 5)
    (read,) = parse_compound(bytes(long))
    assert read == SenderReport(ssrc=1, ntp_timestamp=9, rtp_timestamp=3, packets=4, octets=5)


def test_a_name_is_cut_at_255_octets() -> None:
    packets = parse_compound(build_compound([EMPTY_RR, Sdes(names=((2, "x" * 300),))]))
    assert packets[1] == Sdes(names=((2, "x" * 255),))


def test_the_round_trip_of_the_rfc() -> None:
    # RFC 3550 figure 2: sent at b705:2000, held 5.25 s, back at b710:8000: 6.125 s.
    assert round_trip_s(BLOCK, 0xB710_8000 << 16) == 6.125


def test_a_round_trip_goes_on_over_the_wrap_of_its_clock() -> None:
    block = ReportBlock(ssrc=1, last_sr=0xFFFF_0000, delay_since_last_sr=0x8000)
    assert round_trip_s(block, 0x1_0001_0000 << 16) == 1.5


def test_no_sender_report_is_no_round_trip_whatever_the_time() -> None:
    assert round_trip_s(ReportBlock(ssrc=1), 0x0001_0000 << 16) is None


@pytest.mark.parametrize(
    "block",
    [
        ReportBlock(ssrc=1),
        ReportBlock(ssrc=1, last_sr=0xB7108001),
        ReportBlock(ssrc=1, last_sr=9, delay_since_last_sr=2**32 - 1),
    ],
    ids=["no sender report", "from the future", "an invented delay"],
)
def test_a_round_trip_that_cannot_be_is_none(block: ReportBlock) -> None:
    assert round_trip_s(block, 0xB710_8000 << 16) is None


def test_ntp_counts_from_1900() -> None:
    ntp = ntp_timestamp(0.5)
    assert (ntp >> 32, ntp & 0xFFFFFFFF) == (2_208_988_800, 1 << 31)
    era_s = 2**32 - 2_208_988_800  # February 2036
    assert ntp_timestamp(era_s + 0.5) == 1 << 31
    assert middle(0x1122334455667788) == 0x33445566
