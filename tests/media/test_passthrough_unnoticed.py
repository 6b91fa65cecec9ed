"""Nothing but the octets themselves tells whether they pass.

Two pipelines are told the same; in one of them a watch that never fires listens to every leg, so that all is mixed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flexml.codecs.catalog import BY_NAME
from flexml.media.events import (
    CommandFailed,
    DigitReceived,
    Event,
    LegClosed,
    LegHeard,
    LegReport,
    LegSilent,
    RecordingFinished,
)
from flexml.media.protocol import CloseLeg, Command, Join, OpenLeg, StartRecording, Watch

from .passing_pairs import LISTENERS, NEVER, ROOM, ULAW, lossy, noise, passed, positive
from .rig import PEER, STRANGER, Rig, packet
from .test_hostile import EVENTS, TYPES, Liar, Master
from .test_wide import encoded, sine

REFERENCE = 99


class Twins:
    """A pipeline in which octets may pass, and one that is told the same, in which a watch on each leg prevents it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.passing, self.mixed = Rig(**options), Rig(**options)
        self.folders = [folder / "passing", folder / "mixed"]
        for each in self.folders:
            each.mkdir()
        self.passed: int = 0  # packets

    def command(self, *messages: Command) -> None:
        for message in messages:
            for rig, folder in zip((self.passing, self.mixed), self.folders, strict=True):
                own = message
                if isinstance(message, StartRecording) and "\0" not in message.path:
                    own = msgspec.structs.replace(message, path=str(folder / Path(message.path).name))
                rig.command(own)
            if isinstance(message, OpenLeg):
                self.mixed.command(Watch(leg=message.leg, job=REFERENCE, silence=NEVER))

    def arrive(self, tick: int, row: int, octets: bytes, source: Any = PEER) -> None:
        for rig in (self.passing, self.mixed):
            rig.network.arrive(tick, row, octets, source)

    def leg(self, leg: int, **remote: Any) -> None:
        self.command(
            OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg, ssrc=leg, sequence=65_000, timestamp=2**32 - 80),
            Rig.remote(leg, **(ULAW | remote)),
        )

    def run(self, ticks: int = 1) -> None:
        """Run both, and compare what they send."""
        for rig in (self.passing, self.mixed):
            rig.run(ticks)
        sent = sorted(self.passing.network.sent, key=lambda one: one[:2])
        expected = sorted(self.mixed.network.sent, key=lambda one: one[:2])
        self.passed += sum(passed(octets[12:]) for _, _, octets in sent)
        for (tick, row, octets), wanted in zip(sent, expected, strict=True):
            assert (tick, row, octets[:12] + positive(octets[12:])) == (
                *wanted[:2],
                wanted[2][:12] + positive(wanted[2][12:]),
            )
        for rig in (self.passing, self.mixed):
            rig.network.sent.clear()

    def end(self) -> None:
        """Close both; compare all that was told, counted, reported by RTCP and recorded."""
        for leg in self.passing.pipeline._stages.legs.open_legs:  # pyright: ignore[reportPrivateUsage]
            self.command(CloseLeg(leg=leg))
        for rig in (self.passing, self.mixed):
            rig.run(1)
            rig.pipeline.close()
            rig.run(1)
        assert told(self.passing) == told(self.mixed)
        assert self.passing.network.sent_control == self.mixed.network.sent_control
        recorded = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in self.folders]
        assert recorded[0] == recorded[1]


def told(rig: Rig) -> list[Event]:
    """All events but those of the reference; when a recording is complete is up to a thread."""
    events = [event for event in rig.events if not (isinstance(event, CommandFailed) and event.job == REFERENCE)]
    return sorted(events, key=lambda event: isinstance(event, RecordingFinished))


def joined(folder: Path, first: dict[str, Any] = ULAW, second: dict[str, Any] = ULAW, **options: Any) -> Twins:
    twins = Twins(folder, **options)
    for leg, remote in ((1, first), (2, second)):
        twins.leg(leg, **remote)
        twins.command(Join(leg=leg, room=ROOM))
    return twins


