"""`flexml call`, the real command, against the real engine: what it hears, what it sends, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from conftest import need
from engine_process import DEMO, EngineProcess
from flexml_app import Line, tone_wav
from inherited import inherits
from numpy.typing import NDArray
from rtp_endpoint import loud_part, share_at

CALLER = "15162065399"
FIELDS = (
    "AccountSid", "ApiVersion", "CallerName", "CallSid", "CallStatus", "Direction", "From", "OriginalFrom",
    "OriginalTo", "RequestUrl", "To",
)  # fmt: skip


class Phone:
    """The command, run in a folder of its own."""

    def __init__(self, folder: Path, engine: EngineProcess) -> None:
        self._folder, self._engine = folder, engine
        self.heard_path = folder / "heard.wav"

    def call(self, number: str, *options: str) -> tuple[int, str]:
        """Place a call; the exit status and what was written."""
        with self.calling(number, *options) as process:
            said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def calling(self, number: str, *options: str) -> subprocess.Popen[str]:
        """The command, while it is in the call."""
        command = [Path(sys.executable).parent / "flexml", "call", f"sip:{number}@{self._engine.target}", *options]
        environment = {**os.environ, "HOME": str(self._folder), "COLUMNS": "200"}
        return subprocess.Popen(
            command, cwd=self._folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def heard(self) -> NDArray[np.float64]:
        return read(self.heard_path)


@pytest.fixture
def phone(tmp_path: Path, engine: EngineProcess) -> Phone:
    return Phone(tmp_path, engine)


def read(path: Path) -> NDArray[np.float64]:
    """The samples of a mono recording, in -1..1."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768


def test_the_menu_of_the_demo_is_heard_as_long_as_espeak_says_it(
    phone: Phone, engine: EngineProcess, tmp_path: Path
) -> None:
    need("espeak-ng")
    spoken = re.search(r"<Say>(.*?)</Say>", engine.get("/demo/").decode())
    assert spoken
    reference = tmp_path / "reference.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "160", "-w", reference, spoken[1]], check=True)
    with wave.open(str(reference)) as file:
        expected_s = len(loud_part(read(reference))) / file.getframerate()
    status, said = phone.call(DEMO, "--record", str(phone.heard_path), "--for", str(round(expected_s + 2)))
    assert status == 0, said
    assert len(loud_part(phone.heard())) / 8000 == pytest.approx(expected_s, rel=0.1)


def test_a_key_leads_to_its_branch_with_the_fields_of_the_reference(phone: Phone, engine: EngineProcess) -> None:
    status, said = phone.call(DEMO, "--dtmf", ",,1", "--for", "4", "--from", f"sip:{CALLER}@127.0.0.1")
    assert status == 0, said
    logs = [one["requests"] for one in json.loads(engine.get("/demo/log"))["calls"]]
    (requests,) = [log for log in logs if log[0]["data"].get("From") == CALLER]
    paths = [(one["path"], one["data"].get("Digits")) for one in requests]
    assert paths[:2] == [("/demo/", None), ("/demo/choice", "1")]
    for one in requests:
        assert {name: type(one["data"].get(name)) for name in FIELDS} == dict.fromkeys(FIELDS, str)
    assert len({one["data"]["CallSid"] for one in requests}) == 1


def test_a_number_nobody_has_fails_with_404(phone: Phone) -> None:
    status, said = phone.call("15559990001", "--for", "2")
    assert status == 1
    assert "404" in said


def test_early_media_is_recorded_of_a_call_that_is_rejected(phone: Phone, line: Line) -> None:
    line.serve('<PreAnswer><Play>tone.wav</Play></PreAnswer><Reject reason="busy"/>')
    line.serve(tone_wav(1000, 1.5), at="tone.wav")
    status, said = phone.call(line.number, "--record", str(phone.heard_path), "--for", "5")
    assert status == 1
    assert "600" in said
    tone = loud_part(phone.heard())
    assert 1.3 <= len(tone) / 8000 <= 1.6
    assert share_at(tone, 1000) > 0.95


def test_keys_that_the_document_presses_are_heard(phone: Phone, line: Line) -> None:
    line.serve('<Dtmf>12#</Dtmf><Pause length="1"/>')
    status, said = phone.call(line.number, "--for", "8")
    assert status == 0, said
    assert "digits heard: 12#" in said


def test_speech_and_a_file_are_sent(phone: Phone, line: Line, tmp_path: Path) -> None:
    """The packets say how long it stayed; that the engine hears sound is for tests of Record to show."""
    line.serve('<Pause length="20"/>')
    played = tmp_path / "tone.wav"
    body = tone_wav(700, 1.0).body
    assert isinstance(body, bytes)
    played.write_bytes(body)
    status, said = phone.call(line.number, "--say", "Hello", "--play", str(played), "--for", "3")
    assert status == 0, said
    sent = re.search(r"sent (\d+) packets", said) or re.search(r"sent (\d+)", said)
    assert sent
    assert 130 <= int(sent[1]) <= 170


def test_who_interrupts_it_hangs_up_and_is_told_how_it_went(phone: Phone, line: Line) -> None:
    line.serve('<Pause length="1"/><Redirect>later</Redirect>')
    line.serve('<Pause length="30"/>', at="later")
    with inherits(signal.SIGINT):
        calling = phone.calling(line.number, "--record", str(phone.heard_path))
    with calling as process:
        line.wait_for("later")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert re.match(r"ended 200 OK · received [1-9]", said), said
    assert "written to" in said
    assert line.final_status().data["CallStatus"] == "completed"
