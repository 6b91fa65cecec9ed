"""Whatever Play names, as audio ready to play: fetched, decoded and cached.

Reference: Play. `http` and `https` URLs are cached by the HTTP rules (`freshness`), files are read only below
the configured roots and decoded again when they change; playlists (HLS) and streams (RTMP) are not cached. However
many calls ask for the same audio at once, it is downloaded and decoded once. Playing may begin long before either
has come to its end. The loop never blocks: decoding is a worker process's, files are a thread's.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import aiohttp

from .audio_cache import AudioCache, SingleFlight, digest
from .audio_formats import PROTOCOLS, headerless, is_playlist
from .download import OK, Download, DownloadLimits, UnavailableError, request
from .errors import PromptError
from .flexml.verb import Prompt
from .freshness import Freshness, freshness
from .making import Making
from .makings import Makings, PromptLimits
from .names import HttpNames
from .responses import Responses

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

SOON_S: Final = 0.25
"""What is downloaded within that is decoded like a file."""
LOOK_EVERY_S: Final = 1.0
"""How often a cached file that is asked for all the time is looked at, and marked as used."""
HLS: Final = re.compile(r"hls(\+(?P<over>https?))?://", re.IGNORECASE)

log = logging.getLogger(__name__)

__all__ = ["PromptLimits", "Prompts"]


class Prompts:
    """Fetches and decodes. `roots` are the directories below which files may be played."""

    def __init__(self, cache_dir: Path, *, roots: Sequence[Path] = (), limits: PromptLimits | None = None) -> None:
        self._limits = limits = limits or PromptLimits()
        self._roots = tuple(root.resolve() for root in roots)
        self._cache = AudioCache(cache_dir, max_bytes=limits.cache_bytes)
        self._responses = Responses(self._cache)
        self._makings = Makings(self._cache, limits)
        self._flights: SingleFlight[Prompt | Making] = SingleFlight()
        self._session: aiohttp.ClientSession | None = None
        self._recent: dict[tuple[str, int, bool], Prompt] = {}
        """What was found in the cache within the last `LOOK_EVERY_S`."""

    async def start(self) -> None:
        """Open the cache and the HTTP session, start the decoders."""
        await self._cache.start()
        await self._makings.start()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=HttpNames()),  # slow servers are not to hold up others
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": "FlexML-Engine", "Accept": "audio/*, */*;q=0.5"},
        )

    async def close(self) -> None:
        """Stop what is under way, end the decoders."""
        await self._flights.close()
        await self._makings.close()
        await self._cache.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def pids(self) -> list[int]:
        """Process ids of the decoders."""
        return self._makings.decoders.pids

    async def fetch(
        self, url: str, rate_hz: int = 8000, *, streaming: bool = False, pre_buffer_s: float = 0.0
    ) -> Prompt:
        """The audio that `url` names (http, https, hls, rtmp, file, or a plain path), perhaps with more to come.

        `pre_buffer_s` is to be there first. With `streaming` it is a broadcast: who opens it hears it from its first
        sample, whoever comes later from `pre_buffer_s` before the newest. Raises PromptError.
        """
        url = HLS.sub(lambda found: f"{found['over'] or 'http'}://", url.strip())
        key = (url, rate_hz, streaming)
        if key in self._recent and self._responses.fresh(url):
            return self._recent[key]
        try:
            return await self._share(key, lambda: self._fetch(key), pre_buffer_s)
        except PromptError as error:
            raise PromptError(f"{url}: {error}") from error

    async def fetch_file(self, path: Path, rate_hz: int = 8000, url: str = "") -> Prompt:
        """The audio in a file of ours; `url` is what it is called. Raises PromptError."""
        key = (path, rate_hz)
        try:
            return await self._share(key, lambda: self._file(key, rate_hz, path, url), 0.0)
        except PromptError as error:
            raise PromptError(f"{url or path}: {error}", url=url) from error

    async def _share(
        self, key: object, start: Callable[[], Coroutine[object, object, Prompt | Making]], pre_buffer_s: float
    ) -> Prompt:
        """What is under way for `key`, or else what `start` begins."""
        under_way = None if key in self._flights else self._makings.under_way(key)
        found = under_way or await self._flights.share(key, start)
        return found if isinstance(found, Prompt) else await found.prompt(pre_buffer_s, first=under_way is None)

    async def _fetch(self, key: tuple[str, int, bool]) -> Prompt | Making:
        url, _, streaming = key
        try:
            scheme = urlsplit(url).scheme.lower()
        except ValueError as error:
            raise PromptError(f"not a URL: {error}") from error
        if scheme in PROTOCOLS and (streaming or is_playlist(url) or scheme.startswith("rtmp")):
            return await self._begin_stream(key, url)
        if scheme in {"http", "https"}:
            return await self._remote(key)
        if scheme in {"", "file"}:
            return await self._file(key, key[1], await asyncio.to_thread(self._find, url), url)
        raise PromptError(f"scheme {scheme!r}; allowed: http, https, hls, rtmp, rtmps, file")

    # ---- files -----------------------------------------------------------------------------------------------

    def _find(self, url: str) -> Path:
        """The file that is meant. Links are followed first, so that none leads out of a root."""
        name = unquote(urlsplit(url).path) if url[:5].lower() == "file:" else url
        if not name or "\0" in name:
            raise PromptError("names no file")
        for root in self._roots:
            with suppress(OSError, RuntimeError):  # links that lead in a circle, names that are too long
                path = (root / name).resolve()
                if path.is_relative_to(root) and path.is_file():
                    return path
        raise PromptError("no such file in the directories that may be played from")

    async def _file(self, key: object, rate_hz: int, path: Path, url: str) -> Prompt | Making:
        try:
            found = await asyncio.to_thread(path.stat)
        except OSError as error:
            raise PromptError(f"cannot be read: {error.strerror}") from error
        content = digest(str(path), f"{found.st_mtime_ns} {found.st_size}", rate_hz)
        cached = await self._cache.prompt(content, rate_hz, url=url)
        if cached is not None:
            return cached
        making = self._makings.new(rate_hz, url)

        async def work() -> Prompt:
            await self._makings.decode_file(making, path, found.st_size, headerless(str(path)))
            return await self._makings.keep(making, content)

        return await self._makings.begin(key, making, work)

    # ---- HTTP ------------------------------------------------------------------------------------------------

    async def _remote(self, key: tuple[str, int, bool]) -> Prompt | Making:
        """Use what is cached while it is fresh; else ask, and use it if it has not changed or nobody answers."""
        url, rate_hz, _ = key
        known = await self._responses.known(url)
        cached = await self._cache.prompt(digest(url, known.content, rate_hz), rate_hz, url=url)
        if cached and self._responses.fresh(url):
            self._recent[key] = cached
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._recent.pop, key, None)
            return cached
        try:
            return await self._ask(key, known, cached)
        except UnavailableError as error:
            if cached is None or not known.stale_ok:
                raise
            log.warning("%s: %s; the copy in the cache is used", url, error)
            return cached

    async def _ask(self, key: tuple[str, int, bool], known: Freshness, cached: Prompt | None) -> Prompt | Making:
        url, rate_hz, _ = key
        if self._session is None:
            raise PromptError("the HTTP client is not started")
        limits = DownloadLimits(
            timeout_s=self._limits.timeout_s, max_bytes=self._limits.max_download, redirects=self._limits.redirects
        )
        answer = await request(self._session, url, conditions=known.conditions() if cached else {}, limits=limits)
        if cached and answer.status != OK:
            answer.close()
            await self._responses.remember(url, known.renewed(freshness(answer.headers, known.content)))
            return cached
        if is_playlist(answer.url, answer.content_type):
            answer.close()
            return await self._begin_stream(key, answer.url)
        making = self._makings.new(rate_hz, url)
        return await self._makings.begin(
            key, making, lambda: self._download(making, answer, known.content if cached else "")
        )

    async def _download(self, making: Making, answer: Download, known: str) -> Prompt | None:
        """Download and decode, at the same time where it takes long. Raises PromptError if that is not all of it."""
        source = making.path.with_suffix(".source")
        saving = asyncio.create_task(answer.save(source))
        try:
            await asyncio.wait({saving}, timeout=SOON_S)
            if self._makings.decoders.full:
                await asyncio.wait({saving})
            await self._decode_download(making, answer, saving, source, known)
            content = await saving
            await self._responses.remember(making.url, freshness(answer.headers, content))
            key = digest(making.url, content, making.rate_hz)
            if content == known and (cached := await self._cache.prompt(key, making.rate_hz, url=making.url)):
                return cached
            return await self._makings.keep(making, key)
        finally:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
            answer.close()
            await asyncio.to_thread(source.unlink, missing_ok=True)

    async def _decode_download(
        self, making: Making, answer: Download, saving: asyncio.Task[str], source: Path, known: str
    ) -> None:
        """Decode what has come or comes. Why the download broke off matters more than what the decoder says of it."""
        demuxer = headerless(answer.url, answer.content_type) or headerless(making.url)
        try:
            if not saving.done():
                await self._makings.decode_download(making, answer, saving, source, demuxer)
            elif answer.size and (saving.exception() or saving.result() != known):
                await self._makings.decode_file(making, source, answer.size, demuxer)
        except PromptError as error:
            broken = saving.exception() if saving.done() else None
            if broken is None and answer.content_type and not making.growth.available:
                raise PromptError(f"{error} (sent as {answer.content_type})") from error
            raise broken or error from error

    # ---- streams ---------------------------------------------------------------------------------------------

    async def _begin_stream(self, key: tuple[str, int, bool], url: str) -> Prompt | Making:
        making = self._makings.new(key[1], key[0])
        stream = key[2] or url.lower().startswith("rtmp")

        async def work() -> None:
            await self._makings.decode_url(making, url, stream=stream)

        return await self._makings.begin(key, making, work)
