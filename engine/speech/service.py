"""Say: text to audio ready to play, synthesised once for each text, voice and rate, and kept on disk.

Reference: Say. The cache's key is the whole synthesis request, the versions of what synthesises included, so
that an upgrade does not play old audio. Text is text, never markup; there may be `pauses` in it. A text of several
pieces (`sentences`) can be played as soon as the first is there: the others are appended to the same file (`joined`)
while it plays. Each piece is kept by itself too. A voice that cannot be had, now or at all, is replaced by one that
can.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..audio_cache import AudioCache, SingleFlight, digest
from ..errors import PromptError
from ..growth import Growth
from .joined import MARK, Joined
from .polly_voices import PREFIX, Polly, PollySettings
from .reading import clean, spoken
from .sentences import Piece, pieces
from .synthesizer import Synthesizer
from .voices import AUDIO_RULES, BACKENDS, DEFAULT_VOICE, Voice, voices, why_not

if TYPE_CHECKING:
    from ..flexml.verb import Prompt

MAX_TEXT: Final = 65536
"""Characters: as much as the largest document that is read by default."""
MAX_REASONS: Final = 1000
POLLY_PROCESSES: Final = 2
"""For each of another voice: they wait for the network rather than compute."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechSettings:
    """`man` and `woman`: auto, espeak, or the neural voice's name. `processes` for each synthesiser in use."""

    man: str = "auto"
    woman: str = "auto"
    processes: int = 1
    timeout_s: float = 30.0
    cache_bytes: int = 1024**3
    polly: PollySettings = field(default_factory=PollySettings)


@dataclass(frozen=True, slots=True)
class _Request:
    """What a sound depends on besides the words: the voice, the engine with its version, the rate."""

    voice: Voice
    engine: str
    rate_hz: int

    def key(self, words: object) -> str:
        """The cache's key for `words`, a text or what will be joined."""
        return digest(AUDIO_RULES, self.engine, asdict(self.voice), self.rate_hz, words)


