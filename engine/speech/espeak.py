"""Speak text with pyttsx3 over espeak-ng, as a worker process (`python -m flexml.engine.speech.espeak`).

pyttsx3 has one engine for a process and blocks until the last word, which is why this is a process. It writes
a WAV file at espeak's rate; that is then converted like any other audio (`decode`) and loses the silence
that espeak leaves at the end. pyttsx3 reports some failures only by not writing the file: its absence is
the sign that is looked for.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

import pyttsx3
from pyttsx3.drivers import _espeak

from ..decode import decode
from ..errors import PromptError
from ..workers import serve

MAX_S: Final = 3600
"""More than the longest text can take to say."""


def speaker() -> Any:
    """The engine of this process."""
    return pyttsx3.init("espeak")


def speak(engine: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Say `text` with `voice`, `speed` (words a minute) and `pitch` into the file `target` at `rate_hz`."""
    target = Path(request["target"])
    spoken = target.with_suffix(f".{os.getpid()}.source")
    target.parent.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the cache
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
        samples = decode(spoken, target, rate_hz=request["rate_hz"], max_s=MAX_S, trim=True)
    finally:
        spoken.unlink(missing_ok=True)
    return {"samples": samples}


def main() -> None:
    """Be a worker."""
    engine = speaker()
    serve(lambda request: speak(engine, request))


if __name__ == "__main__":
    main()
