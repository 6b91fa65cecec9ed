"""Calls by baresip, a softphone of somebody else's making."""

from baresip import Baresip
from engine_process import EngineProcess
from flexml_app import Line, tone_wav
from rtp_endpoint import loud_part, share_at


def test_baresip_hears_a_tone_presses_keys_and_is_hung_up_on(
    line: Line, engine: EngineProcess, softphone: Baresip
) -> None:
    line.serve('<Play>tone.wav</Play><Gather finishOnKey="#" timeout="8" action="digits"/>')
    line.serve(tone_wav(1000, 1.5), at="tone.wav")
    line.serve("<Hangup/>", at="digits")
    softphone.dial(f"sip:{line.number}@{engine.target}")
    softphone.wait_for("CALL_ESTABLISHED")
    softphone.press("42#")
    softphone.wait_for("CALL_CLOSED")
    assert line.wait_for("digits")[0].data["Digits"] == "42"
    assert share_at(loud_part(softphone.audio()), 1000) > 0.8
    assert line.final_status().data["CallStatus"] == "completed"


def test_baresip_hangs_up(line: Line, engine: EngineProcess, softphone: Baresip) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    softphone.dial(f"sip:{line.number}@{engine.target}")
    softphone.wait_for("CALL_ESTABLISHED")
    softphone.hang_up()
    assert line.final_status().data["CallStatus"] == "completed"
