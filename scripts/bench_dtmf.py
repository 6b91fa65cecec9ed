"""Measure how keys are heard in the audio, by our detector and by spandsp's, on the same sounds; print tables.

    scripts/bench_dtmf.py [--presses 160]

Sounds go through a G.711 line. Printed, as Markdown: of so many key presses (all 16 keys, chance alignment and phase)
how many per cent are heard as they are, over length, frequency, level, twist, noise and dial tone; how an interruption
is heard; false keys in speech; what the detector costs a row and tick. spandsp is Debian's libspandsp2, with its own
defaults.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "media"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "peer"))

import spandsp
from flexml.codecs.plc import Concealer
from flexml.media.dtmf import ToneReceiver
from flexml.media.events import DigitReceived
from key_signals import KEYS, Pressed, Samples, press, presses, through_mu_law, together

DATA: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
USUAL: Final = Pressed()
LIMITS: Final = Pressed(level=-36, twist=-8, low_off=0.015, high_off=0.015)
DIALLING: Final = replace(USUAL, before=300)
GAINS_DB: Final = (-6, 0, 6)
SHIFTS: Final = (0, 11, 23, 37)
ROWS: Final = 600
TICKS: Final = 250

Hear = Callable[[Sequence[Samples]], list[str]]


def hear(sounds: Sequence[Samples]) -> list[str]:
    """What our detector hears, all sounds at once."""
    lines = together(list(sounds))
    rows = np.arange(len(lines))
    receiver = opened(len(lines))
    begun = np.ones(len(lines), np.bool_)
    heard = [""] * len(lines)
    for at in range(0, lines.shape[1], 160):
        for row, event in receiver.step(lines[:, at : at + 160], rows, begun):
            assert isinstance(event, DigitReceived)
            heard[row] += event.digit
    return heard


def hear_as_spandsp(sounds: Sequence[Samples]) -> list[str]:
    """What spandsp hears, one sound after the other."""
    return [spandsp.keys_in(sound) for sound in sounds]


def opened(rows: int) -> ToneReceiver:
    """A detector that listens on so many rows."""
    receiver = ToneReceiver(rows)
    for row in range(rows):
        receiver.open(row)
    return receiver


def ears() -> dict[str, Hear]:
    """Who listens."""
    return {"ours": hear} | ({"spandsp": hear_as_spandsp} if spandsp.library() else {})


# ---- tables -------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, and a line after it."""
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print()


def accepted(title: str, ways: dict[str, Pressed], times: int) -> None:
    """Print how many per cent of the presses are heard as one key each, the right one."""
    listeners = ears()
    rows: list[list[object]] = []
    for name, how in ways.items():
        keys, sounds = presses(how, times)
        heard = [listen(sounds) for listen in listeners.values()]
        rows.append([name, *(share(h == key for h, key in zip(one, keys, strict=True)) for one in heard)])
    table([title, *listeners], rows)


def interrupted(times: int) -> None:
    """Print as how many presses a key is heard that is interrupted."""
    listeners = ears()
    rows: list[list[object]] = []
    for gap in (5, 8, 10, 15, 20, 25, 30, 35, 40, 50):
        keys, sounds = presses(replace(USUAL, on=140 + gap, gap=(70, gap)), times)
        heard = [listen(sounds) for listen in listeners.values()]
        rows.append([
            f"{gap} ms",
            *(share(h == count * key for h, key in zip(one, keys, strict=True)) for one in heard for count in (1, 2)),
        ])  # fmt: skip
    table(["70 ms, interruption, 70 ms", *(f"{name}: {n}" for name in listeners for n in ("one key", "two"))], rows)


def lossy(times: int) -> None:
    """Print how many per cent are heard where frames of 20 ms are lost and made up, as in a call."""
    listeners = ears()
    rows: list[list[object]] = []
    for loss in (0.01, 0.05, 0.1):
        for on in (60, 100):
            keys, sounds = presses(replace(USUAL, on=on), times)
            lines = concealed(together(sounds), loss)
            heard = [listen(list(lines)) for listen in listeners.values()]
            shares = (share(h == key for h, key in zip(one, keys, strict=True)) for one in heard)
            rows.append([f"{on} ms, {loss:.0%} of packets", *shares])
    table(["lost packets, made up", *listeners], rows)


def concealed(lines: Samples, loss: float) -> Samples:
    """The lines with frames missing by chance, and concealed as the engine does."""
    chance, rows = np.random.default_rng(1), np.arange(len(lines))
    concealer = Concealer(len(lines))
    for row in rows.tolist():
        concealer.open(row)
    frames: list[Samples] = []
    for at in range(0, lines.shape[1], 160):
        have = np.repeat(chance.random((len(lines), 1)) >= loss, 160, axis=1)
        frames.append(concealer.step(np.where(have, lines[:, at : at + 160], np.float32(0)), have, rows))
    return np.concatenate(frames, axis=1)


