"""Streams: playlists (HLS), RTMP, and broadcasts over HTTP, from real servers, decoded in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from flexml.engine.errors import PromptError
from flexml.engine.flexml.verb import Prompt
from flexml.engine.growth import Growth
from flexml.engine.prompts import PromptLimits, Prompts

from .audio_server import Files, ffmpeg, opened, proof, sine

RATE_HZ = 8000
SINE = ("-f", "lavfi", "-i", "sine=1000:d=8", "-c:a", "aac", "-f", "hls", "-hls_time", "2")


def growth_of(prompt: Prompt) -> Growth:
    assert prompt.growth is not None
    return prompt.growth


def level(prompt: Prompt, first: int, last: int) -> float:
    ring = np.fromfile(prompt.path, "<i2")
    samples = ring[np.arange(first, last) % ring.size].astype(np.float64)
    return float(np.sqrt(np.mean(samples**2)))


def size(prompt: Prompt) -> int:
    return Path(prompt.path).stat().st_size


def playlist(directory: Path, kind: str, base: str = "") -> str:
    """Make a playlist of that kind with its segments; gives its name."""
    (directory / "key").write_bytes(os.urandom(16))
    (directory / "keys").write_text(f"{base}/key\n{directory / 'key'}\n")
    arguments: Sequence[object] = {
        "ts": [],
        "fmp4": ["-hls_segment_type", "fmp4"],
        "encrypted": ["-hls_key_info_file", directory / "keys"],
    }[kind]
    ffmpeg(*SINE, "-hls_playlist_type", "vod", *arguments, directory / "a.m3u8")
    return "a.m3u8"


@pytest.mark.parametrize("kind", ["ts", "fmp4", "encrypted"])
@pytest.mark.parametrize("scheme", ["http", "hls"])
def test_playlist_with_an_end_is_played_to_its_end(tmp_path: Path, kind: str, scheme: str) -> None:
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            name = await asyncio.to_thread(playlist, tmp_path, kind, server.base)
            prompt = await prompts.fetch(f"{server.base}/{name}".replace("http", scheme, 1))
            assert prompt.ring == 0
            growth = growth_of(prompt)
            with growth.listening():
                await growth.reach(math.inf)
            assert growth.error == ""
            assert growth.available == pytest.approx(8 * RATE_HZ, abs=RATE_HZ // 5)
            assert level(prompt, RATE_HZ, 7 * RATE_HZ) == pytest.approx(4096 / math.sqrt(2), rel=0.05)
            assert list((tmp_path / "cache").glob("*.*")) == [], "not cached"

    asyncio.run(run())


def test_playlist_is_known_by_its_content_type_behind_a_redirect(tmp_path: Path) -> None:
    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound("/served")

    async def served(_: web.Request) -> web.Response:
        body = (tmp_path / "a.m3u8").read_bytes()
        return web.Response(body=body, headers={"Content-Type": "application/vnd.apple.mpegurl"})

    server = Files(tmp_path, redirect=redirect, served=served)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            await asyncio.to_thread(playlist, tmp_path, "ts")
            growth = growth_of(await prompts.fetch(f"{server.base}/redirect"))
            with growth.listening():
                await growth.reach(math.inf)
            assert growth.available == pytest.approx(8 * RATE_HZ, abs=RATE_HZ // 5)

    asyncio.run(run())


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("segment", ["file://{here}/secret.ts", "{here}/secret.ts", "concat:{here}/secret.ts"])
def test_playlist_cannot_name_files_of_this_machine(tmp_path: Path, segment: str) -> None:
    sine(tmp_path / "secret.ts", "-c:a", "aac")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.m3u8").write_text(PLAYLIST.format(segment.format(here=tmp_path)))
    server = Files(tmp_path / "www")

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            with pytest.raises(PromptError):
                await prompts.fetch(f"{server.base}/a.m3u8")

    asyncio.run(run())


@contextlib.asynccontextmanager
async def broadcasting(*arguments: object) -> AsyncGenerator[None]:
    """An ffmpeg that sends in real time, for a quarter of a minute at most."""
    command = ["ffmpeg", "-v", "fatal", "-re", "-f", "lavfi", "-i", "sine=1000:d=15", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def listening_to(prompts: Prompts, url: str) -> Prompt:
    """The stream, once its server is there: a moment after its process."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(PromptError):
                return await prompts.fetch(url)


