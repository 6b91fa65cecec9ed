"""Prompts from a real HTTP server and real files, decoded by the real worker process."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import shutil
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from flexml.engine.errors import PromptError
from flexml.engine.freshness import freshness
from flexml.engine.prompts import PromptLimits

from .audio_server import opened, wav

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

NOISE = array("h", (random.Random(1).randint(-32768, 32767) for _ in range(8000))).tobytes()
TONE = array("h", (round(8000 * math.sin(2 * math.pi * 1000 * n / 8000)) for n in range(8000))).tobytes()


class Server:
    """Serves `body` with `headers` at any path, answers conditions, and counts."""

    def __init__(self, body: bytes = wav(NOISE), *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.body, self.status, self.headers = body, status, headers or {}
        self.requests: list[int] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.Response:
        etag = self.headers.get("ETag")
        unchanged = etag is not None and request.headers.get("If-None-Match") == etag
        status = 304 if self.status == 200 and unchanged else self.status
        self.requests.append(status)
        return web.Response(status=status, body=b"" if status == 304 else self.body, headers=self.headers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def test_8_khz_mono_wav_comes_out_sample_for_sample(tmp_path: Path) -> None:
    server = Server()

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            prompt = await prompts.fetch(f"  {server.base}/a.wav ")
            assert read(prompt.path) == NOISE
            assert (prompt.rate_hz, prompt.duration_ms, prompt.url) == (8000, 1000, f"{server.base}/a.wav")

    asyncio.run(run())


def test_concurrent_callers_share_one_download(tmp_path: Path) -> None:
    server = Server()

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            found = await asyncio.gather(*(prompts.fetch(f"{server.base}/a") for _ in range(20)))
            assert len(set(found)) == 1

    asyncio.run(run())
    assert server.requests == [200]


def test_a_caller_that_leaves_does_not_take_the_others_along(tmp_path: Path) -> None:
    server = Server()

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            first = asyncio.create_task(prompts.fetch(f"{server.base}/a"))
            second = asyncio.create_task(prompts.fetch(f"{server.base}/a"))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).duration_ms == 1000

    asyncio.run(run())
    assert server.requests == [200]


@pytest.mark.parametrize(
    ("headers", "requests"),
    [
        ({}, [200, 200]),
        ({"ETag": '"1"'}, [200, 304]),
        ({"Cache-Control": "max-age=60"}, [200]),
        ({"Cache-Control": "max-age=60, no-cache", "ETag": '"1"'}, [200, 304]),
        ({"Cache-Control": "max-age=60", "Age": "60", "ETag": '"1"'}, [200, 304]),
        ({"Cache-Control": "no-store", "ETag": '"1"'}, [200, 200]),
    ],
)
def test_cache_follows_the_headers(tmp_path: Path, headers: dict[str, str], requests: list[int]) -> None:
    server = Server(headers=headers)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            assert await prompts.fetch(f"{server.base}/a") == await prompts.fetch(f"{server.base}/a")

    asyncio.run(run())
    assert server.requests == requests


def test_fresh_audio_that_is_deleted_from_the_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexml.engine.prompts.LOOK_EVERY_S", 0.05)
    server = Server(headers={"Cache-Control": "max-age=60"})

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            first = await prompts.fetch(f"{server.base}/a.wav")
            asked = [await prompts.fetch(f"{server.base}/a.wav") for _ in range(3)]
            assert {prompt.path for prompt in asked} == {first.path}
            assert server.requests == [200]
            await asyncio.to_thread(Path(first.path).unlink)
            await asyncio.sleep(0.1)
            again = await prompts.fetch(f"{server.base}/a.wav")
            assert server.requests == [200, 200]
            assert read(again.path) == NOISE

    asyncio.run(run())


def test_audio_is_fetched_and_played_after_somebody_has_removed_the_cache(tmp_path: Path) -> None:
    server = Server()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "b.wav").write_bytes(wav(NOISE))

    async def run() -> None:
        async with server.running(), opened(tmp_path / "cache", roots=(tmp_path / "own",)) as prompts:
            for url in (f"{server.base}/a.wav", f"file:{tmp_path}/own/b.wav"):
                await asyncio.to_thread(shutil.rmtree, tmp_path / "cache")
                assert read((await prompts.fetch(url)).path) == NOISE
            await asyncio.to_thread(shutil.rmtree, tmp_path / "cache")

    asyncio.run(run())


def test_changed_audio_is_fetched_again_and_known_after_a_restart(tmp_path: Path) -> None:
    server = Server(headers={"ETag": '"1"'})

    async def run() -> None:
        async with server.running():
            async with opened(tmp_path) as prompts:
                await prompts.fetch(f"{server.base}/a")
            async with opened(tmp_path) as prompts:
                assert read((await prompts.fetch(f"{server.base}/a")).path) == NOISE
                server.body, server.headers = wav(TONE), {"ETag": '"2"'}
                assert read((await prompts.fetch(f"{server.base}/a")).path) == TONE

    asyncio.run(run())
    assert server.requests == [200, 304, 200]


@pytest.mark.parametrize(("control", "served"), [("", True), ("must-revalidate", False)])
def test_stale_copy_serves_while_the_server_cannot(tmp_path: Path, control: str, served: bool) -> None:
    server = Server(headers={"Cache-Control": control} if control else {})

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            first = await prompts.fetch(f"{server.base}/a")
            server.status = 503
            if served:
                assert await prompts.fetch(f"{server.base}/a") == first
            else:
                with pytest.raises(PromptError, match="status 503"):
                    await prompts.fetch(f"{server.base}/a")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 200, "the body is empty"),
        (b"x", 404, "status 404; expected 200"),
        (b"<html>not found</html>" * 50, 200, "not audio"),
        (wav(b""), 200, "no sound in it"),
        (wav(bytes(40000)), 200, "longer than the 20000 octets allowed"),
        (wav(bytes(16000), rate_hz=100), 200, "longer than the 2 s allowed"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", 200, "not audio"),
    ],
)
def test_what_cannot_be_played_is_an_error_that_names_url_and_cause(
    tmp_path: Path, body: bytes, status: int, message: str
) -> None:
    server = Server(body, status=status)
    limits = PromptLimits(max_download=20000, max_duration_s=2)

    async def run() -> None:
        async with server.running(), opened(tmp_path, limits=limits) as prompts:
            with pytest.raises(PromptError, match=message) as caught:
                await prompts.fetch(f"{server.base}/a")
            assert str(caught.value).startswith(f"{server.base}/a: ")

    asyncio.run(run())
    assert sorted(path.suffix for path in (tmp_path / "cache").rglob("*.*")) in ([], [".json"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/etc/hostname",
        "../secret.wav",
        "file:///etc/hostname",
        "file:..%2Fsecret.wav",
        "link.wav",
        "circle.wav",
        "circle.wav/x.wav",
        f"{'a' * 300}.wav",
        "a\0b",
        "http://[",
    ],
)
def test_files_outside_the_roots_cannot_be_played(tmp_path: Path, url: str) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(NOISE))
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.wav").symlink_to(tmp_path / "secret.wav")
    (root / "circle.wav").symlink_to("circle.wav")

    async def run() -> None:
        async with opened(tmp_path, roots=(root,)) as prompts:
            with pytest.raises(PromptError):
                await prompts.fetch(url)

    asyncio.run(run())


def test_file_below_a_root_is_played_and_followed_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "with space.wav"
    file.write_bytes(wav(NOISE))

    async def run() -> None:
        async with opened(tmp_path, roots=(tmp_path,)) as prompts:
            for url in ("with space.wav", str(file), file.as_uri()):
                assert read((await prompts.fetch(url)).path) == NOISE
            file.write_bytes(wav(TONE))
            os.utime(file, (1, 1))
            assert read((await prompts.fetch("with space.wav")).path) == TONE

    asyncio.run(run())


def test_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.wav"
        async with server, opened(tmp_path, limits=PromptLimits(timeout_s=0.2)) as prompts:
            with pytest.raises(PromptError, match=r"no answer within 0.2 s"):
                await prompts.fetch(url)
            for writer in writers:
                writer.close()

    asyncio.run(run())


def test_cache_stays_within_its_size_and_drops_the_oldest(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.wav").write_bytes(wav(NOISE[n * 2 :]))
    limits = PromptLimits(cache_bytes=40_000)

    async def run() -> None:
        async with opened(tmp_path, roots=(tmp_path,), limits=limits) as prompts:
            paths = [Path((await prompts.fetch(f"{n}.wav")).path) for n in range(3)]
            assert all(path.exists() for path in paths), "what was just handed out stays"
        for n, path in enumerate(paths):
            os.utime(path, (n, n))
        async with opened(tmp_path, roots=(tmp_path,), limits=limits) as prompts:
            await prompts.fetch("3.wav")
            assert [path.exists() for path in paths] == [False, False, True]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "lifetime_s", "stale_ok"),
    [
        ({}, 0, True),
        ({"Cache-Control": "Max-Age=5"}, 5, True),
        ({"Cache-Control": 'public, max-age="5"', "Age": "2"}, 3, True),
        ({"Cache-Control": "max-age=5", "Age": "9"}, 0, True),
        ({"Cache-Control": "max-age=-1"}, 0, True),
        ({"Cache-Control": "max-age=99999999999999999999"}, 0, True),
        ({"Cache-Control": "no-store, max-age=5"}, 0, False),
        ({"Cache-Control": "must-revalidate, max-age=5"}, 5, False),
        ({"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Expires": "Thu, 01 Jan 2026 00:01:00 GMT"}, 60, True),
        ({"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Expires": "0"}, 0, True),
        ({"Date": "nonsense", "Expires": "Thu, 01 Jan 2026 00:01:00 GMT"}, 0, True),
        ({"Date": "Thu, 01 Jan 2026 00:01:00 -0000", "Expires": "Thu, 01 Jan 2026 00:00:00 GMT"}, 0, True),
    ],
)
def test_freshness_of_headers(headers: dict[str, str], lifetime_s: float, stale_ok: bool) -> None:
    found = freshness(headers, "digest")
    assert (found.lifetime_s, found.stale_ok) == (lifetime_s, stale_ok)
