"""Override's SIP credentials on the wire: SIPp challenges, and verifies the digest of who answers."""

from __future__ import annotations

from pathlib import Path

from attribute_table import shows
from conftest import need
from engine_process import EngineProcess
from flexml_app import Answer, Application, Line
from phone import Phone
from ports import free_port
from sipp_server import SippServer
from test_trunks import CARRIER, INVITED

NUMBER = "15550001000"
OURS = '<Override sipUsername="engine" sipPassword="secret"/>'
"""What INVITED of test_trunks asks for."""


def dialled(line: Line, engine: EngineProcess, document: str, number: str) -> str:
    """How the dial of a call to `document` went."""
    line.serve(document)
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, number) as phone:
        phone.call()
    return str(line.wait_for("dialled")[-1].data["CallStatus"])


@shows("Override.sipUsername", "Override.sipPassword")
def test_a_challenge_is_answered_with_the_credentials_of_the_document(
    engine: EngineProcess, line: Line, tmp_path: Path
) -> None:
    need("sipp")
    port = free_port()
    dial = f'<Dial action="dialled" timeLimit="1">sip:1000@127.0.0.1:{port}</Dial>'
    with SippServer(tmp_path / "none", port, INVITED, calls=1):
        assert dialled(line, engine, dial, line.number) == "failed"
    for wrong in (OURS.replace("secret", "guess"), OURS.replace("engine", "somebody")):
        with SippServer(tmp_path / wrong[-8:-3], port, INVITED, calls=1):
            assert dialled(line, engine, wrong + dial, line.number) == "failed"
    with SippServer(tmp_path / "right", port, INVITED, calls=1) as party:
        assert dialled(line, engine, OURS + dial, line.number) == "completed"
        party.finish(10)


def test_a_document_may_be_somebody_else_than_the_trunk_is(application: Application, tmp_path: Path) -> None:
    need("sipp")
    line, port = Line("override", application), free_port()
    line.serve(Answer(status=204), at="status")
    trunk = CARRIER.format(name="carrier", port=port).replace("secret", "not that")
    engine = EngineProcess(tmp_path / "engine", {NUMBER: application.url(line.path())}, extra=trunk)
    engine.start()
    dial = '<Dial action="dialled" timeLimit="1">15162065399</Dial>'
    try:
        with SippServer(tmp_path / "trunk", port, INVITED, calls=1):
            assert dialled(line, engine, dial, NUMBER) == "failed"
        with SippServer(tmp_path / "call", port, INVITED, calls=1) as carrier:
            assert dialled(line, engine, OURS + dial, NUMBER) == "completed"
            carrier.finish(10)
        with SippServer(tmp_path / "later", port, INVITED, calls=1):
            assert dialled(line, engine, dial, NUMBER) == "failed", "the next call is the trunk's again"
    finally:
        assert engine.stop() == 0
