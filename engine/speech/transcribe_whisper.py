"""Transcribe with faster-whisper, as a worker process (`python -m flexml.engine.speech.transcribe_whisper`).

The package `faster-whisper` is optional (the extra `transcription`); the operator supplies the model, a folder in
CTranslate2's format. It wants a recording whole. Its own voice detector keeps it from inventing text on silence.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

from ..workers import serve
from .transcribe_sound import Sound, Words, answer

RATE_HZ: Final = 16000
THREADS: Final = 2
MEMORY: Final = 8 * 1024**3
"""Address space in octets: a large model takes 3 GB."""


def transcribe(sound: Sound, model: Any) -> Words:
    """The words with their punctuation."""
    segments, _ = model.transcribe(sound.floats_at(RATE_HZ), word_timestamps=True, vad_filter=True)
    for segment in segments:
        for word in segment.words or ():
            yield word.word.strip(), float(word.probability)


@cache
def load(folder: str) -> Any:
    """The model of this process."""
    whisper = import_module("faster_whisper")
    return whisper.WhisperModel(
        folder, device="cpu", compute_type="int8", cpu_threads=THREADS, local_files_only=True
    )  # fmt: skip


def main() -> None:
    """Be a worker."""
    serve(answer(lambda sound, request: transcribe(sound, load(request["model"]))), memory=MEMORY)


if __name__ == "__main__":
    main()
