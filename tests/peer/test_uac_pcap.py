"""SIPp's own `uac_pcap` scenario, as it comes: A-law audio, then a key press, from its packaged captures."""

import subprocess
from pathlib import Path

import pytest
from engine_process import EngineProcess
from flexml_app import Line, tone_wav
from ports import free_block, free_port
from sipp import CAPTURES, Sipp


@pytest.mark.skipif(not CAPTURES.exists(), reason="SIPp's packaged captures are not installed")
def test_the_key_of_uac_pcap_reaches_the_application(
    line: Line, engine: EngineProcess, sipp: Sipp, tmp_path: Path
) -> None:
    line.serve('<Gather numDigits="1" timeout="30" action="digits"><Play loop="0">tone.wav</Play></Gather>')
    line.serve(tone_wav(440, 3.0), at="tone.wav")
    line.serve("<Pause length='30'/>", at="digits")
    (tmp_path / "pcap").symlink_to(CAPTURES)
    command = [
        "sipp", "-sn", "uac_pcap", engine.target, "-s", line.number, "-m", "1", "-nostdin", "-i", "127.0.0.1",
        "-p", str(free_port()), "-mi", "127.0.0.1", "-mp", str(free_block(4)), "-timeout", "40s", "-timeout_error",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (asked,) = line.wait_for("digits")
    assert asked.data["Digits"] == "1"
    assert line.final_status().data["CallStatus"] == "completed"
