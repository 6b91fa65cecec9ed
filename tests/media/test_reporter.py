"""What our reports tell the peer: of its source, of its own reports, and of what we send."""

from __future__ import annotations

import pytest
from flexml.media import rtcp
from flexml.media.events import LegClosed
from flexml.media.protocol import CloseLeg, OpenLeg
from flexml.media.reporter import INTERVAL_S, SHORT_UNITS
from flexml.media.transport import ControlPacket

from .rig import PEER, Rig, packet

NTP = 0x1122334455667788
PERIOD = int(1.5 * INTERVAL_S / 0.02) + 20
"""Ticks in which a report goes out, whatever the dice say."""


def tell(rig: Rig, ssrc: int, ntp: int = NTP) -> None:
    """Let the peer of leg 1 report as the sender `ssrc` in the tick that comes next."""
    report = rtcp.SenderReport(ssrc=ssrc, ntp_timestamp=ntp, rtp_timestamp=0, packets=1, octets=160)
    rig.network.control.append((rig.network.tick, ControlPacket(0, rtcp.build_compound([report]), (PEER[0], 4001))))


def last_report(rig: Rig) -> tuple[int, rtcp.Packet]:
    tick, _, octets = rig.network.sent_control[-1]
    return tick, rtcp.parse_compound(octets)[0]


def last_block(rig: Rig) -> tuple[int, rtcp.ReportBlock]:
    tick, report = last_report(rig)
    assert isinstance(report, rtcp.SenderReport | rtcp.ReceiverReport)
    return tick, report.blocks[0]


def heard_leg(ssrc: int = 99) -> Rig:
    rig = Rig()
    rig.leg()
    rig.network.arrive(0, 0, packet(0, ssrc=ssrc))
    return rig


def test_a_report_tells_when_the_last_one_of_the_source_came() -> None:
    rig = heard_leg()
    tell(rig, 99, 1 << 40)
    rig.run(10)
    told = rig.network.tick
    tell(rig, 99)
    rig.run(PERIOD)
    tick, block = last_block(rig)
    assert block.last_sr == rtcp.middle(NTP)
    assert block.delay_since_last_sr == pytest.approx((tick - told) * 0.02 * SHORT_UNITS, abs=2)


def test_before_the_source_has_reported_there_is_nothing_to_tell() -> None:
    rig = heard_leg()
    rig.run(PERIOD)
    _, block = last_block(rig)
    assert (block.ssrc, block.last_sr, block.delay_since_last_sr) == (99, 0, 0)


def test_what_another_source_has_reported_is_not_told_of_this_one() -> None:
    rig = heard_leg()
    tell(rig, 98)
    rig.run(PERIOD)
    _, block = last_block(rig)
    assert (block.ssrc, block.last_sr, block.delay_since_last_sr) == (99, 0, 0)


def test_a_source_that_takes_over_begins_without_the_reports_of_the_one_before() -> None:
    rig = heard_leg()
    tell(rig, 99)
    rig.run(10)
    rig.network.arrive(rig.network.tick, 0, packet(1, ssrc=100))
    rig.run(PERIOD)
    _, block = last_block(rig)
    assert (block.ssrc, block.last_sr, block.delay_since_last_sr) == (100, 0, 0)
    tell(rig, 100)
    rig.run(PERIOD)
    assert last_block(rig)[1].last_sr == rtcp.middle(NTP)


def test_the_first_report_comes_after_half_the_time_that_is_between_others() -> None:
    rig = Rig()
    for leg in range(1, 9):
        rig.leg(leg)
    rig.run(PERIOD)
    first_s: dict[int, float] = {}
    for tick, row, _ in rig.network.sent_control:
        first_s.setdefault(row, tick * 0.02)
    assert len(first_s) == 8
    assert min(first_s.values()) >= 1.25
    assert max(first_s.values()) <= 3.75 + 0.2
    assert len(set(first_s.values())) > 4


@pytest.mark.parametrize(("cname", "expected"), [("joe@example", "joe@example"), ("", "00000007")])
def test_reports_bear_our_name(cname: str, expected: str) -> None:
    rig = Rig()
    rig.command(OpenLeg(leg=1, address="127.0.0.1", port=4002, ssrc=7, cname=cname), rig.remote())
    rig.run(PERIOD)
    assert rtcp.parse_compound(rig.network.sent_control[-1][2])[1:] == [rtcp.Sdes(names=((7, expected),))]


