"""A call and an application that exist only as tables: what verbs and the interpreter see in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flexml.engine.errors import FetchError, PromptError
from flexml.engine.flexml.fetch import Cookies, Fetched
from flexml.engine.flexml.request import CallFacts
from flexml.engine.flexml.verb import Method, Played, Prompt

SPEECH_S = 3.0
BASE = "http://app.example/start"


class FakeCall:
    """Keeps what was done to it, with the time. `keys` are (second, key); every text takes 3 s to say.

    `audio` says how long each URL plays, in seconds; any other URL cannot be fetched.
    """

    def __init__(
        self,
        *,
        answered: bool = False,
        keys: Sequence[tuple[float, str]] = (),
        audio: Mapping[str, float] | None = None,
    ) -> None:
        self.answered = answered
        self.did: list[tuple[float, str]] = []
        self.notes: list[str] = []
        self.stored: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.callback: tuple[str, Method | None] | None = None
        self._script, self._audio = list(keys), audio or {}
        self._typed: asyncio.Queue[str] | None = None

    def _do(self, what: str) -> None:
        self.did.append((round(asyncio.get_running_loop().time(), 3), what))

    @property
    def done(self) -> list[str]:
        return [what for _, what in self.did]

    @property
    def _keys(self) -> asyncio.Queue[str]:
        if self._typed is None:
            self._typed = asyncio.Queue()
            loop = asyncio.get_running_loop()
            for at, key in self._script:
                loop.call_at(at, self._typed.put_nowait, key)
        return self._typed

    def type_ahead(self, digits: str) -> None:
        for digit in digits:
            self._keys.put_nowait(digit)

    async def answer(self) -> None:
        if not self.answered:
            self._do("answer")
        self.answered = True

    async def early_media(self) -> None:
        self._do("early media")

    async def reject(self, status: int, *, reason: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        self._do("hang up" if self.answered else f"reject {status} {reason}")

    async def hang_up(self) -> None:
        self._do("hang up")

    async def speech(self, text: str, voice: str) -> Prompt:
        if text == "unspeakable":
            raise PromptError("no voice can say this")
        return Prompt(path=f"{voice}: {text}", rate_hz=8000, duration_ms=int(SPEECH_S * 1000))

    async def fetch_audio(self, url: str) -> Prompt:
        if url not in self._audio:
            raise PromptError(f"{url}: status 404")
        return Prompt(path=url, rate_hz=8000, duration_ms=int(self._audio[url] * 1000), url=url)

    async def play(
        self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0, stop_keys: str = ""
    ) -> Played:
        self._do(f"play {prompt.path}")
        clock = asyncio.get_running_loop().time
        began = clock()
        length = (prompt.duration_ms - offset_ms + (loops - 1) * (prompt.duration_ms + loop_pause_ms)) / 1000
        try:
            while stop_keys and (key := await self.digit(max(began + length - clock(), 0))):
                if key in stop_keys:
                    return Played(position_ms=offset_ms + round((clock() - began) * 1000), key=key)
            await asyncio.sleep(max(began + length - clock(), 0) if loops else 1e6)
        finally:
            self._do("silence")
        return Played(position_ms=prompt.duration_ms)

    async def digit(self, timeout_s: float | None = None) -> str | None:
        if not self._keys.empty():
            return self._keys.get_nowait()
        try:
            return await asyncio.wait_for(self._keys.get(), timeout_s)
        except TimeoutError:
            return None

    def discard_digits(self) -> None:
        while not self._keys.empty():
            self._keys.get_nowait()

    async def send_digits(self, digits: str) -> None:
        self._do(f"send {digits}")

    def store(self, name: str, value: str) -> None:
        self.stored[name] = value

    def override_status_callback(self, url: str, method: Method | None = None) -> None:
        self.callback = (url, method)

    async def play_error_message(self) -> None:
        self._do("error message")

    def note(self, what: str, **details: object) -> None:
        self.notes.append(" ".join([what, *(f"{name}={value}" for name, value in details.items())]))

    def facts(self) -> CallFacts:
        return CallFacts(
            sid="call-1",
            direction="inbound",
            from_="15550001000",
            to="15550002000",
            original_from="+15550001000",
            original_to="15550002000",
            storage={name: value for name, value in self.stored.items() if value},
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the application got."""

    url: str
    method: str
    data: Mapping[str, object]


@dataclass
class FakeFetcher:
    """Answers from `pages`: a body, a status and body, or a Fetched; a URL that is not there does not answer."""

    pages: Mapping[str, bytes | tuple[int, bytes] | Fetched]
    requests: list[Request] = field(default_factory=list[Request])

    def cookies(self) -> Cookies:
        return object()

    async def fetch(
        self, url: str, method: str, data: Mapping[str, object], *, cookies: Cookies | None = None
    ) -> Fetched:
        assert cookies is not None
        self.requests.append(Request(url=url, method=method, data=data))
        page = self.pages.get(url)
        if page is None:
            raise FetchError("connection refused", url=url)
        if isinstance(page, Fetched):
            return page
        status, body = page if isinstance(page, tuple) else (200, page)
        return Fetched(url=url, status=status, body=body)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url}" for request in self.requests]