class Speech:
    """Speaks with worker processes, and keeps what was spoken below `cache_dir`."""

    def __init__(self, cache_dir: Path, settings: SpeechSettings | None = None) -> None:
        self._settings = settings = settings or SpeechSettings()
        self._cache = AudioCache(cache_dir, max_bytes=settings.cache_bytes)
        self._words = {"man": voices("man", settings.man), "woman": voices("woman", settings.woman)}
        self._polly = Polly(settings.polly, size=POLLY_PROCESSES * settings.processes, timeout_s=settings.timeout_s)
        self._synthesizers = {
            name: Synthesizer(BACKENDS[name], size=settings.processes, timeout_s=settings.timeout_s)
            for name in {voice.backend for chosen in self._words.values() for voice in chosen}
        }
        self._pieces: SingleFlight[Prompt] = SingleFlight()
        self._texts: SingleFlight[Prompt] = SingleFlight()
        self._growing: dict[str, tuple[Prompt, asyncio.Task[None]]] = {}
        self._reasons: dict[str, str] = {}
        self._espeak = ""

    async def start(self) -> None:
        """Open the cache and start the processes. Raises PromptError when what is configured is not installed."""
        for word in self._words:
            if why := why_not(word, getattr(self._settings, word)):
                raise PromptError(why)
        await self._cache.start()
        await asyncio.to_thread(_clear, self._cache.directory)
        self._espeak = await _espeak_version()
        for synthesizer in self._synthesizers.values():
            await synthesizer.start()
        self._synthesizers["polly"] = self._polly.synthesizer
        self._polly.start()
        for word, (voice, *_) in self._words.items():
            log.info("%s speaks by %s", word, self._engine(voice))

    async def close(self) -> None:
        """Stop what is under way, end the processes."""
        await self._texts.close()
        tasks = [task for _, task in self._growing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pieces.close()
        for synthesizer in self._synthesizers.values():
            await synthesizer.close()
        await self._polly.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [pid for synthesizer in self._synthesizers.values() for pid in synthesizer.pids]

    def fallback_reason(self, voice: str) -> str:
        """Why another voice spoke instead of `voice` when it was last asked for; empty where none did."""
        return self._reasons.get(voice.strip().lower(), "")

    async def whole(self, text: str, voice: str = DEFAULT_VOICE, rate_hz: int = 8000) -> Prompt:
        """`text` as audio, all of it. Raises PromptError."""
        prompt = await self.say(text, voice, rate_hz)
        growth = prompt.growth
        if growth is None:
            return prompt
        while not growth.complete:
            await growth.changed()
        if growth.error:
            raise PromptError(growth.error)
        return replace(prompt, growth=None, duration_ms=growth.available * 1000 // rate_hz)

    async def say(self, text: str, voice: str = DEFAULT_VOICE, rate_hz: int = 8000) -> Prompt:
        """`text` as audio, of which the rest may still be made: then the prompt has a growth. Raises PromptError.

        Where `voice` cannot be had another one speaks, and `fallback_reason` tells why.
        """
        text = clean(text)
        if not text:
            raise PromptError("there is no text to say")
        if len(text) > MAX_TEXT:
            raise PromptError(f"the text has {len(text)} characters; at most {MAX_TEXT} can be said")
        reason, candidates = await self._candidates(voice)
        for candidate in candidates:
            try:
                prompt = await self._say(text, candidate, rate_hz)
            except PromptError as error:
                if candidate is candidates[-1]:
                    raise
                reason = f"{candidate.backend}: {error}"
                log.warning("another voice speaks: %s", reason)
            else:
                self._remember(voice, reason)
                return prompt
        raise PromptError("there is no voice")

    async def _candidates(self, voice: str) -> tuple[str, tuple[Voice, ...]]:
        """What could speak for `voice`, the best first, and why that is not what was asked for."""
        word = voice.strip().lower()
        if word in self._words:
            return "", self._words[word]
        default = self._words[DEFAULT_VOICE]
        if not word.startswith(PREFIX):
            return f'there is no voice "{voice}"', default
        try:
            return "", (await self._polly.voice(word.removeprefix(PREFIX)), *default)
        except PromptError as error:
            return str(error), default

    def _remember(self, voice: str, reason: str) -> None:
        word = voice.strip().lower()
        self._reasons.pop(word, None)
        if reason:
            self._reasons[word] = reason
        while len(self._reasons) > MAX_REASONS:
            self._reasons.pop(next(iter(self._reasons)))

    def _engine(self, voice: Voice) -> str:
        """What synthesises that voice, with its version."""
        label = self._synthesizers[voice.backend].label
        return f"{label}, {self._espeak}" if voice.backend == "espeak" else label

    # ---- one text -----------------------------------------------------------------------------------------------

    async def _say(self, text: str, voice: Voice, rate_hz: int) -> Prompt:
        """What is there already, or what is under way, or the beginning of something new."""
        request = _Request(voice, self._engine(voice), rate_hz)
        wanted = pieces(spoken(text) if voice.english else text, self._synthesizers[voice.backend].lengths)
        now = asyncio.get_running_loop().time()
        try:
            if len(wanted) == 1 and not wanted[0].pause_ms:
                return await self._piece(request, wanted[0], now, last=True)
            key = request.key(wanted)
            under_way, _ = self._growing.get(key, (None, None))
            if under_way is not None and under_way.growth is not None and not under_way.growth.complete:
                return under_way
            return await self._texts.share(key, lambda: self._begin(key, request, wanted, now))
        except (PromptError, OSError) as error:
            raise PromptError(f"cannot say {text[:40]!r}: {error}") from error

    async def _begin(self, key: str, request: _Request, wanted: list[Piece], now: float) -> Prompt:
        """The whole text if it is in the cache; else what there is once the first piece is."""
        rate_hz = request.rate_hz
        joined = Joined(self._cache.path(key), rate_hz)
        if not await asyncio.to_thread(lambda: joined.left_over):
            prompt = await self._cache.prompt(key, rate_hz)
            if prompt is not None:
                return prompt
        first = await self._audio(request, wanted[0], now)
        await asyncio.to_thread(joined.begin)
        await asyncio.to_thread(joined.append, first, wanted[0].pause_ms)
        growth = Growth()
        growth.grow(joined.samples)
        prompt = await self._cache.prompt(key, rate_hz)
        if prompt is None:
            raise PromptError("the audio has been removed")
        prompt = replace(prompt, growth=growth, duration_ms=0)
        task = asyncio.create_task(self._continue(request, wanted[1:], joined, growth))
        self._growing[key] = prompt, task
        task.add_done_callback(lambda done: self._grown(key, done))
        return prompt

    def _grown(self, key: str, task: asyncio.Task[None]) -> None:
        """Forget a text that does not grow any more; it may have been begun anew meanwhile."""
        if self._growing[key][1] is task:
            del self._growing[key]

    async def _continue(self, request: _Request, wanted: list[Piece], joined: Joined, growth: Growth) -> None:
        """Append the other pieces, each due when those before it have been played."""
        started = asyncio.get_running_loop().time()
        error = "the engine is ending"
        try:
            for piece in wanted:
                made = await self._audio(request, piece, started + joined.samples / request.rate_hz)
                await asyncio.to_thread(joined.append, made, piece.pause_ms)
                growth.grow(joined.samples)
            await asyncio.to_thread(joined.complete)
            error = ""
        except (PromptError, OSError) as found:
            error = str(found)
            log.warning("speech breaks off: %s", found)
        finally:
            if error:
                joined.abandon()
            growth.finish(error)
        await self._cache.evict()

    # ---- one piece ----------------------------------------------------------------------------------------------

    async def _audio(self, request: _Request, piece: Piece, due: float) -> Path | None:
        """Where the piece's audio is; None where it is only a pause. Raises PromptError."""
        return Path((await self._piece(request, piece, due)).path) if piece.text else None

    async def _piece(self, request: _Request, piece: Piece, due: float, *, last: bool = False) -> Prompt:
        """The piece from the cache, or made when its turn comes. Raises PromptError."""
        key = request.key(piece.text)
        prompt = await self._cache.prompt(key, request.rate_hz)
        return prompt or await self._pieces.share(key, lambda: self._make(key, request, piece.text, due, last))

    async def _make(self, key: str, request: _Request, text: str, due: float, last: bool) -> Prompt:
        target = self._cache.path(key)
        synthesizer = self._synthesizers[request.voice.backend]
        try:
            await synthesizer.speak(request.voice, text, target, request.rate_hz, due)
        except PromptError:
            await self._cache.discard(key)
            raise
        prompt = await self._cache.prompt(key, request.rate_hz)
        if prompt is None:
            raise PromptError("the audio has been removed")
        if last:
            await self._cache.evict()
        return prompt


def _clear(directory: Path) -> None:
    """Remove what an earlier run began and did not complete."""
    for mark in directory.glob(f"*{MARK}"):
        Joined(mark.with_suffix(".pcm"), 0).abandon()


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
