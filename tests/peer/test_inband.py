"""Keys on the wire in every way they may come and go: tones (ITU-T Q.23), telephone events (RFC 4733), SIP INFO."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soxr
import spandsp
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml_app import Application, Line
from g711 import Samples
from hearing import level_at, level_dbov
from rtp_endpoint import RtpEndpoint
from sipp import Outcome, Sipp, call, pause, receive, receive_request, request, sdp

TONES_HZ: Final = {
    key: (low, high)
    for low, keys in ((697, "123A"), (770, "456B"), (852, "789C"), (941, "*0#D"))
    for high, key in zip((1209, 1336, 1477, 1633), keys, strict=True)
}
WITHOUT_EVENTS: Final = "\n".join(line for line in sdp(formats="0").split("\n") if ":101" not in line)
FULL_SCALE_DBM0: Final = 3.14
INFO_NUMBER: Final = "15550002000"


def tones(digits: str, on_ms: int, period_ms: int = 200, level: float = 0.15) -> Samples:
    """The keys as tones of `on_ms` each, one every `period_ms`."""
    t = np.arange(on_ms * 8) / 8000
    silence = np.zeros((period_ms - on_ms) * 8)
    keys = [
        np.concatenate([level * (np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)), silence])
        for low, high in map(TONES_HZ.__getitem__, digits)
    ]
    return np.concatenate(keys)


@pytest.fixture
def ear() -> None:
    """Skip the test where spandsp is not installed."""
    if spandsp.library() is None:
        pytest.skip("libspandsp2 is not installed")


def multimon(audio: Samples) -> str:
    """The keys that multimon-ng hears."""
    raw = np.rint(soxr.resample(audio, 8000, 22050) * 32767).astype("<i2").tobytes()
    command = ["multimon-ng", "-q", "-a", "DTMF", "-t", "raw", "-"]
    said = subprocess.run(command, input=raw, capture_output=True, check=True).stdout.decode()
    return "".join(line.removeprefix("DTMF: ") for line in said.splitlines() if line.startswith("DTMF: "))


def info(digit: str, cseq: int, kind: str = "dtmf-relay") -> str:
    """Send a key as SIP INFO, and expect that it is taken."""
    body = digit if kind == "dtmf" else f"Signal={digit}\nDuration=100\n"
    sent = request("INFO", within=True, cseq=cseq, body=body).replace("application/sdp", f"application/{kind}")
    return sent + receive(200)


def gathered(line: Line, count: int) -> None:
    """Serve a document that asks for one key more than will come, so that one counted twice shows."""
    line.serve(f'<Gather numDigits="{count + 1}" timeout="2" finishOnKey="_" action="got"/>')
    line.serve("<Hangup/>", at="got")


def test_keys_are_heard_in_the_audio_of_a_peer_without_events(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    gathered(line, 16)
    rtp.speak(tones("0123456789*#ABCD", on_ms=60, period_ms=120), at=0.5)
    outcome = sipp.run(call(offer=WITHOUT_EVENTS, hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert "telephone-event" not in outcome.answer(200).body
    (got,) = line.wait_for("got")
    assert got.data["Digits"] == "0123456789*#ABCD"


@pytest.mark.parametrize("leak_s", [-0.06, 0.1], ids=["before", "behind"])
def test_keys_that_come_as_events_and_as_tones_count_once(
    line: Line, sipp: Sipp, rtp: RtpEndpoint, leak_s: float
) -> None:
    gathered(line, 4)
    rtp.press("1159", at=0.6)
    rtp.speak(tones("1159", on_ms=60), at=0.6 + leak_s)
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    (got,) = line.wait_for("got")
    assert got.data["Digits"] == "1159"


def test_keys_that_come_by_info_and_as_tones_count_once(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    gathered(line, 3)
    rtp.speak(tones("77#", on_ms=100, period_ms=300), at=0.6)
    keys = [info("7", 2), pause(300), info("7", 3), pause(300), info("#", 4, "dtmf")]
    steps = call(pause(600), *keys, offer=WITHOUT_EVENTS, hang_up=False)
    outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    (got,) = line.wait_for("got")
    assert got.data["Digits"] == "77#"


def test_signals_above_nine_are_keys_and_flash_is_none(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    gathered(line, 3)
    keys = [info("10", 2), pause(300), info("16", 3), pause(300), info("11", 4), pause(300), info("1", 5)]
    outcome = sipp.run(call(pause(600), *keys, hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    (got,) = line.wait_for("got")
    assert got.data["Digits"] == "*#1"


def test_keys_that_come_in_all_three_ways_count_once(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    gathered(line, 2)
    rtp.speak(tones("4", on_ms=60), at=0.54)
    rtp.press("4", at=0.6)
    rtp.press("2", at=1.2)
    outcome = sipp.run(
        call(pause(600), info("4", 2), pause(600), info("2", 3), hang_up=False), number=line.number, rtp_port=rtp.port
    )
    assert outcome.status == 0, outcome.errors
    (got,) = line.wait_for("got")
    assert got.data["Digits"] == "42"


@pytest.mark.usefixtures("ear")
def test_keys_are_sent_as_tones_to_a_peer_without_events(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    """The tones have Q.23's frequencies; each is -7 or -9 dBm0 strong, the high one 2 dB above the low one."""
    need("multimon-ng")
    line.serve("<Dtmf>0123456789*#,,ABCD</Dtmf><Pause length='1'/>")
    outcome = sipp.run(call(offer=WITHOUT_EVENTS, hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert rtp.heard_keys() == []
    audio = rtp.heard()
    assert spandsp.keys_in(audio * 32768) == "0123456789*#ABCD"
    assert multimon(audio) == "0123456789*#ABCD"
    begin = int(np.flatnonzero(np.abs(audio) > 0.01)[0])
    for number, key in enumerate("0123456789*#"):
        pressed = audio[begin + number * 1600 :][:800]
        low, high = (level_at(pressed, hz) + 3.01 + FULL_SCALE_DBM0 for hz in TONES_HZ[key])
        assert low == pytest.approx(-9, abs=0.3)
        assert high == pytest.approx(-7, abs=0.3)
        assert level_dbov(audio[begin + number * 1600 + 810 :][:780]) < -70, "silence between keys"


def test_keys_are_sent_as_events_where_they_were_offered(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Dtmf>1#</Dtmf><Pause length='1'/>")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert [(key.key, round(key.end - key.start, 3)) for key in rtp.heard_keys()] == [("1", 0.1), ("#", 0.1)]
    assert level_dbov(rtp.heard()) < -70, "no tones besides"


@pytest.fixture
def configured(
    request: pytest.FixtureRequest, application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Sipp, Line]]:
    """An engine of the test's own, with `[sip] dtmf` as the test's parameter says."""
    need("sipp")
    monkeypatch.setenv("FLEXML_SIP_DTMF", request.param)
    line = Line(INFO_NUMBER, application)
    engine = EngineProcess(tmp_path, {line.number: application.url(line.path())}, legs=4)
    engine.start()
    try:
        yield Sipp(tmp_path, engine.target), line
    finally:
        status = engine.stop()
    assert status == 0
    assert tracebacks(engine.log()) == []


def informed(outcome: Outcome) -> list[str]:
    """The keys of the INFO requests that came in, in order."""
    bodies = [one.body for one in outcome.messages if not one.sent and one.start.startswith("INFO ")]
    fields = [dict(line.split("=", 1) for line in body.splitlines() if "=" in line) for body in bodies]
    return [one["Signal"] for one in fields]


@pytest.mark.parametrize("configured", ["info"], indirect=True)
def test_keys_are_sent_by_info_where_configured(configured: tuple[Sipp, Line], rtp: RtpEndpoint) -> None:
    sipp, line = configured
    line.serve("<Dtmf>19,#A</Dtmf><Pause length='1'/>")
    steps = call(*[receive_request("INFO")] * 4, hang_up=False)
    outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert informed(outcome) == ["1", "9", "#", "A"]
    assert rtp.heard_keys() == []


@pytest.mark.usefixtures("ear")
@pytest.mark.parametrize("configured", ["inband"], indirect=True)
def test_keys_are_sent_as_tones_where_configured(configured: tuple[Sipp, Line], rtp: RtpEndpoint) -> None:
    sipp, line = configured
    line.serve("<Dtmf>19#A</Dtmf><Pause length='1'/>")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert rtp.heard_keys() == []
    assert spandsp.keys_in(rtp.heard() * 32768) == "19#A"
