"""A FlexML application for the peer tests: it serves what a test gives it and keeps what the engine asked."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import math
import threading
import time
import wave
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import sounds
from aiohttp import web

WAIT_S: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a path answers, after `delay_s`. `hang` never answers at all.

    With `pace_s`, the body goes out in `pieces` of so many octets, so far apart, over and over for ever if `endless`.
    """

    body: str | bytes = ""
    status: int = 200
    content_type: str = "application/xml"
    location: str = ""
    hang: bool = False
    delay_s: float = 0.0
    pace_s: float = 0.0
    pieces: int = 1600
    endless: bool = False

    @property
    def octets(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it came; `data` is its query and its JSON body together, `at` is in s of the monotonic clock."""

    method: str
    path: str
    headers: Mapping[str, str]
    data: Mapping[str, object]
    at: float = field(default_factory=time.monotonic)


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


Reply = Answer | str | Callable[[Received], str]
"""A document as text, or made of the request, or all there is to say about an answer."""


class Application:
    """An aiohttp server in a thread of its own, so that tests may block.

    `/sounds/` is everybody's: `/sounds/tone-600-500.wav` are 500 ms of 600 Hz, see `sounds.named`.
    """

    def __init__(self, port: int = 0) -> None:
        """Listen on `port`, by default one that is free."""
        self._listen = port
        self._answers: dict[str, list[Reply]] = {}
        self._received: list[Received] = []
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
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

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def serve(self, path: str, *answers: Reply) -> None:
        """Answer requests for `path` with `answers` in turn, then with the last one for ever."""
        with self._news:
            self._answers[path] = list(answers)

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

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # ends what still answers when it closes
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._listen)
        await site.start()
        with self._news:
            self._port = runner.addresses[0][1]
            self._news.notify_all()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        is_audio = request.content_type.startswith("audio/")
        data: dict[str, object] = {**request.query, **(json.loads(body) if body and not is_audio else {})}
        received = Received(method=request.method, path=request.path, headers=dict(request.headers), data=data)
        with self._news:
            self._received.append(received)
            reply = self._reply(request.path)
            self._news.notify_all()
        if callable(reply):
            reply = reply(received)
        answer = Answer(body=reply) if isinstance(reply, str) else reply
        if answer.hang:
            await self._stop.wait()
        await asyncio.sleep(answer.delay_s)
        headers = {"Location": answer.location} if answer.location else None
        if answer.pace_s:
            return await self._paced(request, answer)
        return web.Response(body=answer.octets, status=answer.status, content_type=answer.content_type, headers=headers)

    def _reply(self, path: str) -> Reply:
        answers = self._answers.get(path)
        if answers is None:
            name = path.removeprefix("/sounds/")
            return sound(name) if name != path else Answer(status=404, body="not found", content_type="text/plain")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def _paced(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # the engine has had enough
            while not self._stop.is_set():
                for at in range(0, len(answer.octets), answer.pieces):
                    await response.write(answer.octets[at : at + answer.pieces])
                    await asyncio.sleep(answer.pace_s)
                if not answer.endless:
                    break
            await response.write_eof()
        return response


def sound(name: str) -> Answer:
    """A sound of the harness as something to serve."""
    return Answer(body=sounds.wav(sounds.named(name)), content_type="audio/wav")


@dataclass(frozen=True)
class Line:
    """A number, and the part of the application that speaks for it."""

    number: str
    application: Application

    def serve(self, *answers: Reply, at: str = "") -> None:
        """Give documents (or what stands in `<Response>`) for `at`, by default the number's own URL."""
        self.application.serve(self.path(at), *map(_wrapped, answers))

    def path(self, at: str = "") -> str:
        return f"/{self.number}/{at}"

    def requests(self, at: str = "") -> list[Received]:
        return self.application.requests(self.path(at))

    def wait_for(self, at: str = "", count: int = 1, timeout_s: float = WAIT_S) -> list[Received]:
        return self.application.wait_for(self.path(at), count, timeout_s)

    def final_status(self) -> Received:
        """The one status callback."""
        (callback,) = self.wait_for("status")
        return callback


def _wrapped(reply: Reply) -> Reply:
    if callable(reply):
        return lambda received: f"<Response>{reply(received)}</Response>"
    return f"<Response>{reply}</Response>" if isinstance(reply, str) else reply
