"""Host names: where calls and requests go by them, and that a name server which is slow holds up nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from raw_peer import RawPeer, plain_sdp
from test_soak import becomes

NUMBERS = [str(15550001000 + number) for number in range(6)]
CALLS = "/flexml/v1/calls"
PATIENCE_S = 10.0
unused = list(NUMBERS)


@pytest.fixture(scope="module")
def named(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = EngineProcess(
        tmp_path_factory.mktemp("named"),
        {number: application.url(f"/named/{number}/") for number in NUMBERS},
        named=True,
    )
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


@pytest.fixture
def line(application: Application) -> Line:
    """A number that no other test calls or calls from."""
    line = Line(f"named/{unused.pop()}", application)
    line.serve(Answer(status=204), at="status")
    return line


def number(line: Line) -> str:
    return line.number.rpartition("/")[2]


def order(engine: EngineProcess, line: Line, called: str, **more: str) -> dict[str, Any]:
    return engine.post(CALLS, {"calling_did": number(line), "called_did": called, **more})


def test_a_call_goes_where_its_name_is(named: EngineProcess, line: Line) -> None:
    with RawPeer(named.target) as bob:
        order(named, line, f"sip:bob@bob.example:{bob.port}")
        invite = bob.expect("INVITE ")
        assert invite.start.split()[1] == f"sip:bob@bob.example:{bob.port}"
        bob.send(bob.answer(invite, "486 Busy Here"))
        bob.expect("ACK ")
        assert line.final_status().data["CallStatus"] == "busy"


def test_a_name_that_is_not_answered_holds_up_nobody_else(named: EngineProcess, line: Line) -> None:
    line.serve("<Hangup/>")
    with RawPeer(named.target) as bob, RawPeer(named.target) as alice:
        with named.held("slow.example"):
            order(named, line, f"sip:bob@slow.example:{bob.port}")
            assert alice.options()
            alice.send(alice.request("INVITE", number(line), cseq=2, body=plain_sdp(9)))
            answered = alice.expect("SIP/2.0 200 ")
            alice.send(alice.request("ACK", number(line), cseq=2, answered=answered))
            alice.send(alice.answer(alice.expect("BYE "), "200 OK"))
            assert bob.receive(0.1) is None
        bob.send(bob.answer(bob.expect("INVITE "), "486 Busy Here"))
        bob.expect("ACK ")


def test_a_call_is_cancelled_while_its_name_is_not_answered(named: EngineProcess, line: Line) -> None:
    with RawPeer(named.target) as bob:
        with named.held("gone.example"):
            call = order(named, line, f"sip:bob@gone.example:{bob.port}")
            assert becomes(lambda: "> INVITE" in dict(named.timeline()), PATIENCE_S)
            assert named.post(f"{CALLS}/{call['call_sid']}", {}, method="DELETE") == {}
            assert line.final_status().data["CallStatus"] == "cancel"
        invite = bob.expect("INVITE ")  # what was to be sent is sent, and taken back
        bob.send(bob.answer(invite, "100 Trying"))
        bob.send(bob.answer(bob.expect("CANCEL "), "200 OK"))
        bob.send(bob.answer(invite, "487 Request Terminated"))
        bob.expect("ACK ")
        assert becomes(lambda: not named.live_calls() and not named.ending(), PATIENCE_S)


@pytest.mark.parametrize("where", ["unknown.invalid", f"{'a' * 64}.invalid"])
def test_a_name_without_an_address_is_a_call_that_failed(named: EngineProcess, line: Line, where: str) -> None:
    order(named, line, f"sip:bob@{where}")
    assert line.final_status().data["CallStatus"] == "failed"
    what = dict(named.timeline())
    assert (what["party ended"]["by"], what["party ended"]["status"]) == ("stack", 502)


def test_applications_whose_names_are_not_answered_hold_up_no_audio(
    named: EngineProcess, line: Line, application: Application
) -> None:
    line.serve("<Play>/sounds/tone-600-500.wav</Play><Hangup/>")
    names = [f"told{number}.example" for number in range(12)]
    with ExitStack() as all_held, RawPeer(named.target) as alice:
        for name in names:
            all_held.enter_context(named.held(name))
            told = application.url("/told").replace("127.0.0.1", name)
            order(named, line, "15550009999", status_callback_url=told)
        alice.send(alice.request("INVITE", number(line), body=plain_sdp(9)))
        answered = alice.expect("SIP/2.0 200 ")
        alice.send(alice.request("ACK", number(line), answered=answered))
        alice.send(alice.answer(alice.expect("BYE "), "200 OK"))
        assert line.final_status().data["CallStatus"] == "completed"
    what = dict(named.timeline())
    assert "playing" in what
