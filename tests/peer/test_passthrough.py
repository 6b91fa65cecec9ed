"""A real bridged call on which octets pass as they came, and one that is recorded, where they are decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import need
from engine_process import EngineProcess
from flexml_app import Answer, Line
from phone import Phone
from rtp_endpoint import FRAME
from uas import TALK, Uas

NEGATIVE_ZERO = 0x7F
FRAMES = 500
SAID = bytes((NEGATIVE_ZERO, 0x10, 0x90, 0x30)) * (FRAME // 4)
"""A packet of mu-law. Once decoded, negative zero is zero, which is encoded as the positive one."""


@pytest.mark.parametrize(("record", "passes"), [("do-not-record", True), ("record-from-answer", False)])
def test_octets_pass_to_the_party_and_back_unless_something_listens(
    engine: EngineProcess, line: Line, tmp_path: Path, record: str, passes: bool
) -> None:
    need("sipp")
    with Uas(tmp_path / "party", TALK) as bob:
        line.serve(f'<Dial record="{record}" recordingStatusCallback="told" timeLimit="4">{bob.uri}</Dial>')
        line.serve(Answer(status=204), at="told")
        with Phone(engine.target, line.number) as phone:
            phone.rtp.speak_octets(SAID * FRAMES)
            phone.call()
            heard = [packet.payload for packet in phone.rtp.packets]
        bob.done()
    echoed = [payload for payload in heard if payload[1::4] == SAID[1::4]]
    passed = [payload for payload in echoed if payload == SAID]
    assert len(echoed) > 150
    assert len(passed) > 140 if passes else not passed
