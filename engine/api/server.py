"""The HTTP side: one FastAPI application, served within the control process's event loop.

The process's signals belong to the composition root, so uvicorn is kept from taking them. Errors have the
reference's form (section "HTTP Status Codes") whatever raised them, an unknown path included.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_BACKLOG: Final = 1024
_SHUTDOWN_S: Final = 3
_EXPOSED: Final = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Credentials",
    "Content-Disposition",
    "Access-Control-Allow-Headers",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What GET /health tells. Without a living media worker no call can be taken.

    A call is alive until its status callback is on its way; `dialogs` are those of SIP, called parties' included, and
    `ending` those that are over here, but whose peer has not confirmed it yet.
    """

    version: str
    uptime_s: float
    live_calls: int
    workers: int
    dialogs: int = 0
    ending: int = 0


def create_app(*, health: Callable[[], Health], routers: Sequence[APIRouter] = ()) -> FastAPI:
    """Build the application: /health, and whatever `routers` add (the demo, the REST API)."""
    # The interactive pages load scripts from elsewhere; the schema stays at /openapi.json.
    app = FastAPI(title="FlexML engine", version=health().version, docs_url=None, redoc_url=None)
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=_EXPOSED
    )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected_error)

    def tell_health() -> JSONResponse:
        now = health()
        status = "ok" if now.workers else "no media worker"
        return JSONResponse({"status": status, **asdict(now)}, status_code=200 if now.workers else 503)

    app.add_api_route("/health", tell_health, methods=["GET"])
    for router in routers:
        app.include_router(router)
    return app


def error_response(
    status: int, message: str, *, field: str | None = None, detail: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error in the reference's form; `detail` is the inner message where it says more than `message`."""
    inner = {"field": field, "message": detail or message, "reference_sid": None}
    return JSONResponse({"message": message, "errors": [inner]}, status_code=status, headers=headers)


async def run(app: FastAPI, host: str, port: int, *, on_listening: Callable[[str, int], None] | None = None) -> None:
    """Serve until cancelled; then let requests in progress end, for up to 3 s. Port 0 takes a free one.

    `on_listening` is told the address once connections are taken. Raises OSError where it cannot be bound.
    """
    with _bind(host, port) as listener:
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=_SHUTDOWN_S,
            )
        )
        if on_listening is not None:
            address = listener.getsockname()
            on_listening(address[0], address[1])
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise


class _Server(uvicorn.Server):
    """uvicorn without signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _bind(host: str, port: int) -> socket.socket:
    """Listen at once, so that an address in use is an error here and not an exit deep inside uvicorn."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"http cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    return error_response(status, detail.lower(), headers=headers)


def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    """422 naming each field that FastAPI found wanting."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [
        {"field": ".".join(map(str, one["loc"][1:])) or None, "message": one["msg"], "reference_sid": None}
        for one in found
    ]
    return JSONResponse({"message": "object validation error", "errors": errors}, status_code=422)


def _unexpected_error(_request: Request, _error: Exception) -> JSONResponse:
    return error_response(500, "internal server error")
