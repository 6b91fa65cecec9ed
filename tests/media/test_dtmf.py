"""Keys are heard in the audio where ITU-T Q.24 wants them heard, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile
from flexml.media.dial_string import EVENT_DIGITS, tone
from flexml.media.dtmf import ToneReceiver
from flexml.media.events import DigitReceived
from key_signals import KEYS, Pressed, press, presses, through_mu_law, together
from numpy.typing import NDArray

SPEECH: Final = Path(__file__).parents[2].parent / "shared" / "data" / "speech"
GAINS_DB: Final = (-12, -6, 0, 6)
DELAYS: Final = (0, 13, 27)
"""Samples. With the 40 between windows, these are other windows of the same speech."""

Samples = NDArray[np.float32]


def hear(lines: Samples, *, receiver: ToneReceiver | None = None, begun: bool = True) -> list[str]:
    """What is heard on each of `lines` float32[n, samples], as one row each."""
    rows = np.arange(len(lines))
    if receiver is None:
        receiver = ToneReceiver(len(lines))
        for row in rows.tolist():
            receiver.open(row)
    heard = [""] * len(lines)
    for start in range(0, lines.shape[1], 160):
        for row, event in receiver.step(lines[:, start : start + 160], rows, np.full(len(lines), begun)):
            assert isinstance(event, DigitReceived)
            assert event.source == "inband"
            heard[row] += event.digit
    return heard


HEARD: Final = {
    "40 ms": Pressed(),
    "held for 2 s": Pressed(on=2000),
    "0 dBm0": Pressed(level=0),
    "-36 dBm0": Pressed(level=-36),
    "low tone 8 dB louder": Pressed(twist=-8),
    "high tone 4 dB louder": Pressed(twist=4),
    "1.5 % high": Pressed(low_off=0.015, high_off=0.015),
    "1.5 % low": Pressed(low_off=-0.015, high_off=-0.015),
    "1.5 % apart": Pressed(low_off=-0.015, high_off=0.015),
    "1.5 % together": Pressed(low_off=0.015, high_off=-0.015),
    "15 dB above noise": Pressed(snr=15),
    "12 dB above noise": Pressed(snr=12),
    "with dial tone as loud": Pressed(dial=-16, before=300),
    "with dial tone 6 dB louder": Pressed(dial=-10, before=300),
    "at every limit, low louder": Pressed(level=-36, twist=-8, low_off=0.015, high_off=0.015),
    "at every limit, high louder": Pressed(level=-36, twist=4, low_off=-0.015, high_off=-0.015),
    "interrupted for 10 ms": Pressed(on=130, gap=(60, 10)),
    "interrupted at once": Pressed(on=90, gap=(40, 10)),
}


@pytest.mark.parametrize("how", HEARD.values(), ids=HEARD)
def test_a_key_within_the_limits_is_heard_once(how: Pressed) -> None:
    keys, sounds = presses(how, 6)
    assert hear(together(sounds)) == keys


def test_a_key_is_heard_wherever_in_a_frame_it_begins() -> None:
    line = press("7", Pressed(), 1)
    later = [
        np.concatenate([np.zeros(start, np.float32), line, np.zeros(160 - start, np.float32)]) for start in range(160)
    ]
    assert hear(together(later)) == ["7"] * 160


NOT_HEARD: Final = {
    "23 ms": Pressed(on=23),
    "23 ms at -36 dBm0": Pressed(on=23, level=-36),
    "23 ms at 0 dBm0": Pressed(on=23, level=0),
    "23 ms in noise": Pressed(on=23, snr=15),
    "3.5 % high": Pressed(on=500, low_off=0.035, high_off=0.035),
    "3.5 % low": Pressed(on=500, low_off=-0.035, high_off=-0.035),
    "low tone 3.5 % off": Pressed(on=500, low_off=0.035),
    "high tone 3.5 % off": Pressed(on=500, high_off=-0.035),
    "low tone 12 dB louder": Pressed(on=500, twist=-12),
    "high tone 8 dB louder": Pressed(on=500, twist=8),
    "low tone 10.5 dB louder": Pressed(on=500, twist=-10.5),
    "high tone 6.5 dB louder": Pressed(on=500, twist=6.5),
    "-45 dBm0": Pressed(on=500, level=-45),
    "low tone of -42 dBm0": Pressed(on=500, level=-42, twist=4),
    "high tone of -42 dBm0": Pressed(on=500, level=-42, twist=-8),
    "under noise": Pressed(on=500, snr=-3),
    "one tone alone": Pressed(on=500, twist=60, level=-70),
    "dial tone alone": Pressed(on=500, level=-70, dial=-10),
}


@pytest.mark.parametrize("how", NOT_HEARD.values(), ids=NOT_HEARD)
def test_what_is_beyond_the_limits_is_not_heard(how: Pressed) -> None:
    _, sounds = presses(how, 6)
    assert set(hear(together(sounds))) == {""}


@pytest.mark.parametrize("pause", [40, 45, 60, 100])
@pytest.mark.parametrize("on", [40, 70])
def test_a_pause_makes_two_presses_of_one_key(pause: int, on: int) -> None:
    keys, sounds = presses(Pressed(on=2 * on + pause, gap=(on, pause)), 3)
    assert hear(together(sounds)) == [2 * key for key in keys]


@pytest.mark.parametrize("pause", [0, 10, 40])
def test_different_keys_need_no_pause(pause: int) -> None:
    """The digit is in the order of pressing, 50 ms each."""
    tones = [np.concatenate([_frames(key, 400), np.zeros(pause * 8)]) for key in KEYS]
    line = np.concatenate([*tones, np.zeros(160 - sum(map(len, tones)) % 160)])
    assert hear(through_mu_law(line)[None]) == [KEYS]


def test_a_held_key_is_told_of_once_and_within_60_ms() -> None:
    receiver = ToneReceiver(1)
    receiver.open(0)
    line = press("5", Pressed(on=300, before=0), 1)[None]  # begins within the first frame
    frames = [line[:, at : at + 160] for at in range(0, line.shape[1], 160)]
    told = [number for number, frame in enumerate(frames) if receiver.step(frame, np.array([0]), np.array([True]))]
    assert len(told) == 1
    assert told[0] <= 2


def test_what_we_send_is_what_we_hear() -> None:
    sent = [np.concatenate([*(tone(event, tick * 160) for tick in range(2)), np.zeros(320)]) for event in range(16)]
    line = np.concatenate(sent)
    assert hear(through_mu_law(line)[None]) == [EVENT_DIGITS]


def test_rows_together_hear_what_each_hears_alone() -> None:
    ways = [*HEARD.values(), *NOT_HEARD.values()]
    lines = together([press(KEYS[number % 16], how, number) for number, how in enumerate(ways)])
    assert hear(lines) == [hear(line[None])[0] for line in lines]


def test_rows_are_heard_whatever_others_are_stepped() -> None:
    lines = together(presses(Pressed(), 1)[1])
    receiver, choose = ToneReceiver(len(lines) + 3), np.random.default_rng(1)
    for row in range(len(lines) + 3):
        receiver.open(row)
    sounds = np.concatenate([choose.normal(0, 1000, (3, lines.shape[1])).astype(np.float32), lines])
    heard: dict[int, str] = {}
    for start in range(0, lines.shape[1], 160):
        rows = choose.permutation(np.concatenate([np.flatnonzero(choose.random(3) < 0.5), 3 + np.arange(len(lines))]))
        for row, event in receiver.step(sounds[rows, start : start + 160], rows, np.ones(len(rows), np.bool_)):
            assert isinstance(event, DigitReceived)
            heard[row - 3] = heard.get(row - 3, "") + event.digit
    assert heard == dict(enumerate(KEYS))


WITH_EVENTS: Final = {name: replace(how, on=60) for name, how in HEARD.items() if how.on == 40 and how.dial is None}


@pytest.mark.parametrize("how", WITH_EVENTS.values(), ids=WITH_EVENTS)
def test_a_peer_with_events_that_sends_a_key_of_60_ms_in_the_audio_is_heard(how: Pressed) -> None:
    line = press("7", how, 1)
    later = [np.concatenate([np.zeros(start, np.float32), line]) for start in range(0, 320, 7)]
    assert hear(together(later), receiver=with_events(len(later))) == ["7"] * len(later)


def test_a_peer_with_events_that_has_sent_one_in_the_audio_is_looked_at_always() -> None:
    receiver = with_events(320)
    line = together([press("7", Pressed(on=100), 1)])
    assert hear(np.repeat(line, 320, axis=0), receiver=receiver) == ["7"] * 320
    line = press("5", Pressed(), 1)
    later = [np.concatenate([np.zeros(start, np.float32), line]) for start in range(320)]
    assert hear(together(later), receiver=receiver) == ["5"] * 320


def with_events(rows: int) -> ToneReceiver:
    receiver = ToneReceiver(rows)
    for row in range(rows):
        receiver.open(row)
        receiver.tune(row, events=True)
    return receiver


def test_rows_that_are_closed_muted_or_not_begun_hear_nothing() -> None:
    lines = together(presses(Pressed(), 1)[1])
    receiver = ToneReceiver(len(lines))
    assert set(hear(lines, receiver=receiver)) == {""}
    for row in range(len(lines)):
        receiver.open(row)
    assert set(hear(lines, receiver=receiver, begun=False)) == {""}
    receiver.mute(2)
    receiver.close(5)
    assert hear(lines, receiver=receiver) == [key if at not in (2, 5) else "" for at, key in enumerate(KEYS)]
    receiver.tune(2, events=False)
    receiver.tune(5, events=False)
    assert hear(lines, receiver=receiver) == [key if at != 5 else "" for at, key in enumerate(KEYS)]


def test_a_row_opened_anew_remembers_nothing() -> None:
    """A key that is still pressed when its row is given to another leg is that leg's key."""
    receiver = ToneReceiver(1)
    receiver.open(0)
    line = together([press("9", Pressed(on=100, before=0), 0)])[:, :640]
    assert hear(line, receiver=receiver) == ["9"]
    receiver.close(0)
    receiver.open(0)
    assert hear(line[:, 160:], receiver=receiver) == ["9"]


def test_a_key_after_silence_is_a_new_one() -> None:
    line = together([press("9", Pressed(), 0)])
    assert hear(np.concatenate([line, line], axis=1)) == ["99"]


@pytest.mark.parametrize("name", [f"prompts_{number}.flac" for number in range(4)])
def test_speech_has_no_keys_in_it(name: str) -> None:
    path = SPEECH / name
    if not path.exists():
        pytest.skip(f"{path} is missing: the shared test data is not there")
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == 8000
    speech = samples * 32768
    lines = [
        np.clip(np.concatenate([np.zeros(delay), speech * 10 ** (gain / 20)]), -32768, 32767).astype(np.float32)
        for gain in GAINS_DB
        for delay in DELAYS
    ]
    assert set(hear(together(lines))) == {""}


def _frames(key: str, samples: int) -> NDArray[np.float64]:
    event = EVENT_DIGITS.index(key)
    frames = [tone(event, tick * 160) for tick in range(-(-samples // 160))]
    return np.concatenate(frames)[:samples].astype(np.float64)