def test_a_remote_that_is_set_again_as_it_was_changes_nothing_of_reports() -> None:
    rig = heard_leg()
    octets = rtcp.build_compound([rtcp.ReceiverReport(ssrc=99)])
    rig.network.control += [
        (1, ControlPacket(0, octets, (PEER[0], 40_001))),
        (3, ControlPacket(0, octets, (PEER[0], 40_003))),
    ]
    rig.run(2)
    rig.command(rig.remote())
    rig.run(3)
    assert rig.network.control_aims[0] == (PEER[0], 40_001)
    for _ in range(PERIOD):
        rig.command(rig.remote())
        rig.run(1)
    assert rig.network.sent_control


def test_who_sends_nothing_reports_as_a_receiver_and_leaves_without_a_word() -> None:
    rig = Rig()
    rig.leg(direction="recvonly")
    rig.network.arrive(0, 0, packet(0))
    rig.run(10)
    rig.command(CloseLeg(leg=1))
    assert not rig.network.sent_control
    rig.leg(direction="recvonly")
    rig.network.arrive(rig.network.tick, 0, packet(0))
    rig.run(PERIOD)
    assert isinstance(last_report(rig)[1], rtcp.ReceiverReport)


def test_who_has_stopped_sending_reports_as_a_receiver_and_says_goodbye() -> None:
    rig = heard_leg()
    rig.run(PERIOD)
    assert isinstance(last_report(rig)[1], rtcp.SenderReport)
    rig.command(rig.remote(direction="recvonly"))
    rig.run(2 * PERIOD)
    assert isinstance(last_report(rig)[1], rtcp.ReceiverReport)
    rig.command(CloseLeg(leg=1))
    assert rtcp.parse_compound(rig.network.sent_control[-1][2])[-1] == rtcp.Bye(ssrcs=(7,))


def test_a_leg_that_is_closed_reports_no_more_and_the_next_on_its_row_knows_nothing_of_it() -> None:
    rig = heard_leg()
    tell(rig, 99)
    block = rtcp.ReportBlock(ssrc=7, lost=3, jitter=80, last_sr=rtcp.middle(rtcp.ntp_timestamp(999.5)))
    octets = rtcp.build_compound([rtcp.ReceiverReport(ssrc=99, blocks=(block,))])
    rig.network.control.append((0, ControlPacket(0, octets, (PEER[0], 4001))))
    rig.run(10)
    rig.command(CloseLeg(leg=1))
    sent = len(rig.network.sent_control)
    rig.run(PERIOD)
    assert len(rig.network.sent_control) == sent
    rig.leg()
    rig.network.arrive(rig.network.tick, 0, packet(0))
    rig.run(PERIOD)
    assert last_block(rig)[1].last_sr == 0
    rig.command(CloseLeg(leg=1))
    before, after = (event.stats for event in rig.said(LegClosed))
    assert (before.peer_lost, before.round_trip_ms is None) == (3, False)
    assert (after.peer_lost, after.peer_jitter_ms, after.round_trip_ms) == (0, 0.0, None)


def test_a_leg_is_closed_right_after_its_peer_has_reported_between_two_ticks() -> None:
    rig = heard_leg()
    rig.run(10)
    tell(rig, 99)
    rig.pipeline.listen(rig.now_s - 0.012, 0.012)
    rig.command(CloseLeg(leg=1))
    assert len(rig.said(LegClosed)) == 1
    assert last_block(rig)[1].last_sr == rtcp.middle(NTP)
    assert last_block(rig)[1].delay_since_last_sr == 0


def test_what_the_peer_reports_of_others_is_not_taken_as_said_of_us() -> None:
    rig = heard_leg()
    blocks = rtcp.ReportBlock(ssrc=7, lost=3), rtcp.ReportBlock(ssrc=8, lost=500, jitter=900)
    parts = [
        rtcp.ReceiverReport(ssrc=99, blocks=blocks),
        rtcp.Sdes(names=((99, "joe@example"),)),
        rtcp.Bye(ssrcs=(98,)),
    ]
    rig.network.control.append((0, ControlPacket(0, rtcp.build_compound(parts), (PEER[0], 4001))))
    rig.run(1)
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.peer_lost, stats.peer_jitter_ms, stats.invalid) == (3, 0.0, 0)
