"""Everything at once: all codecs and packet lengths, layers of both rates, recordings, keys both ways, loss, jitter."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from flexml.codecs.catalog import BY_NAME
from flexml.media import rtp
from flexml.media.dial_string import EVENT_DIGITS
from flexml.media.events import (
    AmdState,
    DigitReceived,
    DigitsSent,
    Event,
    LegHeard,
    MachineDetected,
    NoiseDetected,
    PlayFinished,
    RecordingFinished,
    SilenceDetected,
)
from flexml.media.protocol import CloseLeg, Command, SendDigits, StartAmd, StartPlay, StartRecording, Watch

from .rig import Rig
from .test_wide import TYPES, encoded

TICKS = 200
EVENTS = 101
LEGS = 8
TOLD = (
    LegHeard, PlayFinished, DigitReceived, DigitsSent, NoiseDetected, SilenceDetected, AmdState, MachineDetected,
    RecordingFinished,
)  # fmt: skip


class Party(NamedTuple):
    """One leg of the mix, the same whatever row it has."""

    number: int
    codec: str
    folder: Path

    @property
    def keys(self) -> str:
        return random.Random(self.number).choice("0123456789*#ABCD") + "7" if self.number % 2 else ""

    def speech(self, rate_hz: int, seed: int) -> Any:
        t = np.arange(TICKS * rate_hz // 50) / rate_hz
        loudness = np.clip(np.sin(2 * np.pi * 0.7 * t + seed), 0, 1)
        voice = np.sin(2 * np.pi * (200 + 7 * seed) * t) + 0.5 * np.sin(2 * np.pi * (900 + 11 * seed) * t)
        return np.rint(5000 * loudness * voice).astype(np.int16)

    def begin(self, rig: Rig, leg: int, folder: Path) -> None:
        folder.mkdir()
        number, rate_hz = self.number, 8000 * (1 + self.number % 2)
        remote = {"codec": self.codec, "payload_type": TYPES[self.codec], "ptime": 10 + 10 * (number % 6)}
        rig.leg(leg, **remote, telephone_event=EVENTS if number % 2 else None)
        for job, layer in enumerate(("foreground", "background", "aside"), 1):
            path = folder / f"{layer}"
            path.write_bytes(self.speech(rate_hz, number + job).tobytes())
            rig.command(StartPlay(leg=leg, job=job, path=str(path), rate_hz=rate_hz, layer=layer, loops=job))
        rig.command(*self.wishes(leg, folder))

    def wishes(self, leg: int, folder: Path) -> list[Command]:
        return [
            StartRecording(leg=leg, job=11, path=str(folder / "dual"), sides="dual"),
            StartRecording(leg=leg, job=12, path=str(folder / "mixed"), sides="mixed"),
            Watch(leg=leg, job=21, noise=200, silence=400, detector="webrtc" if self.number % 3 else "energy"),
            StartAmd(leg=leg, job=22),
            SendDigits(leg=leg, job=23, digits="W5#", on=80, off=60),
        ]

    def speak(self, rig: Rig, row: int) -> None:
        """Let what the party says arrive, 3 % of it lost, some late, some twice, and its keys as events."""
        dice, units = random.Random(self.number), BY_NAME[self.codec].clock_hz // 50
        first, payloads = 2**32 - 50 * units, encoded(self.codec, self.speech(BY_NAME[self.codec].rate_hz, 40))
        presses = {60 + 50 * place + age: (place, age) for place in range(len(self.keys)) for age in range(8)}
        for tick in range(TICKS):
            stamp, payload, kind, marker = first + tick * units, payloads[tick], TYPES[self.codec], 0
            if tick in presses:
                place, age = presses[tick]
                stamp, kind, marker = stamp - age * units, EVENTS, int(age == 0)
                duration = (min(age, 5) + 1) * 8 * 20
                payload = bytes([EVENT_DIGITS.index(self.keys[place]), 128 * (age > 4) | 10]) + duration.to_bytes(
                    2, "big"
                )
            octets = np.frombuffer(payload, np.uint8)[None]
            packet = rtp.build_batch(octets, kind, marker, tick, stamp % 2**32, 50).tobytes()
            if dice.random() >= 0.03:
                for _ in range(dice.choice([1] * 30 + [2])):
                    rig.network.arrive(tick + dice.choice([0, 0, 0, 1, 2]), row, packet)


def told(rig: Rig, leg: int) -> list[Event]:
    return [event for event in rig.events if isinstance(event, TOLD) and event.leg == leg]


def nobody(event: Event) -> dict[str, Any]:
    return {"kind": type(event)} | {name: getattr(event, name) for name in event.__struct_fields__ if name != "leg"}


@pytest.fixture(scope="module")
def mixes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Party], Rig, list[Rig], Path]:
    """Return parties, all of them in one pipeline, and each of them in one of its own."""
    folder = tmp_path_factory.mktemp("mix")
    parties = [Party(number, list(TYPES)[number % len(TYPES)], folder) for number in range(LEGS)]
    together, alone = Rig(), [Rig() for _ in parties]
    for party, rig in zip(parties, alone, strict=True):
        party.begin(together, party.number + 1, folder / f"together{party.number}")
        party.begin(rig, 1, folder / f"alone{party.number}")
        party.speak(together, party.number)
        party.speak(rig, 0)
    for rig in (together, *alone):
        rig.run(TICKS)
        for leg in range(1, LEGS + 1):
            rig.command(CloseLeg(leg=leg))
        rig.pipeline.close()
        rig.run(1)
    return parties, together, alone, folder


def test_a_mix_of_everything_sounds_as_each_leg_alone(mixes: tuple[list[Party], Rig, list[Rig], Path]) -> None:
    parties, together, alone, folder = mixes
    for party, rig in zip(parties, alone, strict=True):
        sent = [(tick, octets) for tick, row, octets in together.network.sent if row == party.number]
        assert sent == [(tick, octets) for tick, _, octets in rig.network.sent], party
        for name in ("dual", "mixed"):
            recorded = (folder / f"together{party.number}" / name).read_bytes()
            assert recorded == (folder / f"alone{party.number}" / name).read_bytes(), party


def test_a_mix_of_everything_is_told_as_of_each_leg_alone(mixes: tuple[list[Party], Rig, list[Rig], Path]) -> None:
    parties, together, alone, _ = mixes
    for party, rig in zip(parties, alone, strict=True):
        here, there = told(together, party.number + 1), told(rig, 1)
        assert sorted(map(repr, map(nobody, here))) == sorted(map(repr, map(nobody, there)))
        assert {AmdState, DigitsSent, NoiseDetected, PlayFinished} <= {type(event) for event in here}


def test_in_a_mix_of_everything_keys_count_once_and_recordings_last_as_long_as_the_call(
    mixes: tuple[list[Party], Rig, list[Rig], Path],
) -> None:
    parties, together, _, folder = mixes
    for party in parties:
        here = told(together, party.number + 1)
        assert "".join(event.digit for event in here if isinstance(event, DigitReceived)) == party.keys
        finished = [event for event in here if isinstance(event, RecordingFinished)]
        assert [(event.duration, event.error) for event in finished] == [(TICKS * 20, "")] * 2
        sizes = [(folder / f"together{party.number}" / name).stat().st_size for name in ("dual", "mixed")]
        assert sizes == [TICKS * 640, TICKS * 320]
