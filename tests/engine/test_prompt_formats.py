"""Every format that Play takes, made by ffmpeg, decoded by the real worker process."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from flexml.engine.audio_formats import form, headerless, is_playlist
from flexml.engine.errors import PromptError
from flexml.engine.flexml.verb import Prompt
from numpy.typing import NDArray

from .audio_server import Files, ffmpeg, opened, sine, wav

LEVEL = 4096 / np.sqrt(2)
"""RMS of ffmpeg's sine: an eighth of full scale."""

FORMATS = [
    ("a.aac", ["-ar", 44100]),
    ("22k.m4a", ["-ar", 22050]),
    ("a.m4a", ["-ar", 16000]),
    ("a.mp4", ["-ar", 48000, "-movflags", "+faststart"]),
    ("fragments.mp4", ["-ar", 48000, "-movflags", "+frag_keyframe+empty_moov+default_base_moof"]),
    ("a.mp3", ["-ar", 44100]),
    ("8k.mp3", ["-ar", 8000, "-b:a", "16k"]),
    ("vorbis.ogg", ["-c:a", "libvorbis", "-ar", 48000]),
    ("opus.ogg", ["-c:a", "libopus"]),
    ("a.flac", ["-ar", 22050]),
    ("24.flac", ["-ar", 96000, "-sample_fmt", "s32"]),
    ("a.al", ["-f", "alaw", "-ar", 8000]),
    ("a.alaw", ["-f", "alaw", "-ar", 8000]),
    ("a.ul", ["-f", "mulaw", "-ar", 8000]),
    ("a.ULAW", ["-f", "mulaw", "-ar", 8000]),
    ("a.g722", ["-f", "g722", "-ar", 16000]),
    ("alaw.au", ["-c:a", "pcm_alaw", "-ar", 8000]),
    ("mulaw.wav", ["-c:a", "pcm_mulaw", "-ar", 8000]),
    ("with-header.ul", ["-f", "au", "-c:a", "pcm_mulaw", "-ar", 8000]),
]


def samples_of(prompt: Prompt) -> NDArray[np.int16]:
    return np.fromfile(prompt.path, "<i2")


