"""Speech by the real espeak-ng in real worker processes; sox listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flexml.engine.errors import PromptError
from flexml.engine.speech import espeak
from flexml.engine.speech.service import MAX_TEXT, Speech, SpeechSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flexml.engine.flexml.verb import Prompt

HELLO = "Hello, thank you for calling customer service."


@contextlib.asynccontextmanager
async def opened(directory: Path, *, timeout_s: float = 30.0) -> AsyncGenerator[Speech]:
    settings = SpeechSettings(man="espeak", woman="espeak", timeout_s=timeout_s)
    speech = Speech(directory / "speech", settings)
    await speech.start()
    try:
        yield speech
    finally:
        await speech.close()


def heard(prompt: Prompt) -> dict[str, float]:
    """What `sox stat` says of a prompt."""
    raw = ["-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", str(prompt.rate_hz)]
    done = subprocess.run(["sox", *raw, prompt.path, "-n", "stat"], capture_output=True, text=True, check=True)
    lines = re.findall(r"^([\w ]+?)(?: \(seconds\))?:\s+([\d.-]+)$", done.stderr, re.MULTILINE)
    return {name.strip(): float(value) for name, value in lines}


def read(prompt: Prompt) -> bytes:
    return Path(prompt.path).read_bytes()


def files(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_file()]


def inode(prompt: Prompt) -> int:
    return Path(prompt.path).stat().st_ino


def test_both_voices_speak_at_every_rate(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            prompts = [await speech.say(HELLO, voice, rate) for voice in ("man", "woman") for rate in (8000, 16000)]
        assert len({read(prompt) for prompt in prompts}) == 4
        for prompt in prompts:
            stat = heard(prompt)
            assert 2.0 < stat["Length"] < 5.0
            assert prompt.duration_ms == pytest.approx(stat["Length"] * 1000, abs=1)
            assert stat["RMS     amplitude"] > 0.02
            assert 0.2 < stat["Maximum amplitude"] < 1.0

    asyncio.run(run())


def test_silence_at_the_end_is_trimmed(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            samples = array("h", read(await speech.say(HELLO)))
        tail = next(n for n, sample in enumerate(reversed(samples)) if abs(sample) >= 100)
        assert tail <= 1600

    asyncio.run(run())


def test_the_same_request_is_synthesised_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            found = await asyncio.gather(*(speech.say(HELLO) for _ in range(10)))
            assert len(set(found)) == 1
            made = inode(found[0])
            assert await speech.say(f"  {HELLO}\n", "no such voice") == found[0]
        async with opened(tmp_path) as speech:
            assert await speech.say(HELLO) == found[0]
        assert inode(found[0]) == made

    asyncio.run(run())
    assert len(files(tmp_path / "speech")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no text"),
        (" \n\0\x07 ", "no text"),
        ("x" * (MAX_TEXT + 1), f"the text has 65537 characters; at most {MAX_TEXT}"),
    ],
)
def test_text_that_cannot_be_said_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            with pytest.raises(PromptError, match=message):
                await speech.say(text)

    asyncio.run(run())


ODD = [
    "<speak><break time='9s'/>&amp;",
    "--stdout -w /tmp/x",
    "[[h@l'oU]]",
    "$(id) `id`; %s %n",
    "😀 Ü 漢字",
    "\ud800x",
    "\u202e\u0301a\u0300\u0301\u0302 \ufeff\u200b",
    "pneumono" * 40,
    "?!" * 200,
    "1" * 60,
    "one\x00two\x1b[2Jthree",
    "...",
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_text_is_only_text(tmp_path: Path, text: str) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            assert 100 < (await speech.whole(text)).duration_ms < 60_000
            assert (await speech.say("Still here.")).duration_ms > 500

    asyncio.run(run())


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            (first,) = speech.pids
            os.kill(first, signal.SIGKILL)
            assert (await speech.say("One.")).duration_ms > 100
            (second,) = speech.pids
            assert second != first

    asyncio.run(run())


def test_a_worker_that_takes_too_long_is_replaced(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, timeout_s=0.001) as speech:
            with pytest.raises(PromptError, match=r"cannot say 'a a.*not done within 0.001 s"):
                await speech.say("a " * 90)
            assert speech.pids == []

    asyncio.run(run())
    assert files(tmp_path / "speech") == []


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from flexml.engine.speech.service import Speech, SpeechSettings
async def run():
    speech = Speech(Path({str(tmp_path)!r}), SpeechSettings(man="espeak", woman="espeak"))
    await speech.start()
    await speech.say("ready")
    print(*speech.pids, flush=True)
    await asyncio.Event().wait()
asyncio.run(run())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        handle = os.pidfd_open(worker)
        parent.kill()
    try:
        ended, _, _ = select.select([handle], [], [], 5)
        assert ended
    finally:
        os.close(handle)


class Full:
    """A pyttsx3 engine whose files are on a disk that is full."""

    def setProperty(self, name: str, value: object) -> None: ...

    def save_to_file(self, text: str, name: str) -> None:
        Path(name).symlink_to("/dev/full")

    def runAndWait(self) -> None: ...


def test_speech_that_is_not_written_whole_says_that_the_disk_is_full(tmp_path: Path) -> None:
    request = {"text": "Hello", "voice": "en", "speed": 150, "pitch": 50, "target": str(tmp_path / "a.pcm")}
    with pytest.raises(OSError, match="No space left on device"):
        espeak.speak(Full(), request)
    assert list(tmp_path.iterdir()) == []
