"""`/docs`: the API's description as a page to read and to try requests from.

The page is of this package and loads nothing from elsewhere; its Content-Security-Policy says so to browsers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

HERE: Final = Path(__file__).parent / "page"
FILES: Final = {"docs.css": "text/css", "docs.js": "text/javascript"}
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def docs_router() -> APIRouter:
    """The page and what it loads."""
    router = APIRouter(include_in_schema=False)

    async def page() -> FileResponse:
        return FileResponse(HERE / "docs.html", media_type="text/html", headers=HEADERS)

    async def part(name: str) -> FileResponse:
        if name not in FILES:
            raise HTTPException(404, "not found")
        return FileResponse(HERE / name, media_type=FILES[name], headers=HEADERS)

    router.add_api_route("/docs", page, methods=["GET"], response_class=FileResponse)
    router.add_api_route("/docs/{name}", part, methods=["GET"], response_class=FileResponse)
    return router
