"""The REST API on calls that are real: live ones that are moved, numbers that are changed."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from answering import Answering
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, Received
from hearing import share_at
from phone import Phone

NUMBER, OTHER = "15550001000", "15550001001"
CALLS = "/flexml/v1/calls"


@pytest.fixture(scope="module")
def served(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    urls = {number: application.url(f"/api/{number}/") for number in (NUMBER, OTHER)}
    engine = EngineProcess(tmp_path_factory.mktemp("api"), urls)
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


@pytest.fixture
def line(application: Application) -> Line:
    line = Line(f"api/{NUMBER}", application)
    line.serve(Answer(status=204), at="status")
    return line


@pytest.fixture
def bob() -> Iterator[Answering]:
    with Answering() as party:
        yield party


def ask(engine: EngineProcess, method: str, path: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
    """Status and body of a request."""
    try:
        return 200, engine.post(path, body, method=method)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def place(engine: EngineProcess, called: str) -> str:
    return engine.post(CALLS, {"called_did": called, "calling_did": NUMBER})["call_sid"]


def requests(line: Line, sid: str, at: str = "") -> list[Received]:
    """What the application was asked about that call, once it has been."""

    def found() -> list[Received]:
        return [one for one in line.requests(at) if one.data["CallSid"] == sid]

    until(found)
    return found()


def until(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def timeline(engine: EngineProcess, sid: str) -> list[str]:
    return [one["what"] for one in engine.post(f"{CALLS}/{sid}/timeline", {}, method="GET")["items"]]


def test_a_live_call_goes_on_with_another_document_at_once(served: EngineProcess, line: Line, bob: Answering) -> None:
    line.serve('<Play loop="0">/sounds/tone-1000-1000.wav</Play>')
    line.serve('<Play>/sounds/tone-600-2000.wav</Play><Gather numDigits="1" timeout="5" action="keys"/>', at="moved")
    line.serve("<Hangup/>", at="keys")
    sid = place(served, bob.uri)
    bob.pick_up()
    requests(line, sid)
    until(lambda: share_at(bob.rtp.heard()[-4000:], 1000) > 0.9)
    time.sleep(1.2)
    url = line.application.url(line.path("moved"))
    status, moved = ask(served, "PATCH", f"{CALLS}/{sid}", {"url": url, "method": "GET"})
    assert (status, moved["url"], moved["method"]) == (200, url, "GET")
    (asked,) = requests(line, sid, "moved")
    assert (asked.method, asked.data["RequestUrl"]) == ("GET", line.application.url(line.path()))
    at = len(bob.rtp.heard())
    time.sleep(2.5)
    bob.rtp.press("7")
    bob.expect("BYE ")
    heard = bob.rtp.heard()
    assert share_at(heard[at - 8000 : at - 2400], 1000) > 0.9
    assert share_at(heard[at + 2400 : at + 12000], 600) > 0.9, "what played before has stopped"
    (keys,) = requests(line, sid, "keys")
    assert keys.data["Digits"] == "7"
    (told,) = requests(line, sid, "status")
    assert (told.data["CallStatus"], told.data["RequestUrl"]) == ("completed", line.application.url(line.path()))
    assert "moved" in timeline(served, sid)
    status, error = ask(served, "PATCH", f"{CALLS}/{sid}", {"url": line.application.url(line.path("moved"))})
    assert (status, error["errors"][0]["message"]) == (409, "the call is over")


def test_a_call_that_talks_by_dial_leaves_its_party(served: EngineProcess, line: Line, bob: Answering) -> None:
    with Answering() as carol:
        line.serve(f'<Dial action="dialled">{carol.uri}</Dial>')
        line.serve("<Play>/sounds/tone-600-2000.wav</Play><Hangup/>", at="moved")
        sid = place(served, bob.uri)
        bob.pick_up()
        carol.pick_up()
        until(lambda: "bridged" in timeline(served, sid))
        assert ask(served, "PATCH", f"{CALLS}/{sid}", {"url": line.application.url(line.path("moved"))})[0] == 200
        carol.expect("BYE ")
        bob.expect("BYE ")
        assert share_at(bob.rtp.heard()[-12000:-2400], 600) > 0.9
    assert [told.data["CallStatus"] for told in requests(line, sid, "status")] == ["completed"]
    assert line.requests("dialled") == [], "the call has only gone on elsewhere"


def test_a_call_that_is_deleted_while_it_talks_tells_the_action(
    served: EngineProcess, line: Line, bob: Answering
) -> None:
    with Answering() as carol:
        line.serve(f'<Dial action="dialled">{carol.uri}</Dial>')
        line.serve("<Hangup/>", at="dialled")
        sid = place(served, bob.uri)
        bob.pick_up()
        carol.pick_up()
        until(lambda: "bridged" in timeline(served, sid))
        assert ask(served, "DELETE", f"{CALLS}/{sid}", {})[0] == 200
        carol.expect("BYE ")
        bob.expect("BYE ")
    (told,) = requests(line, sid, "dialled")
    assert told.data["CallStatus"] == "completed"


def test_nobody_has_hung_up_on_a_call_that_is_moved_while_it_tells_a_machine(
    served: EngineProcess, line: Line, bob: Answering
) -> None:
    line.serve('<Amd action="result" initialSilence="20000" totalAnalysisTime="30000"/>')
    line.serve("<Hangup/>", at="moved")
    sid = place(served, bob.uri)
    bob.pick_up()
    until(lambda: "verb" in timeline(served, sid))
    moved = {"url": line.application.url(line.path("moved"))}
    assert ask(served, "PATCH", f"{CALLS}/{sid}", moved)[0] == 200
    bob.expect("BYE ")
    for at in ("moved", "status"):
        (told,) = requests(line, sid, at)
        assert "AMDStatus" not in told.data
    assert line.requests("result") == []


def test_a_call_that_rings_begins_with_the_document_that_it_was_moved_to(
    served: EngineProcess, line: Line, bob: Answering
) -> None:
    line.serve("<Hangup/>")
    line.serve("<Play>/sounds/tone-600-1000.wav</Play>", at="moved")
    sid = place(served, bob.uri)
    bob.ring()
    moved = {"url": line.application.url(line.path("moved"))}
    assert ask(served, "PATCH", f"{CALLS}/{sid}", moved)[0] == 200
    bob.pick_up()
    bob.expect("BYE ")
    assert share_at(bob.rtp.heard()[-6400:-1600], 600) > 0.9
    (told,) = requests(line, sid, "status")
    assert told.data["RequestUrl"] == moved["url"]
    assert [one for one in line.requests() if one.data["CallSid"] == sid] == []
    assert served.post(f"{CALLS}/{sid}", {}, method="GET")["url"] == moved["url"]


def test_what_else_cannot_be_changed_of_a_live_call(served: EngineProcess, line: Line, bob: Answering) -> None:
    line.serve('<Pause length="20"/>')
    sid = place(served, bob.uri)
    path = f"{CALLS}/{sid}"
    bob.pick_up()
    for method, body, status, field in (
        ("PATCH", {"called_did": "1", "url": "http://a.example/"}, 409, "called_did"),
        ("PATCH", {"delay": 1}, 409, "delay"),
        ("PATCH", {"method": "GET"}, 422, "url"),
        ("PATCH", {"url": "nowhere"}, 422, "url"),
        ("PATCH", {"url": None}, 422, "url"),
        ("PATCH", {"call_sid": sid, "url": "http://a.example/"}, 422, "call_sid"),
        ("PUT", {"called_did": "1", "calling_did": NUMBER, "url": "http://a.example/"}, 409, None),
    ):
        found, error = ask(served, method, path, body)
        assert (found, error["errors"][0]["field"]) == (status, field), body
    live = served.post(f"{CALLS}?state=live&filter=call_sid+eq+{sid}", {}, method="GET")
    assert ([call["call_sid"] for call in live["items"]], live["total"]) == ([sid], None)
    assert "moved" not in timeline(served, sid)
    assert ask(served, "DELETE", path, {})[0] == 200
    bob.expect("BYE ")


def test_a_number_that_is_changed_sends_calls_elsewhere_at_once_and_after_a_restart(
    application: Application, tmp_path: Path
) -> None:
    first, second = Line("api/first", application), Line("api/second", application)
    for line in (first, second):
        line.serve("<Reject/>")
        line.serve(Answer(status=204), at="status")
    engine = EngineProcess(tmp_path, {NUMBER: application.url(first.path())})
    engine.start()
    try:
        (did,) = engine.post(f"/flexml/v1/dids?filter=phonenumber+eq+{NUMBER}", {}, method="GET")["items"]
        assert (did["phonenumber"], did["url"]) == (NUMBER, application.url(first.path()))
        changed = engine.post(
            f"/flexml/v1/dids/{did['did_sid']}", {"url": application.url(second.path())}, method="PATCH"
        )
        with Phone(engine.target, NUMBER) as phone:
            phone.call()
        assert (len(first.requests()), len(second.requests())) == (0, 1)
        assert engine.stop() == 0
        engine.start()
        assert engine.post(f"/flexml/v1/dids/{did['did_sid']}", {}, method="GET") == changed
        with Phone(engine.target, NUMBER) as phone:
            phone.call()
        assert (len(first.requests()), len(second.requests())) == (0, 2)
    finally:
        engine.stop()
