"""The whole tick on a fake network: what comes in, what goes out, what control is told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flexml.codecs import g711
from flexml.media import rtcp, rtp
from flexml.media.events import (
    CommandFailed,
    DigitReceived,
    DigitsSent,
    LegClosed,
    LegHeard,
    LegOpened,
    LegReport,
    LegSilent,
    OtherCodec,
    PlayFinished,
)
from flexml.media.pipeline import TICKS_TOGETHER
from flexml.media.protocol import (
    CloseLeg,
    Command,
    Drain,
    Join,
    OpenLeg,
    SeekPlay,
    SendDigits,
    SetRemote,
    StartPlay,
    StartTone,
    StopPlay,
)
from flexml.media.transport import ControlPacket

from .rig import PEER, STRANGER, ULAW_SILENCE, Rig, noise_file, packet, payloads

# ---- sending ----------------------------------------------------------------------------------------------------


def test_five_minutes_of_noise_go_out_as_mu_law_to_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "noise.s16"
    golden = g711.encode_ulaw(noise_file(path, 300).astype(np.float32)).tobytes()
    rig = Rig()
    rig.leg()
    rig.command(StartPlay(leg=1, job=5, path=str(path)))
    sent = rig.run(15_000)
    assert payloads(sent) == golden
    assert [len(batch) for batch in sent] == [1] * 15_000
    assert [int(batch.sequence[0]) for batch in sent] == [(65_000 + n) % 65_536 for n in range(15_000)]
    assert [int(batch.timestamp[0]) for batch in sent] == [(2**32 - 800 + 160 * n) % 2**32 for n in range(15_000)]
    assert [bool(batch.marker[0]) for batch in sent] == [True] + [False] * 14_999
    assert rig.said(PlayFinished) == [PlayFinished(leg=1, job=5, reason="ended", position=300_000)]


def test_silence_is_sent_from_the_first_remote_on_and_never_pauses() -> None:
    rig = Rig()
    rig.command(OpenLeg(leg=1, address="127.0.0.1", port=4002))
    assert [len(batch) for batch in rig.run(3)] == [0, 0, 0]
    rig.command(rig.remote())
    sent = rig.run(50)
    assert [len(batch) for batch in sent] == [1] * 50
    assert payloads(sent) == ULAW_SILENCE * 50
    (opened,) = rig.said(LegOpened)
    assert opened.port == 4002
    assert (opened.ssrc, opened.sequence, opened.timestamp) == (
        int(sent[0].ssrc[0]), int(sent[0].sequence[0]), int(sent[0].timestamp[0]),
    )  # fmt: skip


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
def test_nothing_is_sent_while_the_direction_forbids_it_and_time_goes_on(direction: str) -> None:
    rig = Rig()
    rig.leg()
    before = rig.run(5)[-1]
    rig.command(rig.remote(direction=direction))
    assert [len(batch) for batch in rig.run(10)] == [0] * 10
    rig.command(rig.remote())
    after = rig.run(2)
    assert int(after[0].sequence[0]) == (int(before.sequence[0]) + 1) % 65_536
    assert int(after[0].timestamp[0]) == (int(before.timestamp[0]) + 11 * 160) % 2**32
    assert [bool(batch.marker[0]) for batch in after] == [True, False]


@pytest.mark.parametrize(("address", "port"), [("0.0.0.0", 4000), ("::", 4000), ("192.0.2.1", 0)])
def test_nothing_is_sent_to_nowhere(address: str, port: int) -> None:
    rig = Rig()
    rig.leg(address=address, port=port)
    assert [len(batch) for batch in rig.run(3)] == [0, 0, 0]
    assert not rig.said(CommandFailed)


def test_a_changed_codec_and_payload_type_keep_the_stream(tmp_path: Path) -> None:
    rig = Rig()
    samples = noise_file(tmp_path / "a.s16", 1)
    rig.leg()
    rig.command(StartPlay(leg=1, job=1, path=str(tmp_path / "a.s16")))
    first = rig.run(10)
    rig.command(rig.remote(codec="PCMA", payload_type=8))
    second = rig.run(10)
    assert payloads(first) == g711.encode_ulaw(samples[:1600].astype(np.float32)).tobytes()
    assert payloads(second) == g711.encode_alaw(samples[1600:3200].astype(np.float32)).tobytes()
    assert {int(batch.payload_type[0]) for batch in second} == {8}
    assert int(second[0].sequence[0]) == (int(first[-1].sequence[0]) + 1) % 65_536
    assert int(second[0].ssrc[0]) == int(first[0].ssrc[0])


def test_a_peer_may_send_by_the_numbers_that_it_was_offered() -> None:
    rig = Rig()
    rig.leg(payload_type=118, telephone_event=119, own_payload_type=0, own_telephone_event=101)
    for tick in range(5):
        rig.network.arrive(tick, 0, packet(tick))
    rig.network.arrive(5, 0, packet(5, b"\x07\x0a\x00\xa0", kind=101))
    assert {kind for batch in rig.run(6) for kind in batch.payload_type.tolist()} == {118}
    assert rig.said(DigitReceived) == [DigitReceived(leg=1, digit="7")]
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.invalid) == (6, 0)


def test_a_codec_that_the_peer_may_change_to_is_told_of_until_it_is_used() -> None:
    rig = Rig()
    rig.leg(other_types=(8,))
    for tick in range(4):
        rig.network.arrive(tick, 0, packet(tick, b"\x55" * 160, kind=8))
    rig.run(2)
    rig.command(rig.remote(codec="PCMA", payload_type=8, other_types=(0,)))
    rig.run(2)
    assert rig.said(OtherCodec) == [OtherCodec(leg=1, payload_type=8)] * 2
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.invalid) == (4, 0)


def test_what_waits_for_a_full_packet_is_not_sent_as_another_codec() -> None:
    rig = Rig()
    rig.leg(ptime=60)
    rig.run(2)
    rig.command(rig.remote(ptime=60, codec="PCMA", payload_type=8))
    assert payloads(rig.run(3)) == b"\xd5" * 480


@pytest.mark.parametrize(("ticks", "ptime"), [(1, 40), (4, 60), (5, 60)])
def test_what_waited_for_a_full_packet_before_a_hold_is_not_heard_after_it(
    ticks: int, ptime: int, tmp_path: Path
) -> None:
    rig = Rig()
    noise_file(tmp_path / "noise", ticks / 50)
    rig.leg(ptime=ptime)
    rig.command(StartPlay(leg=1, job=1, path=str(tmp_path / "noise")))
    rig.run(ticks)
    rig.command(rig.remote(ptime=ptime, direction="recvonly"))
    rig.run(50)
    rig.command(rig.remote(ptime=ptime))
    after = rig.run(6)
    assert payloads(after) == ULAW_SILENCE * 6
    begin = (2**32 - 800 + (ticks + 50) * 160) % 2**32
    assert next(int(batch.timestamp[0]) for batch in after if len(batch)) == begin


@pytest.mark.parametrize(("ptime", "ticks"), [(10, 6), (30, 6), (40, 6), (60, 6)])
def test_the_ptime_of_the_peer_is_kept(ptime: int, ticks: int, tmp_path: Path) -> None:
    rig = Rig()
    samples = noise_file(tmp_path / "a.s16", 1)
    rig.leg(ptime=ptime)
    rig.command(StartPlay(leg=1, job=1, path=str(tmp_path / "a.s16")))
    sent = rig.run(ticks)
    assert payloads(sent) == g711.encode_ulaw(samples[: ticks * 160].astype(np.float32)).tobytes()
    lengths = [length for batch in sent for length in batch.length.tolist()]
    assert lengths == [ptime * 8] * (ticks * 20 // ptime)
    stamps = [stamp for batch in sent for stamp in batch.timestamp.tolist()]
    assert stamps == [(2**32 - 800 + n * ptime * 8) % 2**32 for n in range(len(stamps))]


def test_skipped_ticks_move_the_timestamp_and_not_the_sequence() -> None:
    rig = Rig()
    rig.leg()
    before = rig.run(1)[0]
    rig.pipeline.skip(60)
    after = rig.run(1)[0]
    assert (int(after.timestamp[0]) - int(before.timestamp[0])) % 2**32 == 61 * 160
    assert (int(after.sequence[0]) - int(before.sequence[0])) % 65_536 == 1


def test_background_plays_under_the_foreground_and_on_after_it(tmp_path: Path) -> None:
    rig = Rig()
    front, back = noise_file(tmp_path / "f.s16", 0.1), noise_file(tmp_path / "b.s16", 0.2, seed=2)
    rig.leg()
    rig.command(
        StartPlay(leg=1, job=1, path=str(tmp_path / "f.s16")),
        StartPlay(leg=1, job=2, path=str(tmp_path / "b.s16"), layer="background"),
    )
    sum_ = back.astype(np.float32)
    sum_[: front.size] += front
    expected = g711.encode_ulaw(np.clip(sum_, -32768, 32767)).tobytes()
    assert payloads(rig.run(10)) == expected
    assert [(event.job, event.reason) for event in rig.said(PlayFinished)] == [(1, "ended"), (2, "ended")]


# ---- plays ------------------------------------------------------------------------------------------------------


def test_each_play_ends_once_however_it_ends(tmp_path: Path) -> None:
    rig = Rig()
    path = str(tmp_path / "a.s16")
    noise_file(tmp_path / "a.s16", 1)
    rig.leg()
    rig.command(
        StartPlay(leg=1, job=1, path=path),
        StartPlay(leg=1, job=2, path=path),  # replaces 1
        StopPlay(leg=1, job=2),
        StopPlay(leg=1, job=2),
        StartTone(leg=1, job=3, tone="beep", duration=40),
    )
    rig.run(2)
    rig.command(
        StartPlay(leg=1, job=4, path=path),
        StartPlay(leg=1, job=5, path=path, layer="background", loops=0),
        SeekPlay(leg=1, job=4, to=5000),
        StartTone(leg=1, job=6, tone="ringback-us"),
    )
    rig.run(1)
    rig.command(CloseLeg(leg=1))
    assert [(event.job, event.reason) for event in rig.said(PlayFinished)] == [
        (1, "replaced"), (2, "stopped"), (3, "ended"), (4, "ended"), (6, "closed"), (5, "closed"),
    ]  # fmt: skip
    assert isinstance(rig.events[-1], LegClosed)


FAILING = [
    (StartPlay(leg=1, job=9, path="/nonexistent/a.s16"), "/nonexistent/a.s16: cannot be opened: No such file"),
    (StartPlay(leg=1, job=9, path="/a.s16", rate_hz=11025), "/a.s16: expected 8000 or 16000 Hz, found 11025 Hz"),
    (StartTone(leg=1, job=9, tone="fanfare"), "tone 'fanfare' is not known"),
]


@pytest.mark.parametrize(("command", "error"), FAILING)
def test_a_play_that_cannot_begin_fails_with_the_reason(command: Command, error: str) -> None:
    rig = Rig()
    rig.leg()
    rig.command(command)
    (finished,) = rig.said(PlayFinished)
    assert (finished.job, finished.reason) == (9, "failed")
    assert error in finished.error


def test_a_play_waits_for_the_remote(tmp_path: Path) -> None:
    rig = Rig()
    samples = noise_file(tmp_path / "a.s16", 0.1)
    rig.command(OpenLeg(leg=1, address="127.0.0.1", port=4002), StartPlay(leg=1, job=1, path=str(tmp_path / "a.s16")))
    rig.run(10)
    rig.command(rig.remote())
    assert payloads(rig.run(5)) == g711.encode_ulaw(samples.astype(np.float32)).tobytes()


# ---- receiving --------------------------------------------------------------------------------------------------


def test_media_latches_to_the_first_source_and_refuses_others() -> None:
    rig = Rig()
    rig.leg()
    assert rig.network.aims[0] == PEER
    public = ("198.51.100.7", 40_000)
    for tick in range(10):
        rig.network.arrive(tick, 0, packet(tick), public)
        rig.network.arrive(tick, 0, packet(tick, ssrc=5), STRANGER)
    rig.run(10)
    assert rig.said(LegHeard) == [LegHeard(leg=1, address=public[0], port=public[1])]
    assert rig.network.aims[0] == public
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.octets_received, stats.invalid, stats.lost) == (10, 1600, 10, 0)
    assert (stats.packets_sent, stats.octets_sent) == (10, 1600)


def test_media_goes_to_the_signalled_address_as_soon_as_that_is_heard() -> None:
    rig = Rig()
    rig.leg()
    for tick in range(10):
        rig.network.arrive(tick, 0, packet(tick, ssrc=5), STRANGER)
        if tick > 4:
            rig.network.arrive(tick, 0, packet(tick))
    rig.run(10)
    assert [event.address for event in rig.said(LegHeard)] == [STRANGER[0], PEER[0]]
    assert rig.network.aims[0] == PEER
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.invalid) == (10, 5)


def test_without_latching_only_the_signalled_address_counts() -> None:
    rig = Rig()
    rig.leg(latch=False)
    rig.network.arrive(0, 0, packet(1), STRANGER)
    rig.network.arrive(1, 0, packet(1))
    rig.run(2)
    assert rig.said(LegHeard) == [LegHeard(leg=1, address=PEER[0], port=PEER[1])]


def test_a_changed_address_is_sent_to_at_once_and_latched_anew() -> None:
    rig = Rig()
    rig.leg()
    rig.network.arrive(0, 0, packet(1))
    rig.run(1)
    rig.command(rig.remote(address="192.0.2.77"))
    assert rig.network.aims[0] == ("192.0.2.77", 4000)
    rig.network.arrive(1, 0, packet(1, ssrc=3), STRANGER)
    rig.run(1)
    assert [event.address for event in rig.said(LegHeard)] == [PEER[0], STRANGER[0]]


def test_broken_packets_are_counted_and_harm_nobody() -> None:
    rig = Rig()
    rig.leg()
    junk = [b"", b"\x80", b"x" * 1500, bytes(12), b"\x9f\x00" + bytes(10), b"\xa0\x00" + bytes(10) + b"\xff"]
    for tick, octets in enumerate(junk):
        rig.network.arrive(tick, 0, octets)
    rig.run(10)
    rig.command(CloseLeg(leg=1))
    assert rig.said(LegClosed)[0].stats.invalid == len(junk)
    assert not rig.said(LegHeard)


def test_a_new_ssrc_of_the_same_source_goes_on() -> None:
    rig = Rig()
    rig.leg()
    for tick in range(20):
        rig.network.arrive(tick, 0, packet(tick if tick < 10 else 30_000 + tick, ssrc=1 if tick < 10 else 2))
    rig.run(20)
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.lost, stats.invalid) == (20, 0, 0)


def test_loss_and_duplicates_show_in_the_statistics() -> None:
    rig = Rig()
    rig.leg()
    for tick in range(50):
        if tick not in {20, 30}:
            rig.network.arrive(tick, 0, packet(tick))
    rig.network.arrive(40, 0, packet(40))
    rig.run(60)
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.duplicates, stats.late) == (49, 1, 0)
    assert stats.concealed_ms >= 40


def test_silence_of_the_peer_is_reported_once_and_again_after_it_spoke() -> None:
    rig = Rig(silent_after_s=1.0)
    rig.leg()
    rig.network.arrive(100, 0, packet(1))
    longest = 1000 + 20 * TICKS_TOGETHER
    rig.run(100)
    assert [1000 <= event.silent <= longest for event in rig.said(LegSilent)] == [True]
    rig.run(100)
    assert [1000 <= event.silent <= longest for event in rig.said(LegSilent)] == [True, True]


def test_a_silence_that_was_reported_begins_anew_where_the_peer_is_expected_again() -> None:
    rig = Rig(silent_after_s=1.0)
    rig.leg()
    rig.run(100)
    rig.command(rig.remote())
    rig.run(40)
    assert len(rig.said(LegSilent)) == 1
    rig.run(40)
    longest = 1000 + 20 * TICKS_TOGETHER
    assert [1000 <= event.silent <= longest for event in rig.said(LegSilent)] == [True, True]


@pytest.mark.parametrize("changes", [{"direction": "sendonly"}, {"direction": "inactive"}, {"direction": "recvonly"},
                                     {"address": "0.0.0.0"}], ids=str)  # fmt: skip
def test_a_peer_that_may_not_send_or_that_holds_the_call_is_not_silent(changes: dict[str, Any]) -> None:
    rig = Rig(silent_after_s=1.0)
    rig.leg(**changes)
    rig.run(100)
    rig.command(rig.remote())
    rig.run(40)
    rig.command(rig.remote(**changes))
    rig.run(100)
    assert not rig.said(LegSilent)


def test_a_leg_that_is_closed_is_not_silent() -> None:
    rig = Rig(silent_after_s=1.0)
    rig.leg()
    rig.run(40)
    rig.command(CloseLeg(leg=1))
    rig.run(100)
    assert not rig.said(LegSilent)


# ---- digits -----------------------------------------------------------------------------------------------------


def events_of(batch: list[rtp.RtpBatch], kind: int = 101) -> list[rtp.RtpBatch]:
    return [each for each in batch if len(each) and int(each.payload_type[0]) == kind]


def test_digits_go_out_as_events_in_the_stream_and_are_heard_by_the_other_side(tmp_path: Path) -> None:
    sender = Rig()
    noise_file(tmp_path / "a.s16", 5)
    sender.leg(telephone_event=101)
    sender.command(StartPlay(leg=1, job=1, path=str(tmp_path / "a.s16")), SendDigits(leg=1, job=2, digits="12#"))
    sent = sender.run(60)
    assert sender.said(DigitsSent) == [DigitsSent(leg=1, job=2)]
    assert [int(batch.sequence[0]) for batch in sent] == [(65_000 + n) % 65_536 for n in range(60)]
    pressed = events_of(sent)
    assert len({int(batch.timestamp[0]) for batch in pressed}) == 3
    assert sum(int(batch.marker[0]) for batch in pressed) == 3
    audio = [(n, batch) for n, batch in enumerate(sent) if int(batch.payload_type[0]) == 0]
    assert all(int(batch.timestamp[0]) == (2**32 - 800 + 160 * n) % 2**32 for n, batch in audio)

    receiver = Rig()
    receiver.leg(telephone_event=101)
    for tick, _, octets in sender.network.sent:
        receiver.network.arrive(tick, 0, octets)
    receiver.run(70)
    assert [event.digit for event in receiver.said(DigitReceived)] == ["1", "2", "#"]
    receiver.command(CloseLeg(leg=1))
    stats = receiver.said(LegClosed)[0].stats
    assert (stats.digits_received, stats.lost, stats.invalid, stats.packets_received) == (3, 0, 0, 60)


@pytest.mark.parametrize("codec", ["PCMU", "G722"])
def test_keys_in_place_of_audio_are_no_loss_but_what_is_missing_beside_them_is(codec: str) -> None:
    sender = Rig()
    sender.leg(telephone_event=101, codec=codec)
    sender.run(20)
    sender.command(SendDigits(leg=1, job=2, digits="1"))
    sender.run(60)
    keys = [tick for tick, _, octets in sender.network.sent if octets[1] & 0x7F == 101]
    assert len(keys) > 5
    for missing, concealed_ms in (range(0), 0), (range(keys[0] - 8, keys[0] - 6), 40), (range(70, 72), 40):
        receiver = Rig()
        receiver.leg(telephone_event=101, codec=codec)
        for tick, _, octets in sender.network.sent:
            if tick not in missing:
                receiver.network.arrive(tick, 0, octets)
        receiver.run(80)
        receiver.command(CloseLeg(leg=1))
        stats = receiver.said(LegClosed)[0].stats
        assert (stats.digits_received, stats.concealed_ms) == (1, concealed_ms)


@pytest.mark.parametrize(("negotiated", "mode"), [(None, "auto"), (101, "inband")])
def test_digits_in_band_are_tones_in_place_of_what_plays(negotiated: int | None, mode: Any) -> None:
    rig = Rig()
    rig.leg(telephone_event=negotiated)
    rig.command(SendDigits(leg=1, job=2, digits="5", mode=mode))
    sent = rig.run(5)
    assert not events_of(sent)
    tone = g711.decode_ulaw(np.frombuffer(payloads(sent), np.uint8)).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(tone[:800]))
    strongest = sorted(int(bin_) * 10 for bin_ in np.argsort(spectrum)[-2:])
    assert strongest == [770, 1340]
    rig.run(10)
    assert rig.said(DigitsSent) == [DigitsSent(leg=1, job=2)]


def test_digits_cut_short_by_closing_are_still_answered() -> None:
    rig = Rig()
    rig.leg(telephone_event=101)
    rig.command(SendDigits(leg=1, job=2, digits="123456"), SendDigits(leg=1, job=3, digits="7"))
    rig.run(3)
    rig.command(CloseLeg(leg=1))
    assert [event.job for event in rig.said(DigitsSent)] == [2, 3]


# ---- RTCP -------------------------------------------------------------------------------------------------------


def test_reports_go_out_about_every_five_seconds_and_a_bye_at_the_end() -> None:
    rig = Rig(wall_offset_s=1e9)
    rig.leg()
    for tick in range(3000):
        rig.network.arrive(tick, 0, packet(tick % 65_536))
    rig.run(3000)
    assert 8 <= len(rig.network.sent_control) <= 24
    ticks = [tick for tick, _, _ in rig.network.sent_control]
    assert all(2.5 <= (later - earlier) * 0.02 <= 7.52 for earlier, later in itertools.pairwise(ticks))
    tick, _, octets = rig.network.sent_control[-1]
    report, names = rtcp.parse_compound(octets)
    assert isinstance(report, rtcp.SenderReport)
    assert (report.ssrc, report.packets, report.octets) == (7, tick + 1, (tick + 1) * 160)
    assert report.rtp_timestamp == (2**32 - 800 + tick * 160) % 2**32
    assert report.ntp_timestamp / 2**32 - rtcp.NTP_EPOCH_S == pytest.approx(1e9 + 1000.0 + tick * 0.02, abs=0.001)
    assert (report.blocks[0].ssrc, report.blocks[0].lost) == (99, 0)
    assert isinstance(names, rtcp.Sdes)
    rig.command(CloseLeg(leg=1))
    last = rtcp.parse_compound(rig.network.sent_control[-1][2])
    assert last[-1] == rtcp.Bye(ssrcs=(7,))


def test_what_the_peer_reports_shows_in_the_statistics() -> None:
    rig = Rig()
    rig.leg()
    block = rtcp.ReportBlock(ssrc=7, lost=3, jitter=80, last_sr=rtcp.middle(rtcp.ntp_timestamp(999.5)))
    report = rtcp.build_compound([rtcp.ReceiverReport(ssrc=99, blocks=(block,))])
    rig.network.arrive(0, 0, packet(0))
    rig.network.control += [
        (0, ControlPacket(0, b"junk", (PEER[0], 4001))),
        (1, ControlPacket(0, report, (PEER[0], 40_001))),
        (2, ControlPacket(0, report, STRANGER)),
    ]
    rig.now_s = 1000.0
    rig.run(3)
    assert rig.network.control_aims[0] == (PEER[0], 40_001)
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.peer_lost, stats.peer_jitter_ms, stats.invalid) == (3, 10.0, 2)
    assert stats.round_trip_ms == pytest.approx(520, abs=1)


def test_reports_go_to_the_signalled_address_as_soon_as_reports_come_from_there() -> None:
    rig = Rig()
    rig.leg()
    report = rtcp.build_compound([rtcp.ReceiverReport(ssrc=99)])
    for tick, source in enumerate([STRANGER, PEER, PEER]):
        rig.network.arrive(tick, 0, packet(tick), source)
    rig.network.control += [
        (1, ControlPacket(0, report, (STRANGER[0], 7001))),
        (3, ControlPacket(0, report, (PEER[0], 4001))),
    ]
    rig.run(2)
    assert rig.network.control_aims[0] == (STRANGER[0], 7001)
    rig.run(2)
    assert rig.network.control_aims[0] == (PEER[0], 4001)


def test_the_round_trip_ends_when_the_report_came_not_when_it_is_looked_at() -> None:
    rig = Rig()
    rig.leg()
    block = rtcp.ReportBlock(ssrc=7, last_sr=rtcp.middle(rtcp.ntp_timestamp(999.5)))
    report = rtcp.build_compound([rtcp.ReceiverReport(ssrc=99, blocks=(block,))])
    rig.network.control.append((0, ControlPacket(0, report, (PEER[0], 4001), age_s=0.15)))
    rig.run(1)
    rig.command(CloseLeg(leg=1))
    assert rig.said(LegClosed)[0].stats.round_trip_ms == pytest.approx(350, abs=1)


def test_a_report_tells_when_the_packets_left() -> None:
    rig = Rig(wall_offset_s=1e9)
    rig.leg()
    while not rig.network.sent_control:
        rig.pipeline.tick(rig.now_s, lambda: rig.now_s + 0.005)
        rig.now_s += 0.02
    report = rtcp.parse_compound(rig.network.sent_control[0][2])[0]
    assert isinstance(report, rtcp.SenderReport)
    left_s = 1000.0 + rig.network.sent_control[0][0] * 0.02 + 0.005
    assert report.ntp_timestamp / 2**32 - rtcp.NTP_EPOCH_S == pytest.approx(1e9 + left_s, abs=0.0005)


def test_a_live_leg_is_reported_every_ten_seconds() -> None:
    rig = Rig()
    rig.leg(1)
    rig.leg(2)
    rig.run(1500)
    assert sorted(event.leg for event in rig.said(LegReport)) == [1, 1, 1, 2, 2, 2]


# ---- commands ---------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Command, str]] = [
    (SetRemote(leg=9, address="127.0.0.1", port=1, rtcp_port=2, codec="PCMU", payload_type=0), "leg 9 is not open"),
    (CloseLeg(leg=9), "leg 9 is not open"),
    (StartPlay(leg=9, job=1, path="/a"), "leg 9 is not open"),
    (OpenLeg(leg=1, address="127.0.0.1", port=4010), "leg 1 is open already"),
    (OpenLeg(leg=2, address="127.0.0.1", port=4002), "Address already in use"),
    (Rig.remote(codec="SPEEX"), "no codec 'SPEEX'; there are PCMU"),
    (Rig.remote(address="media.example.com"), "address: expected an IP address, found 'media.example.com'"),
    (Rig.remote(port=70_000), "port: expected 0 to 65535, found 70000"),
    (SendDigits(leg=1, job=1, digits="1", mode="rfc4733"), "RFC 4733 was not negotiated"),
    (Join(leg=9, room=1), "leg 9 is not open"),
    (Join(leg=1, room=2**63), "too large"),
]


@pytest.mark.parametrize(("command", "error"), REFUSED)
def test_a_command_that_cannot_be_carried_out_is_answered_and_changes_nothing(command: Command, error: str) -> None:
    rig = Rig()
    rig.leg()
    rig.command(command)
    (failed,) = rig.said(CommandFailed)
    assert (failed.leg, failed.job, failed.command) == (command.leg, command.job, type(command).__name__)
    assert error in failed.error
    assert payloads(rig.run(2)) == ULAW_SILENCE * 2


def test_more_legs_than_there_are_rows_are_refused() -> None:
    rig = Rig()
    for leg in range(1, 10):
        rig.command(OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg))
    assert [event.leg for event in rig.said(CommandFailed)] == [9]


def test_draining_takes_no_more_legs_and_keeps_those_there_are() -> None:
    rig = Rig()
    rig.leg()
    rig.command(Drain(), OpenLeg(leg=2, address="127.0.0.1", port=4010))
    assert rig.pipeline.draining
    assert "draining" in rig.said(CommandFailed)[0].error
    assert rig.pipeline.legs == 1
    rig.command(CloseLeg(leg=1))
    assert rig.pipeline.legs == 0


def test_closing_the_pipeline_closes_every_leg() -> None:
    rig = Rig()
    for leg in (1, 2, 3):
        rig.leg(leg)
    rig.run(2)
    rig.pipeline.close()
    assert sorted(event.leg for event in rig.said(LegClosed)) == [1, 2, 3]
    assert rig.network.ports == {}


def test_a_row_used_again_starts_clean(tmp_path: Path) -> None:
    rig = Rig()
    noise_file(tmp_path / "a.s16", 1)
    rig.leg(1, ptime=40, telephone_event=101)
    rig.network.arrive(0, 0, packet(5))
    rig.command(StartPlay(leg=1, job=1, path=str(tmp_path / "a.s16")), SendDigits(leg=1, job=2, digits="1"))
    rig.run(3)
    rig.command(CloseLeg(leg=1))
    rig.leg(2)
    assert payloads(rig.run(5)) == ULAW_SILENCE * 5
    rig.command(CloseLeg(leg=2))
    stats = rig.said(LegClosed)[1].stats
    assert (stats.packets_received, stats.packets_sent, stats.digits_received) == (0, 5, 0)


def test_many_legs_at_once_equal_each_leg_alone(tmp_path: Path) -> None:
    ptimes, codecs = [20, 10, 30, 20, 60], ["PCMU", "PCMA", "PCMU", "PCMA", "PCMU"]
    together, expected = Rig(), list[bytes]()
    for number, (ptime, codec) in enumerate(zip(ptimes, codecs, strict=True)):
        path = tmp_path / f"{number}.s16"
        noise_file(path, 0.5, seed=number)
        kind = 8 if codec == "PCMA" else 0
        alone = Rig()
        for rig, leg in ((together, number + 1), (alone, 1)):
            rig.leg(leg, ptime=ptime, codec=codec, payload_type=kind)
            rig.command(StartPlay(leg=leg, job=1, path=str(path)))
        expected.append(payloads(alone.run(30)))
    sent = together.run(30)
    assert [payloads(sent, row) for row in range(5)] == expected