@pytest.mark.parametrize("ptimes", [(20, 20), (30, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_loss_jitter_and_reordering_sound_as_if_all_were_mixed(
    seed: int, ptimes: tuple[int, int], tmp_path: Path
) -> None:
    twins, dice = joined(tmp_path, {**ULAW, "ptime": ptimes[0]}, {**ULAW, "ptime": ptimes[1]}), random.Random(seed)
    said = [noise(1000, row) for row in (0, 1)]
    for row in (0, 1):
        for tick, number in lossy(dice, 1000):
            twins.arrive(tick, row, packet(number, said[row][number * 160 : number * 160 + 160]))
    twins.run(1000)
    assert twins.passed > 500
    twins.end()
    stats = [event.stats for event in twins.passing.said(LegClosed)]
    assert all(min(each.late, each.duplicates, each.concealed_ms) > 0 for each in stats)


def test_a_source_that_restarts_stops_or_is_silent_for_long_sounds_as_if_all_were_mixed(tmp_path: Path) -> None:
    twins, said = joined(tmp_path, silent_after_s=2.0), noise(1000)
    for number in range(1000):
        octets = said[number * 160 : number * 160 + 160]
        twins.arrive(number, 1, packet(number, octets))
        if number < 200:
            twins.arrive(number, 0, packet(number, octets))
        elif number < 300:
            twins.arrive(number, 0, packet(number, octets, ssrc=5, stamp=number * 160 + 10**9))
        elif number < 500:
            twins.arrive(number, 0, packet(number, octets, ssrc=5, stamp=(number * 160 - 77777) % 2**32))
        elif number > 700:
            twins.arrive(number, 0, packet(number + 40_000, octets, ssrc=6, stamp=number * 160))
    twins.run(1000)
    assert twins.passed > 600
    twins.end()
    assert len(twins.passing.said(LegSilent)) == 1
    assert len(twins.passing.said(LegHeard)) == 2
    assert len(twins.passing.said(LegReport)) > 2


@pytest.mark.parametrize("codec", [name for name in TYPES if name != "PCMU"])
def test_another_codec_has_nothing_of_what_passed_before(codec: str, tmp_path: Path) -> None:
    twins, said, loud = joined(tmp_path, jitter_ms=0), noise(80), encoded(codec, sine(700, 1.0, BY_NAME[codec].rate_hz))
    for number in range(80):
        octets = said[number * 160 : number * 160 + 160]
        twins.arrive(number, 1, packet(number, octets))
        if number <= 40:
            twins.arrive(number, 0, packet(number, octets))
        elif number != 42:
            stamp = number * BY_NAME[codec].clock_hz // 50
            twins.arrive(number, 0, packet(number, loud[number - 41], kind=TYPES[codec], stamp=stamp))
    twins.run(41)
    assert twins.passed > 60
    twins.command(Rig.remote(1, codec=codec, payload_type=TYPES[codec], telephone_event=EVENTS))
    twins.run(39)
    twins.command(Rig.remote(1, **ULAW))
    twins.run(5)
    twins.end()


def test_a_recording_that_begins_late_is_in_step_though_the_clocks_have_drifted(tmp_path: Path) -> None:
    twins, said = joined(tmp_path), noise(1000)
    for number in range(1000):
        for row, drift in ((0, 0), (1, number // 3)):  # the second talker's clock is slow: packets come as ever
            octets = packet(number, said[number * 160 : number * 160 + 160], stamp=(number * 160 - drift) % 2**32)
            twins.arrive(number, row, octets)
    twins.run(700)
    assert twins.passed > 400
    twins.command(StartRecording(leg=2, job=1, path="late", sides="dual"))
    twins.run(300)
    twins.end()


def test_keys_are_told_and_counted(tmp_path: Path) -> None:
    twins, octets = joined(tmp_path), noise(1)
    for number in range(150):
        twins.arrive(number, 1, packet(number, octets))
        age = number % 50 - 40
        if age < 0:
            twins.arrive(number, 0, packet(number, octets))
        else:
            report = bytes([number // 50, 128 * (age > 7) | 10]) + (160 * (age + 1)).to_bytes(2, "big")
            twins.arrive(number, 0, packet(number, report, kind=EVENTS, stamp=(number - age) * 160))
    twins.run(150)
    assert [event.digit for event in twins.passing.said(DigitReceived)] == ["0", "1", "2"]
    assert twins.passed > 150
    twins.end()


@pytest.mark.parametrize("seed", range(4))
def test_going_over_to_mixing_and_back_leaves_no_trace(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    twins = joined(tmp_path, {**ULAW, "ptime": dice.choice([20, 30])})
    said = [noise(1500, row) for row in (0, 1)]
    for row in (0, 1):
        for tick, number in lossy(dice, 1500):
            twins.arrive(tick, row, packet(number, said[row][number * 160 : number * 160 + 160]))
    twins.command(OpenLeg(leg=3, address="127.0.0.1", port=4006), OpenLeg(leg=4, address="127.0.0.1", port=4008))
    (tmp_path / "quiet").write_bytes(np.random.default_rng(seed).integers(-9000, 9000, 2000).astype("<i2").tobytes())
    for _ in range(100):
        leg, listener = dice.choice([1, 2]), LISTENERS[dice.choice(list(LISTENERS))]
        twins.command(*listener.begin(leg, tmp_path))
        twins.run(dice.randrange(1, 9))
        twins.command(*listener.end(leg))
        twins.run(dice.randrange(1, 9))
    assert twins.passed > 100
    twins.end()


@pytest.mark.parametrize("seed", range(6))
def test_hostile_packets_and_commands_sound_as_if_all_were_mixed(seed: int, tmp_path: Path) -> None:
    """Two steady talkers and six liars come and go among few rooms while anything is asked of them."""
    dice = random.Random(seed)
    (tmp_path / "sounds").mkdir()
    twins, master = Twins(tmp_path), Master(dice, tmp_path / "sounds")
    liars = {row: Liar(dice) for row in range(2, 8)}
    said = noise(800)
    for tick in range(800):
        if tick % 60 == 0:  # all begin anew, and the talkers talk to each other
            for leg in range(1, 9):
                twins.command(CloseLeg(leg=leg))
                twins.leg(leg)
                twins.command(Join(leg=leg, room=(leg - 1) // 2))
        for row in (0, 1):
            twins.arrive(tick, row, packet(tick, said[tick * 160 : tick * 160 + 160]))
        for row, liar in liars.items():
            for _ in range(dice.choice([0, 1, 1, 4])):
                twins.arrive(tick, row, liar.packet(), dice.choice([PEER, PEER, PEER, STRANGER]))
        leg = dice.randrange(1, 9)
        if leg > 2 or not tick % 5:
            twins.command(master.command(leg))
        twins.run()
    assert twins.passed > 200
    twins.end()
