"""G.722 against FFmpeg's own implementation of it, both ways."""

import shutil
import subprocess

import numpy as np
import pytest
from flexml.codecs.coder import Flags, Frames, Octets
from flexml.codecs.g722 import G722
from numpy.typing import NDArray

ROW = np.array([0])
SECONDS = 3
WHOLE: Flags = np.ones((1, 160), np.bool_)

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def ffmpeg(arguments: str, data: bytes) -> bytes:
    command = ["ffmpeg", "-v", "error", *arguments.split(), "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def music(seconds: float = SECONDS) -> NDArray[np.int16]:
    """Tones over the whole band of the codec, one of them at 6 kHz, and a little noise."""
    time = np.arange(int(seconds * 16000)) / 16000
    tones = sum(2500 * np.sin(2 * np.pi * hz * time + hz) for hz in (200, 1000, 3300, 6000))
    return (tones + np.random.default_rng(1).normal(0, 100, time.size)).astype(np.int16)


def encode(samples: NDArray[np.int16]) -> bytes:
    coder = G722(1)
    coder.open(0)
    frames = samples.astype(np.float32).reshape(-1, 1, 320)
    return b"".join(coder.encode(frame, ROW)[0].tobytes() for frame in frames)


def decode(octets: bytes, lost: Flags | None = None) -> Frames:
    """Decode, without what is `lost` bool[octets]."""
    coder = G722(1)
    coder.open(0)
    packets: Octets = np.frombuffer(octets, np.uint8).reshape(-1, 1, 160)
    have = np.ones(packets.shape, np.bool_) if lost is None else ~lost.reshape(packets.shape)
    return np.concatenate([coder.decode(p, h, ROW)[0] for p, h in zip(packets, have, strict=True)])


def test_what_ffmpeg_encodes_is_decoded_as_ffmpeg_decodes_it_to_the_bit() -> None:
    octets = ffmpeg("-f s16le -ar 16000 -ac 1 -i - -f g722", music().tobytes())[: SECONDS * 8000]
    theirs = np.frombuffer(ffmpeg("-f g722 -i - -f s16le", octets), np.int16)
    assert (decode(octets) == theirs).all()


def test_we_encode_as_ffmpeg_does_to_the_bit() -> None:
    theirs = ffmpeg("-f s16le -ar 16000 -ac 1 -i - -f g722", music().tobytes())
    assert encode(music()) == theirs[: SECONDS * 8000]


def test_audio_up_to_7_khz_comes_through() -> None:
    wanted = music()
    heard = np.frombuffer(ffmpeg("-f g722 -i - -f s16le", encode(wanted)), np.int16).astype(np.float64)
    delay = 22  # samples, of both filter banks
    errors = [heard[at:-640] - wanted[: -640 - at] for at in range(delay - 4, delay + 20)]
    ratio_db = max(
        10 * np.log10((wanted.astype(np.float64) ** 2).mean() / (error[320:] ** 2).mean()) for error in errors
    )
    assert ratio_db > 20


def test_what_is_lost_is_not_fed_to_the_decoder_and_what_follows_is_heard() -> None:
    octets = encode(music())
    lost = np.zeros(len(octets), np.bool_)
    lost[160 * 50 : 160 * 52] = True
    lost[160 * 70 + 40 : 160 * 70 + 80] = True
    heard, whole = decode(octets, lost), decode(octets)
    assert not heard[320 * 50 : 320 * 52].any()
    assert not heard[320 * 70 + 80 : 320 * 70 + 160].any()
    assert (heard[: 320 * 50] == whole[: 320 * 50]).all()
    later = slice(320 * 100, None)
    assert heard[later].std() == pytest.approx(whole[later].std(), rel=0.05)


def test_any_octets_are_audio() -> None:
    noise = np.random.default_rng(2).integers(0, 256, 160 * 100, np.uint8)
    heard = decode(noise.tobytes())
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 32768


def test_loud_audio_is_clipped_and_does_not_wrap() -> None:
    coder = G722(1)
    coder.open(0)
    time = np.arange(320 * 20) / 16000
    loud = (60000 * np.sin(2 * np.pi * 500 * time)).astype(np.float32).reshape(-1, 1, 320)
    octets = b"".join(coder.encode(frame, ROW)[0].tobytes() for frame in loud)
    heard = decode(octets)[3200:]
    assert np.abs(np.diff(heard)).max() < 20000
