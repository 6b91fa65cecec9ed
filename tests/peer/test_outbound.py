"""Calls that the engine places: the order by HTTP, the INVITE, the documents on answer, how each ended."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from answering import Answering
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, Received
from hearing import share_at
from ports import free_port
from sounds import tone
from test_signalling import idle

NUMBER = "15550001000"
CALLS = "/flexml/v1/calls"
TRUNK = """
[[trunk]]
name = "carrier"
uri = "sip:127.0.0.1:{port}"
answer_s = 1

[[account]]
login = "other"
password = "other"

[[did]]
phonenumber = "15550001003"
account = "other"
url = "http://127.0.0.1:9/"
"""


@pytest.fixture(scope="module")
def placing(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine whose calls ring for 5 s, with a trunk at which nobody listens."""
    engine = EngineProcess(
        tmp_path_factory.mktemp("placing"),
        {NUMBER: application.url("/placing/")},
        sip="ring_timeout_s = 5",
        extra=TRUNK.format(port=free_port()),
    )
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


@pytest.fixture
def out(application: Application) -> Line:
    line = Line("placing", application)
    line.serve(Answer(status=204), at="status")
    return line


@pytest.fixture
def bob() -> Iterator[Answering]:
    with Answering() as party:
        yield party


def place(engine: EngineProcess, called: str, **order: Any) -> str:
    """Have the engine call; the call's sid."""
    return engine.post(CALLS, {"called_did": called, "calling_did": NUMBER, **order})["call_sid"]


def ended(line: Line, sid: str) -> Received:
    """The one status callback of that call."""
    deadline = time.monotonic() + 20
    while not (found := [told for told in line.requests("status") if told.data["CallSid"] == sid]):
        assert time.monotonic() < deadline, f"no status callback for {sid}"
        time.sleep(0.05)
    (told,) = found
    return told


def test_who_answers_hears_the_document_and_the_invite_has_name_and_headers(
    placing: EngineProcess, out: Line, bob: Answering
) -> None:
    out.serve('<Play>/sounds/tone-1000-1000.wav</Play><Gather numDigits="1" timeout="5" action="keys"/>')
    out.serve("<Hangup/>", at="keys")
    bob.rtp.press("7", at=1.5)
    attributes = {"cnam": "Front desk", "sip_header_X-Queue": "gold", "ticket": "4711"}
    made = placing.post(CALLS, {"called_did": bob.uri, "calling_did": NUMBER, "attributes": attributes})
    assert (made["attributes"], made["delay"], made["calling_did"]) == (attributes, 0, NUMBER)
    bob.ring()
    assert bob.invite is not None
    assert out.requests() == [], "a document is not asked for before somebody answers"
    bob.pick_up()
    bob.expect("BYE ")
    assert share_at(bob.rtp.heard()[4000:8000], 1000) > 0.9
    assert bob.invite.header("X-Queue") == "gold"
    assert bob.invite.header("From").startswith(f'"Front desk" <sip:{NUMBER}@')
    (first,) = out.requests()
    assert (first.data["Direction"], first.data["From"], first.data["OriginalTo"]) == ("outbound", NUMBER, bob.uri)
    assert (first.data["CallSid"], first.data["CallerName"]) == (made["call_sid"], "Front desk")
    (keys,) = out.requests("keys")
    assert keys.data["Digits"] == "7"
    told = ended(out, str(made["call_sid"])).data
    assert (told["CallStatus"], told["Direction"]) == ("completed", "outbound")
    assert 1 <= int(str(told["CallDuration"])) <= 3
    assert told["PlaybackUrl"] == out.application.url("/sounds/tone-1000-1000.wav")


NAMES = {
    'John "Jack" Smith': '"John \\"Jack\\" Smith" <',
    "ends in \\": '"ends in \\\\" <',
    'x" <sip:911@evil.example>\n': '"x\\" <sip:911@evil.example>" <',
    "Ann\r\nRoute: <sip:evil>": '"Ann Route: <sip:evil>" <',
    "Äpfel": '"Äpfel" <',
}


@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=map(ascii, NAMES))
def test_a_name_is_only_a_name(placing: EngineProcess, out: Line, bob: Answering, name: str, shown: str) -> None:
    sid = place(placing, bob.uri, attributes={"cnam": name})
    bob.refuse("486 Busy Here")
    assert bob.invite is not None
    assert bob.invite.header("From").startswith(f"{shown}sip:{NUMBER}@")
    assert ended(out, sid).data["CallStatus"] == "busy"


