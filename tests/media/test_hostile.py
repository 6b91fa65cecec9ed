"""Octets that nobody should send and commands that nobody should give: the tick goes on, as does a leg beside."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from flexml.media import rtcp, rtp
from flexml.media.events import CommandFailed, PlayFinished, RecordingFinished
from flexml.media.pipeline import TICKS_TOGETHER
from flexml.media.protocol import (
    CloseLeg,
    Command,
    GrowPlay,
    Join,
    Leave,
    OpenLeg,
    SeekPlay,
    SendDigits,
    SetRemote,
    StartAmd,
    StartPlay,
    StartRecording,
    StartTone,
    StopAmd,
    StopPlay,
    StopRecording,
    Unwatch,
    Watch,
)
from flexml.media.transport import ControlPacket

from .rig import PEER, STRANGER, Rig, noise_file, packet, payloads

TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9, "L16": 96, "L16/8000": 97, "OPUS": 98}
EVENTS = 101
JUMPS = (1, -1, 80, 2**31, 2**31 - 1, 10**6, -(10**6), 7680, 7681, -2560, -2561)
NUMBERS = (-(2**63), -(2**31), -1, 0, 1, 7, 160, 5000, 2**31, 2**40, 2**63 - 1, 2**64 - 1)


class Liar:
    """A peer that sends anything at all, most of it nearly right."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.sequence, self.timestamp, self.ssrc = 65_530, 2**32 - 1000, 1

    def packet(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.1:
            return dice.randbytes(dice.randrange(rtp.MAX_PACKET + 1))
        if dice.random() < 0.02:
            self.ssrc = dice.randrange(2**32)
        if dice.random() < 0.05:
            self.timestamp += dice.choice(JUMPS)
        self.sequence += dice.choice([1, 1, 1, 0, 2, -1, 5000])
        self.timestamp = (self.timestamp + dice.choice([160, 160, 320, 960, 80, 1, 0])) % 2**32
        kind = dice.choice([*TYPES.values(), EVENTS, EVENTS, 13, dice.randrange(128)])
        first = 0x80 | dice.choice([0, 0, 0, 0x10, 0x20, 0x30, dice.randrange(16)])
        head = bytes([first, dice.choice([0, 0, 128]) | kind]) + (self.sequence % 2**16).to_bytes(2, "big")
        head += self.timestamp.to_bytes(4, "big") + self.ssrc.to_bytes(4, "big")
        return (head + self.body(kind))[: rtp.MAX_PACKET]

    def body(self, kind: int) -> bytes:
        dice = self.dice
        if kind == EVENTS:
            return bytes([dice.choice([1, 5, 11, 16, 255]), dice.choice([10, 138])]) + dice.randbytes(dice.randrange(5))
        if kind == TYPES["OPUS"]:
            return bytes([dice.randrange(256)]) + dice.randbytes(dice.choice([0, 1, 10, 100]))
        return dice.randbytes(dice.choice([160, 160, 320, 640, 240, 4, dice.randrange(1480)]))

    def report(self) -> bytes:
        """Return RTCP, or nearly."""
        dice = self.dice
        if dice.random() < 0.5:
            return dice.randbytes(dice.randrange(90))
        ssrc = dice.choice([self.ssrc, dice.randrange(2**32)])
        report = rtcp.SenderReport(
            ssrc=ssrc,
            ntp_timestamp=dice.choice([0, 1 << 40, 2**64 - 1, dice.randrange(2**64)]),
            rtp_timestamp=dice.randrange(2**32),
            packets=1,
            octets=1,
            blocks=tuple(rtcp.ReportBlock.parse(dice.randbytes(24)) for _ in range(dice.randrange(3))),
        )
        return rtcp.build_compound([report, *dice.choice([[], [rtcp.Bye(ssrcs=(ssrc,))]])])


class Master:
    """One who commands at random, within what a message can hold."""

    def __init__(self, dice: random.Random, folder: Path) -> None:
        self.dice, self.folder = dice, folder
        sizes = (2, 100, 3000, 160_000)
        for size in sizes:
            (folder / f"sound{size}").write_bytes(dice.randbytes(size))
        (folder / "odd").write_bytes(b"123")
        self.files = [str(folder / f"sound{size}") for size in sizes] + [str(folder / "odd"), str(folder), "\0"]

    def number(self) -> int:
        return self.dice.choice(NUMBERS) if self.dice.random() < 0.3 else self.dice.randrange(0, 3000)

    def command(self, leg: int) -> Command:
        job = self.dice.randrange(1, 6)
        given = self.given()
        kind = self.dice.choice(list(given))
        return kind(leg=leg, job=job, **given[kind])

    def given(self) -> dict[Any, dict[str, Any]]:
        dice, number = self.dice, self.number
        codec = dice.choice(list(TYPES))
        return {
            SetRemote: {
                "address": dice.choice([PEER[0], PEER[0], "0.0.0.0", "::1", "x"]),
                "port": dice.choice([PEER[1], PEER[1], 0, number()]),
                "rtcp_port": dice.choice([4001, number()]),
                "codec": codec,
                "payload_type": dice.choice([TYPES[codec], TYPES[codec], number()]),
                "telephone_event": dice.choice([None, EVENTS, number()]),
                "telephone_event_hz": dice.choice([8000, 48000, number()]),
                "ptime": dice.choice([10, 20, 30, 60, number()]),
                "direction": dice.choice(["sendrecv", "sendonly", "recvonly", "inactive"]),
            },
            StartPlay: {
                "path": dice.choice(self.files),
                "rate_hz": dice.choice([8000, 16000, number()]),
                "offset": dice.choice([0, number()]),
                "loops": dice.choice([0, 1, number()]),
                "loop_pause": dice.choice([0, number()]),
                "layer": dice.choice(["foreground", "background", "aside"]),
                "available": dice.choice([None, 0, number()]),
                "ring": dice.choice([0, 160, number()]),
            },
            GrowPlay: {"available": dice.choice([0, number()]), "complete": dice.random() < 0.5},
            StartTone: {"tone": dice.choice(["beep", "none"]), "duration": number()},
            SeekPlay: {"to": dice.choice([None, number()]), "by": number(), "strict": dice.random() < 0.5},
            StopPlay: {},
            SendDigits: {"digits": dice.choice(["1", "w5#", "?", ""]), "on": number(), "off": number()},
            StartRecording: {
                "path": dice.choice([str(self.folder / "spool"), "/nowhere/spool", "\0"]),
                "sides": dice.choice(["heard", "sent", "mixed", "dual"]),
                "began": dice.choice([0.0, 999.0, 2000.0, -1e300, math.inf, math.nan]),
            },
            StopRecording: {},
            Watch: {"noise": dice.choice([None, number()]), "silence": dice.choice([None, number()])},
            Unwatch: {},
            StartAmd: {"greeting": number(), "silence_threshold": number(), "maximum_word_length": number()},
            StopAmd: {},
            Join: {"room": dice.choice([0, 1, 2, number()])},
            Leave: {},
            CloseLeg: {},
        }


def exact_leg(rig: Rig, prompt: Path) -> None:
    """Leg 1 plays `prompt` in a loop."""
    rig.leg()
    rig.command(StartPlay(leg=1, job=1, path=str(prompt), loops=0))


@pytest.mark.parametrize("seed", range(3))
def test_hostile_packets_and_commands_neither_stop_the_tick_nor_touch_a_leg_beside(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    rig, alone = Rig(), Rig()
    noise_file(tmp_path / "prompt", 3)
    for each in (rig, alone):
        exact_leg(each, tmp_path / "prompt")
    master, liars = Master(dice, tmp_path), {row: Liar(dice) for row in range(1, 8)}
    for tick in range(600):
        leg = dice.randrange(2, 9)
        rig.command(
            OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg),
            Rig.remote(
                leg, codec=(codec := dice.choice(list(TYPES))), payload_type=TYPES[codec], telephone_event=EVENTS
            ),
            master.command(leg),
        )
        now = rig.network.tick
        for row, liar in liars.items():
            for _ in range(dice.choice([0, 1, 1, 4])):
                rig.network.arrive(now, row, liar.packet(), dice.choice([PEER, PEER, PEER, STRANGER]))
        other = dice.randrange(2, 9)
        rig.network.control += [
            (now, ControlPacket(row, liars[row].report(), (PEER[0], 4001))) for row in (leg - 1, other - 1)
        ]
        for each in (rig, alone):  # who says nothing but silence, all in good order
            each.network.arrive(each.network.tick, 0, packet(tick))
        if dice.random() < 0.5:
            for each in (rig, alone):
                each.pipeline.listen(each.now_s - 0.012, 0.012)
            rig.command(master.command(other), dice.choice([CloseLeg(leg=other), Join(leg=other, room=1)]))
        sent, expected = rig.run(1), alone.run(1)
        assert payloads(sent) == payloads(expected)
    rig.pipeline.close()


UNTENABLE: list[tuple[Command, str]] = [
    (OpenLeg(leg=2, address="127.0.0.1", port=4010, ssrc=2**63), "ssrc: expected 0 to 4294967295"),
    (OpenLeg(leg=2, address="127.0.0.1", port=4010, sequence=-1), "sequence: expected 0 to 65535"),
    (OpenLeg(leg=2, address="127.0.0.1", port=4010, timestamp=2**32), "timestamp: expected 0 to 4294967295"),
    (Rig.remote(payload_type=128), "payload_type: expected 0 to 127, found 128"),
    (Rig.remote(telephone_event=-5), "telephone_event: expected 0 to 127, found -5"),
    (Rig.remote(telephone_event_hz=0), "telephone_event_hz: expected a multiple of 8000, found 0"),
    (Rig.remote(telephone_event_hz=44_100), "telephone_event_hz: expected a multiple of 8000, found 44100"),
    (SendDigits(leg=1, job=1, digits="1", off=2**40), "expected at most 8000"),
    (SendDigits(leg=1, job=1, digits="W" * 601), "keys that take 601000 ms, expected at most 600000"),
    (StartRecording(leg=1, job=1, path="/spool", began=math.nan), "began: expected seconds"),
    (StartRecording(leg=1, job=1, path="/spool", began=-1.0), "began: expected seconds"),
    (StartRecording(leg=1, job=1, path="/spool", began=-math.inf), "began: expected seconds"),
    (Watch(leg=1, job=1, noise=2**64 - 1), ""),
]


@pytest.mark.parametrize(("command", "error"), UNTENABLE)
def test_numbers_that_nothing_can_hold_are_refused(command: Command, error: str) -> None:
    rig = Rig()
    rig.leg()
    rig.command(command)
    (failed,) = rig.said(CommandFailed)
    assert error in failed.error
    assert rig.pipeline.legs == 1
    rig.run(2)


def test_a_growing_play_of_which_nothing_came_ends_though_it_is_to_be_repeated(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg()
    noise_file(tmp_path / "growing", 1)
    rig.command(
        StartPlay(leg=1, job=1, path=str(tmp_path / "growing"), loops=0, available=0),
        GrowPlay(leg=1, job=1, available=0, complete=True),
    )
    rig.run(1)
    assert [(event.job, event.reason) for event in rig.said(PlayFinished)] == [(1, "ended")]


def test_a_recording_begun_by_a_clock_ahead_of_ours_has_no_time_before_it(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg()
    rig.command(StartRecording(leg=1, job=1, path=str(tmp_path / "spool"), began=rig.now_s + 5))
    rig.run(10)
    rig.pipeline.close()
    assert (tmp_path / "spool").stat().st_size == 10 * 320


def test_a_file_that_cannot_be_as_long_as_asked_fails_and_the_next_recording_is_written(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg()
    rig.now_s = 1e18
    rig.run(1)
    rig.command(
        StartRecording(leg=1, job=1, path=str(tmp_path / "endless"), began=1.0),
        StartRecording(leg=1, job=2, path=str(tmp_path / "spool")),
    )
    rig.run(10)
    rig.command(StopRecording(leg=1, job=1), StopRecording(leg=1, job=2))
    rig.pipeline.close()
    rig.run(1)
    endless, spool = rig.said(RecordingFinished)
    assert endless.error
    assert (spool.duration, spool.error, (tmp_path / "spool").stat().st_size) == (200, "", 10 * 320)


def test_reports_go_on_when_the_peer_has_reported_nothing_for_a_day() -> None:
    rig = Rig()
    rig.leg()
    report = rtcp.SenderReport(ssrc=99, ntp_timestamp=1 << 40, rtp_timestamp=0, packets=1, octets=160)
    rig.network.arrive(0, 0, packet(0))
    rig.network.control.append((0, ControlPacket(0, rtcp.build_compound([report]), (PEER[0], 4001))))
    rig.run(1)
    rig.now_s += 86_400
    rig.run(TICKS_TOGETHER)
    ours = rtcp.parse_compound(rig.network.sent_control[-1][2])[0]
    assert isinstance(ours, rtcp.SenderReport)
    assert ours.blocks[0].delay_since_last_sr == 2**32 - 1


def test_a_ring_of_less_than_nothing_is_none(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg()
    noise = noise_file(tmp_path / "short", 0.05)
    rig.command(StartPlay(leg=1, job=1, path=str(tmp_path / "short"), ring=-100_000, loops=2))
    rig.run(8)
    assert noise.size == 400
    assert [(event.reason, event.position) for event in rig.said(PlayFinished)] == [("ended", 50)]
