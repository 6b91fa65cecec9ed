"""The HTTP server as a client sees it, over a real socket."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import TypeVar

import aiohttp
import pytest
from fastapi import APIRouter
from flexml.engine.api.server import Health, bound, create_app, run
from flexml.engine.metrics import WorkerFigures

T = TypeVar("T")
WORKER = WorkerFigures(
    name="worker 1", up=True, legs=7, load=0.25, tick_p50_ms=5.0, tick_max_ms=9.5, overruns=1, late_packets=3
)
HEALTHY = Health(
    version="1.2.3", uptime_s=5.5, live_calls=2, workers=1, dialogs=3, ending=1, refused=4, loop_lag_ms=12,
    media=[WORKER],
)  # fmt: skip


def serve(check: Callable[[aiohttp.ClientSession], Awaitable[T]], health: Health = HEALTHY) -> T:
    """Run `check` with a client of the served application, then stop the server by cancelling it."""

    def broken() -> None:
        raise ZeroDivisionError

    def double(number: int) -> int:
        return number * 2

    router = APIRouter(prefix="/test")
    router.add_api_route("/broken", broken)
    router.add_api_route("/double", double)
    router.add_api_route("/double", double, methods=["POST"])
    router.add_api_route("/told", double, methods=["DELETE"])

    async def main() -> T:
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        app = create_app(health=lambda: health, routers=[router])
        server = asyncio.create_task(
            run(app, "127.0.0.1", 0, on_listening=lambda host, port: listening.set_result(f"http://{host}:{port}"))
        )
        async with aiohttp.ClientSession(await listening) as client:
            result = await check(client)
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        assert server.cancelled()
        return result

    return asyncio.run(main())


def get(path: str, health: Health = HEALTHY, **headers: str) -> tuple[int, object, dict[str, str]]:
    async def fetch(client: aiohttp.ClientSession) -> tuple[int, object, dict[str, str]]:
        async with client.get(path, headers=headers) as response:
            return response.status, await response.json(), dict(response.headers)

    return serve(fetch, health)


def test_health_tells_version_uptime_calls_and_workers() -> None:
    status, body, _ = get("/health")
    assert status == 200
    counts = {"live_calls": 2, "workers": 1, "dialogs": 3, "ending": 1, "refused": 4, "loop_lag_ms": 12}
    counts |= {"database": "answers", "database_ms": 0, "media": [asdict(WORKER)]}
    assert body == {"status": "ok", "version": "1.2.3", "uptime_s": 5.5, **counts}


def test_health_is_503_without_a_media_worker() -> None:
    status, body, _ = get("/health", Health(version="1", uptime_s=1.0, live_calls=0, workers=0))
    assert status == 503
    assert isinstance(body, dict)
    assert body["status"] == "no media worker"


@pytest.mark.parametrize(
    ("health", "status"),
    [
        (replace(HEALTHY, database="takes nothing"), "degraded"),
        (replace(HEALTHY, database="does not answer"), "degraded"),
        (replace(HEALTHY, database_ms=2000), "degraded"),
        (replace(HEALTHY, database_ms=1999), "ok"),
        (replace(HEALTHY, media=[replace(WORKER, up=False)]), "degraded"),
        (replace(HEALTHY, media=[replace(WORKER, up=False), WORKER]), "ok"),
    ],
)
def test_health_tells_of_a_database_that_is_away_and_of_workers_without_signs(health: Health, status: str) -> None:
    found, body, _ = get("/health", health)
    assert found == 200
    assert isinstance(body, dict)
    assert (body["status"], body["database"]) == (status, health.database)


@pytest.mark.parametrize(
    ("path", "status", "message", "field"),
    [
        ("/nothing", 404, "not found", None),
        ("/test/double?number=x", 422, "object validation error", "number"),
        ("/test/double", 422, "object validation error", "number"),
        ("/test/broken", 500, "internal server error", None),
    ],
)
def test_errors_have_the_reference_form(path: str, status: int, message: str, field: str | None) -> None:
    found, body, _ = get(path)
    assert found == status
    assert isinstance(body, dict)
    assert body["message"] == message
    assert [error["field"] for error in body["errors"]] == [field]


@pytest.mark.parametrize("path", ["/health", "/nothing", "/test/broken", "/docs"])
@pytest.mark.parametrize("origin", [{}, {"Origin": "http://elsewhere.example"}], ids=["no origin", "an origin"])
def test_other_origins_may_read_as_in_the_references_sample(path: str, origin: dict[str, str]) -> None:
    async def fetch(client: aiohttp.ClientSession) -> list[tuple[str, str]]:
        async with client.get(path, headers=origin) as response:
            return [(name, value) for name, value in response.headers.items() if name.lower().startswith("access")]

    assert sorted((name.lower(), value) for name, value in serve(fetch)) == [
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Access-Control-Allow-Origin,Access-Control-Allow-Methods,"
         "Access-Control-Allow-Credentials,Content-Disposition,Access-Control-Allow-Headers"),
    ]  # fmt: skip


def test_other_origins_may_ask_what_they_may_send() -> None:
    wanted = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "PATCH",
              "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip

    async def fetch(client: aiohttp.ClientSession) -> tuple[int, str, str]:
        async with client.options("/test/double", headers=wanted) as response:
            allowed = response.headers
            return response.status, allowed["Access-Control-Allow-Methods"], allowed["Access-Control-Allow-Headers"]

    status, methods, headers = serve(fetch)
    assert status == 200
    assert "PATCH" in methods
    assert headers == "authorization,content-type"


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", "/nothing", "/test/double?number=4"])
def test_head_is_answered_as_get_without_a_body(path: str) -> None:
    async def fetch(client: aiohttp.ClientSession) -> list[tuple[int, str | None, str | None, bytes]]:
        answers: list[tuple[int, str | None, str | None, bytes]] = []
        for method in ("GET", "HEAD", "HEAD"):
            async with client.request(method, path) as response:
                headers = response.headers
                length, kind = headers.get("Content-Length"), headers.get("Content-Type")
                answers.append((response.status, length, kind, await response.read()))
        return answers

    asked, *looked_at = serve(fetch)
    assert looked_at == 2 * [(*asked[:3], b"")]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/test/double", "GET, HEAD, POST"),
        ("OPTIONS", "/test/double", "GET, HEAD, POST"),
        ("HEAD", "/test/told", "DELETE"),
        ("GET", "/test/told", "DELETE"),
        ("DELETE", "/health", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_answered_with_all_that_it_takes(
    method: str, path: str, allowed: str
) -> None:
    async def fetch(client: aiohttp.ClientSession) -> tuple[int, str, object]:
        async with client.request(method, path) as response:
            return response.status, response.headers["Allow"], await response.json() if method != "HEAD" else None

    message = "method not allowed"
    body = {"message": message, "errors": [{"field": None, "message": message, "reference_sid": None}]}
    assert serve(fetch) == (405, allowed, body if method != "HEAD" else None)


def test_an_address_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"http cannot listen on 127.0.0.1:{port}: Address already in use"):
            asyncio.run(run(create_app(health=lambda: HEALTHY), "127.0.0.1", port))


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Without TCP_NODELAY an answer in two writes waits for the client's delayed ACK, 40 ms on Linux."""

    async def main() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            end: socket.socket = writer.get_extra_info("socket")
            found.set_result(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with bound("127.0.0.1", 0) as listener:
            async with await asyncio.start_server(accepted, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                nodelay = await found
                writer.close()
                return nodelay

    assert asyncio.run(main()) == 1