REFUSALS = {
    "486 Busy Here": "busy",
    "600 Busy Everywhere": "busy",
    "480 Temporarily Unavailable": "noanswer",
    "404 Not Found": "failed",
    "503 Service Unavailable": "failed",
    "603 Decline": "failed",
}


@pytest.mark.parametrize(("refusal", "status"), REFUSALS.items(), ids=REFUSALS)
def test_a_party_that_refuses(placing: EngineProcess, out: Line, bob: Answering, refusal: str, status: str) -> None:
    asked = len(out.requests())
    sid = place(placing, bob.uri)
    bob.refuse(refusal)
    bob.expect("ACK ")
    told = ended(out, sid).data
    assert (told["CallStatus"], told["CallDuration"], told["From"]) == (status, 0, NUMBER)
    assert len(out.requests()) == asked


def test_a_party_that_does_not_answer_in_time(placing: EngineProcess, out: Line, bob: Answering) -> None:
    sid = place(placing, bob.uri)
    bob.ring()
    bob.expect("CANCEL ")
    assert ended(out, sid).data["CallStatus"] == "noanswer"


def test_a_trunk_at_which_nobody_is(placing: EngineProcess, out: Line) -> None:
    sid = place(placing, "15162065399")
    told = ended(out, sid).data
    assert told["CallStatus"] in {"failed", "noanswer"}
    assert (told["To"], told["OriginalTo"]) == ("15162065399", "15162065399")


def test_delete_cancels_what_rings(placing: EngineProcess, out: Line, bob: Answering) -> None:
    sid = place(placing, bob.uri)
    bob.ring()
    placing.post(f"{CALLS}/{sid}", {}, method="DELETE")
    bob.expect("CANCEL ")
    assert ended(out, sid).data["CallStatus"] == "cancel"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        placing.post(f"{CALLS}/{sid}", {}, method="DELETE")


def test_delete_hangs_up_what_was_answered(placing: EngineProcess, out: Line, bob: Answering) -> None:
    out.serve("<Play>/sounds/tone-1000-20000.wav</Play>")
    sid = place(placing, bob.uri)
    bob.pick_up()
    bob.rtp.wait_for(50)
    placing.post(f"{CALLS}/{sid.replace('-', '')}", {}, method="DELETE")
    bob.expect("BYE ")
    assert ended(out, sid).data["CallStatus"] == "completed"
    assert idle(placing)


def test_amd_is_at_work_on_who_was_called(placing: EngineProcess, out: Line, bob: Answering) -> None:
    out.serve('<Amd action="amd"/>')
    out.serve("<Hangup/>", at="amd")
    bob.rtp.speak(tone(400, 6.0))  # longer than anybody's hello
    sid = place(placing, bob.uri)
    bob.pick_up()
    bob.expect("BYE ", timeout_s=15)
    (told,) = out.requests("amd")
    assert told.data["AMDStatus"] == "MACHINE"
    assert ended(out, sid).data["AMDStatus"] == "MACHINE"


def test_a_recording_of_the_called_party_is_out(placing: EngineProcess, out: Line, bob: Answering) -> None:
    """On a call of the API's, `out` is whom we called (decisions, section 5)."""
    out.serve('<Record direction="out" maxLength="2" trim="do-not-trim" action="recorded"/>')
    out.serve("<Hangup/>", at="recorded")
    bob.rtp.speak(tone(800, 10.0))
    place(placing, bob.uri)
    bob.pick_up()
    bob.expect("BYE ")
    (told,) = out.requests("recorded")
    content = placing.get("/f/" + str(told.data["RecordingSid"]))
    recorded = np.asarray(soundfile.read(io.BytesIO(content))[0], np.float64)
    assert share_at(recorded, 800) > 0.9