def rms(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def peak_hz(samples: NDArray[np.int16], rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * rate_hz / samples.size


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_every_format_comes_out_at_its_length_pitch_and_level(tmp_path: Path, rate_hz: int) -> None:
    for name, arguments in FORMATS:
        sine(tmp_path / name, *arguments)

    async def run() -> None:
        async with opened(tmp_path, roots=(tmp_path,)) as prompts:
            for name, _ in FORMATS:
                samples = samples_of(await prompts.fetch(name, rate_hz))
                assert samples.size == pytest.approx(rate_hz, abs=rate_hz // 10), name
                middle = samples[rate_hz // 4 : rate_hz * 3 // 4]
                assert peak_hz(middle, rate_hz) == pytest.approx(1000, abs=4), name
                assert rms(middle) == pytest.approx(LEVEL, rel=0.1), name

    asyncio.run(run())


WAVS = [
    # rate, channels, codec
    (8000, 1, "pcm_u8"),
    (11025, 2, "pcm_s16le"),
    (16000, 3, "pcm_s24le"),
    (44100, 4, "pcm_s32le"),
    (48000, 6, "pcm_f32le"),
    (96000, 8, "pcm_f64le"),
    (192000, 2, "pcm_s16le"),
]


@pytest.mark.parametrize(("rate_hz", "channels", "codec"), WAVS)
def test_wav_of_any_rate_width_and_channel_count(tmp_path: Path, rate_hz: int, channels: int, codec: str) -> None:
    """The tone is the same in all channels, so their mix is as loud as each."""
    same = "|".join(f"c{n}=c0" for n in range(channels))
    sine(tmp_path / "a.wav", "-af", f"aresample={rate_hz},pan={channels}c|{same}", "-c:a", codec)

    async def run() -> None:
        async with opened(tmp_path, roots=(tmp_path,)) as prompts:
            samples = samples_of(await prompts.fetch("a.wav"))
            assert samples.size == pytest.approx(8000, abs=2)
            middle = samples[1000:7000]
            assert peak_hz(middle, 8000) == pytest.approx(1000, abs=2)
            assert rms(middle) == pytest.approx(LEVEL, rel=0.02)

    asyncio.run(run())


def test_full_scale_on_every_channel_does_not_clip(tmp_path: Path) -> None:
    square = np.repeat(np.tile(np.array([32767, -32768], np.int16), 100), 40)
    (tmp_path / "a.wav").write_bytes(wav(np.repeat(square, 6).tobytes(), channels=6))

    async def run() -> None:
        async with opened(tmp_path, roots=(tmp_path,)) as prompts:
            np.testing.assert_allclose(samples_of(await prompts.fetch("a.wav")), square, atol=1)

    asyncio.run(run())


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_what_has_the_rate_already_comes_out_sample_for_sample(tmp_path: Path, rate_hz: int) -> None:
    noise = np.random.default_rng(1).integers(-32768, 32768, 20_000).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(wav(noise.tobytes(), rate_hz=rate_hz))
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.flac")

    async def run() -> None:
        async with opened(tmp_path, roots=(tmp_path,)) as prompts:
            for name in ("a.wav", "a.flac"):
                np.testing.assert_array_equal(samples_of(await prompts.fetch(name, rate_hz)), noise)

    asyncio.run(run())


def test_content_types_name_headerless_audio_and_a_page_is_not_taken_for_it(tmp_path: Path) -> None:
    body = sine(tmp_path / "a.ul", "-f", "mulaw", "-ar", 8000).read_bytes()

    async def typed(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": "audio/PCMU;rate=8000"})

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=b"\n<!DOCTYPE html><p>no such file</p>" * 100, content_type="text/html")

    server = Files(tmp_path, typed=typed, **{"page.ul": page})

    async def run() -> None:
        async with server.running(), opened(tmp_path) as prompts:
            samples = samples_of(await prompts.fetch(f"{server.base}/typed"))
            assert rms(samples[1000:7000]) == pytest.approx(LEVEL, rel=0.02)
            with pytest.raises(PromptError, match=r"found a page of markup, expected aac.* \(sent as text/html\)"):
                await prompts.fetch(f"{server.base}/page.ul")

    asyncio.run(run())


def test_a_stored_file_is_played_by_its_path_and_named_by_its_url(tmp_path: Path) -> None:
    sine(tmp_path / "a.mp3")
    shutil.move(tmp_path / "a.mp3", tmp_path / "sid")

    async def run() -> None:
        async with opened(tmp_path) as prompts:
            prompt = await prompts.fetch_file(tmp_path / "sid", url="/Files/sid")
            assert prompt.url == "/Files/sid"
            assert prompt == await prompts.fetch_file(tmp_path / "sid", url="/Files/sid")
            with pytest.raises(PromptError, match="/Files/gone: cannot be read: No such file") as raised:
                await prompts.fetch_file(tmp_path / "gone", url="/Files/gone")
            assert raised.value.url == "/Files/gone"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "content_type", "demuxer"),
    [
        ("http://a/b.al", "", "alaw"),
        ("http://a/b.UL?c=d.mp3", "application/octet-stream", "mulaw"),
        ("b.g722", "", "g722"),
        ("http://a/b.mp3", "", ""),
        ("http://a/b", "audio/PCMA", "alaw"),
        ("http://a/b", "audio/basic; x=y", "mulaw"),
        ("http://a/ul", "", ""),
        ("http://[", "", ""),
    ],
)
def test_headerless_audio_is_known_by_name_or_type(name: str, content_type: str, demuxer: str) -> None:
    assert headerless(name, content_type) == demuxer


@pytest.mark.parametrize(
    ("name", "content_type", "playlist"),
    [
        ("http://a/b.m3u8", "", True),
        ("http://a/b.M3U8?c", "text/plain", True),
        ("http://a/b", "application/vnd.apple.mpegurl; charset=utf-8", True),
        ("http://a/b", "application/x-mpegURL", True),
        ("http://a/b.m3u", "", False),
    ],
)
def test_playlists_are_known_by_name_or_type(name: str, content_type: str, playlist: bool) -> None:
    assert is_playlist(name, content_type) is playlist


@pytest.mark.parametrize("beginning", [b".snd....", b"RIFF....WAVE", b"OggS", b"fLaC"])
def test_a_container_is_no_headerless_audio_whatever_it_is_called(beginning: bytes) -> None:
    assert form(beginning, "mulaw") == ""
    assert form(beginning[1:], "mulaw") == "mulaw"
