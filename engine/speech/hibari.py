"""Speak with hibari, a neural woman's voice, as a worker process (`python -m flexml.engine.speech.hibari`).

The package `hibari-tts` is optional and brings its voice along. It reads `[word](/phonemes/)` as an instruction;
text is text, so what looks like one is taken apart.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..workers import serve
from .sound import Samples, answer, one


def speak(voice: Any, request: dict[str, Any]) -> tuple[Samples, int]:
    """Say `text`: samples and their rate. The same text gives the same samples."""
    samples = voice(request["text"].replace("](", "] ("), seed=0)
    return one([samples]), int(voice.sample_rate)


def main() -> None:
    """Be a worker, warmed up: the first sentence loads what later ones find loaded."""
    voice = import_module("hibari").Hibari()
    voice("Ready.", seed=0)
    serve(answer(lambda request: speak(voice, request)))


if __name__ == "__main__":
    main()
