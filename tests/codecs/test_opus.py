"""Opus against libopus and FFmpeg's own implementation: packets of every length, loss, error correction, rubbish."""

import io
import shutil
import subprocess
from functools import cache

import av
import numpy as np
import pytest
from flexml.codecs.coder import Flags, Frames
from flexml.codecs.opus import TOKEN, Opus, durations
from numpy.typing import NDArray

RATE_HZ = 16000
SECONDS = 3
ROW = np.array([0])
FRAME = 160


def music(seconds: float = SECONDS, rate_hz: int = RATE_HZ) -> NDArray[np.int16]:
    """Tones of changing loudness, one of them at 6 kHz."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * hz * time + hz) for hz in (220, 660, 1500, 6000))
    return (3000 * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.int16)


@cache
def libopus(*options: str) -> tuple[bytes, ...]:
    """Return the packets that FFmpeg makes of the music with libopus."""
    return _ffmpeg("libopus", *options)


@cache
def ffmpeg_opus(*options: str) -> tuple[bytes, ...]:
    """Return the packets that FFmpeg makes with an encoder of its own."""
    return _ffmpeg("opus", "-strict", "-2", *options)


def _ffmpeg(encoder: str, *options: str) -> tuple[bytes, ...]:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    command = ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", "48000", "-ac", "1", "-i", "-", "-c:a", encoder]
    ogg = subprocess.run(
        [*command, *options, "-f", "ogg", "-"], input=music(rate_hz=48000).tobytes(), capture_output=True, check=True
    ).stdout
    with av.open(io.BytesIO(ogg), "r") as container:
        return tuple(bytes(packet) for packet in container.demux() if packet.size)


def opened(capacity: int = 1) -> Opus:
    coder = Opus(capacity)
    for row in range(capacity):
        coder.open(row)
    return coder


def play(coder: Opus, packets: tuple[bytes, ...], lost: frozenset[int] = frozenset(), shift: int = 0) -> Frames:
    """Give packets to row 0 as a jitter buffer would, `shift` ticks off the grid, and return the audio."""
    ticks = durations(list(packets))
    begins = shift + np.cumsum(ticks) - ticks
    total = -(-int(begins[-1] + ticks[-1]) // FRAME) * FRAME
    line = np.zeros((total + 1, TOKEN.itemsize), np.uint8)
    have: Flags = np.zeros(total + 1, np.bool_)
    frames: list[Frames] = []
    for at in range(0, total, FRAME):
        for number in np.flatnonzero((begins > at - FRAME) & (begins <= at + FRAME) & (ticks > 0)).tolist():
            place = slice(int(begins[number]), int(begins[number] + ticks[number]))
            if number not in lost and not have[place].any():
                line[place] = coder.keep([packets[number]], ROW).tokens.reshape(-1, TOKEN.itemsize)
                have[place] = True
        seen = slice(at, at + FRAME + 1)
        frames.append(coder.decode(line[seen].reshape(1, -1), have[None, seen], ROW)[0])
    return np.concatenate(frames)


def likeness(heard: NDArray[np.floating], wanted: NDArray[np.int16]) -> float:
    """Return the greatest correlation over delays of up to 30 ms."""
    size = wanted.size - 640
    known = wanted[:size].astype(np.float64)
    audio = np.zeros(size + 480)
    audio[: min(heard.size, audio.size)] = heard[: audio.size]
    length = 2 * wanted.size
    alike = np.fft.irfft(np.fft.rfft(audio, length) * np.fft.rfft(known, length).conj())[:480]
    power = np.cumsum(np.concatenate([[0.0], audio**2]))
    return float((alike / np.sqrt((power[size : size + 480] - power[:480]) * (known @ known) + 1)).max())


def share_at(heard: Frames, hz: float) -> float:
    """Return what part of the power lies within 100 Hz of `hz`."""
    power = np.abs(np.fft.rfft(heard * np.hanning(heard.size))) ** 2
    bins = np.fft.rfftfreq(heard.size, 1 / RATE_HZ)
    return float(power[np.abs(bins - hz) < 100].sum() / power.sum())


DURATIONS = ["2.5", "5", "10", "20", "40", "60", "80", "100", "120"]


@pytest.mark.parametrize("duration", DURATIONS)
def test_packets_of_every_length_are_heard(duration: str) -> None:
    packets = libopus("-b:a", "96k", "-frame_duration", duration)
    assert set(durations(list(packets)).tolist()) == {round(float(duration) * 8)}
    heard = play(opened(), packets)
    assert likeness(heard, music()) > 0.97
    assert share_at(heard, 6000) > 0.15


@pytest.mark.parametrize("shift", [1, 37, 80, 159])
def test_packets_off_the_grid_of_ticks_sound_the_same(shift: int) -> None:
    packets = libopus("-b:a", "32k", "-frame_duration", "60")
    aside, straight = play(opened(), packets, shift=shift), play(opened(), packets)
    assert (aside[2 * shift : 40000] == straight[: 40000 - 2 * shift]).all()


@pytest.mark.parametrize(
    "options", [("-ac", "2", "-b:a", "64k"), ("-application", "lowdelay"), ("-b:a", "9k"), ("-vbr", "off")]
)
def test_stereo_low_delay_narrowband_and_constant_rate_are_heard(options: tuple[str, ...]) -> None:
    assert likeness(play(opened(), libopus(*options)), music()) > 0.8


def test_an_encoder_of_other_make_is_understood() -> None:
    heard = play(opened(), ffmpeg_opus("-ac", "2", "-b:a", "96k"))
    assert likeness(heard, music()) > 0.97


def test_a_decoder_of_other_make_understands_us() -> None:
    coder, samples = opened(), music()
    decoder = av.CodecContext.create("opus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48000, "mono"
    heard: list[NDArray[np.float32]] = []
    for frame in samples.astype(np.float32).reshape(-1, 1, 320):
        octets, lengths = coder.encode(frame, ROW)
        sounds = decoder.decode(av.Packet(octets[0, : lengths[0]].tobytes()))
        heard += [sound.to_ndarray()[0].astype(np.float32) for sound in sounds]
    audio = np.concatenate(heard)  # 48 kHz; nothing is above 8 kHz
    assert max(likeness(audio[start::3], samples) for start in range(3)) > 0.96
    assert share_at(audio[::3], 6000) > 0.15


def encoded(samples: NDArray[np.int16]) -> tuple[bytes, ...]:
    coder = opened()
    frames = samples.astype(np.float32).reshape(-1, 1, 320)
    made = [coder.encode(frame, ROW) for frame in frames]
    return tuple(octets[0, : lengths[0]].tobytes() for octets, lengths in made)


def test_a_lost_packet_is_recovered_from_the_next_one() -> None:
    """Of speech-like audio; the tones of `music` libopus encodes in a way that carries nothing twice."""
    speech = voiced(2.0)
    packets = encoded(speech)
    lost = frozenset(range(20, 90, 5))
    whole = play(opened(), packets)
    single, double = play(opened(), packets, lost), play(opened(), packets, lost | {n + 1 for n in lost})
    assert damage(single, whole, lost) < 0.5 * damage(double, whole, lost)


def voiced(seconds: float) -> NDArray[np.int16]:
    """A buzz whose pitch and formants move, with pauses: libopus takes it for speech."""
    random = np.random.default_rng(3)
    count = int(seconds * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.3 * time)) / RATE_HZ
    formant = 700 + 400 * np.sin(2 * np.pi * 2.1 * time)
    buzz = sum(np.exp(-(((n * 120 - formant) / 400) ** 2)) * np.sin(n * pitch) for n in range(1, 40))
    return (4000 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)) + random.normal(0, 20, count)).astype(np.int16)


def damage(heard: Frames, whole: Frames, lost: frozenset[int]) -> float:
    """Return the error in the 20 ms of each lost packet, against the power there, by the spectrum's magnitude."""
    places = [slice(320 * n, 320 * n + 320) for n in sorted(lost)]
    pairs = [(np.abs(np.fft.rfft(heard[at])), np.abs(np.fft.rfft(whole[at]))) for at in places]
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs) / sum((b**2).sum() for _, b in pairs)))


