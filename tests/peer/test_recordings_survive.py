"""Recordings of real calls while processes are killed: what is lost, what is told, and how often."""

from __future__ import annotations

import io
import os
import signal
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
from engine_process import EngineProcess
from flexml_app import Answer, Application, Line, Received
from phone import Phone, Talk
from sounds import tone

NUMBER = "15550001000"
SESSION = (
    '<Store name="ticket">7</Store><Record recordSession="true" trim="do-not-trim" channels="dual" callbackUrl="told"'
    ' recordingStatusCallback="status-told"/><Play>/sounds/tone-600-60000.wav</Play>'
)


def content(told: Received) -> np.ndarray:
    """The samples that RecordingUrl gives, calling party first, float64[n, 2]."""
    with urllib.request.urlopen(f"{told.data['RecordingUrl']}.wav?x=1", timeout=10) as response:
        samples, rate_hz = soundfile.read(io.BytesIO(response.read()), always_2d=True)
    assert (rate_hz, samples.shape[1]) == (8000, 2)
    return samples


def hz(track: np.ndarray) -> float:
    """The frequency that there is most of."""
    return float(np.argmax(np.abs(np.fft.rfft(track))) * 8000 / len(track))


def serve(line: Line) -> None:
    line.serve(SESSION)
    for at in ("told", "status-told", "status"):
        line.serve(Answer(status=204), at=at)


def test_a_killed_engine_finishes_its_recording_and_tells_of_its_call_at_the_next_start(
    application: Application, tmp_path: Path
) -> None:
    line = Line("killed", application)
    serve(line)
    engine = EngineProcess(tmp_path, {NUMBER: application.url(line.path())})
    engine.start()
    try:
        with Phone(engine.target, NUMBER, longest_s=4.0) as phone:
            phone.rtp.speak(tone(1000, 60.0))
            talk = Talk(phone.call)
            talk.start()
            phone.rtp.wait_for(150)
            os.kill(engine.pids[0], signal.SIGKILL)
            said_s = phone.rtp.elapsed_s
            assert engine.stop() == -signal.SIGKILL
            with pytest.raises(AssertionError):
                talk.result()
        assert line.requests("told") == []
        engine.start()
        (told,) = line.wait_for("told")
        (status,) = line.wait_for("status-told")
        assert told.data["RecordingStatus"] == status.data["RecordingStatus"] == "completed"
        assert told.data["From"]
        assert told.data["CallSid"]
        recording = content(told)
        length_s = len(recording) / 8000
        assert said_s - 1.0 < length_s < said_s + 0.5
        assert told.data["RecordingDuration"] == int(length_s + 0.5)
        (ended,) = line.wait_for("status")
        assert (ended.data["CallStatus"], ended.data["CallDuration"]) == ("failed", 0)
        assert (ended.data["CallSid"], ended.data["Storage_ticket"]) == (told.data["CallSid"], "7")
        assert hz(recording[8000:16000, 0]) == pytest.approx(1000, abs=2)
        assert hz(recording[8000:16000, 1]) == pytest.approx(600, abs=2)
        assert engine.stop() == 0
        engine.start()
        assert engine.stop() == 0
        assert [len(line.requests(at)) for at in ("told", "status-told", "status")] == [1, 1, 1]
        assert list((tmp_path / "files" / "spool").iterdir()) == []
    finally:
        engine.stop()


def test_a_recording_goes_on_at_its_time_when_its_media_worker_is_killed(engine: EngineProcess, line: Line) -> None:
    serve(line)
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 60.0))
        talk = Talk(lambda: phone.call(hang_up_at=6.0))
        talk.start()
        phone.rtp.wait_for(150)
        (worker,) = (p for p in engine.pids if b"flexml: worker 1" in Path(f"/proc/{p}/cmdline").read_bytes())
        os.kill(worker, signal.SIGKILL)
        talk.result()
        took_s = phone.rtp.packets[-1].at - phone.rtp.packets[0].at
    (told,) = line.wait_for("told")
    recording = content(told)
    assert len(recording) / 8000 == pytest.approx(took_s, abs=0.5)
    frames = np.abs(recording[: len(recording) // 160 * 160, 0]).reshape(-1, 160)
    quiet = frames.max(axis=1) < 0.01
    assert 0.05 < quiet[5:-25].sum() * 0.02 < 2.0, "what is missing is silence"
    assert hz(recording[-16000:-8000, 0]) == pytest.approx(1000, abs=2)
    assert len(line.requests("status-told")) == 1
