"""Download a body to a file: streamed, bounded in size, and in the time in which nothing comes."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from .errors import PromptError
from .opening import opened
from .unreached import why_unreached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import BinaryIO

CHUNK: Final = 64 * 1024
OK: Final = 200
NOT_MODIFIED: Final = 304


class UnavailableError(PromptError):
    """The server cannot be reached, or says that it cannot answer now: a cached copy would do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadLimits:
    """`timeout_s` is for the answer, and again for each piece of its body."""

    timeout_s: float
    max_bytes: int
    redirects: int


class Download:
    """An answer, 200 or 304, whose body is still to come. `save` it or `close` it."""

    def __init__(self, response: aiohttp.ClientResponse, limits: DownloadLimits) -> None:
        self._response, self._limits = response, limits
        self.status, self.headers, self.url = response.status, response.headers, str(response.url)
        self.size = 0
        """Octets saved so far."""
        self.grown: Callable[[], None] = lambda: None
        """Called after each piece that was saved."""

    @property
    def content_type(self) -> str:
        """As the server says; empty where it does not."""
        return self.headers.get("Content-Type", "")

    @property
    def announced(self) -> bool:
        """True where the server says how long the body is; without that it may have no end."""
        return self._response.content_length is not None

    def close(self) -> None:
        """Hang up."""
        self._response.close()

    async def save(self, target: Path) -> str:
        """Write the body, a thread doing the writing; gives its SHA-256.

        Raises UnavailableError where the body breaks off or cannot be written, PromptError where it is empty or too
        large.
        """
        try:
            return await self._save(target)
        except TimeoutError as error:
            raise UnavailableError(f"nothing more came for {self._limits.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            announced = self.headers.get("Content-Length")
            of = f" of {announced}" if announced else ""
            raise UnavailableError(f"the download broke off after {self.size}{of} octets") from error
        finally:
            self.close()

    async def _save(self, target: Path) -> str:
        limits, sha, loop = self._limits, hashlib.sha256(), asyncio.get_running_loop()
        file = await opened(_writable, target)

        async def write(chunk: bytes) -> None:
            room = limits.max_bytes - self.size
            sha.update(chunk)
            try:
                await asyncio.to_thread(_write, file, chunk[:room])
            except OSError as error:
                raise UnavailableError(f"what comes cannot be written to {target.parent}: {error.strerror}") from error
            self.size += min(len(chunk), room)
            self.grown()
            if len(chunk) > room:
                raise PromptError(f"longer than the {limits.max_bytes} octets allowed")

        try:
            async with asyncio.timeout(limits.timeout_s) as deadline:
                async for chunk in self._response.content.iter_chunked(CHUNK):
                    deadline.reschedule(loop.time() + limits.timeout_s)
                    await write(chunk)
        except aiohttp.ClientError:
            await write(_left(self._response))
            raise
        finally:
            file.close()  # at once: a thread's turn might never come for who is being cancelled
        if self.size == 0:
            raise PromptError("the body is empty; expected audio")
        return sha.hexdigest()


async def request(
    session: aiohttp.ClientSession, url: str, *, conditions: Mapping[str, str], limits: DownloadLimits
) -> Download:
    """GET `url`: the answer, its body not read. Raises UnavailableError, or PromptError if there is nothing there."""
    try:
        async with asyncio.timeout(limits.timeout_s):
            response = await session.get(url, headers=conditions, max_redirects=limits.redirects)
    except TimeoutError as error:
        raise UnavailableError(f"no answer within {limits.timeout_s:g} s") from error
    except aiohttp.TooManyRedirects as error:
        raise PromptError(f"more than {limits.redirects} redirects") from error
    except (aiohttp.InvalidURL, ValueError) as error:
        raise PromptError(f"not an http or https URL: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnavailableError(why_unreached(error)) from error
    try:
        _check(response, conditions, limits)
    except PromptError:
        response.close()
        raise
    return Download(response, limits)


def _writable(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the cache
    return path.open("wb", buffering=0)


def _write(file: BinaryIO, octets: bytes) -> None:
    """Write all of it, of which a disk that is nearly full takes a part first. Raises OSError."""
    while octets:
        octets = octets[file.write(octets) :]


def _check(response: aiohttp.ClientResponse, conditions: Mapping[str, str], limits: DownloadLimits) -> None:
    if response.status == NOT_MODIFIED and conditions:
        return
    if response.status >= 500:
        raise UnavailableError(f"status {response.status}")
    if response.status != OK:
        raise PromptError(f"status {response.status}; expected 200")
    if (response.content_length or 0) > limits.max_bytes:
        raise PromptError(f"{response.content_length} octets, longer than the {limits.max_bytes} octets allowed")


def _left(response: aiohttp.ClientResponse) -> bytes:
    """What came just before the connection broke; aiohttp keeps it, but lets nobody read it any more."""
    return response.content._read_nowait(-1)  # pyright: ignore[reportPrivateUsage]
