"""Protected legs, against another implementation of RFC 3711 (`srtp_peer`) and the RFC's own vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flexml.media import rtcp
from flexml.media.events import CommandFailed, DigitReceived, LegClosed, LegHeard, LegOpened
from flexml.media.libsrtp import Session, SrtpError
from flexml.media.protocol import CloseLeg, OpenLeg, SetRemote, SrtpKeys, Suite, decode_commands, encode
from flexml.media.rtcp import Bye, ReceiverReport, Sdes, SenderReport
from flexml.media.srtp import GRACE_S, SOURCES, Srtp
from flexml.media.transport import ControlPacket, Received
from hypothesis import given
from hypothesis import strategies as st

from .rig import PEER, STRANGER, ULAW_SILENCE, Rig, packet
from .srtp_peer import SrtpPeer, counter_mode, derive, need_openssl

OURS, THEIRS, OTHER = bytes(range(30)), bytes(range(100, 130)), bytes(range(200, 230))
SUITE: Suite = "AES_CM_128_HMAC_SHA1_80"
SUITES: tuple[Suite, ...] = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
KEYS = SrtpKeys(suite=SUITE, ours=OURS, theirs=THEIRS)
EMPTY_REPORT = rtcp.build_compound([ReceiverReport(ssrc=99), Sdes(names=((99, "peer"),))])


@pytest.fixture(autouse=True, scope="module")
def openssl() -> None:
    need_openssl()


def peer(keys: SrtpKeys = KEYS) -> SrtpPeer:
    return SrtpPeer(keys.suite, ours=keys.theirs, theirs=keys.ours)


def wire(rig: Rig, row: int = 0) -> list[bytes]:
    return [octets for _, at, octets in rig.network.sent if at == row]


def invalid(rig: Rig, leg: int = 1) -> int:
    rig.command(CloseLeg(leg=leg))
    return rig.said(LegClosed)[-1].stats.invalid


def test_the_other_implementation_is_that_of_the_rfc() -> None:
    """Appendices B.2 and B.3."""
    key, salt = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"), int("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", 16)
    stream = counter_mode(key, salt, bytes(32)).hex().upper()
    assert stream == "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")
    assert derive(master, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derive(master, 1, 20).hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"
    assert derive(master, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"


@pytest.mark.parametrize("suite", SUITES)
def test_every_packet_that_goes_out_is_protected(suite: Suite) -> None:
    rig, keys = Rig(), SrtpKeys(suite=suite, ours=OURS, theirs=THEIRS)
    rig.leg(srtp=keys)
    for _ in range(5):
        rig.pipeline.tick(rig.now_s)
        rig.now_s += 0.02
    sent = wire(rig)
    plain = [peer(keys).unprotect(octets) for octets in sent]
    assert [one[12:] for one in plain] == [ULAW_SILENCE] * 5
    assert all(octets[12:172] != ULAW_SILENCE for octets in sent)
    assert [int.from_bytes(one[2:4], "big") for one in plain] == list(range(65_000, 65_005))


def test_the_rollover_counter_goes_on_where_the_sequence_wraps() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    for _ in range(540):
        rig.pipeline.tick(rig.now_s)
        rig.now_s += 0.02
    sent = wire(rig)
    assert peer().unprotect(sent[535])[2:4] == b"\xff\xff"
    assert peer().unprotect(sent[536], rollovers=1)[2:4] == b"\x00\x00"


def test_no_stream_begins_near_the_wrap_of_its_sequence() -> None:
    """Who misses the packet before the wrap could not know of it (RFC 3711 section 3.3.1)."""
    rig = Rig()
    rig.command(*(OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg) for leg in range(1, 9)))
    assert max(event.sequence for event in rig.said(LegOpened)) < 2**15


@pytest.mark.parametrize("suite", SUITES)
def test_what_the_peer_says_is_heard_and_its_keys_are_counted(suite: Suite) -> None:
    rig, keys = Rig(), SrtpKeys(suite=suite, ours=OURS, theirs=THEIRS)
    rig.leg(srtp=keys, telephone_event=101)
    far = peer(keys)
    for tick in range(3):
        rig.network.arrive(tick, 0, far.protect(packet(tick)))
    rig.network.arrive(3, 0, far.protect(packet(3, bytes([5, 10, 0, 160]), kind=101)))
    for _ in range(5):
        rig.pipeline.tick(rig.now_s)
    assert rig.said(LegHeard) == [LegHeard(leg=1, address=PEER[0], port=PEER[1])]
    assert [event.digit for event in rig.said(DigitReceived)] == ["5"]
    rig.command(CloseLeg(leg=1))
    (closed,) = rig.said(LegClosed)
    assert (closed.stats.packets_received, closed.stats.octets_received, closed.stats.invalid) == (4, 484, 0)


def _flipped(octets: bytes, at: int) -> bytes:
    return octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]


def stranger(suite: Suite = SUITE, key: bytes = OTHER) -> SrtpPeer:
    return SrtpPeer(suite, ours=key, theirs=OURS)


def good() -> bytes:
    return peer().protect(packet(2))


FORGERIES: dict[str, Callable[[], bytes]] = {
    "plain": lambda: packet(2),
    "another key": lambda: stranger().protect(packet(2)),
    "the other suite": lambda: stranger(SUITES[1], THEIRS).protect(packet(2)),
    "our own packet": lambda: stranger(key=OURS).protect(packet(2)),
    "a payload that was changed": lambda: _flipped(good(), 40),
    "a header that was changed": lambda: _flipped(good(), 5),
    "a tag that was changed": lambda: _flipped(good(), -1 % len(good())),
    "a tag that was cut": lambda: good()[:-1],
    "a header alone": lambda: good()[:12],
    "half a header": lambda: good()[:7],
    "nothing": lambda: b"",
    "an extension longer than the packet": lambda: b"\x90\x00\x00\x02" + bytes(10) + b"\xff\xff" + bytes(20),
    "the wrong rollover counter": lambda: peer().protect(packet(2), rollovers=1),
    "more behind the tag": lambda: good().ljust(1500, b"\0"),
    "a replay": lambda: peer().protect(packet(1)),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_not_the_peers_is_counted_as_invalid_and_not_heard(name: str) -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    rig.network.arrive(0, 0, peer().protect(packet(1)))
    rig.network.arrive(1, 0, FORGERIES[name]())
    for _ in range(3):
        rig.pipeline.tick(rig.now_s)
    rig.command(CloseLeg(leg=1))
    (closed,) = rig.said(LegClosed)
    assert (closed.stats.packets_received, closed.stats.invalid) == (1, 1)


def test_a_stranger_without_the_key_does_not_latch() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    rig.network.arrive(0, 0, packet(1), STRANGER)
    rig.network.arrive(1, 0, peer().protect(packet(1)))
    for _ in range(3):
        rig.pipeline.tick(rig.now_s)
    assert [event.address for event in rig.said(LegHeard)] == [PEER[0]]


def test_rtcp_is_protected_both_ways_and_so_is_bye() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    far = peer()
    source = (PEER[0], 4001)
    good = far.protect_control(EMPTY_REPORT)
    packets = [EMPTY_REPORT, good, good, _flipped(far.protect_control(EMPTY_REPORT), 20), b"", bytes(1500)]
    rig.network.arrive(0, 0, far.protect(packet(1)))
    rig.network.control = [(tick, ControlPacket(0, octets, source)) for tick, octets in enumerate(packets, 1)]
    for _ in range(500):
        rig.pipeline.tick(rig.now_s)
        rig.now_s += 0.02
    assert invalid(rig) == 5, "all but one of what came by RTCP"
    opened = [far.unprotect_control(octets) for _, _, octets in rig.network.sent_control]
    assert [index for _, index in opened] == list(range(1, len(opened) + 1))
    compounds = [rtcp.parse_compound(octets) for octets, _ in opened]
    assert len(compounds) > 2
    assert all(isinstance(compound[0], SenderReport) for compound in compounds)
    assert compounds[-1][-1] == Bye(ssrcs=(7,))


def test_new_keys_are_used_at_once_and_the_old_ones_heard_a_little_longer() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    new = SrtpKeys(suite=SUITE, ours=OTHER, theirs=bytes(30))
    old_peer, new_peer = peer(), peer(new)
    rig.network.arrive(0, 0, old_peer.protect(packet(1)))
    rig.network.arrive(1, 0, new_peer.protect(packet(3)))
    rig.network.arrive(1, 0, old_peer.protect(packet(2)))
    rig.network.arrive(2, 0, old_peer.protect(packet(4)))
    rig.pipeline.tick(rig.now_s)
    rig.command(rig.remote(srtp=new))
    rig.pipeline.tick(rig.now_s)
    rig.pipeline.tick(rig.now_s + GRACE_S)
    first, second, _ = wire(rig)
    assert old_peer.unprotect(first)[12:] == new_peer.unprotect(second)[12:] == ULAW_SILENCE
    rig.command(CloseLeg(leg=1))
    (closed,) = rig.said(LegClosed)
    assert (closed.stats.packets_received, closed.stats.invalid) == (3, 1)


@pytest.mark.parametrize("rollovers", [0, 1])
def test_after_new_keys_a_peer_may_count_rollovers_on_or_anew(rollovers: int) -> None:
    """RFC 3711 section 3.3.1 says on; peers that make a new context begin anew."""
    rig = Rig()
    rig.leg(srtp=KEYS)
    new = SrtpKeys(suite=SUITE, ours=OTHER, theirs=bytes(30))
    for tick, (number, wrapped) in enumerate([(65_534, 0), (65_535, 0), (0, 1)]):
        rig.network.arrive(tick, 0, peer().protect(packet(number), rollovers=wrapped))
    rig.network.arrive(3, 0, peer(new).protect(packet(1), rollovers=rollovers))
    for _ in range(3):
        rig.pipeline.tick(rig.now_s)
    rig.command(rig.remote(srtp=new))
    rig.pipeline.tick(rig.now_s)
    rig.command(CloseLeg(leg=1))
    (closed,) = rig.said(LegClosed)
    assert (closed.stats.packets_received, closed.stats.invalid) == (4, 0)


def test_the_same_keys_again_do_not_let_a_replay_in() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    good = peer().protect(packet(1))
    rig.network.arrive(0, 0, good)
    rig.network.arrive(1, 0, good)
    rig.pipeline.tick(rig.now_s)
    rig.command(rig.remote(srtp=KEYS, direction="sendonly"))
    rig.pipeline.tick(rig.now_s)
    assert invalid(rig) == 1


@pytest.mark.parametrize(("wrapped", "known", "heard"), [(0, 0, 2), (0, 3, 2), (3, 3, 2), (3, 2, 0), (1, 0, 0)])
def test_a_stream_is_found_from_its_middle_on_as_far_as_it_may_have_wrapped(
    wrapped: int, known: int, heard: int
) -> None:
    rig = Rig()
    rig.leg(srtp=SrtpKeys(suite=SUITE, ours=OURS, theirs=THEIRS, rollovers=known))
    far = peer()
    rig.network.arrive(0, 0, SrtpPeer(SUITE, ours=OTHER, theirs=OURS).protect(packet(1)))
    rig.network.arrive(1, 0, far.protect(packet(65_535), rollovers=wrapped))
    rig.network.arrive(2, 0, far.protect(packet(0), rollovers=wrapped + 1))
    for _ in range(3):
        rig.pipeline.tick(rig.now_s)
    rig.command(CloseLeg(leg=1))
    (closed,) = rig.said(LegClosed)
    assert closed.stats.packets_received == heard


def test_a_peer_may_change_its_source_more_often_than_is_remembered() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    far = peer()
    for tick, ssrc in enumerate(range(50, 50 + 2 * SOURCES)):
        rig.network.arrive(tick, 0, far.protect(packet(tick, ssrc=ssrc)))
    for _ in range(2 * SOURCES):
        rig.pipeline.tick(rig.now_s)
    rig.command(CloseLeg(leg=1))
    (closed,) = rig.said(LegClosed)
    assert (closed.stats.packets_received, closed.stats.invalid) == (2 * SOURCES, 0)


def keys_of(row: int) -> SrtpKeys | None:
    """Rows of every kind: two suites, and none."""
    if row % 3 == 2:
        return None
    return SrtpKeys(suite=SUITES[row % 3], ours=bytes([row]) * 30, theirs=bytes([row + 100]) * 30)


def stage(*rows: int) -> Srtp:
    srtp = Srtp(8)
    for row in rows:
        srtp.set_keys(row, keys_of(row), 0.0)
    return srtp


def test_rows_at_once_are_as_each_row_alone() -> None:
    rows = np.arange(6)
    plain = np.stack([np.frombuffer(packet(9, ssrc=row), np.uint8) for row in rows.tolist()])
    together = {
        int(row): octets.tobytes()
        for group, packets in stage(*rows.tolist()).protect(rows, plain)
        for row, octets in zip(group, packets, strict=True)
    }
    for row in rows.tolist():
        ((group, alone),) = stage(row).protect(rows[row : row + 1], plain[row : row + 1])
        assert (group.tolist(), alone[0].tobytes()) == ([row], together[row])
        keys = keys_of(row)
        opened = peer(keys).unprotect(together[row]) if keys else together[row]
        assert opened == plain[row].tobytes()


def arrived(*packets: tuple[int, bytes]) -> Received:
    data = np.zeros((len(packets), 1500), np.uint8)
    for slot, (_, octets) in zip(data, packets, strict=True):
        slot[: len(octets)] = np.frombuffer(octets, np.uint8)
    lengths = np.array([len(octets) for _, octets in packets], np.int32)
    return Received(np.array([row for row, _ in packets], np.intp), data, lengths, [PEER] * len(packets))


def test_rows_are_unprotected_at_once_as_each_row_alone() -> None:
    packets: list[tuple[int, bytes]] = []
    for row, number in itertools.product(range(6), (1, 2)):
        keys, octets = keys_of(row), packet(number, ssrc=row)
        packets.append((row, peer(keys).protect(octets) if keys else octets))
    together = arrived(*packets)
    stage(*range(6)).unprotect(together, 0.0)
    assert together.lengths.tolist() == [172] * 12
    for at, (row, octets) in enumerate(packets):
        alone = arrived((row, octets))
        stage(row).unprotect(alone, 0.0)
        assert (alone.data[0, :172] == together.data[at, :172]).all()


def test_a_row_that_was_closed_has_no_keys_left() -> None:
    rig = Rig()
    rig.leg(srtp=KEYS)
    rig.pipeline.tick(rig.now_s)
    rig.command(CloseLeg(leg=1))
    before = len(wire(rig))
    rig.pipeline.tick(rig.now_s)
    assert len(wire(rig)) == before
    rig.leg(2)
    rig.network.arrive(2, 0, packet(1))
    rig.pipeline.tick(rig.now_s)
    assert wire(rig)[-1][12:] == ULAW_SILENCE
    assert [event.leg for event in rig.said(LegHeard)] == [2]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ours": bytes(29)}, "key: expected 30 octets, found 29"),
    ({"theirs": bytes(46)}, "key: expected 30 octets, found 46"),
    ({"suite": "F8_128_HMAC_SHA1_80"}, "suite: expected"),
]


@pytest.mark.parametrize(("change", "error"), WRONG)
def test_keys_that_cannot_be_used_fail_the_command_and_nothing_goes_out(change: dict[str, Any], error: str) -> None:
    rig = Rig()
    given: dict[str, Any] = {"suite": SUITE, "ours": OURS, "theirs": THEIRS, **change}
    rig.leg(srtp=SrtpKeys(**given))
    rig.pipeline.tick(rig.now_s)
    (failed,) = rig.said(CommandFailed)
    assert failed.error.startswith(error)
    assert wire(rig) == []


def test_no_key_is_in_a_message_that_is_printed() -> None:
    command = Rig.remote(srtp=SrtpKeys(suite=SUITE, ours=b"k" * 30, theirs=b"t" * 30))
    assert "kkk" not in repr(command)
    assert "ttt" not in repr(command)
    assert isinstance(again := decode_commands(encode([command]))[0], SetRemote)
    assert again.srtp == command.srtp


@given(st.binary(max_size=200), st.booleans())
def test_no_octets_make_a_session_do_anything_but_refuse(octets: bytes, as_rtp: bool) -> None:
    srtp = stage(0)
    if as_rtp:
        octets = b"\x80" + octets[1:]
    received = arrived((0, octets))
    srtp.unprotect(received, 0.0)
    assert received.lengths.tolist() == [0]
    with pytest.raises(SrtpError):
        srtp.unprotect_control(0, octets, 0.0)


def test_a_session_tells_how_far_a_stream_has_come() -> None:
    session = Session(SUITE, THEIRS, inbound=True)
    assert session.rollover(99) == 0
    assert session.add(99)
    session.set_rollover(99, 4)
    received = arrived((0, peer().protect(packet(1), rollovers=4)))
    assert session.unprotect(received.data.ctypes.data, int(received.lengths[0])) == 172
    assert session.rollover(99) == 4
    session.forget(99)
    assert session.rollover(99) == 0
