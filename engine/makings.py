"""Everything that is being made: begun once for all who want it, seen through to its end, kept or thrown away.

What a decoder process has to do for a file, for a download and for a stream is here; where audio comes from and
under which name it is cached is `prompts`' to know.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .audio_cache import KEEP_S, AudioCache
from .decoders import Decoders
from .errors import PromptError
from .flexml.verb import Prompt
from .growing_file import SAMPLE
from .making import Making, feed, follow, pace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from .download import Download

    Work = Callable[[], Coroutine[object, object, Prompt | None]]

SMALL: Final = 512 * 1024
"""Octets of a file that keep nobody waiting who comes next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLimits:
    """What one prompt may take.

    Nothing may come for `timeout_s`, from a server or from a decoder; the first sound takes twice that at most. Of
    what is slow, long or a stream there are `processes` at a time; a stream, and a download of no announced length,
    ends `linger_s` after its last listener, a download of an announced one `timeout_s` after that.
    """

    timeout_s: float = 30.0
    max_download: int = 50 * 1024 * 1024
    max_duration_s: int = 2 * 3600
    redirects: int = 5
    cache_bytes: int = 2 * 1024**3
    workers: int = 1
    processes: int = 32
    linger_s: float = 10.0


class Makings:
    """What is under way, by its key."""

    def __init__(self, cache: AudioCache, limits: PromptLimits) -> None:
        self._cache, self._limits = cache, limits
        self.decoders = Decoders(size=limits.workers, most=limits.processes, timeout_s=limits.timeout_s)
        self._under_way: dict[object, Making] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._made: list[tuple[float, Making]] = []
        """What is complete and since when; its files may still be named by somebody."""

    async def start(self) -> None:
        """Start the decoders."""
        await self.decoders.start()

    async def close(self) -> None:
        """Give up what is under way, end the decoders."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.decoders.close()

    def under_way(self, key: object) -> Making | None:
        """What is being made for that key now."""
        return self._under_way.get(key)

    def new(self, rate_hz: int, url: str) -> Making:
        """Something to be made, in a file of its own."""
        return Making(self._cache.growing / f"{uuid.uuid4().hex}.pcm", rate_hz=rate_hz, url=url)

    async def begin(self, key: object, making: Making, work: Work) -> Prompt | Making:
        """Let `work` make it; returns once something can be heard. Raises PromptError.

        What `work` gives is the audio as it is found in the cache; None where it is not kept.
        """
        task = asyncio.create_task(self._see_through(key, making, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._under_way[key] = making
        await making.ready()
        return making.result or making

    async def _see_through(self, key: object, making: Making, work: Work) -> None:
        timeout_s = 2 * self._limits.timeout_s
        result, error = None, PromptError("it has been given up")
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                making.begun = lambda: deadline.reschedule(None)
                result, error = await work(), None
        except TimeoutError:
            error = PromptError(f"no sound came within {timeout_s:g} s")
        except PromptError as caught:
            error = caught
        except OSError as caught:
            error = PromptError(f"{caught.strerror}: {caught.filename}")
        finally:
            self._under_way.pop(key, None)
            making.end(result, error)
            self._made.append((asyncio.get_running_loop().time(), making))
        await self._sweep()

    async def _sweep(self) -> None:
        """Remove the files of what is complete, once nobody can be about to play them, or they are too much."""
        oldest, room = asyncio.get_running_loop().time() - KEEP_S, self._limits.cache_bytes // 4
        kept: list[tuple[float, Making]] = []
        for at, making in reversed(self._made):
            if making.wanted and at > oldest:
                room -= making.growth.available * SAMPLE
            if making.growth.listeners or (making.wanted and at > oldest and room >= 0):
                kept.append((at, making))
        gone = set(self._made) - set(kept)
        self._made = kept[::-1]
        for _, making in gone:
            await asyncio.to_thread(making.path.unlink, missing_ok=True)

    async def keep(self, making: Making, key: str) -> Prompt:
        """Let what has been made be found in the cache."""
        await self._cache.keep(key, making.path)
        prompt = await self._cache.prompt(key, making.rate_hz, url=making.url)
        await self._cache.evict()
        if prompt is None:
            raise PromptError("the decoded file has been removed")
        return prompt

    # ---- decoding: all raise PromptError -----------------------------------------------------------------------

    async def decode_file(self, making: Making, source: Path, size: int, demuxer: str) -> None:
        """Decode a file that is all there."""
        fields = self._request(making) | {"source": str(source), "form": demuxer}
        if size <= SMALL:
            making.take(await self.decoders.in_pool(making.took, **fields))
            return
        async with self.decoders.of_its_own() as process:
            process.tell(**fields)
            await follow(process, making, self._limits.timeout_s)

    async def decode_download(
        self, making: Making, answer: Download, saving: asyncio.Task[str], source: Path, demuxer: str
    ) -> None:
        """Decode a file while `saving` writes it."""
        async with self.decoders.of_its_own() as process:
            process.tell(**self._request(making), source=str(source), form=demuxer, growing=True)
            timeout_s, linger_s = self._limits.timeout_s, self._limits.linger_s
            await feed(process, making, answer, saving, timeout_s=timeout_s, linger_s=linger_s)

    async def decode_url(self, making: Making, url: str, *, stream: bool) -> None:
        """Decode what the decoder fetches itself, for as long as somebody listens."""
        timeout_s = self._limits.timeout_s
        async with self.decoders.of_its_own(wait=False) as process:
            process.tell(**self._request(making), url=url, stream=stream, timeout_s=timeout_s)
            await pace(process, making, timeout_s=timeout_s, linger_s=self._limits.linger_s)

    def _request(self, making: Making) -> dict[str, object]:
        return {"target": str(making.path), "rate_hz": making.rate_hz, "max_s": self._limits.max_duration_s}
