"""Speak text with pyttsx3 over espeak-ng, as a worker process (`python -m flexml.engine.speech.espeak`).

pyttsx3 has one engine for a process and blocks until the last word, which is why this is a process. It writes
a WAV file at espeak's rate. It reports some failures only by not writing the file: its absence is the sign that
is looked for.
"""

from __future__ import annotations

import contextlib
import os
import wave
from pathlib import Path
from typing import Any, Final

import pyttsx3
from pyttsx3.drivers import _espeak

from ..errors import PromptError
from ..workers import serve
from .sound import Samples, answer, pcm16

PROBE: Final = 65536
"""Octets."""


def speak(engine: Any, request: dict[str, Any]) -> tuple[Samples, int]:
    """Say `text` with `voice`, `speed` (words a minute) and `pitch`: samples and their rate."""
    spoken = Path(request["target"]).with_suffix(f".{os.getpid()}.source")
    spoken.parent.mkdir(parents=True, exist_ok=True)
    try:
        engine.setProperty("voice", request["voice"])
        engine.setProperty("rate", request["speed"])
        engine.setProperty("pitch", request["pitch"])
        engine.save_to_file(request["text"], str(spoken))
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):  # it announces the file
            engine.runAndWait()
            _espeak.Synchronize()  # runAndWait may come back before the last samples have been written
        if not spoken.exists():
            raise PromptError("espeak-ng wrote no audio")
        try:
            with wave.open(str(spoken), "rb") as file:
                octets, rate_hz = file.readframes(file.getnframes()), file.getframerate()
        except (EOFError, wave.Error) as error:
            spoken.write_bytes(bytes(PROBE))  # which says why espeak-ng could not: the disk is full, as a rule
            raise PromptError(f"espeak-ng wrote no WAV file: {error}") from error
    finally:
        spoken.unlink(missing_ok=True)
    return pcm16(octets), rate_hz


def main() -> None:
    """Be a worker."""
    engine = pyttsx3.init("espeak")
    serve(answer(lambda request: speak(engine, request)))


if __name__ == "__main__":
    main()
