"""Wideband codecs on the wire: a 6 kHz tone, more than 8 kHz audio carries, reaches peers of every make; keys, too."""

import io
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from baresip import MODULES, Baresip
from conftest import need
from engine_process import EngineProcess
from flexml_app import Answer, Line
from numpy.typing import NDArray
from rtp_endpoint import RtpEndpoint
from sipp import Sipp, call, sdp

TONE_HZ = 6000
WIDE = {"G722": (9, "", 160), "OPUS": (98, "a=rtpmap:98 opus/48000/2", 960), "L16": (97, "a=rtpmap:97 L16/16000", 320)}
"""Payload type in the offer, its line, and how far the RTP clock goes in 20 ms."""

Samples = NDArray[np.floating]


def tone_wav(seconds: float, rate_hz: int = 16000, channels: int = 1) -> bytes:
    """The tone in a WAV, at -15 dBov."""
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    samples = np.rint(8192 * np.sin(2 * np.pi * TONE_HZ * time)).astype("<i2")
    with io.BytesIO() as container:
        with wave.open(container, "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(2)
            out.setframerate(rate_hz)
            out.writeframes(np.repeat(samples, channels).tobytes())
        return container.getvalue()


def tone_16k(seconds: float) -> Answer:
    """The tone as something to serve."""
    return Answer(body=tone_wav(seconds), content_type="audio/wav")


def tone_share(heard: Samples, rate_hz: int) -> float:
    """What part of the power of the loudest half second is the tone's."""
    size = rate_hz // 2
    parts = [heard[at : at + size] for at in range(0, heard.size - size, size // 5)]
    assert parts, f"heard {heard.size} samples, expected half a second at least"
    loudest = max(parts, key=lambda part: float((part.astype(np.float64) ** 2).sum())).astype(np.float64)
    power = np.abs(np.fft.rfft(loudest * np.hanning(size))) ** 2
    return float(power[np.abs(np.fft.rfftfreq(size, 1 / rate_hz) - TONE_HZ) < 60].sum() / power.sum())


def decode(codec: str, payloads: list[bytes]) -> tuple[Samples, int]:
    """Decode with somebody else's decoder; the samples and their rate."""
    if codec == "L16":
        return np.frombuffer(b"".join(payloads), ">i2").astype(np.float64), 16000
    if codec == "G722":
        need("ffmpeg")
        command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", "-", "-f", "s16le", "-"]
        done = subprocess.run(command, input=b"".join(payloads), capture_output=True, check=True)
        return np.frombuffer(done.stdout, "<i2").astype(np.float64), 16000
    decoder = av.CodecContext.create("opus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48000, "mono"
    sounds = [sound.to_ndarray()[0] for payload in payloads for sound in decoder.decode(av.Packet(payload))]
    return np.concatenate(sounds), 48000


@pytest.mark.parametrize("codec", list(WIDE))
def test_a_wideband_prompt_reaches_a_wideband_peer(codec: str, line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    kind, rtpmap, units = WIDE[codec]
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_16k(1.5), at="tone.wav")
    offer = sdp(*([rtpmap] if rtpmap else []), formats=f"{kind} 101")
    outcome = sipp.run(call(offer=offer, hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert f" {kind} " in f"{outcome.answer(200).body.split('m=audio')[1].splitlines()[0]} "
    packets = list(rtp.packets)
    assert {packet.payload_type for packet in packets} == {kind}
    assert {(later.timestamp - one.timestamp) % 2**32 for one, later in pairwise(packets)} == {units}
    heard, rate_hz = decode(codec, [packet.payload for packet in packets])
    assert tone_share(heard, rate_hz) > 0.9


class WideBaresip(Baresip):
    """baresip with one wideband codec."""

    def __init__(self, folder: Path, module: str, codec: str) -> None:
        super().__init__(folder)
        config = folder / "config"
        config.write_text(config.read_text().replace("module g711.so\n", f"module {module}\n"))
        _, rate_hz, channels = codec.split("/")
        (folder / "said.wav").write_bytes(tone_wav(30, int(rate_hz), int(channels)))
        accounts = folder / "accounts"
        accounts.write_text(accounts.read_text().replace("audio_codecs=PCMU", f"audio_codecs={codec}"))


BARESIP = {"G722": ("g722.so", "G722/16000/1"), "OPUS": ("opus.so", "opus/48000/2"), "L16": ("l16.so", "L16/16000/1")}


@pytest.fixture(params=list(BARESIP))
def wide_softphone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Baresip]:
    need("baresip")
    module, codec = BARESIP[request.param]
    if not (MODULES / module).exists():
        pytest.skip(f"baresip has no {module}")
    with WideBaresip(tmp_path, module, codec) as phone:
        yield phone


def test_baresip_hears_a_wideband_tone_and_its_keys_are_heard(
    line: Line, engine: EngineProcess, wide_softphone: Baresip
) -> None:
    line.serve('<Play>tone.wav</Play><Gather finishOnKey="#" timeout="8" action="digits"/>')
    line.serve(tone_16k(1.5), at="tone.wav")
    line.serve("<Hangup/>", at="digits")
    wide_softphone.dial(f"sip:{line.number}@{engine.target}")
    wide_softphone.wait_for("CALL_ESTABLISHED")
    wide_softphone.press("42#")
    wide_softphone.wait_for("CALL_CLOSED")
    assert line.wait_for("digits")[0].data["Digits"] == "42"
    with wave.open(str(wide_softphone.heard())) as heard:
        rate_hz, channels = heard.getframerate(), heard.getnchannels()
        audio = np.frombuffer(heard.readframes(heard.getnframes()), "<i2")[::channels].astype(np.float64)
    assert rate_hz >= 16000
    assert tone_share(audio, rate_hz) > 0.8


def flexml_call(folder: Path, target: str, *options: str) -> tuple[int, str]:
    """Run the command; its exit status and what it wrote."""
    command = [Path(sys.executable).parent / "flexml", "call", target, *options]
    environment = {**os.environ, "HOME": str(folder), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("codec", ["PCMA", "G722", "L16", "OPUS"])
def test_flexml_call_presses_and_hears_keys_over_every_codec(
    codec: str, line: Line, engine: EngineProcess, tmp_path: Path
) -> None:
    line.serve('<Gather numDigits="3" timeout="8" action="digits"/>')
    line.serve('<Dtmf>12#</Dtmf><Pause length="1"/>', at="digits")
    target = f"sip:{line.number}@{engine.target}"
    status, said = flexml_call(tmp_path, target, "--codec", codec, "--dtmf", "147", "--for", "10")
    assert status == 0, said
    assert line.wait_for("digits")[0].data["Digits"] == "147"
    assert "digits heard: 12#" in said


def test_flexml_call_does_not_know_every_name(tmp_path: Path) -> None:
    status, said = flexml_call(tmp_path, "sip:1@127.0.0.1:9", "--codec", "GSM")
    assert status == 2
    assert "found 'GSM'" in said
    assert shutil.which("ffmpeg") is None or "OPUS" in said
