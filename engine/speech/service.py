"""Say: text to audio ready to play, synthesised once for each text, voice and rate, and kept on disk.

Reference: Say. The cache's key is the whole synthesis request, the versions of what synthesises included, so
that an upgrade does not play old audio. Text is bounded and stripped of control characters before it goes
anywhere; it is text, never markup.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from ..audio_cache import AudioCache, SingleFlight, digest
from ..errors import PromptError
from ..workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from ..flexml.verb import Prompt

MAX_TEXT: Final = 4096
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """A voice as espeak-ng and pyttsx3 take it; `speed` in words a minute, `pitch` 0 to 99."""

    voice: str
    speed: int = 160
    pitch: int = 50


VOICES: Final = {"man": Voice(voice="en-us"), "woman": Voice(voice="en-us+f3")}
DEFAULT_VOICE: Final = "man"


class Speech:
    """Speaks with a pool of `workers` processes, each request done within `timeout_s`."""

    def __init__(
        self, cache_dir: Path, *, workers: int = 1, timeout_s: float = 30.0, cache_bytes: int = 1024**3
    ) -> None:
        self._cache = AudioCache(cache_dir, max_bytes=cache_bytes)
        self._workers = Workers("flexml.engine.speech.espeak", size=workers, timeout_s=timeout_s)
        self._flights: SingleFlight[Prompt] = SingleFlight()
        self._engine = ""

    async def start(self) -> None:
        """Open the cache and start the processes. Raises PromptError when espeak-ng is not installed."""
        await self._cache.start()
        self._engine = f"pyttsx3 {version('pyttsx3')}, {await _espeak_version()}"
        await self._workers.start()
        log.info("speech by %s", self._engine)

    async def close(self) -> None:
        """Stop what is under way, end the processes."""
        await self._flights.close()
        await self._workers.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return self._workers.pids

    async def say(self, text: str, voice: str = DEFAULT_VOICE, rate_hz: int = 8000) -> Prompt:
        """`text` as audio; a `voice` that is not in VOICES is the default voice. Raises PromptError."""
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not text:
            raise PromptError("there is no text to say")
        if len(text) > MAX_TEXT:
            raise PromptError(f"the text has {len(text)} characters; at most {MAX_TEXT} can be said")
        chosen = VOICES.get(voice.lower(), VOICES[DEFAULT_VOICE])
        key = digest(self._engine, text, asdict(chosen), rate_hz)
        return await self._flights.share(key, lambda: self._say(key, text, chosen, rate_hz))

    async def _say(self, key: str, text: str, voice: Voice, rate_hz: int) -> Prompt:
        prompt = await self._cache.prompt(key, rate_hz)
        if prompt is not None:
            return prompt
        target = str(self._cache.path(key))
        try:
            await self._workers.run(text=text, target=target, rate_hz=rate_hz, **asdict(voice))
        except PromptError as error:
            await self._cache.discard(key)
            raise PromptError(f"cannot say {text[:40]!r}: {error}") from error
        prompt = await self._cache.prompt(key, rate_hz)
        if prompt is None:
            raise PromptError(f"cannot say {text[:40]!r}: the audio has been removed")
        await self._cache.evict()
        return prompt


async def _espeak_version() -> str:
    """What espeak-ng says it is: part of the cache's key."""
    try:
        process = await asyncio.create_subprocess_exec(
            "espeak-ng", "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise PromptError(f"espeak-ng cannot be run, which speech needs: {error}") from error
    output, _ = await process.communicate()
    return output.decode(errors="replace").partition("Data at")[0].strip()
