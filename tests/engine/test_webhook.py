"""The HTTP client against a real server on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from flexml.engine.errors import FetchError
from flexml.engine.webhook import Limits, Webhook, sign

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

SECRET = "s3cret"


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def client(**limits: float) -> AsyncGenerator[Webhook]:
    webhook = Webhook(secret=SECRET, clock=lambda: 1_700_000_000.9, limits=Limits(**limits))  # type: ignore[arg-type]
    await webhook.start()
    try:
        yield webhook
    finally:
        await webhook.close()


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "url": str(request.url),
            "type": request.headers.get("Content-Type", ""),
            "body": (await request.read()).decode(),
        }
    )


def test_post_sends_data_as_one_signed_json_object() -> None:
    seen: list[tuple[web.Request, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request, await request.read()))
        return web.Response(text="<Response/>")

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            answer = await webhook.fetch(f"{base}/a?b=1", "POST", {"From": "1", "Name": "Ü", "Key": None})
            assert (answer.url, answer.status, answer.body) == (f"{base}/a?b=1", 200, b"<Response/>")
            request, body = seen[0]
            assert body.decode() == '{"From":"1","Name":"Ü","Key":null}'
            assert request.headers["Content-Type"] == "application/json"
            assert request.headers["X-FlexML-Timestamp"] == "1700000000"
            message = f"1700000000\nPOST\n{base}/a?b=1\n".encode() + body
            expected = hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
            assert request.headers["X-FlexML-Signature"] == expected
            assert len(request.headers["X-FlexML-Delivery"]) == 36

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "data", "query"),
    [
        ("/x", {"a": "1"}, "a=1"),
        ("/x?keep=yes", {"a": "1 2"}, "keep=yes&a=1+2"),
        ("/x?a=0", {"a": "1"}, "a=0&a=1"),
        ("/x", {"none": None, "true": True, "n": 3}, "none=&true=true&n=3"),
        ("/x#fragment", {}, ""),
        ("/with space", {}, ""),
    ],
)
def test_get_adds_data_to_the_query(path: str, data: dict[str, object], query: str) -> None:
    async def run() -> None:
        async with serving(echo) as base, client() as webhook:
            answer = await webhook.fetch(base + path, "get", data)
            expected = path.partition("#")[0].partition("?")[0].replace(" ", "%20") + (f"?{query}" if query else "")
            assert answer.url == (base + path.partition("#")[0]).replace(" ", "%20")
            assert json.loads(answer.body) == {"method": "GET", "url": base + expected, "type": "", "body": ""}

    asyncio.run(run())


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_redirect_is_followed_and_its_end_is_the_base(status: int, method: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/from":
            return web.Response(status=status, headers={"Location": "sub/to"})
        return await echo(request)

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            answer = await webhook.fetch(f"{base}/from", "POST", {"a": 1})
            assert (answer.url, answer.method) == (f"{base}/sub/to", method)
            assert f'"method": "{method}"'.encode() in answer.body
            assert (b'{\\"a\\":1}' in answer.body) is (method == "POST")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("location", "ends_at"),
    [("/to?x=1", "/to?x=1"), ("/to?{query}", "/to?b=1"), ("/to?x=1&{query}", "/to?x=1&b=1"), ("/to?a=1", "/to?a=1")],
)
def test_a_redirect_that_repeats_the_data_ends_at_the_url_without_them(location: str, ends_at: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/from":
            return web.Response(
                status=302, headers={"Location": location.format(query=request.rel_url.raw_query_string)}
            )
        return web.Response(text="<Response/>")

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            answer = await webhook.fetch(f"{base}/from?b=1", "GET", {"a": "x y", "RequestUrl": "http://h/?b=1"})
            assert answer.url == base + ends_at

    asyncio.run(run())


@pytest.mark.parametrize("location", ["to", "{base}/to"])
def test_who_asks_is_told_to_the_same_origin_and_never_signed(location: str) -> None:
    seen: list[tuple[str | None, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Authorization"), request.headers["X-FlexML-Signature"]))
        if request.path == "/from":
            return web.Response(status=307, headers={"Location": location.format(base=request.url.origin())})
        return web.Response(text="<Response/>")

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            inside = base.replace("http://", "http://us:p%40ss@")
            answer = await webhook.fetch(f"{inside}/from", "POST", {})
            assert answer.url == f"{inside}/to"
            basic = "Basic " + base64.b64encode(b"us:p@ss").decode()
            signed = [sign(SECRET.encode(), "1700000000", "POST", f"{base}{path}", b"{}") for path in ("/from", "/to")]
            assert seen == [(basic, signed[0]), (basic, signed[1])]

    asyncio.run(run())


def test_another_origin_is_not_told_who_asks() -> None:
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=307, headers={"Location": "/x"})

    async def run() -> None:
        async with serving(handler) as other, client(redirects=1) as webhook:

            async def elsewhere(_: web.Request) -> web.Response:
                return web.Response(status=307, headers={"Location": f"{other}/x"})

            async with serving(elsewhere) as base:
                with pytest.raises(FetchError, match="more than 1 redirects") as caught:
                    await webhook.fetch(base.replace("http://", "http://us:p%40ss@"), "POST", {})
                assert (caught.value.url, caught.value.status) == (base, 307)
                assert "p%40ss" not in str(caught.value)

    asyncio.run(run())
    assert seen == [None]


def test_cookies_come_back_as_they_were_set() -> None:
    pairs = ["s=abc==", 't="quoted v"', "w=a,b", "u=a/b+c:d|e{f}", "a[b]=1", r'q="a\"b"', "e="]

    async def handler(request: web.Request) -> web.Response:
        response = web.Response(text=request.headers.get("Cookie", ""))
        for pair in pairs if request.path == "/login" else []:
            response.headers.add("Set-Cookie", f"{pair}; HttpOnly; Path=/")
        return response

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            cookies = webhook.cookies()
            await webhook.fetch(f"{base}/login", "POST", {}, cookies=cookies)
            assert (await webhook.fetch(f"{base}/", "POST", {}, cookies=cookies)).body.decode() == "; ".join(pairs)

    asyncio.run(run())


def test_an_answer_says_what_it_is_written_in() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"", headers={"Content-Type": request.query["type"]})

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            for kind, charset in (("text/xml; charset=ISO-8859-1", "iso-8859-1"), ("text/xml", "")):
                assert (await webhook.fetch(f"{base}/", "GET", {"type": kind})).charset.lower() == charset

    asyncio.run(run())


def test_error_status_is_an_answer() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=500, text="<Response><Hangup/></Response>")

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            answer = await webhook.fetch(base, "POST", {})
            assert (answer.status, answer.body) == (500, b"<Response><Hangup/></Response>")

    asyncio.run(run())


def test_cookies_stay_with_their_call() -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(text=request.cookies.get("session", "none"))
        if request.path == "/login":
            response.set_cookie("session", "abc")
        return response

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            one, other = webhook.cookies(), webhook.cookies()
            await webhook.fetch(f"{base}/login", "POST", {}, cookies=one)
            assert (await webhook.fetch(f"{base}/next", "POST", {}, cookies=one)).body == b"abc"
            assert (await webhook.fetch(f"{base}/next", "POST", {}, cookies=other)).body == b"none"
            assert (await webhook.fetch(f"{base}/next", "POST", {})).body == b"none"

    asyncio.run(run())


def test_connections_are_kept_alive() -> None:
    peers: set[object] = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="ok")

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            for _ in range(3):
                await webhook.fetch(base, "POST", {})

    asyncio.run(run())
    assert len(peers) == 1


def test_a_dropped_connection_is_tried_once_more_with_the_same_delivery() -> None:
    deliveries: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        deliveries.append(request.headers["X-FlexML-Delivery"])
        if len(deliveries) == 1:
            assert request.transport is not None
            request.transport.close()
        return web.Response(text="ok")

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            assert (await webhook.fetch(base, "POST", {})).body == b"ok"

    asyncio.run(run())
    assert len(deliveries) == 2
    assert len(set(deliveries)) == 1


@pytest.mark.parametrize(
    ("path", "retries", "redirects", "first_s", "total_s"),
    [("/slow", 0, 0, 0.1, 0.15), ("/dropped", 1, 0, 0.0, 0.0), ("/moved", 0, 2, 0.1, 0.15)],
)
def test_an_answer_says_how_long_it_took_and_what_was_done_again(
    path: str, retries: int, redirects: int, first_s: float, total_s: float
) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path.startswith("/moved"):
            return web.Response(status=302, headers={"Location": "/slow" if request.path == "/moved/2" else "/moved/2"})
        if request.path == "/dropped" and len(asked) == 1:
            assert request.transport is not None
            request.transport.close()
        response = web.StreamResponse()
        await asyncio.sleep(first_s)
        await response.prepare(request)
        await response.write(b"<Response>")
        await asyncio.sleep(total_s - first_s)
        await response.write(b"</Response>")
        return response

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            answer = await webhook.fetch(f"{base}{path}", "POST", {})
            assert (answer.retries, answer.redirects) == (retries, redirects)
            assert 1000 * first_s <= answer.first_ms <= answer.total_ms
            assert answer.total_ms - answer.first_ms >= 1000 * (total_s - first_s) - 5

    asyncio.run(run())


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(bytes(1000))
    return response


async def silent(_: web.Request) -> web.Response:
    await asyncio.get_running_loop().create_future()
    raise web.HTTPGone


async def circle(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": str(request.url)})


async def to_file(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "file:///etc/passwd"})


@pytest.mark.parametrize(
    ("handler", "message", "status"),
    [
        (endless, "longer than the 5000 octets allowed", 200),
        (silent, "no complete answer within 0.2 s", 0),
        (circle, "more than 5 redirects", 302),
        (to_file, "redirect to 'file:///etc/passwd'; expected http or https", 302),
    ],
)
def test_no_usable_answer_is_an_error_that_names_url_and_limit(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], message: str, status: int
) -> None:
    async def run() -> None:
        async with serving(handler) as base, client(timeout_s=0.2, max_body=5000) as webhook:
            with pytest.raises(FetchError, match=message) as caught:
                await webhook.fetch(f"{base}/doc", "POST", {})
            assert (caught.value.url, caught.value.status) == (f"{base}/doc", status)

    asyncio.run(run())


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/x", "menu", "http://", "http://[", "http://127.0.0.1:99999/"])
def test_a_url_that_cannot_be_requested_is_an_error(url: str) -> None:
    async def run() -> None:
        async with client() as webhook:
            with pytest.raises(FetchError):
                await webhook.fetch(url, "POST", {})

    asyncio.run(run())


def test_a_refused_connection_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def run() -> None:
            async with client() as webhook:
                with pytest.raises(
                    FetchError, match=rf"cannot connect to 127.0.0.1:{port}: Connection refused, 2 times$"
                ) as caught:
                    await webhook.fetch(f"http://127.0.0.1:{port}/", "POST", {})
                assert caught.value.status == 0

        asyncio.run(run())


def test_why_nothing_answered_is_said_plainly() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def run() -> None:
        async with serving(handler) as base, client() as webhook:
            port = base.rpartition(":")[2]
            for url, why in (
                ("http://nowhere.invalid/", r"no address for nowhere\.invalid: "),
                (f"https://127.0.0.1:{port}/", rf"no TLS with 127\.0\.0\.1:{port}: "),
                (base, "the connection was closed before an answer was there"),
            ):
                with pytest.raises(FetchError, match=why):
                    await webhook.fetch(url, "POST", {})

    asyncio.run(run())
