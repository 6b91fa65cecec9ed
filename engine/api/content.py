"""A file's content as an HTTP response: whole, in parts (RFC 9110 section 14), or not at all, as conditions say.

The file is open before anything is told of it. So its length, its tag and its octets are of the same content,
whatever becomes of its name meanwhile. Reading is a thread's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .problem import Fault, Problem
from .ranges import Unsatisfiable, fails, unchanged, wanted_ranges

CHUNK: Final = 256 * 1024
SAFE: Final = "audio/"
"""What a browser may show by itself. Anything else, a page with scripts for one, it is told to save."""

Part = bytes | range
"""Octets as they are, or those of the file from and to where."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """An open file, and what is told of it: a strong entity tag with its quotes, the time in Unix seconds."""

    file: BinaryIO
    mime: str
    name: str
    tag: str
    modified: float

    @property
    def size(self) -> int:
        """In octets."""
        return os.fstat(self.file.fileno()).st_size


def respond(request: Request, content: Content, *, download: bool = False) -> Response:
    """What the client gets of it; the file is closed when that is over. Raises Problem: 412 or 416.

    With `download` a browser saves it, whatever it is.
    """
    size, told = content.size, _told(content, download=download)
    try:
        if fails(request.headers, content.tag, content.modified):
            raise Problem(412, "the file has changed")
        if unchanged(request.headers, content.tag, content.modified):
            content.file.close()
            return Response(status_code=304, headers={name: told[name] for name in ("ETag", "Last-Modified")})
        is_get = request.method == "GET"  # ranges mean nothing to any other method
        ranges = wanted_ranges(request.headers, content.tag, content.modified, size) if is_get else ()
    except Problem:
        content.file.close()
        raise
    except Unsatisfiable:
        content.file.close()
        fault = Fault("Range", f"the file has {size} octets")
        raise Problem(416, "range not satisfiable", [fault], headers={"Content-Range": f"bytes */{size}"}) from None
    parts, headers, status = _parts(content, size, ranges)
    return _FileResponse(content, parts, {**told, **headers}, status, empty=request.method == "HEAD")


def _told(content: Content, *, download: bool) -> dict[str, str]:
    saved = download or not content.mime.startswith(SAFE)
    return {
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition("attachment" if saved else "inline", content.name),
        "Content-Type": content.mime,
        "ETag": content.tag,
        "Last-Modified": formatdate(int(content.modified), usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }


def _parts(content: Content, size: int, ranges: Sequence[range]) -> tuple[Sequence[Part], Mapping[str, str], int]:
    """What the body is made of, the headers that say so, and the status."""
    if not ranges:
        return [range(size)], {"Content-Length": str(size)}, 200
    if len(ranges) == 1:
        (one,) = ranges
        return [one], {"Content-Length": str(len(one)), "Content-Range": _content_range(one, size)}, 206
    boundary = secrets.token_hex(16)
    parts: list[Part] = []
    for one in ranges:
        head = f"Content-Type: {content.mime}\r\nContent-Range: {_content_range(one, size)}"
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), one, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    length = str(sum(map(len, parts)))
    return parts, {"Content-Length": length, "Content-Type": f"multipart/byteranges; boundary={boundary}"}, 206


def _content_range(one: range, size: int) -> str:
    return f"bytes {one.start}-{one.stop - 1}/{size}"


def disposition(kind: str, name: str) -> str:
    """The value of Content-Disposition (RFC 6266): a name in ASCII for all, and where that is not it, the true one."""
    kept = "".join(" " if ord(one) < 32 or one in '"\\/\x7f' else one for one in name)
    plain = kept.encode("ascii", "replace").decode().replace("?", "_")
    exact = "" if plain == kept else f"; filename*=UTF-8''{quote(kept, safe='')}"
    return f'{kind}; filename="{plain}"{exact}'


class _FileResponse(StreamingResponse):
    """Sends parts of an open file, and closes it."""

    def __init__(
        self, content: Content, parts: Sequence[Part], headers: Mapping[str, str], status: int, *, empty: bool
    ) -> None:
        self._file = content.file
        super().__init__(self._octets([] if empty else parts), status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    async def _octets(self, parts: Sequence[Part]) -> AsyncGenerator[bytes]:
        for part in parts:
            if isinstance(part, bytes):
                yield part
                continue
            at = part.start
            while at < part.stop:
                octets = await asyncio.to_thread(os.pread, self._file.fileno(), min(CHUNK, part.stop - at), at)
                if not octets:
                    raise OSError(f"the file has become shorter than {part.stop} octets while it was sent")
                at += len(octets)
                yield octets
