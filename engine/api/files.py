"""Stored files over HTTP: `/f/SID`, what RecordingUrl names; with `?format=` in another format.

As with the hosted service, whoever knows a file's sid may fetch it: a sid has 74 random bits, beside the time. Dashes
may be left out, a suffix or a query string put behind (decisions, section 5).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from fastapi import APIRouter, Request, Response

from ..audio_cache import digest
from ..conversions import Conversions
from ..errors import PromptError
from ..opening import opened
from ..storage.base import ALIASES, MIME_TYPES, StoredFile
from ..storage.local import LocalStorage
from .content import Content, respond
from .description import errors, parameter
from .problem import Fault, Problem, bad_query, invalid, missing

FORMATS: Final = tuple(sorted({*MIME_TYPES, *ALIASES}))
OFF: Final = frozenset({"", "0", "false", "no"})
_BINARY: Final = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The content.", **_BINARY},
    206: {"description": "The octets that `Range` names.", **_BINARY},
    304: {"description": "The client has this content already."},
    **errors(400, 404, 412, 416, 422, 507),
}


def files_router(storage: LocalStorage, conversions: Conversions) -> APIRouter:
    """Routes that give the files of `storage`."""
    router = APIRouter(tags=["files"])

    async def send(request: Request, name: str) -> Response:
        """A file, or a part of it. Whoever knows its sid may have it; a suffix behind the sid means nothing."""
        wanted = _format(request.query_params.get("format", ""))
        file = await storage.find(name.partition(".")[0])
        octets = None if file is None else await opened(_readable, storage.path(file))
        if file is None or octets is None:
            raise missing("file")
        content = _content(file, octets)
        if wanted and wanted != file.format:
            content = await _converted(conversions, content, storage.path(file), wanted)
        return respond(request, content, download=request.query_params.get("download", "").lower() not in OFF)

    for method in ("GET", "HEAD"):
        router.add_api_route(
            "/f/{name}",
            send,
            methods=[method],
            response_class=Response,
            summary="Fetch a file" if method == "GET" else "Look at a file",
            operation_id=f"{method.lower()}-file-content",
            responses=_RESPONSES,
            openapi_extra={"parameters": _PARAMETERS},
        )
    return router


_PARAMETERS: Final = [
    parameter("format", "The format to have it in, where that is not its own.", enum=list(FORMATS)),
    parameter("download", "With `1`, browsers save it instead of playing it.", enum=["1", "0"]),
]


def _format(text: str) -> str:
    """A format by any of its names, "" for the file's own. Raises Problem 400."""
    name = text.strip().lower()
    if name and name not in FORMATS:
        raise bad_query("format", f"found {text[:40]!r}; expected one of {', '.join(FORMATS)}")
    return ALIASES.get(name, name)


def _readable(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _content(file: StoredFile, octets: BinaryIO) -> Content:
    found = os.fstat(octets.fileno())
    identity = digest(file.sid, found.st_mtime_ns, found.st_size)
    return Content(file=octets, mime=file.mime, name=file.name, tag=f'"{identity}"', modified=found.st_mtime)


async def _converted(conversions: Conversions, content: Content, path: Path, wanted: str) -> Content:
    """The same in another format. Raises Problem."""
    with content.file:
        try:
            octets = await conversions.open(path, content.tag, wanted)
        except PromptError as error:
            raise invalid(Fault("format", f"cannot be converted to {wanted}: {error}")) from None
        except OSError as error:
            raise Problem(507, "cannot be converted", [Fault("format", error.strerror or "the disk fails")]) from None
    return replace(
        content,
        file=octets,
        mime=MIME_TYPES[wanted],
        name=f"{PurePosixPath(content.name).stem}.{wanted}",
        tag=f'"{digest(content.tag, wanted)}"',
    )
