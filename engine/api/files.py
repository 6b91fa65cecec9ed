"""Stored files over HTTP: `/f/SID`, what RecordingUrl names.

As with the hosted service, whoever knows a file's sid may fetch it: a sid has 122 random bits. Dashes may be left
out, a suffix or a query string put behind (decisions, section 5). Ranges and conditions are Starlette's.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from ..storage.local import LocalStorage


def files_router(storage: LocalStorage) -> APIRouter:
    """Routes that give the files of `storage`."""
    router = APIRouter()

    async def send(name: str) -> FileResponse:
        file = await storage.find(name.partition(".")[0])
        path = None if file is None else storage.path(file)
        if file is None or path is None or not await asyncio.to_thread(path.is_file):
            raise HTTPException(404, f"there is no file {name}")
        return FileResponse(path, media_type=file.mime)

    router.add_api_route("/f/{name}", send, methods=["GET", "HEAD"], response_class=FileResponse)
    return router
