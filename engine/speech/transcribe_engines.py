"""What makes texts of recordings: which engine, within which limits. docs/transcription.md describes each.

Every engine is a worker process that answers with the words of one recording in their order, each with the confidence
that it was understood, 0 to 1. pocketsphinx comes with every installation; the others are used where they are set up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..errors import PromptError


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptionSettings:
    """`url` (with `key`) names a service, `whisper_model` a folder; with neither it is pocketsphinx.

    `longest_s`: no longer recording is transcribed. `timeout_s`: no transcription is waited for any longer, from when
    it was asked for.
    """

    processes: int = 1
    longest_s: int = 3600
    timeout_s: int = 3600
    whisper_model: str = ""
    url: str = ""
    key: str = field(default="", repr=False)

    @property
    def engine(self) -> str:
        """Its name in ENGINES."""
        if self.url:
            return "http"
        return "whisper" if self.whisper_model else "pocketsphinx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The module that runs as worker, and the one that must be installed for it."""

    module: str
    needs: str = ""
    extra: str = ""


ENGINES: Final = {
    "pocketsphinx": Engine(module="flexml.engine.speech.transcribe_sphinx", needs="pocketsphinx"),
    "whisper": Engine(
        module="flexml.engine.speech.transcribe_whisper",
        needs="faster_whisper",
        extra="the extra transcription: .venv/bin/pip install -e '.[transcription]'",
    ),
    "http": Engine(module="flexml.engine.speech.transcribe_http"),
}


def chosen(settings: TranscriptionSettings) -> Engine:
    """The engine that the settings mean. Raises PromptError where it cannot work."""
    engine = ENGINES[settings.engine]
    if engine.needs and find_spec(engine.needs) is None:
        raise PromptError(f"transcription by {settings.engine} needs {engine.extra or engine.needs}")
    if settings.engine == "whisper" and not Path(settings.whisper_model).is_dir():
        raise PromptError(f"there is no folder {settings.whisper_model} for whisper's model")
    return engine
