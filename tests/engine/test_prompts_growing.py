"""Prompts that are handed out while they are still downloaded: what comes is played, what goes wrong is told."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from flexml.engine.download import DownloadLimits, request
from flexml.engine.errors import PromptError
from flexml.engine.flexml.verb import Prompt
from flexml.engine.growth import Growth
from flexml.engine.prompts import PromptLimits

from .audio_server import Files, opened, sine, wav

RATE_HZ = 8000


def growth_of(prompt: Prompt) -> Growth:
    assert prompt.growth is not None
    return prompt.growth


async def samples_in(prompt: Prompt) -> int:
    """Wait for all samples; how many there are."""
    if prompt.growth is not None:
        await prompt.growth.reach(math.inf)
        assert prompt.growth.error == ""
    return size(prompt) // 2


def in_cache(directory: Path) -> list[str]:
    return sorted(path.suffix for path in (directory / "cache").glob("*.*"))


def size(prompt: Prompt) -> int:
    return Path(prompt.path).stat().st_size


def there(prompt: Prompt) -> bool:
    return Path(prompt.path).exists()


def room(prompt: Prompt) -> int:
    """What the file takes on the disk."""
    return Path(prompt.path).stat().st_blocks * 512


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.mp3", []),
        ("a.aac", []),
        ("a.ogg", ["-c:a", "libvorbis"]),
        ("opus.ogg", ["-c:a", "libopus"]),
        ("a.m4a", ["-movflags", "+faststart"]),
        ("a.flac", []),
        ("a.wav", []),
        ("a.ul", ["-f", "mulaw", "-ar", 8000]),
        ("a.g722", ["-f", "g722", "-ar", 16000]),
    ],
)
def test_playing_may_begin_long_before_the_download_ends(tmp_path: Path, name: str, arguments: list[object]) -> None:
    server = Files(sine(tmp_path / name, *arguments, seconds=20).parent)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            url = f"{server.base}/slow/{name}"
            server.let(10)
            prompt, other = await asyncio.gather(prompts.fetch(url), prompts.fetch(url))
            growth = growth_of(prompt)
            assert other.growth is growth
            assert prompt.duration_ms == 0
            assert not growth.complete
            assert 0.3 * RATE_HZ <= growth.available < 10 * RATE_HZ
            assert (await prompts.fetch(url)).growth is growth
            server.let(30)
            await growth.reach(math.inf)
            assert (growth.complete, growth.error) == (True, "")
            assert growth.available == pytest.approx(20 * RATE_HZ, abs=RATE_HZ // 10)
            assert size(prompt) == growth.available * 2, "its path stays valid"
            assert in_cache(tmp_path) == [".json", ".pcm"]
        assert server.requests == [f"slow/{name}"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("stereo.wav", ["-ar", 44100, "-ac", 2]),
        ("float.wav", ["-ar", 48000, "-ac", 2, "-c:a", "pcm_f32le"]),
        ("mulaw.wav", ["-ar", 8000, "-c:a", "pcm_mulaw"]),
        ("a.w64", ["-ar", 44100, "-ac", 2]),
        ("a.aiff", ["-ar", 44100, "-ac", 2]),
        ("a.au", ["-ar", 44100, "-ac", 2]),
    ],
)
def test_what_needs_no_analysis_is_heard_once_its_first_second_is_there(
    tmp_path: Path, name: str, arguments: list[object]
) -> None:
    server = Files(sine(tmp_path / name, *arguments, seconds=20).parent)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts, asyncio.timeout(60):
            server.let(2)
            growth = growth_of(await prompts.fetch(f"{server.base}/slow/{name}"))
            assert 0.3 * RATE_HZ <= growth.available <= RATE_HZ
            server.let(38)
            await growth.reach(math.inf)
            assert growth.error == ""
            assert growth.available == pytest.approx(20 * RATE_HZ, abs=RATE_HZ // 100)

    asyncio.run(run())


def test_pre_buffer_is_waited_for(tmp_path: Path) -> None:
    server = Files(sine(tmp_path / "a.mp3", seconds=20).parent)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            url = f"{server.base}/slow/a.mp3"
            server.let(8)
            first = growth_of(await prompts.fetch(url))
            waiting = asyncio.create_task(prompts.fetch(url, pre_buffer_s=8))
            await asyncio.sleep(0)
            assert first.available < 8 * RATE_HZ
            server.let(20)
            assert growth_of(await waiting).available >= 8 * RATE_HZ
            server.let(12)

    asyncio.run(run())


@pytest.mark.parametrize("length", [None, 1 << 24], ids=["no announced length", "a length that is far away"])
def test_download_that_nears_no_end_ends_when_nobody_listens(tmp_path: Path, length: int | None) -> None:
    body = sine(tmp_path / "a.mp3", seconds=10).read_bytes()

    async def radio(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        while True:
            await server.write(response, body[: 1 << 14])
            await asyncio.sleep(0.05)

    server = Files(tmp_path, radio=radio)
    limits = PromptLimits(linger_s=0.5, timeout_s=30.0 if length is None else 2.0)

    async def run() -> None:
        async with server.running(), opened(tmp_path, limits=limits) as prompts:
            growth = growth_of(await prompts.fetch(f"{server.base}/radio"))
            with growth.listening():
                await growth.reach(20 * RATE_HZ)
                assert not growth.complete
            await growth.reach(math.inf)
            assert growth.error.endswith("nobody listens any more, and the end is not in sight")
            await server.hung_up.wait()

    asyncio.run(run())


def test_mp4_with_its_directory_at_the_end_waits_for_it(tmp_path: Path) -> None:
    server = Files(sine(tmp_path / "a.m4a", seconds=20).parent)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            waiting = asyncio.create_task(prompts.fetch(f"{server.base}/slow/a.m4a"))
            server.let(39)
            await asyncio.wait({waiting}, timeout=1)
            assert not waiting.done()
            server.let(1)
            assert await samples_in(await waiting) == pytest.approx(20 * RATE_HZ, abs=RATE_HZ // 10)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("pieces", "name", "seconds"),
    [(20, "a.mp3", 10), (40, "a.mp3", 10), (20, "a.wav", 10)],
    ids=["broken while it plays", "broken at once", "wav"],
)
def test_of_a_download_that_breaks_off_what_came_is_played_and_the_error_told(
    tmp_path: Path, pieces: int, name: str, seconds: int
) -> None:
    whole = sine(tmp_path / name, seconds=20).stat().st_size
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            server.let(pieces)
            prompt = await prompts.fetch(f"{server.base}/slow/{name}?cut={whole // 2}")
            server.let(40)
            growth = growth_of(prompt)
            await growth.reach(math.inf)
            assert growth.error == f"the download broke off after {whole // 2} of {whole} octets"
            assert growth.available == pytest.approx(seconds * RATE_HZ, abs=RATE_HZ // 5)
            assert size(prompt) == growth.available * 2
            assert in_cache(tmp_path) == []

    asyncio.run(run())


def test_a_file_that_ends_early_but_whole_is_no_error(tmp_path: Path) -> None:
    whole = sine(tmp_path / "a.mp3", seconds=4).read_bytes()
    (tmp_path / "half.mp3").write_bytes(whole[: len(whole) // 2])
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            prompt = await prompts.fetch(f"{server.base}/half.mp3")
            assert await samples_in(prompt) == pytest.approx(2 * RATE_HZ, abs=RATE_HZ // 10)

    asyncio.run(run())


def test_a_download_onto_a_full_disk_says_so(tmp_path: Path) -> None:
    sine(tmp_path / "a.flac", seconds=1)
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), aiohttp.ClientSession() as session:
            limits = DownloadLimits(timeout_s=10.0, max_bytes=10**6, redirects=0)
            download = await request(session, f"{server.base}/a.flac", conditions={}, limits=limits)
            with pytest.raises(PromptError, match=r"^what comes cannot be written to /dev: No space left on device$"):
                await download.save(Path("/dev/full"))

    asyncio.run(run())


def test_what_breaks_off_before_anything_can_be_heard_leaves_the_copy_in_the_cache(tmp_path: Path) -> None:
    sine(tmp_path / "a.flac", seconds=1)
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            url = f"{server.base}/a.flac"
            kept = await prompts.fetch(url)

            async def broken(request: web.Request) -> web.StreamResponse:
                response = web.StreamResponse(headers={"Content-Length": "10000"})
                await response.prepare(request)
                await response.write(b"fLaC")
                assert request.transport is not None
                request.transport.close()
                return response

            server.special["a.flac"] = broken
            assert await prompts.fetch(url) == kept
            with pytest.raises(PromptError, match="broke off after 4 of 10000 octets"):
                await prompts.fetch(url, 16000)

    asyncio.run(run())


def test_a_body_of_ten_gigabytes_is_refused_when_it_is_announced(tmp_path: Path) -> None:
    async def huge(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(10 * 10**9)})
        await response.prepare(request)
        while True:
            await server.write(response, bytes(65536))

    server = Files(tmp_path, huge=huge)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            with pytest.raises(PromptError, match="10000000000 octets, longer than the 52428800 octets allowed"):
                await prompts.fetch(f"{server.base}/huge")
            async with asyncio.timeout(5):
                await server.hung_up.wait()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (PromptLimits(max_download=400_000), "longer than the 400000 octets allowed"),
        (PromptLimits(max_duration_s=20), "longer than the 20 s allowed"),
    ],
    ids=["octets", "seconds"],
)
def test_a_body_without_an_end_is_cut_off_and_nothing_else_is_disturbed(
    tmp_path: Path, limits: PromptLimits, error: str
) -> None:
    body = sine(tmp_path / "a.wav", "-ar", 8000, seconds=10).read_bytes()
    (tmp_path / "b.wav").write_bytes(wav(body[100:4100]))

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(wav(b"")[:40] + b"\xff\xff\xff\x7f")
        while True:
            await server.pieces.acquire()
            await server.write(response, body[100:16100])

    server = Files(tmp_path, endless=endless)

    async def run() -> None:
        async with server.running(), opened(tmp_path, limits=limits) as prompts:
            server.let(5)
            prompt = await prompts.fetch(f"{server.base}/endless")
            growth = growth_of(prompt)
            assert not growth.complete
            assert (await prompts.fetch(f"{server.base}/b.wav")).duration_ms == 250
            server.let(100)
            await growth.reach(math.inf)
            assert growth.error == error
            assert growth.available <= 25 * RATE_HZ
            assert room(prompt) <= 25 * RATE_HZ * 2 + 4096
            async with asyncio.timeout(5):
                while not server.hung_up.is_set():
                    server.let(1)
                    await asyncio.sleep(0)
            assert list((tmp_path / "cache").rglob("*.source")) == []

    asyncio.run(run())


def test_more_slow_downloads_than_processes_wait_for_the_pool(tmp_path: Path) -> None:
    sine(tmp_path / "a.mp3", seconds=2)
    server = Files(tmp_path)

    async def run() -> None:
        async with server.running(), opened(tmp_path, limits=PromptLimits(processes=1)) as prompts:
            fetches = [asyncio.create_task(prompts.fetch(f"{server.base}/slow/a.mp3?{n}")) for n in range(3)]
            await asyncio.wait(fetches, timeout=0.5)
            server.let(120)
            for prompt in await asyncio.gather(*fetches):
                if prompt.growth is not None:
                    await prompt.growth.reach(math.inf)
                    assert prompt.growth.error == ""
            assert in_cache(tmp_path) == [".json"] * 3 + [".pcm"] * 3

    asyncio.run(run())


def test_a_decoder_that_is_killed_ends_its_prompt_with_an_error(tmp_path: Path) -> None:
    server = Files(sine(tmp_path / "a.mp3", seconds=20).parent)

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            pool = set(prompts.pids)
            server.let(10)
            prompt = await prompts.fetch(f"{server.base}/slow/a.mp3")
            growth = growth_of(prompt)
            (decoder,) = set(prompts.pids) - pool
            os.kill(decoder, 9)
            await growth.reach(math.inf)
            assert growth.error == "the decoder ended while at it (exit status -9)"
            assert size(prompt) == growth.available * 2
            assert in_cache(tmp_path) == []

    asyncio.run(run())


def test_what_is_left_of_failures_takes_a_quarter_of_the_cache_at_most(tmp_path: Path) -> None:
    body = sine(tmp_path / "a.wav", "-ar", 8000, seconds=4).read_bytes()

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body) + 1)})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.close()
        return response

    server = Files(tmp_path, broken=broken)

    async def run() -> None:
        limits = PromptLimits(cache_bytes=4 * 3 * len(body))
        async with server.running(), opened(tmp_path, limits=limits) as prompts:
            made = [await prompts.fetch(f"{server.base}/broken?{n}") for n in range(3)]
            with growth_of(made[0]).listening():
                made += [await prompts.fetch(f"{server.base}/broken?{n}") for n in range(3, 8)]
                await prompts.fetch(f"{server.base}/a.wav")
            assert [there(prompt) for prompt in made] == [True] + [False] * 4 + [True] * 3

    asyncio.run(run())
