"""Durable callbacks over a real SQLite file; the sender answers from a list."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from flexml.engine.db import Database
from flexml.engine.errors import FetchError
from flexml.engine.flexml.fetch import Fetched
from flexml.engine.outbox import Backoff, Outbox
from flexml.engine.records import Callback
from flexml.engine.webhook import Limits, Webhook

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

QUICK = Backoff(first_s=0.001, total_s=100.0, per_host=2)
URL = "http://127.0.0.1/status"


class Application:
    """Answers with `statuses` in turn, 0 for no answer, and after them with the last; notes what it got."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[str | None, Mapping[str, object]]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def fetch(self, url: str, method: str, data: Mapping[str, object], *, delivery: str | None = None) -> Fetched:
        assert method == "POST"
        self.got.append((delivery, data))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if status == 0:
            raise FetchError("connection refused", url=url)
        return Fetched(url=url, status=status, body=b"")


class Clock:
    """Unix time as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("attempts", "age_s", "wait_s"),
    [(1, 0, 1), (2, 1, 2), (3, 3, 4), (8, 127, 128), (9, 255, 45), (10, 300, None), (1, 4000, None)],
)
def test_backoff_doubles_and_ends_on_the_total(attempts: int, age_s: float, wait_s: float | None) -> None:
    assert Backoff().wait_s(attempts, age_s) == wait_s


def test_callback_is_repeated_until_it_arrives_under_one_delivery_id(database_url: str) -> None:
    application = Application(0, 500, 404, 302, 204)

    async def run() -> None:
        async with opened(database_url) as database:
            outbox = Outbox(database, application, clock=Clock(), backoff=QUICK)
            sid = await outbox.put(URL, "post", {"CallStatus": "completed"})
            await outbox.idle()
            assert application.got == [(sid, {"CallStatus": "completed"})] * 5
            (row,) = await database.load_callbacks("delivered")
            assert (row.sid, row.attempts, row.error) == (sid, 5, "")
            assert await database.load_callbacks("pending") == []

    asyncio.run(run())


def test_row_is_written_before_the_first_attempt(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            application = Application(200)
            outbox = Outbox(database, application, clock=Clock(), backoff=QUICK)
            sid = await outbox.put(URL, "POST", {})
            assert application.got == []
            rows = [*await database.load_callbacks("pending"), *await database.load_callbacks("delivered")]
            assert {row.sid for row in rows} == {sid}
            await outbox.idle()

    asyncio.run(run())


def test_callback_put_twice_under_one_sid_is_sent_once(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            application = Application(200)
            outbox = Outbox(database, application, clock=Clock(), backoff=QUICK)
            for _ in range(2):
                assert await outbox.put(URL, "POST", {}, sid="mine") == "mine"
            await outbox.idle()
            assert await outbox.put(URL, "POST", {}, sid="mine") == "mine"
            await outbox.idle()
            assert [delivery for delivery, _ in application.got] == ["mine"]

    asyncio.run(run())


@pytest.mark.parametrize("put_while_reading", [False, True])
def test_what_is_delivered_while_pending_rows_are_read_is_not_sent_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, put_while_reading: bool
) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            application = Application(200)
            outbox = Outbox(database, application, clock=Clock(), backoff=QUICK)
            load = database.load_own_callbacks

            async def load_slowly() -> list[Callback]:
                if put_while_reading:
                    await outbox.put(URL, "POST", {}, sid="mine")
                rows = await load()
                await outbox.idle()
                return rows

            monkeypatch.setattr(database, "load_own_callbacks", load_slowly)
            if not put_while_reading:
                await outbox.put(URL, "POST", {}, sid="mine")
            assert await outbox.take_up() == 0
            await outbox.idle()
            assert [delivery for delivery, _ in application.got] == ["mine"]

    asyncio.run(run())


def test_given_up_callback_stays_as_a_failed_row(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    class Late(Application):
        async def fetch(
            self, url: str, method: str, data: Mapping[str, object], *, delivery: str | None = None
        ) -> Fetched:
            clock.now += 60
            return await super().fetch(url, method, data, delivery=delivery)

    async def run() -> None:
        async with opened(database_url) as database:
            outbox = Outbox(database, Late(503), clock=clock, backoff=QUICK)
            await outbox.put(URL, "POST", {})
            await outbox.idle()
            (row,) = await database.load_callbacks("failed")
            assert (row.attempts, row.error) == (2, f"{URL}: status 503; expected 2xx")

    asyncio.run(run())
    assert "given up after 2 attempts" in caplog.text


def test_each_step_of_a_callback_comes_onto_the_timeline_of_its_call(database_url: str) -> None:
    clock = Clock()
    noted: list[tuple[str, float, str, dict[str, object]]] = []

    def note(call: str, at: float, what: str, details: Mapping[str, object]) -> None:
        noted.append((call, at, what, dict(details)))

    async def run(*statuses: int, total_s: float, **data: object) -> list[str]:
        noted.clear()
        async with opened(database_url) as database:
            backoff = Backoff(first_s=0.001, total_s=total_s)
            outbox = Outbox(database, Application(*statuses), clock=clock, backoff=backoff, note=note)
            await outbox.put(URL, "POST", data)
            await outbox.idle()
        return [what for _, _, what, _ in noted]

    queued, attempt = "callback queued", "callback attempt"
    told = asyncio.run(run(0, 503, 200, total_s=100, CallSid="c1"))
    assert told == [queued, attempt, attempt, attempt, "callback delivered"]
    assert {(call, at) for call, at, _, _ in noted} == {("c1", 1000.0)}
    assert [details["attempt"] for _, _, what, details in noted if what == attempt] == [1, 2, 3]
    assert str(noted[1][3]["error"]) == f"{URL}: connection refused"
    assert [details["status"] for _, _, _, details in noted[2:4]] == [503, 200]
    assert noted[-1][3]["attempts"] == 3
    assert asyncio.run(run(503, total_s=0, CallSid="c1")) == [queued, attempt, "callback given up"]
    assert asyncio.run(run(200, total_s=0, Other="x")) == []


def test_undelivered_callback_survives_a_restart(database_url: str) -> None:
    clock = Clock()

    async def first_run() -> str:
        async with opened(database_url) as database:
            outbox = Outbox(database, Application(0), clock=clock, backoff=Backoff())
            sid = await outbox.put(URL, "POST", {"a": 1})
            while not (await database.load_callbacks("pending"))[0].attempts:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await outbox.close()
            return sid

    async def second_run(application: Application) -> list[Callback]:
        async with opened(database_url) as database:
            outbox = Outbox(database, application, clock=clock, backoff=Backoff())
            await outbox.start()
            await outbox.idle()
            return await database.load_callbacks("delivered")

    sid = asyncio.run(first_run())
    clock.now += 86400
    application = Application(200)
    (row,) = asyncio.run(second_run(application))
    assert application.got == [(sid, {"a": 1})]
    assert (row.sid, row.attempts) == (sid, 2)
    assert len(asyncio.run(second_run(application))) == 1
    assert len(application.got) == 1


def test_one_host_gets_no_more_at_once_than_allowed(database_url: str) -> None:
    application = Application(200)

    async def run() -> None:
        async with opened(database_url) as database:
            outbox = Outbox(database, application, clock=Clock(), backoff=QUICK)
            rows = [Callback(sid=str(n), url=URL, method="POST", data={}, created=0) for n in range(20)]
            for row in rows:
                await database.save_callback(row)
            await outbox.start()
            await outbox.idle()
            assert len(await database.load_callbacks("delivered")) == 20

    asyncio.run(run())
    assert application.most_at_once == 2


async def long(request: web.Request, status: int) -> web.StreamResponse:
    return web.Response(status=status, text="thank you " * 10_000)


async def unreadable(request: web.Request, status: int) -> web.StreamResponse:
    return web.Response(status=status, body=b"thank you", headers={"Content-Encoding": "gzip"})


async def cut(request: web.Request, status: int) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"thank")
    assert request.transport is not None
    request.transport.close()
    return response


async def slow(request: web.Request, status: int) -> web.StreamResponse:
    response = web.StreamResponse(status=status)
    await response.prepare(request)
    await response.write(b"thank")
    await asyncio.sleep(2)
    return response


@pytest.mark.parametrize("answer", [long, unreadable, cut, slow])
def test_a_real_application_gets_each_callback_once_whatever_its_page_is_like(
    database_url: str, answer: Callable[[web.Request, int], Awaitable[web.StreamResponse]]
) -> None:
    deliveries: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        deliveries.append(request.headers["X-FlexML-Delivery"])
        return await answer(request, 500 if len(deliveries) == 1 else 200)

    async def run() -> str:
        app = web.Application()
        app.router.add_post("/status", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        webhook = Webhook(secret="", clock=Clock(), limits=Limits(timeout_s=0.5))
        await webhook.start()
        try:
            async with opened(database_url) as database:
                outbox = Outbox(database, webhook, clock=Clock(), backoff=QUICK)
                sid = await outbox.put(f"http://127.0.0.1:{runner.addresses[0][1]}/status", "POST", {})
                async with asyncio.timeout(20):
                    await outbox.idle()
                return sid
        finally:
            await webhook.close()
            await runner.cleanup()

    sid = asyncio.run(run())
    assert deliveries == [sid, sid]