def test_live_playlist_is_a_ring_that_ends_when_nobody_listens(tmp_path: Path) -> None:
    limits = PromptLimits(linger_s=0.5)
    server = Files(tmp_path)
    live = ("-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "3", "-hls_flags", "delete_segments")

    async def run() -> None:
        async with (
            server.running(),
            opened(tmp_path, limits=limits) as prompts,
            broadcasting(*live, tmp_path / "live.m3u8"),
        ):
            prompt = await listening_to(prompts, f"{server.base}/live.m3u8")
            growth = growth_of(prompt)
            assert prompt.ring == 60 * RATE_HZ
            with growth.listening():
                await growth.reach(4 * RATE_HZ)
                assert not growth.complete
                assert level(prompt, RATE_HZ, 3 * RATE_HZ) == pytest.approx(4096 / math.sqrt(2), rel=0.05)
                assert (await prompts.fetch(f"{server.base}/live.m3u8")).growth is growth
            await growth.reach(math.inf)
            assert growth.error == ""
            assert len(prompts.pids) == 1, "its process has ended"

    asyncio.run(run())


def test_stream_does_not_end_while_somebody_waits_for_its_buffer(tmp_path: Path) -> None:
    limits = PromptLimits(linger_s=0.5)
    live = ("-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "3", "-hls_flags", "delete_segments")
    server = Files(tmp_path)

    async def run() -> None:
        async with (
            server.running(),
            opened(tmp_path, limits=limits) as prompts,
            broadcasting(*live, tmp_path / "live.m3u8"),
        ):
            url = f"{server.base}/live.m3u8"
            await listening_to(prompts, url)
            growth = growth_of(await prompts.fetch(url, pre_buffer_s=5))
            assert growth.available >= 5 * RATE_HZ
            assert not growth.complete

    asyncio.run(run())


def test_rtmp_is_a_ring(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"rtmp://127.0.0.1:{free.getsockname()[1]}/live/x"

    async def run() -> None:
        async with opened(tmp_path) as prompts, broadcasting("-c:a", "aac", "-f", "flv", "-listen", "1", url):
            prompt = await listening_to(prompts, url)
            assert prompt.ring == 60 * RATE_HZ
            with growth_of(prompt).listening():
                await growth_of(prompt).reach(3 * RATE_HZ)
                assert level(prompt, RATE_HZ, 2 * RATE_HZ) == pytest.approx(4096 / math.sqrt(2), rel=0.05)

    asyncio.run(run())


@pytest.mark.parametrize("ending", ["mp3", "aac"])
def test_endless_http_stream_keeps_to_the_clock_however_fast_it_comes(tmp_path: Path, ending: str) -> None:
    body = sine(tmp_path / f"a.{ending}", seconds=10).read_bytes()

    async def radio(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/mpeg", "icy-name": "radio"})
        await response.prepare(request)
        while True:
            await server.write(response, body)

    server = Files(tmp_path, radio=radio)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            loop = asyncio.get_running_loop()
            prompt, other = await asyncio.gather(
                *(prompts.fetch(f"{server.base}/radio", streaming=True) for _ in range(2))
            )
            begun, growth = loop.time(), growth_of(prompt)
            assert other.growth is growth
            with growth.listening():
                await growth.reach(5 * RATE_HZ)
                assert loop.time() - begun > 2, "no more than two seconds ahead"
            assert server.requests == ["radio"]
            assert size(prompt) == 60 * RATE_HZ * 2

    asyncio.run(run())


def test_who_opens_a_stream_hears_all_of_it_and_whoever_comes_later_what_is_new(tmp_path: Path) -> None:
    body = sine(tmp_path / "a.mp3", seconds=10).read_bytes()

    async def radio(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await server.write(response, body)

    server = Files(tmp_path, radio=radio)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            fetch = functools.partial(prompts.fetch, f"{server.base}/radio", streaming=True)
            buffered, also = await asyncio.gather(fetch(pre_buffer_s=3), fetch())
            growth = growth_of(buffered)
            assert (buffered.entry_ms, also.entry_ms) == (0, 0)
            assert growth.available >= 3 * RATE_HZ
            with growth.listening():
                await growth.reach(6 * RATE_HZ)
                for pre_buffer_s, behind_s in ((0, 1), (5, 5)):
                    newest_ms = growth.available * 1000 / RATE_HZ
                    later = await fetch(pre_buffer_s=pre_buffer_s)
                    assert newest_ms - 1 <= later.entry_ms + behind_s * 1000 <= growth.available * 1000 / RATE_HZ

    asyncio.run(run())


def test_a_stream_is_heard_before_much_of_it_has_come(tmp_path: Path) -> None:
    sine(tmp_path / "a.mp3", "-b:a", "64k", seconds=8)
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            server.let(5)  # of 40: a second
            async with asyncio.timeout(8):
                growth = growth_of(await prompts.fetch(f"{server.base}/slow/a.mp3", streaming=True))
                with growth.listening():
                    await growth.reach(RATE_HZ // 10)

    asyncio.run(run())


def test_what_streams_and_has_an_end_ends_there(tmp_path: Path) -> None:
    server = Files(sine(tmp_path / "a.mp3", seconds=3).parent)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            growth = growth_of(await prompts.fetch(f"{server.base}/a.mp3", streaming=True))
            with growth.listening():
                await growth.reach(math.inf)
            assert growth.error == ""
            assert growth.available == pytest.approx(3 * RATE_HZ, abs=RATE_HZ // 5)

    asyncio.run(run())


def test_streams_that_cannot_be_played_are_errors_that_say_why(tmp_path: Path) -> None:
    (tmp_path / "page.m3u8").write_text("<html>no stream today</html>")
    server = Files(tmp_path)
    limits = PromptLimits(timeout_s=0.5)

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []

    async def run() -> None:
        mute = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = mute.sockets[0].getsockname()[1]
        async with server.running(), mute, opened(tmp_path, limits=limits) as prompts:
            errors = [
                (f"{server.base}/gone.m3u8", "cannot be opened: Server returned 404 Not Found"),
                (f"{server.base}/page.m3u8", "not audio that can be decoded; expected aac"),
                ("rtmp://127.0.0.1:1/live/x", "cannot be opened: Connection refused"),
                (f"rtmp://127.0.0.1:{port}/live/x", "nothing came for 0.5 s"),
                (f"http://127.0.0.1:{port}/a.m3u8", "nothing came for 0.5 s"),
                ("rtsp://127.0.0.1/x", "scheme 'rtsp'; allowed: http, https, hls, rtmp"),
            ]
            for url, error in errors:
                with pytest.raises(PromptError, match=error):
                    await prompts.fetch(url)
            for writer in writers:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    asyncio.run(run())


PROOFS = {
    "trusted": ("IP:127.0.0.1", True, None),
    "not trusted": ("IP:127.0.0.1", False, "cannot be opened: Peer certificate failed verification"),
    "of another host": ("DNS:a.example", True, "cannot be opened: The certificate's owner does not match hostname"),
}


@pytest.mark.parametrize(("host", "trusted", "error"), PROOFS.values(), ids=PROOFS)
@pytest.mark.parametrize("name", ["a.m3u8", "tone.wav"])
def test_who_streams_by_https_has_to_prove_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool, error: str | None, name: str
) -> None:
    certificate, tls = proof(tmp_path, host)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    playlist(tmp_path, "ts")
    sine(tmp_path / "tone.wav")
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(tls), opened(tmp_path) as prompts:
            urls = [f"{server.base}/{name}", f"{server.base}/live".replace("https", "rtmps")]
            for url in urls if error else urls[:1]:
                stream = prompts.fetch(url, streaming=name == "tone.wav")
                if error:
                    with pytest.raises(PromptError, match=error):
                        await stream
                else:
                    assert growth_of(await stream).available > 0

    asyncio.run(run())


def test_more_streams_than_allowed_are_refused(tmp_path: Path) -> None:
    body = sine(tmp_path / "a.mp3", seconds=10).read_bytes()

    async def radio(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await server.write(response, body)

    server = Files(tmp_path, one=radio, two=radio)

    async def run() -> None:
        async with server.running(), opened(tmp_path, limits=PromptLimits(processes=1)) as prompts:
            first = await prompts.fetch(f"{server.base}/one", streaming=True)
            with growth_of(first).listening(), pytest.raises(PromptError, match="1 streams are played"):
                await prompts.fetch(f"{server.base}/two", streaming=True)

    asyncio.run(run())
