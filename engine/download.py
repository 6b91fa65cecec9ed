"""Download a body to a file: streamed, bounded in size and time."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from .errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHUNK: Final = 64 * 1024
NOT_MODIFIED: Final = 304


class UnavailableError(PromptError):
    """The server cannot be reached, or says that it cannot answer now: a cached copy would do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """Status (200 or 304) and headers of the response; `content` is the SHA-256 of what is in the file now."""

    status: int
    headers: Mapping[str, str]
    content: str = ""


async def download(
    session: aiohttp.ClientSession,
    url: str,
    target: Path,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    max_bytes: int,
    redirects: int,
) -> Downloaded:
    """GET `url` into `target`. Raises UnavailableError, or PromptError when there is nothing to be had."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            session.get(url, headers=headers, max_redirects=redirects) as response,
        ):
            if response.status == NOT_MODIFIED and headers:
                return Downloaded(status=NOT_MODIFIED, headers=response.headers)
            if response.status >= 500:
                raise UnavailableError(f"status {response.status}")
            if response.status != 200:
                raise PromptError(f"status {response.status}; expected 200")
            content = await _save(response, target, max_bytes)
            return Downloaded(status=200, headers=response.headers, content=content)
    except TimeoutError as error:
        raise UnavailableError(f"not downloaded within {timeout_s:g} s") from error
    except aiohttp.TooManyRedirects as error:
        raise PromptError(f"more than {redirects} redirects") from error
    except (aiohttp.InvalidURL, ValueError) as error:
        raise PromptError(f"not an http or https URL: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnavailableError(f"{type(error).__name__}: {error}") from error


async def _save(response: aiohttp.ClientResponse, target: Path, max_bytes: int) -> str:
    """Write the body, a thread doing the writing; gives its SHA-256."""
    sha, size = hashlib.sha256(), 0
    file = await asyncio.to_thread(target.open, "wb")
    try:
        async for chunk in response.content.iter_chunked(CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise PromptError(f"longer than the {max_bytes} octets allowed")
            sha.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
    if size == 0:
        raise PromptError("the body is empty")
    return sha.hexdigest()
