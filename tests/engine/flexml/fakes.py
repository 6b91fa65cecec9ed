"""A call and an application that exist only as tables: what verbs and the interpreter see in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from flexml.engine.dial import Dialled, DialRequest
from flexml.engine.digits import DigitQueue
from flexml.engine.errors import FetchError, PromptError, StorageError
from flexml.engine.flexml.fetch import Cookies, Fetched
from flexml.engine.flexml.request import CallFacts
from flexml.engine.flexml.verb import AmdSettings, Goto, MessageStatus, Method, Played, Prompt
from flexml.engine.recording import Recorded, RecordingRequest
from flexml.media.protocol import Layer

SPEECH_S = 3.0
BASE = "http://app.example/start"
RECORDED = Recorded(status="completed", sid="file-1", url="http://store.example/file-1", duration_s=4)


class FakePlaying:
    """A play that goes by the loop's clock."""

    def __init__(self, length_ms: int, loops: int, pause_ms: int, offset_ms: int, ended: Callable[[], None]) -> None:
        self._length, self._loops, self._pause, self._position = length_ms, loops, pause_ms, float(offset_ms)
        self._ended = ended
        self._repeated, self._over = 0, False
        self._since = self._now()
        self._changed = asyncio.Event()

    def _now(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def _advance(self) -> None:
        if self._over:
            return
        self._position += self._now() - self._since
        self._since = self._now()
        while not self._over and self._position >= self._length - 1e-6:
            if self._loops and self._repeated + 1 == self._loops:
                self._position = self._length
                self._end()
                return
            self._repeated += 1
            self._position -= self._length + self._pause

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._changed.set()
            self._ended()

    def seek(self, by_ms: int, *, strict: bool = False) -> None:
        if self._over:
            return
        self._advance()
        if not strict or self._position + by_ms < self._length:
            self._position = max(0, self._position + by_ms)
        self._changed.set()

    def stop(self) -> None:
        if not self._over:
            self._advance()
        self._end()

    async def finished(self) -> Played:
        self._advance()
        while not self._over:
            self._changed.clear()
            try:
                async with asyncio.timeout((self._length - self._position) / 1000):
                    await self._changed.wait()
            except TimeoutError:
                pass
            if not self._over:
                self._advance()
        return Played(position_ms=max(0, round(self._position)), loops=self._repeated)


class FakeRecording:
    """A recording that takes half a second to finish."""

    def __init__(self, do: Callable[[str], None], recorded: Recorded) -> None:
        self._do, self._recorded = do, recorded

    async def finish(self) -> Recorded:
        self._do("recorded")
        await asyncio.sleep(0.5)
        return self._recorded


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
        slow: Mapping[str, float] | None = None,
        heard_after: float = 1e6,
        recorded: Recorded | None = None,
    ) -> None:
        self.answered = answered
        self.running = ""
        self.did: list[tuple[float, str]] = []
        self.notes: list[str] = []
        self.stored: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.callback: tuple[str, Method | None] | None = None
        self.requested: list[RecordingRequest] = []
        self.dialled: list[DialRequest] = []
        self.sent: list[tuple[str, str, str]] = []
        self.last_word: Callable[[], Awaitable[Goto | None]] | None = None
        self.dial_result = Dialled(status="completed", number="15550002001", sid="party-1", duration_s=7)
        self.recorded = recorded or Recorded(
            status="completed", sid="file-1", url="http://store.example/file-1", duration_s=4
        )
        self._script, self._audio, self._slow, self._heard_after = list(keys), audio or {}, slow or {}, heard_after
        self._typed: DigitQueue | None = None
        self._background: asyncio.Future[None] | None = None

    def _do(self, what: str) -> None:
        self.did.append((round(asyncio.get_running_loop().time(), 3), what))

    @property
    def done(self) -> list[str]:
        return [what for _, what in self.did]

    @property
    def _keys(self) -> DigitQueue:
        if self._typed is None:
            self._typed = DigitQueue()
            loop = asyncio.get_running_loop()
            for at, key in self._script:
                loop.call_at(at, self._typed.push, key)
        return self._typed

    def type_ahead(self, digits: str) -> None:
        for digit in digits:
            self._keys.push(digit)

    async def answer(self) -> None:
        if not self.answered:
            self._do("answer")
        self.answered = True

    async def early_media(self) -> bool:
        self._do("early media")
        return True

    async def reject(self, status: int, *, reason: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        self._do("hang up" if self.answered else f"reject {status} {reason}")

    async def hang_up(self) -> None:
        self._do("hang up")

    async def speech(self, text: str, voice: str) -> Prompt:
        if text == "unspeakable":
            raise PromptError("no voice can say this")
        return Prompt(path=f"{voice}: {text}", rate_hz=8000, duration_ms=int(SPEECH_S * 1000))

    async def fetch_audio(self, url: str, *, streaming: bool = False, pre_buffer_s: float = 0.0) -> Prompt:
        if streaming or pre_buffer_s:
            self._do(f"fetch streaming={streaming} pre_buffer_s={pre_buffer_s:g}")
        if url in self._slow:
            await asyncio.sleep(self._slow[url])
        if url not in self._audio:
            raise PromptError(f"{url}: status 404")
        return Prompt(path=url, rate_hz=8000, duration_ms=int(self._audio[url] * 1000), url=url)

    async def fetch_file(self, sid: str) -> Prompt:
        if sid not in self._audio:
            raise PromptError(f"there is no file {sid}", url=f"http://store.example/{sid}")
        return Prompt(
            path=sid, rate_hz=8000, duration_ms=int(self._audio[sid] * 1000), url=f"http://store.example/{sid}"
        )

    def start(
        self,
        prompt: Prompt,
        *,
        loops: int = 1,
        loop_pause_ms: int = 0,
        offset_ms: int = 0,
        layer: Layer = "foreground",
    ) -> FakePlaying:
        where = "" if layer == "foreground" else f" {layer}"
        at = f" at {offset_ms}" if offset_ms else ""
        self._do(f"play{where} {prompt.path}{at}")
        silence = f"silence{where}"
        return FakePlaying(prompt.duration_ms, loops, loop_pause_ms, offset_ms, lambda: self._do(silence))

    def start_tone(self, tone: str, *, duration_ms: int = 0) -> FakePlaying:
        self._do(f"tone {tone}")
        return FakePlaying(duration_ms or 10**9, 1, 0, 0, lambda: None)

    async def play(self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0) -> Played:
        playing = self.start(prompt, loops=loops, loop_pause_ms=loop_pause_ms, offset_ms=offset_ms)
        try:
            return await playing.finished()
        finally:
            playing.stop()

    def in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        if self._background is not None:
            self._background.cancel()
        self._background = asyncio.ensure_future(work())

    async def digit(self, timeout_s: float | None = None) -> str | None:
        return await self._keys.get(timeout_s)

    async def digit_of(self, keys: str) -> str:
        return await self._keys.get_one_of(keys)

    def discard_digits(self) -> None:
        self._keys.clear()

    async def heard(self, *, noise_ms: int | None = None, silence_ms: int | None = None) -> None:
        self._do(f"listen noise={noise_ms} silence={silence_ms}")
        await asyncio.sleep(self._heard_after)

    async def detect_machine(self, settings: AmdSettings) -> tuple[str, str]:
        self._do("amd " + " ".join(f"{name}={value}" for name, value in sorted(settings.items())))
        await asyncio.sleep(2)
        return "HUMAN", "HUMAN-800-800"

    async def record(self, request: RecordingRequest) -> FakeRecording:
        if request.container_sid == "full":
            raise StorageError("container full is full")
        self.requested.append(request)
        self._do("record")
        return FakeRecording(self._do, self.recorded)

    async def send_digits(self, digits: str) -> None:
        self._do(f"send {digits}")

    async def dial(self, request: DialRequest) -> Dialled:
        self.dialled.append(request)
        await asyncio.sleep(7)
        return self.dial_result

    @contextmanager
    def at_its_end(self, word: Callable[[], Awaitable[Goto | None]]) -> Generator[None]:
        self.last_word = word
        yield

    async def send_message(self, text: str, *, sender: str = "", recipient: str = "") -> MessageStatus:
        self.sent.append((text, sender, recipient))
        await asyncio.sleep(1)
        return "failed" if text == "unsendable" else "sent"

    def store(self, name: str, value: str) -> None:
        self.stored[name] = value

    def override_status_callback(self, url: str, method: Method | None = None) -> None:
        self.callback = (url, method)

    def override_login(self, username: str, password: str) -> None:
        self.login = (username, password)

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
        assert len(self.requests) < 1000, "documents without an end"
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
