"""Whatever Play names, as audio ready to play: fetched, decoded and cached.

Reference: Play. `http` and `https` URLs are cached by the HTTP rules (`freshness`), files are read only below
the configured roots and decoded again when they change. However many calls ask for the same audio at once, it
is downloaded and decoded once. The loop never blocks: decoding is a worker process's, files are a thread's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import aiohttp

from .audio_cache import AudioCache, SingleFlight, digest
from .download import Downloaded, UnavailableError, download
from .errors import PromptError
from .freshness import Freshness, freshness
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flexml.verb import Prompt

OK: Final = 200
MAX_KNOWN: Final = 10_000
NO_AUDIO: Final = Freshness(content="")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLimits:
    """What one prompt may take: `timeout_s` to download, as much again to decode."""

    timeout_s: float = 30.0
    max_download: int = 50 * 1024 * 1024
    max_duration_s: int = 2 * 3600
    redirects: int = 5
    cache_bytes: int = 2 * 1024**3
    workers: int = 1


class Prompts:
    """Fetches and decodes. `roots` are the directories below which files may be played."""

    def __init__(self, cache_dir: Path, *, roots: Sequence[Path] = (), limits: PromptLimits | None = None) -> None:
        self._limits = limits or PromptLimits()
        self._roots = tuple(root.resolve() for root in roots)
        self._cache = AudioCache(cache_dir, max_bytes=self._limits.cache_bytes)
        self._workers = Workers("flexml.engine.decode", size=self._limits.workers, timeout_s=self._limits.timeout_s)
        self._flights: SingleFlight[Prompt] = SingleFlight()
        self._fresh_until: dict[str, float] = {}
        """By URL, in the loop's time: after a restart everything is asked for once."""
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the cache and the HTTP session, start the decoders."""
        await self._cache.start()
        await self._workers.start()
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": "FlexML-Engine", "Accept": "audio/*, */*;q=0.5"},
        )

    async def close(self) -> None:
        """Stop what is under way, end the decoders."""
        await self._flights.close()
        await self._workers.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, url: str, rate_hz: int = 8000) -> Prompt:
        """The audio that `url` names: http, https, file, or a plain path. Raises PromptError."""
        url = url.strip()
        try:
            return await self._flights.share((url, rate_hz), lambda: self._fetch(url, rate_hz))
        except PromptError as error:
            raise PromptError(f"{url}: {error}") from error

    async def _fetch(self, url: str, rate_hz: int) -> Prompt:
        try:
            scheme = urlsplit(url).scheme.lower()
        except ValueError as error:
            raise PromptError(f"not a URL: {error}") from error
        if scheme in {"http", "https"}:
            return await self._remote(url, rate_hz)
        if scheme in {"", "file"}:
            return await self._local(url, rate_hz)
        raise PromptError(f"scheme {scheme!r}; allowed: http, https, file")

    # ---- files -----------------------------------------------------------------------------------------------

    async def _local(self, url: str, rate_hz: int) -> Prompt:
        source, version = await asyncio.to_thread(self._find, url)
        key = digest(str(source), version, rate_hz)
        return await self._cache.prompt(key, rate_hz, url=url) or await self._decode(source, key, rate_hz, url)

    def _find(self, url: str) -> tuple[Path, str]:
        """The file that is meant, and its version. Links are followed first, so that none leads out of a root."""
        name = unquote(urlsplit(url).path) if url[:5].lower() == "file:" else url
        if not name or "\0" in name:
            raise PromptError("names no file")
        for root in self._roots:
            path = (root / name).resolve()
            if path.is_relative_to(root) and path.is_file():
                found = path.stat()
                return path, f"{found.st_mtime_ns} {found.st_size}"
        raise PromptError("no such file in the directories that may be played from")

    # ---- HTTP ------------------------------------------------------------------------------------------------

    async def _remote(self, url: str, rate_hz: int) -> Prompt:
        """Use what is cached while it is fresh; else ask, and use it if it has not changed or nobody answers."""
        known = await asyncio.to_thread(self._load, url)
        key = digest(url, known.content, rate_hz)
        cached = await self._cache.prompt(key, rate_hz, url=url) if known.content else None
        if cached and asyncio.get_running_loop().time() < self._fresh_until.get(url, 0.0):
            return cached
        source = self._cache.path(uuid.uuid4().hex, ".source")
        try:
            response = await self._download(url, source, known.conditions() if cached else {})
            found = freshness(response.headers, response.content or known.content)
            await self._remember(url, found if response.status == OK else known.renewed(found))
            if cached and found.content == known.content:
                return cached
            return await self._decode(source, digest(url, found.content, rate_hz), rate_hz, url)
        except UnavailableError as error:
            if cached is None or not known.stale_ok:
                raise
            log.warning("%s: %s; the copy in the cache is used", url, error)
            return cached
        finally:
            await asyncio.to_thread(source.unlink, missing_ok=True)

    async def _download(self, url: str, source: Path, conditions: dict[str, str]) -> Downloaded:
        if self._session is None:
            raise PromptError("the HTTP client is not started")
        limits = self._limits
        return await download(
            self._session,
            url,
            source,
            headers=conditions,
            timeout_s=limits.timeout_s,
            max_bytes=limits.max_download,
            redirects=limits.redirects,
        )

    async def _remember(self, url: str, found: Freshness) -> None:
        self._fresh_until.pop(url, None)
        if found.store and found.lifetime_s:
            self._fresh_until[url] = asyncio.get_running_loop().time() + found.lifetime_s
        while len(self._fresh_until) > MAX_KNOWN:
            self._fresh_until.pop(next(iter(self._fresh_until)))
        await asyncio.to_thread(self._save, url, found)

    def _known_path(self, url: str) -> Path:
        return self._cache.path(digest(url), ".json")

    def _save(self, url: str, found: Freshness) -> None:
        path = self._known_path(url)
        if not found.store:
            path.unlink(missing_ok=True)
            return
        partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        partial.write_text(json.dumps(asdict(found)), encoding="utf-8")
        partial.rename(path)

    def _load(self, url: str) -> Freshness:
        """What an earlier response said; nothing, where there was none or the file cannot be read."""
        try:
            return Freshness(**json.loads(self._known_path(url).read_bytes()))
        except (OSError, ValueError, TypeError):
            return NO_AUDIO

    # ---- decoding --------------------------------------------------------------------------------------------

    async def _decode(self, source: Path, key: str, rate_hz: int, url: str) -> Prompt:
        target, max_s = str(self._cache.path(key)), self._limits.max_duration_s
        try:
            await self._workers.run(source=str(source), target=target, rate_hz=rate_hz, max_s=max_s)
        except PromptError:
            await self._cache.discard(key)
            raise
        prompt = await self._cache.prompt(key, rate_hz, url=url)
        if prompt is None:
            raise PromptError("the decoded file has been removed")
        await self._cache.evict()
        return prompt