def test_a_gap_fades_and_a_source_that_is_gone_is_silent() -> None:
    packets = encoded(music(2.0))
    heard = play(opened(), packets, frozenset(range(20, 98)))
    gap = heard[20 * 320 :]
    assert gap[:320].std() > 500
    assert gap[320 * 20 : 320 * 30].std() < 300
    assert not gap[51 * 320 : 78 * 320].any()


RUBBISH = [b"", b"\x03", b"\xff", b"\x03\x00", b"\xff\x3f" + bytes(20), b"\xfb\xff", bytes(range(256)), b"\x7f" * 1400]


@pytest.mark.parametrize("packet", RUBBISH)
def test_rubbish_is_no_audio_or_broken_and_what_follows_is_heard(packet: bytes) -> None:
    coder, good = opened(), encoded(music(1.0))
    (ticks,) = durations([packet]).tolist()
    assert 0 <= ticks <= 960
    heard = play(coder, (*good[:20], packet, *good[20:]))
    assert np.isfinite(heard).all()
    assert heard[-3200:].std() > 1000


def test_random_packets_never_raise() -> None:
    random = np.random.default_rng(4)
    coder = opened()
    for _ in range(300):
        packets = tuple(random.bytes(int(random.integers(0, 200))) for _ in range(4))
        if durations(list(packets)).any():
            assert np.isfinite(play(coder, packets, shift=int(random.integers(0, 160)))).all()
    assert coder.broken[0] > 0


def test_rows_at_once_equal_each_row_alone_and_closed_rows_are_silent() -> None:
    packets = [encoded(music(0.5)), encoded(voiced(0.5)), encoded(music(0.5)[::-1].copy())]
    rows = np.arange(4)
    coder = opened(4)
    coder.close(3)
    frames: list[Frames] = []
    for number in range(20):
        kept = coder.keep([packets[row][number] for row in range(3)] + [packets[0][number]], rows)
        tokens = np.concatenate([kept.tokens, np.zeros((4, TOKEN.itemsize), np.uint8)], axis=1)
        have = np.ones((4, FRAME + 1), np.bool_)
        have[:, FRAME] = False
        frames.append(coder.decode(tokens, have, rows))
    together = np.concatenate(frames, axis=1)
    for row in range(3):
        assert (together[row] == play(opened(), packets[row][:20])).all()
    assert not together[3].any()
