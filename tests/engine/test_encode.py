"""Spools into files; what comes out is read by SoX, FFmpeg and libsndfile."""

from __future__ import annotations

import json
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from flexml.engine.encode import encode, handle
from flexml.engine.errors import PromptError
from flexml.engine.trimming import Spool, voiced_span
from flexml.engine.wave_header import WaveFormat, read_wave, wave_header
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT.parent / "shared" / "data" / "speech"
RATE = 8000


def tone(seconds: float, dbm0: float = -15.0, hz: float = 440.0) -> NDArray[np.int16]:
    """A sine; 3.14 dBm0 is as loud as it gets."""
    at = np.arange(round(seconds * RATE))
    return np.rint(32767 * 10 ** ((dbm0 - 3.14) / 20) * np.sin(2 * np.pi * hz * at / RATE)).astype(np.int16)


def noise(seconds: float, dbm0: float, seed: int = 1) -> NDArray[np.int16]:
    """White noise of that level."""
    sigma = 32768 / np.sqrt(2) * 10 ** ((dbm0 - 3.14) / 20)
    return np.rint(np.random.default_rng(seed).normal(0, sigma, round(seconds * RATE))).astype(np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(round(seconds * RATE), np.int16)


def spool(folder: Path, *sides: NDArray[np.int16]) -> Spool:
    path = folder / "spool.s16"
    path.write_bytes(np.stack(sides, axis=1).astype("<i2").tobytes())
    return Spool(path, len(sides))


def probe(path: Path, *options: str) -> dict[str, str]:
    """What ffprobe says of the first stream."""
    command = ["ffprobe", "-v", "error", *options, "-show_streams", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["streams"][0]


def decoded(path: Path, *options: str, channels: int = 1) -> NDArray[np.int16]:
    """The samples as FFmpeg decodes them."""
    command = ["ffmpeg", "-v", "error", *options, "-i", str(path), "-f", "s16le", "-ac", str(channels), "-"]
    out = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(out, "<i2").reshape(-1, channels)


def similarity(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    """Correlation coefficient of two signals of one length."""
    return float(np.corrcoef(one.astype(float), other.astype(float))[0, 1])


# ---- formats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
def test_wav_holds_every_sample_and_says_its_size(tmp_path: Path, channels: int) -> None:
    sides = [noise(2.01, -20, seed) for seed in range(channels)]
    target = tmp_path / "out.wav"
    assert encode(spool(tmp_path, *sides), target, file_format="wav") == (16080, 0)
    read, rate = soundfile.read(target, dtype="int16", always_2d=True)
    assert rate == RATE
    assert np.array_equal(read, np.stack(sides, axis=1))
    octets = target.read_bytes()
    assert int.from_bytes(octets[4:8], "little") == len(octets) - 8
    assert int.from_bytes(octets[40:44], "little") == len(octets) - 44
    assert subprocess.run(["sox", target, "-n", "stat"], capture_output=True, text=True).stderr.count("WARN") == 0


@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_sounds_like_the_recording_and_is_as_long(tmp_path: Path, channels: int) -> None:
    sides = [tone(5, -12 - 6 * side, 400 + 500 * side) for side in range(channels)]
    target = tmp_path / "out.mp3"
    assert encode(spool(tmp_path, *sides), target, file_format="mp3") == (40000, 0)
    found = probe(target)
    assert (found["codec_name"], int(found["sample_rate"]), int(found["channels"])) == ("mp3", RATE, channels)
    assert 5 <= float(found["duration"]) < 5.3
    assert target.stat().st_size == pytest.approx(5 * 4000 * channels, rel=0.1)
    heard = decoded(target, channels=channels)
    for side in range(channels):
        assert similarity(heard[4000:36000, side], sides[side][4000:36000]) > 0.98


@pytest.mark.parametrize("channels", [1, 2])
def test_ul_is_headerless_mulaw_of_all_parties_added_up(tmp_path: Path, channels: int) -> None:
    sides = [tone(1, -12, 300 + 400 * side) for side in range(channels)]
    target = tmp_path / "out.ul"
    assert encode(spool(tmp_path, *sides), target, file_format="ul") == (RATE, 0)
    assert target.stat().st_size == RATE
    both = np.sum(sides, axis=0).astype(np.int16)
    raw, theirs = tmp_path / "both.s16", tmp_path / "theirs.ul"
    raw.write_bytes(both.tobytes())
    subprocess.run(["sox", "-D", "-t", "s16", "-r", "8000", "-c", "1", raw, "-t", "ul", theirs], check=True)
    ours, sox = (decoded(path, "-f", "mulaw", "-ar", "8000")[:, 0] - both.astype(int) for path in (target, theirs))
    assert np.sqrt(np.mean(ours**2)) <= np.sqrt(np.mean(sox**2)) * 1.02
    assert abs(np.mean(ours)) < 5


# ---- appending ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_format", "held", "added"), [("wav", 1, 1), ("wav", 2, 1), ("wav", 1, 2), ("ul", 1, 1), ("ul", 1, 2)]
)
def test_appending_keeps_what_was_there_to_the_sample(tmp_path: Path, file_format: str, held: int, added: int) -> None:
    first, second = tmp_path / f"first.{file_format}", tmp_path / f"second.{file_format}"
    one, two = [tone(1, -12)] * held, [tone(1.5, -20, 700)] * added
    encode(spool(tmp_path, *one), first, file_format=file_format)
    before = first.read_bytes()
    assert encode(spool(tmp_path, *two), second, file_format=file_format, append_to=first) == (12000, 8000)
    assert first.read_bytes() == before
    options = () if file_format == "wav" else ("-f", "mulaw", "-ar", "8000")
    whole, old = decoded(second, *options, channels=held), decoded(first, *options, channels=held)
    assert whole.shape == (20000, held)
    assert np.array_equal(whole[:8000], old)
    loud = 2 if held < added else 1  # two parties that say the same add up
    assert similarity(whole[8000:, 0], two[0]) > 0.999
    assert np.abs(whole[8000:]).max() == pytest.approx(loud * int(two[0].max()), rel=0.03)


def test_appending_to_mp3_takes_its_frames_over_and_renews_the_header(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{n}.mp3" for n in range(3))
    encode(spool(tmp_path, tone(3, -12, 400)), first, file_format="mp3")
    encode(spool(tmp_path, tone(2, -12, 900)), second, file_format="mp3", append_to=first)
    added, held = encode(spool(tmp_path, tone(2, -12, 1500)), third, file_format="mp3", append_to=second)
    assert (added, held / RATE) == (2 * RATE, pytest.approx(len(decoded(second)) / RATE, abs=0.2))
    heard = decoded(third)[:, 0]
    assert float(probe(third)["duration"]) == pytest.approx(len(heard) / RATE, abs=0.2)
    assert 7 <= len(heard) / RATE < 7.8
    assert b"Xing" in third.read_bytes()[:300] or b"Info" in third.read_bytes()[:300]
    for at, hz in ((1.0, 400), (4.2, 900), (6.5, 1500)):
        piece = heard[round(at * RATE) : round(at * RATE) + 4000]
        assert np.argmax(np.abs(np.fft.rfft(piece))) * RATE / 4000 == pytest.approx(hz, abs=5)


CHUNKS = wave_header(WaveFormat(1, 8000), 0)
WRONG = [
    ("wav", b"", "no WAV file"),
    ("wav", b"<html>not a recording</html>", "no WAV file"),
    ("wav", b"RIFF\x24\0\0\0WAVEfmt ", "no format|without samples"),
    ("wav", wave_header(WaveFormat(1, 44100), 0), "44100 Hz"),
    ("wav", wave_header(WaveFormat(6, 8000), 0), "6 channels"),
    (
        "wav",
        b"RIFF\x24\0\0\0WAVE" + b"none\0\0\0\0" * 2000 + wave_header(WaveFormat(1, 8000), 0)[12:],
        "without samples",
    ),
    ("mp3", b"<html>not a recording</html>" * 200, "encoded|no MP3"),
    ("mp3", b"", "encoded|no MP3"),
]


@pytest.mark.parametrize(("file_format", "octets", "why"), WRONG)
def test_what_cannot_be_appended_to_is_refused_and_nothing_is_left(
    tmp_path: Path, file_format: str, octets: bytes, why: str
) -> None:
    there, target = tmp_path / "there", tmp_path / f"out.{file_format}"
    there.write_bytes(octets)
    with pytest.raises(PromptError, match=why):
        encode(spool(tmp_path, tone(1)), target, file_format=file_format, append_to=there)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spool.s16", "there"]


def test_wav_of_an_upload_with_other_chunks_is_read_past_them(tmp_path: Path) -> None:
    there, target = tmp_path / "there.wav", tmp_path / "out.wav"
    plain = wave_header(WaveFormat(1, RATE), 4)
    there.write_bytes(plain[:36] + b"LIST\x03\0\0\0abc\0" + plain[36:] + b"\1\0\2\0" + b"cue \4\0\0\0wxyz")
    encode(spool(tmp_path, silence(0.02) + 3), target, file_format="wav", append_to=there)
    with wave.open(str(target)) as read:
        assert np.frombuffer(read.readframes(1000), "<i2").tolist() == [1, 2] + [3] * 160


def test_a_wav_header_cannot_say_more_than_four_gigabytes() -> None:
    with pytest.raises(PromptError, match="4294967252"):
        wave_header(WaveFormat(1, RATE), 2**32)


def test_wave_header_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wave_header(WaveFormat(2, 16000), 9) + b"123456789")
    assert read_wave(path) == (WaveFormat(2, 16000), 44, 8)


# ---- trimming -------------------------------------------------------------------------------------------------

VOICE = tone(1.0, -20)
TRIMS = [
    ("silence around it", [silence(2), VOICE, silence(3)], (1.9, 3.1)),
    ("silence shorter than what is kept", [silence(0.06), VOICE, silence(0.04)], (0, 1.1)),
    ("a quiet line", [noise(2, -55), VOICE, noise(3, -55)], (1.9, 3.1)),
    ("a noisy line", [noise(2, -42), tone(1, -12), noise(3, -42)], (1.9, 3.1)),
    ("a pause within", [silence(1), VOICE, silence(4), VOICE, silence(1)], (0.9, 7.1)),
    ("a click before", [silence(1), tone(0.02, 0), silence(1), VOICE, silence(1)], (1.92, 3.12)),
    ("no pause at all", [VOICE, VOICE], (0, 2)),
    ("nothing but silence", [silence(5)], (0, 0)),
    ("nothing but faint noise", [noise(5, -50)], (0, 0)),
    ("nothing at all", [silence(0)], (0, 0)),
    ("less than a frame", [tone(0.01)], (0, 0)),
]


@pytest.mark.parametrize(("parts", "seconds"), [case[1:] for case in TRIMS], ids=[case[0] for case in TRIMS])
def test_trimming_keeps_voice_and_a_tenth_of_a_second_around(
    tmp_path: Path, parts: list[NDArray[np.int16]], seconds: tuple[float, float]
) -> None:
    first, end = voiced_span(spool(tmp_path, np.concatenate(parts)), "energy")
    assert first / RATE == pytest.approx(seconds[0], abs=0.021)
    assert end / RATE == pytest.approx(seconds[1], abs=0.021)


def test_either_partys_voice_counts(tmp_path: Path) -> None:
    caller = np.concatenate([silence(2), VOICE, silence(4)])
    called = np.concatenate([silence(4), VOICE, silence(2)])
    first, end = voiced_span(spool(tmp_path, caller, called), "energy")
    assert (first / RATE, end / RATE) == pytest.approx((1.9, 5.1), abs=0.021)


@pytest.mark.parametrize("detector", ["energy", "webrtc"])
def test_real_speech_is_cut_close_to_where_it_begins_and_ends(tmp_path: Path, detector: str) -> None:
    files = sorted(SPEECH.rglob("*.wav")) + sorted(SPEECH.rglob("*.flac"))
    if not files:
        pytest.skip(f"no speech in {SPEECH}")
    command = ["sox", str(files[0]), "-t", "s16", "-r", "8000", "-c", "1", "-", "trim", "0", "8", "norm", "-6"]
    said = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<i2")
    loud = np.flatnonzero(np.abs(said.astype(int)) > 2000)
    begin, finish = loud[0] / RATE, loud[-1] / RATE
    first, end = voiced_span(spool(tmp_path, np.concatenate([silence(3), said, silence(3)])), detector)
    assert 3 + begin - 0.8 < first / RATE < 3 + begin
    assert 3 + finish < end / RATE < 3 + finish + 1.0


@pytest.mark.parametrize("detector", ["energy", "webrtc"])
def test_silence_leaves_nothing_to_store(tmp_path: Path, detector: str) -> None:
    target = tmp_path / "out.wav"
    request = {"spool": str(spool(tmp_path, silence(3)).path), "target": str(target), "channels": 1}
    assert handle({**request, "format": "wav", "trim": True, "detector": detector}) == {
        "samples": 0,
        "held": 0,
        "bytes": 0,
    }
    assert not target.exists()


@pytest.mark.parametrize("dbm0", [-67, -57, -47])
@pytest.mark.parametrize("said_s", [0.0, 2.0])
def test_noise_of_the_line_is_no_voice_to_webrtc_at_the_beginning_either(
    tmp_path: Path, dbm0: float, said_s: float
) -> None:
    files = sorted(SPEECH.rglob("*.wav")) + sorted(SPEECH.rglob("*.flac"))
    if not files:
        pytest.skip(f"no speech in {SPEECH}")
    command = ["sox", str(files[0]), "-t", "s16", "-r", "8000", "-c", "1", "-", "trim", "1", str(said_s or 1), "norm"]
    said = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<i2")
    line = noise(6, dbm0)
    line[2 * RATE : 2 * RATE + round(said_s * RATE)] += (said // 4)[: round(said_s * RATE)]
    first, end = voiced_span(spool(tmp_path, line), "webrtc")
    if said_s:
        assert 1.5 < first / RATE < 3.5
        assert 3.5 < end / RATE < 5.5
    else:
        assert (first, end) == (0, 0)


def test_speech_that_begins_at_once_is_kept_from_its_beginning_by_webrtc(tmp_path: Path) -> None:
    files = sorted(SPEECH.rglob("*.wav")) + sorted(SPEECH.rglob("*.flac"))
    if not files:
        pytest.skip(f"no speech in {SPEECH}")
    command = ["sox", str(files[0]), "-t", "s16", "-r", "8000", "-c", "1", "-", "trim", "0", "8", "norm", "-6"]
    said = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<i2")
    begin = int(np.flatnonzero(np.abs(said.astype(int)) > 4000)[0])
    first, _ = voiced_span(spool(tmp_path, said[begin:]), "webrtc")
    assert first == 0


@pytest.mark.parametrize("trim", [True, False])
def test_no_more_is_kept_than_the_longest_recording(tmp_path: Path, trim: bool) -> None:
    target = tmp_path / "out.wav"
    request = {"spool": str(spool(tmp_path, tone(2.02)).path), "target": str(target), "channels": 1, "longest": 16000}
    made = handle({**request, "format": "wav", "trim": trim, "detector": "energy"})
    assert (made["samples"], made["bytes"]) == (16000, 32044)


def test_half_a_sample_of_a_killed_process_is_left_out(tmp_path: Path) -> None:
    cut = spool(tmp_path, tone(1), tone(1))
    cut.path.write_bytes(cut.path.read_bytes()[:-3])
    assert encode(cut, tmp_path / "out.wav", file_format="wav") == (RATE - 1, 0)


def test_hours_are_worked_on_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "long.s16"
    with path.open("wb") as file:
        file.truncate(3 * 3600 * RATE * 2)  # a hole: nothing is written
        file.seek(3600 * RATE * 2)
        file.write(tone(2, -20).tobytes())
    first, end = voiced_span(Spool(path, 1), "energy")
    assert (first / RATE, end / RATE) == pytest.approx((3599.9, 3602.1), abs=0.021)
