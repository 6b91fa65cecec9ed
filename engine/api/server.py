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
from typing import Any, Final

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import DatabaseAway
from ..metrics import WorkerFigures
from ..sql import DatabaseState
from .docs import docs_router
from .patience import PatientProtocol
from .problem import Problem, show_away, show_problem, show_unexpected, show_validation

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
DESCRIPTION: Final = "Every path that takes GET takes HEAD too, which is answered alike, but without a body."
METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
MADE_UP: Final = ("HTTPValidationError", "ValidationError")
"""Schemas of FastAPI's own errors, in whose place are those of `problem`."""
SLOW_MS: Final = 2000
"""A transaction is three to five statements, each of which must be there and back."""
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

    Where the database does not do what it is asked, or takes SLOW_MS for it, or no worker gives signs, the engine is
    degraded.

    A call is alive until its status callback is on its way; `dialogs` are those of SIP, called parties' included, and
    `ending` those that are over here, but whose peer has not confirmed it yet. `refused` are INVITEs for which there
    was no room, `loop_lag_ms` is how late the event loop was in the last second, `database_ms` how long a
    transaction took at worst in the last 10 to 20 s, or is under way, `media` the workers one by one.
    """

    version: str
    uptime_s: float
    live_calls: int
    workers: int
    dialogs: int = 0
    ending: int = 0
    refused: int = 0
    loop_lag_ms: int = 0
    database: DatabaseState = "answers"
    database_ms: int = 0
    media: Sequence[WorkerFigures] = ()

    @property
    def status(self) -> str:
        """How the engine does, in a word."""
        if not self.workers:
            return "no media worker"
        hang = self.media and not any(worker.up for worker in self.media)
        return "degraded" if hang or self.database != "answers" or self.database_ms >= SLOW_MS else "ok"


class _Described(FastAPI):
    """Its description has no answers that are never given: FastAPI makes up a 422 for whatever has parameters."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for answers in [one["responses"] for item in document["paths"].values() for one in item.values()]:
                if MADE_UP[0] in str(answers.get("422")):
                    del answers["422"]
            for name in MADE_UP:
                document.get("components", {}).get("schemas", {}).pop(name, None)
        return super().openapi()


def create_app(
    *, health: Callable[[], Health], metrics: Callable[[], bytes] = lambda: b"", routers: Sequence[APIRouter] = ()
) -> FastAPI:
    """Build the application: /health, /metrics, and whatever `routers` add (the demo, the REST API)."""
    # FastAPI's own pages load scripts from elsewhere; ours is in `docs`.
    app = _Described(
        title="FlexML engine", description=DESCRIPTION, version=health().version, docs_url=None, redoc_url=None
    )
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    for kind in (Problem, HTTPException):
        app.add_exception_handler(kind, show_problem)
    app.add_exception_handler(405, show_not_allowed)
    app.add_exception_handler(RequestValidationError, show_validation)
    app.add_exception_handler(DatabaseAway, show_away)
    app.add_exception_handler(Exception, show_unexpected)

    def tell_health() -> JSONResponse:
        now = health()
        return JSONResponse({"status": now.status, **asdict(now)}, status_code=200 if now.workers else 503)

    def tell_metrics() -> Response:
        return Response(metrics(), media_type=PROMETHEUS)

    app.add_api_route(
        "/health",
        tell_health,
        methods=["GET"],
        summary="Show whether the engine can take calls",
        operation_id="get-health",
    )
    app.add_api_route("/metrics", tell_metrics, methods=["GET"], include_in_schema=False)
    for router in (docs_router(), *routers):
        app.include_router(router)
    return app


async def run(app: FastAPI, host: str, port: int, *, on_listening: Callable[[str, int], None] | None = None) -> None:
    """Serve until cancelled; then let requests in progress end, for up to 3 s. Port 0 takes a free one.

    `on_listening` is told the address once connections are taken. Raises OSError where it cannot be bound.
    """
    with bound(host, port) as listener:
        server = _Server(
            uvicorn.Config(
                _open_to_all(_with_head(app)),
                log_config=None,
                access_log=False,
                http=PatientProtocol,
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


def _open_to_all(app: ASGIApp) -> ASGIApp:
    """Let pages of every origin read every answer, those of errors included (reference, section Responses).

    As there, the headers are in answers to requests that name no origin too.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Access-Control-Expose-Headers"] = ",".join(_EXPOSED)
            await send(message)

        await app(scope, receive, sending)

    return answer


def _with_head(app: FastAPI) -> ASGIApp:
    """Answer HEAD where nothing else does as GET, which uvicorn sends without its body (RFC 9110 section 9.3.2)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" and not takes(app.routes, scope, "HEAD"):
            scope = {**scope, "method": "GET"}
        await app(scope, receive, send)

    return answer


def takes(routes: Sequence[BaseRoute], scope: Scope, method: str) -> bool:
    """Whether the path of a request can be asked by that method."""
    return any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)


def show_not_allowed(request: Request, _error: Exception) -> JSONResponse:
    """What the path can be asked by instead: Starlette names the methods of one of its routes only."""
    allowed = {method for method in METHODS if takes(request.app.routes, request.scope, method)}
    if "GET" in allowed:
        allowed.add("HEAD")
    return Problem(405, "method not allowed", headers={"Allow": ", ".join(sorted(allowed))}).response()


class _Server(uvicorn.Server):
    """uvicorn without signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def bound(host: str, port: int) -> socket.socket:
    """Listen at once, so that an address in use is an error here and not an exit deep inside uvicorn."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY only on such, and without it answers wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"http cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