def share(found: Iterable[bool]) -> str:
    """How many are true, in per cent."""
    values = list(found)
    return f"{100 * sum(values) / len(values):.0f}"


def talk_off() -> None:
    """Print how many keys are heard where there are none."""
    listeners = ears()
    rows: list[list[object]] = []
    for folder in ("speech", "amd"):
        paths = sorted((DATA / folder).rglob("*.flac"))
        for gain in GAINS_DB if paths else ():
            minutes, false = 0.0, dict.fromkeys(listeners, 0)
            for path in paths:
                speech, rate_hz = soundfile.read(path, dtype="float32")
                assert rate_hz == 8000, f"{path}: {rate_hz} Hz, expected 8000"
                minutes += len(speech) / rate_hz / 60
                line = through_mu_law(speech * 32768 * 10 ** (gain / 20))
                for name, listen in listeners.items():
                    false[name] += sum(map(len, listen([line[shift:] for shift in SHIFTS])))
            rows.append([f"`{folder}`, {len(paths)} files, {minutes:.0f} min", f"{gain:+d} dB", *false.values()])
    table([f"false keys, sum of {len(SHIFTS)} alignments", "level", *listeners], rows)


def cost() -> None:
    """Print microseconds of CPU time a row and tick, where each row hears the same kind of thing."""
    chance = np.random.default_rng(1)
    path = DATA / "speech" / "prompts_0.flac"
    kinds: dict[str, Samples] = {"silence": np.zeros((ROWS, 160 * TICKS), np.float32)}
    if path.exists():
        speech = soundfile.read(path, dtype="float32")[0] * 32768
        starts = chance.integers(len(speech) - 160 * TICKS, size=ROWS)
        kinds["speech"] = np.stack([speech[start : start + 160 * TICKS] for start in starts])
    kinds["noise of -20 dBm0"] = chance.normal(0, 2270, (ROWS, 160 * TICKS)).astype(np.float32)
    held = [press(key, Pressed(on=20 * TICKS), 1)[: 160 * TICKS] for key in KEYS]
    kinds["keys held without end"] = np.stack([held[row % 16] for row in range(ROWS)])
    rows: list[list[object]] = []
    for name, lines in kinds.items():
        receiver, numbers, begun = opened(ROWS), np.arange(ROWS), np.ones(ROWS, np.bool_)
        spent: list[float] = []
        for tick in range(TICKS):
            frame = np.ascontiguousarray(lines[:, 160 * tick : 160 * tick + 160])
            began = time.thread_time()
            receiver.step(frame, numbers, begun)
            spent.append((time.thread_time() - began) * 1e6 / ROWS)
        rows.append([name, *(f"{np.percentile(spent, part):.1f}" for part in (50, 99))])
    table([f"{ROWS} rows hear", "µs a row and tick, median", "99th percentile"], rows)


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=160, help="key presses a figure")
    times = max(1, parser.parse_args().presses // len(KEYS))
    print(f"{times * len(KEYS)} key presses a figure, heard right in per cent.\n")
    accepted(
        "length", {f"{ms} ms": replace(USUAL, on=ms) for ms in (20, 23, 25, 28, 30, 33, 35, 38, 40, 45, 60)}, times
    )
    offs = (-0.04, -0.035, -0.03, -0.025, -0.02, -0.015, 0, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04)
    accepted(
        "frequency of both tones, 100 ms",
        {f"{100 * off:+.1f} %": replace(USUAL, on=100, low_off=off, high_off=off) for off in offs},
        times,
    )
    levels = (3, 0, -10, -20, -30, -34, -36, -38, -40, -42, -45)
    accepted("level of each tone, 40 ms", {f"{level} dBm0": replace(USUAL, level=level) for level in levels}, times)
    twists = (-12, -10, -9, -8, -6, -4, 0, 2, 4, 5, 6, 8)
    accepted("high tone above low, 40 ms", {f"{db:+d} dB": replace(USUAL, twist=db) for db in twists}, times)
    ratios = (30, 20, 15, 12, 10, 8, 6, 3)
    accepted("above white noise, 40 ms", {f"{db} dB": replace(USUAL, snr=db) for db in ratios}, times)
    accepted("above white noise, 100 ms", {f"{db} dB": replace(USUAL, snr=db, on=100) for db in ratios}, times)
    dials = (-30, -20, -16, -13, -10, -6)
    accepted("tones of -16 dBm0 in dial tone", {f"{db} dBm0": replace(DIALLING, dial=db) for db in dials}, times)
    accepted("40 ms, -36 dBm0, 1.5 % high, low 8 dB louder", {"all at once": LIMITS}, times)
    interrupted(times)
    lossy(times)
    talk_off()
    cost()
    return 0


if __name__ == "__main__":
    sys.exit(main())
