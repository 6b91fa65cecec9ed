"""A FlexML application for the peer tests: it serves what a test gives it and keeps what the engine asked."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
import wave
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from aiohttp import web

WAIT_S: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a path answers, after `delay_s`. `hang` never answers at all."""

    body: str | bytes = ""
    status: int = 200
    content_type: str = "application/xml"
    hang: bool = False
    delay_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it came; `data` is its query and its JSON body together."""

    method: str
    path: str
    headers: Mapping[str, str]
    data: Mapping[str, object]


def tone(hz: float, seconds: float) -> array[int]:
    """A sine at -15 dBov, 8 kHz, 16 bits."""
    return array("h", (round(8192 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(int(8000 * seconds))))


def wav(samples: array[int]) -> bytes:
    """8 kHz mono in a WAV container."""
    container = io.BytesIO()
    with wave.open(container, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(samples.tobytes())
    return container.getvalue()


def tone_wav(hz: float, seconds: float) -> Answer:
    """A tone as something to serve."""
    return Answer(body=wav(tone(hz, seconds)), content_type="audio/wav")


class Application:
    """An aiohttp server in a thread of its own, so that tests may block."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = {}
        self._received: list[Received] = []
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._port = 0

    def __enter__(self) -> Application:
        self._thread.start()
        with self._news:
            assert self._news.wait_for(lambda: self._port, WAIT_S), "the test application did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def serve(self, path: str, *answers: Answer | str) -> None:
        """Answer requests for `path` with `answers` in turn, then with the last one for ever."""
        with self._news:
            self._answers[path] = [Answer(body=one) if isinstance(one, str) else one for one in answers]

    def requests(self, path: str) -> list[Received]:
        with self._news:
            return [one for one in self._received if one.path == path]

    def wait_for(self, path: str, count: int = 1, timeout_s: float = WAIT_S) -> list[Received]:
        """Wait until `path` has been asked `count` times; fails by saying what was asked instead."""
        with self._news:
            enough = self._news.wait_for(
                lambda: sum(one.path == path for one in self._received) >= count, timeout=timeout_s
            )
            asked = [f"{one.method} {one.path}" for one in self._received]
        assert enough, f"waited {timeout_s:.0f} s for {count} x {path}; asked so far: {asked}"
        return self.requests(path)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        with self._news:
            self._port = runner.addresses[0][1]
            self._news.notify_all()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        data: dict[str, object] = {**request.query, **(json.loads(body) if body else {})}
        with self._news:
            self._received.append(
                Received(method=request.method, path=request.path, headers=dict(request.headers), data=data)
            )
            answers = self._answers.get(request.path, [Answer(status=404, body="not found")])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            self._news.notify_all()
        if answer.hang:
            await self._stop.wait()
        await asyncio.sleep(answer.delay_s)
        content = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return web.Response(body=content, status=answer.status, content_type=answer.content_type)


@dataclass(frozen=True)
class Line:
    """A number, and the part of the application that speaks for it."""

    number: str
    application: Application

    def serve(self, *answers: Answer | str, at: str = "") -> None:
        """Give documents (or what stands in `<Response>`) for `at`, by default the number's own URL."""
        wrapped = [one if isinstance(one, Answer) else f"<Response>{one}</Response>" for one in answers]
        self.application.serve(self.path(at), *wrapped)

    def path(self, at: str = "") -> str:
        return f"/{self.number}/{at}"

    def requests(self, at: str = "") -> list[Received]:
        return self.application.requests(self.path(at))

    def wait_for(self, at: str = "", count: int = 1) -> list[Received]:
        return self.application.wait_for(self.path(at), count)

    def final_status(self) -> Received:
        """The one status callback."""
        (callback,) = self.wait_for("status")
        return callback
