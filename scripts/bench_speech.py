"""How long text takes until it can be heard: short and long, said for the first time and said again.

    scripts/bench_speech.py [--texts 50] [--voice man --voice woman ...] [--espeak]

A real Speech with its worker processes, an empty cache, one text after the other; no two have a sentence in common.
Printed, in ms from the moment that the verb asks until there is audio to play: median, 95th percentile and longest.
For long texts (600 words) also how much time making all of it took, as a part of its duration.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from flexml.engine.speech.service import Speech, SpeechSettings

LONG_WORDS = 600
OPENINGS = ["Today", "As you know", "In the morning", "After the meeting", "For your account", "On the second floor"]
SUBJECTS = [
    "our driver",
    "the manager",
    "your neighbour",
    "a new customer",
    "the technician",
    "everybody in the office",
]
ACTIONS = ["will bring", "has ordered", "is looking for", "wants to return", "forgot", "has already paid for"]
THINGS = ["green lamps", "small parcels", "wooden chairs", "copies of the letter", "litres of milk", "concert tickets"]
ENDINGS = [
    "before the weekend",
    "without any delay",
    "at the usual place",
    "because of the weather",
    "near the station",
]


def sentences(seed: int) -> Iterator[str]:
    """Sentences of 10 to 20 words, none twice: each has a number of its own."""
    choose = random.Random(seed)
    for number in itertools.count(seed * 100_000):
        words = [choose.choice(part) for part in (OPENINGS, SUBJECTS, ACTIONS)]
        yield f"{words[0]}, {words[1]} {words[2]} {number} {choose.choice(THINGS)} {choose.choice(ENDINGS)}."


def texts(count: int, words: int, seed: int) -> list[str]:
    """Texts of at least so many words."""
    source = sentences(seed)
    found: list[str] = []
    while len(found) < count:
        text = next(source)
        while len(text.split()) < words:
            text += " " + next(source)
        found.append(text)
    return found


async def measure(speech: Speech, said: list[str], voice: str) -> dict[str, object]:
    """Say each and wait for all of it before the next."""
    first_ms: list[float] = []
    whole_s = audio_s = 0.0
    for text in said:
        begun = time.perf_counter()
        await speech.say(text, voice)
        first_ms.append((time.perf_counter() - begun) * 1000)
        audio_s += (await speech.whole(text, voice)).duration_ms / 1000
        whole_s += time.perf_counter() - begun
    return {
        "median_ms": round(statistics.median(first_ms), 1),
        "p95_ms": round(sorted(first_ms)[int(len(first_ms) * 0.95)], 1),
        "longest_ms": round(max(first_ms), 1),
        "real_time_factor": round(whole_s / audio_s, 4),
    }


async def run(count: int, voices: list[str], settings: SpeechSettings) -> dict[str, object]:
    """All measurements: voice by voice, short and long, uncached and cached."""
    report: dict[str, object] = {"texts": count, "load_average": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(Path(folder), settings)
        await speech.start()
        try:
            for number, voice in enumerate(voices):
                await speech.whole("The voice is ready.", voice)  # its process has loaded what it needs
                for length, words in (("short", 1), ("long", LONG_WORDS)):
                    said = texts(count, words, seed=2 * number + (length == "long") + 1)
                    for state in ("uncached", "cached"):
                        report[f"{voice} {length} {state}"] = await measure(speech, said, voice)
                if reason := speech.fallback_reason(voice):
                    report[f"{voice} spoken by another"] = reason
        finally:
            await speech.close()
    return report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--voice", action="append", help="man and woman, if none is named")
    parser.add_argument("--espeak", action="store_true", help="by espeak-ng although neural voices are installed")
    given = parser.parse_args()
    choice = "espeak" if given.espeak else "auto"
    settings = SpeechSettings(man=choice, woman=choice)
    print(json.dumps(asyncio.run(run(given.texts, given.voice or ["man", "woman"], settings)), indent=2))


if __name__ == "__main__":
    main()
