"""Run answering machine detection over labelled recordings and print confusion tables.

    scripts/amd_table.py FOLDER

FOLDER holds labels.csv: `file`, the truth in `label`, and in `asterisk_default_*` and `flexml_example_*` what
Asterisk made of each file with two sets of parameters. Files go through mu-law and back, as on a call. What is
undecided when a recording ends is HANGUP: there the caller of the measured calls hung up.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from flexml.codecs import g711
from flexml.media.amd import Amd
from flexml.media.events import MachineDetected
from flexml.media.protocol import StartAmd

SETS: Final = {
    "asterisk_default": ("defaults", StartAmd()),
    "flexml_example": (
        "the reference's example",
        StartAmd(initial_silence=5000, greeting=2000, after_greeting_silence=500, total_analysis_time=10000),
    ),
}
STATUSES: Final = ("HUMAN", "MACHINE", "NOTSURE", "HANGUP")
TRUTHS: Final = ("human", "machine")


def detect(path: Path, message: StartAmd) -> tuple[str, str]:
    """Return status and cause for the recording at `path`."""
    samples, rate_hz = soundfile.read(path, dtype="int16")
    if rate_hz != 8000 or samples.ndim != 1:
        raise SystemExit(f"{path}: expected 8000 Hz mono, found {rate_hz} Hz, shape {samples.shape}")
    frames = samples[: samples.size // 160 * 160].reshape(-1, 160).astype(np.float32)
    amd, row, begun = Amd(1), np.array([0]), np.array([True])
    amd.start(0, message)
    for frame in g711.decode_ulaw(g711.encode_ulaw(frames)):
        for _, event in amd.step(frame[None], row, begun):
            if isinstance(event, MachineDetected):
                return event.status, event.cause
    return "HANGUP", ""


def print_table(title: str, labels: list[dict[str, str]], ours: list[str], theirs: list[str], alike: int) -> None:
    """Print truth against status, ours and Asterisk's, and how many results are alike to the letter."""
    print(f"\nParameters: {title}\n\n| truth | detector | {' | '.join(STATUSES)} | right |")
    print(f"| --- | --- |{' ---: |' * (len(STATUSES) + 1)}")
    for truth in TRUTHS:
        for name, found in (("FlexML", ours), ("Asterisk", theirs)):
            count = Counter(status for row, status in zip(labels, found, strict=True) if row["label"] == truth)
            cells = " | ".join(str(count[status]) for status in STATUSES)
            right = 100 * count[truth.upper()] / max(1, count.total())
            print(f"| {truth} | {name} | {cells} | {right:.0f} % |")
    print(f"\nStatus and cause equal Asterisk's on {alike} of {len(labels)} recordings.")


def main() -> None:
    folder = Path(sys.argv[1])
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as lines:
        labels = list(csv.DictReader(lines))
    for column, (title, message) in SETS.items():
        found = [detect(folder / row["file"], message) for row in labels]
        asterisk = [(row[f"{column}_status"], row[f"{column}_cause"]) for row in labels]
        alike = sum(mine == other for mine, other in zip(found, asterisk, strict=True))
        print_table(title, labels, [status for status, _ in found], [status for status, _ in asterisk], alike)


if __name__ == "__main__":
    main()