def test_of_two_channels_the_left_one_is_who_calls_and_that_is_us(
    placing: EngineProcess, out: Line, bob: Answering
) -> None:
    out.serve('<Record channels="dual" maxLength="2" trim="do-not-trim" action="sides"/>')
    out.serve("<Hangup/>", at="sides")
    bob.rtp.speak(tone(800, 10.0))
    place(placing, bob.uri)
    bob.pick_up()
    bob.expect("BYE ")
    (told,) = out.requests("sides")
    content = placing.get("/f/" + str(told.data["RecordingSid"]))
    left, right = np.asarray(soundfile.read(io.BytesIO(content))[0], np.float64).T
    assert not left.any()
    assert share_at(right, 800) > 0.9


WRONG = [
    ({"called_did": "x"}, 422, "called_did"),
    ({"calling_did": "15550009999"}, 422, "calling_did"),
    ({"calling_did": "15550001003"}, 422, "calling_did"),
    ({"attributes": {"sip_header_Route": "<sip:evil>"}}, 422, "attributes.sip_header_Route"),
    ({"delay": -1}, 422, "delay"),
    ({"colour": "red"}, 422, "colour"),
]


@pytest.mark.parametrize(("change", "status", "field"), WRONG)
def test_an_order_that_is_wrong_is_refused_and_names_the_field(
    placing: EngineProcess, change: dict[str, Any], status: int, field: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        placing.post(CALLS, {"called_did": "15162065399", "calling_did": NUMBER, **change})
    assert refused.value.code == status
    assert f'"{field}"' in refused.value.read().decode()


def test_a_call_with_a_delay_survives_a_kill_and_is_placed_once(
    application: Application, tmp_path: Path, bob: Answering
) -> None:
    line = Line("delayed", application)
    line.serve("<Hangup/>")
    line.serve(Answer(status=204), at="status")
    engine = EngineProcess(tmp_path, {NUMBER: application.url(line.path())})
    engine.start()
    try:
        began = time.monotonic()
        sid = place(engine, bob.uri, delay=6)
        waiting = engine.post(f"{CALLS}/{sid}", {}, method="GET")
        assert 4 <= waiting["delay"] <= 6
        cancelled = place(engine, bob.uri, delay=6)
        engine.post(f"{CALLS}/{cancelled}", {}, method="DELETE")
        wait_until_delivered(engine)  # what is under way at a kill comes again
        engine.kill()
        engine.start()
        bob.expect("INVITE ", timeout_s=10)
        assert 5.5 < time.monotonic() - began < 9
        bob.pick_up()
        bob.expect("BYE ")
        assert ended(line, sid).data["CallStatus"] == "completed"
        assert ended(line, cancelled).data["CallStatus"] == "cancel"
        with pytest.raises(AssertionError):
            bob.expect("INVITE ", timeout_s=2)
        assert len(line.requests("status")) == 2
    finally:
        assert engine.stop() == 0


def wait_until_delivered(engine: EngineProcess) -> None:
    """Return once the database says of one callback that it is delivered, and of none that it waits."""
    deadline = time.monotonic() + 20
    while True:
        with engine.database() as database:
            states = {state for (state,) in database.execute("SELECT state FROM callback")}
        if states == {"delivered"}:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.05)


def test_the_command_places_a_call_and_shows_it(placing: EngineProcess, out: Line, bob: Answering) -> None:
    out.serve("<Hangup/>")
    command = [Path(sys.executable).parent / "flexml", "dial", bob.uri, "--name", "Desk", "--header", "X-A=b"]
    command += ["--config", str(placing.config_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dialling:
        bob.pick_up()
        bob.expect("BYE ")
        said, _ = dialling.communicate(timeout=20)
    assert dialling.returncode == 0
    assert "call over  status=completed" in said
    assert bob.invite is not None
    assert bob.invite.header("X-A") == "b"


def test_the_command_tells_what_is_wrong(placing: EngineProcess) -> None:
    command = [Path(sys.executable).parent / "flexml", "dial", "15162065399", "--from", "15550009999"]
    command += ["--config", str(placing.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "calling_did: found '15550009999'" in done.stderr


def test_an_account_sees_and_ends_its_own_calls_only(placing: EngineProcess, out: Line, bob: Answering) -> None:
    sid = place(placing, bob.uri, delay=600)
    for method in ("GET", "DELETE"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            placing.post(f"{CALLS}/{sid}", {}, method=method, login="other:other")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        placing.post(f"{CALLS}/{sid}", {}, method="GET", login="me:wrong")
    placing.post(f"{CALLS}/{sid}", {}, method="DELETE")
