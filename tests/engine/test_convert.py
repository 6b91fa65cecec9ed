"""Files into other formats; what comes out is read by FFmpeg's own command, which names what it found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from flexml.engine.convert import ENCODINGS, handle
from flexml.engine.errors import PromptError
from flexml.engine.storage.base import MIME_TYPES

SECONDS = 2.0
PLENTY = 2**30
HEADERLESS = {"al": ["-f", "alaw", "-ar", "8000"], "ul": ["-f", "mulaw", "-ar", "8000"], "g722": ["-f", "g722"]}
FOUND = {
    # format: codec and channels out of 8 kHz stereo, rate
    "aac": ("aac", 2, 8000),
    "al": ("pcm_alaw", 1, 8000),
    "flac": ("flac", 2, 8000),
    "g722": ("adpcm_g722", 1, 16000),
    "mp3": ("mp3", 2, 8000),
    "mp4": ("aac", 2, 8000),
    "ogg": ("opus", 2, 48000),
    "ul": ("pcm_mulaw", 1, 8000),
    "wav": ("pcm_s16le", 2, 8000),
}


def stereo(path: Path, rate_hz: int = 8000, file_format: str = "WAV") -> Path:
    """400 Hz on the left, 1000 Hz on the right."""
    at = np.arange(round(SECONDS * rate_hz)) / rate_hz
    sides = [0.3 * np.sin(2 * np.pi * hz * at) for hz in (400, 1000)]
    soundfile.write(path, np.stack(sides, axis=1), rate_hz, format=file_format)
    return path


def convert(source: Path, file_format: str, most: int = PLENTY, form: str = "") -> Path:
    target = source.parent / "made"
    told = {"source": str(source), "target": str(target), "format": file_format, "form": form, "most": most}
    assert handle(told)["bytes"] == target.stat().st_size
    return target


def probed(path: Path, options: list[str]) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", *options, "-show_streams", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["streams"][0]


def samples(path: Path, options: list[str], channels: int) -> Any:
    command = [
        "ffmpeg",
        "-v",
        "error",
        *options,
        "-i",
        str(path),
        "-f",
        "s16le",
        "-ar",
        "8000",
        "-ac",
        str(channels),
        "-",
    ]
    octets = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(octets, "<i2").reshape(-1, channels)


def tone_share(side: Any, hz: float) -> float:
    """How much of its power lies within 10 Hz of `hz`."""
    power = np.abs(np.fft.rfft(side * np.hanning(side.size))) ** 2
    near = np.abs(np.fft.rfftfreq(side.size, 1 / 8000) - hz) < 10
    return float(power[near].sum() / power.sum())


def test_every_format_that_is_offered_can_be_made() -> None:
    assert ENCODINGS.keys() == MIME_TYPES.keys() == FOUND.keys()


@pytest.mark.parametrize("file_format", FOUND)
def test_a_file_becomes_what_is_asked_for_and_sounds_as_before(tmp_path: Path, file_format: str) -> None:
    made = convert(stereo(tmp_path / "source"), file_format)
    options = HEADERLESS.get(file_format, [])
    codec, channels, rate_hz = FOUND[file_format]
    found = probed(made, options)
    assert (found["codec_name"], found["channels"], int(found["sample_rate"])) == (codec, channels, rate_hz)
    heard = samples(made, options, channels)
    assert abs(heard.shape[0] / 8000 - SECONDS) < 0.3  # AAC begins and ends with whole blocks, of 128 ms here
    if channels == 2:
        assert tone_share(heard[:, 0], 400) > 0.95
        assert tone_share(heard[:, 1], 1000) > 0.95
    else:
        assert 0.4 < tone_share(heard[:, 0], 400) < 0.6
        assert 0.4 < tone_share(heard[:, 0], 1000) < 0.6


@pytest.mark.parametrize(("given", "file_format", "rate_hz"), [(44100, "wav", 44100), (96000, "mp3", 48000)])
def test_the_rate_stays_as_far_as_the_format_has_it(tmp_path: Path, given: int, file_format: str, rate_hz: int) -> None:
    made = convert(stereo(tmp_path / "source", given), file_format)
    assert int(probed(made, [])["sample_rate"]) == rate_hz


def test_what_has_no_header_is_read_as_its_name_says(tmp_path: Path) -> None:
    headerless = convert(stereo(tmp_path / "source"), "ul").rename(tmp_path / "mulaw")
    made = convert(headerless, "wav", form="mulaw")
    assert made.stat().st_size == 44 + 2 * headerless.stat().st_size or made.stat().st_size > 2 * 15000


def test_pcm_stays_sample_for_sample(tmp_path: Path) -> None:
    source = stereo(tmp_path / "source")
    kept = soundfile.read(convert(source, "flac"), dtype="int16")[0]
    assert np.array_equal(kept, soundfile.read(source, dtype="int16")[0])


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"<html>no audio</html>", "markup"),
        (b"\x00" * 2000, "not audio"),
        (b"", "not audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not audio"),
    ],
)
def test_what_is_no_audio_is_refused(tmp_path: Path, octets: bytes, said: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(octets)
    with pytest.raises(PromptError, match=said):
        convert(source, "wav")


def test_silence_is_not_blown_up_beyond_what_is_allowed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    soundfile.write(source, np.zeros(8000 * 600, np.int16), 8000, format="FLAC")
    assert source.stat().st_size < 40_000
    with pytest.raises(PromptError, match="longer than the 1000000 octets allowed"):
        convert(source, "wav", most=1_000_000)
    assert (tmp_path / "made").stat().st_size < 3_000_000, "it ends when it is too much, not when all is written"
