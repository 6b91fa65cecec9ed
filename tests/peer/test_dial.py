"""Dial with real called parties: SIPp answers, is busy, rings or hangs up; the caller hears the party's echo."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import need
from engine_process import EngineProcess
from flexml_app import Answer, Application, Line
from hearing import tones
from phone import Phone
from rtp_endpoint import loud_part, share_at
from sipp import play_capture
from sounds import tone
from uas import ANSWER, BUSY, CANCELLED, TALK, Uas, pause, receive, respond, respond_within


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Callable[[str], Uas]]:
    need("sipp")
    with ExitStack() as stack:
        made: list[Uas] = []

        def make(steps: str) -> Uas:
            uas = Uas(tmp_path / f"party-{len(made)}", steps)
            made.append(uas)
            return stack.enter_context(uas)

        yield make


def dialled(line: Line) -> dict[str, object]:
    (request,) = line.wait_for("dialled")
    return {name: request.data[name] for name in ("CallStatus", "DialCallDuration", "DialedNumber")}


def test_the_caller_talks_with_the_party_that_answers(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    bob = party(TALK)
    line.serve(f'<Dial action="dialled" timeLimit="4">{bob.uri}?X-Queue=gold</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        assert phone.call().status == 200
        heard = tones(phone.rtp.heard())
    assert "SIP/2.0 180 Ringing" in phone.starts
    assert [span.hz for span in heard] == [1000]
    assert 3.4 < heard[0].end - heard[0].start < 4.2
    assert dialled(line) == {"CallStatus": "completed", "DialCallDuration": 4, "DialedNumber": bob.uri}
    invite = bob.done()[0]
    assert invite.header("X-Queue") == "gold"
    assert "sip:15162065338@" in invite.header("From")


@pytest.mark.parametrize(("steps", "timeout", "status"), [(BUSY, 20, "busy"), (CANCELLED, 2, "noanswer")])
def test_a_party_that_does_not_answer(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas], steps: str, timeout: int, status: str
) -> None:
    bob = party(steps)
    line.serve(f'<Dial action="dialled" timeout="{timeout}">{bob.uri}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.call()
    assert dialled(line) == {"CallStatus": status, "DialCallDuration": 0, "DialedNumber": bob.uri}
    bob.done()


def test_the_first_to_answer_is_bridged_and_the_others_are_cancelled(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    ringing, busy, answering = party(CANCELLED), party(BUSY), party(TALK)
    numbers = "".join(f"<Number>{each.uri}</Number>" for each in (ringing, busy, answering))
    line.serve(f'<Dial action="dialled" timeLimit="2">{numbers}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        phone.call()
        assert [span.hz for span in tones(phone.rtp.heard())] == [1000]
    assert dialled(line)["DialedNumber"] == answering.uri
    for each in (ringing, busy, answering):
        each.done()


def test_a_caller_who_hangs_up_takes_the_party_along_and_the_action_is_told(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    bob = party(TALK)
    line.serve(f'<Dial action="dialled">{bob.uri}</Dial>')
    line.serve("<Redirect>next</Redirect>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.call(hang_up_at=2.0)
    bob.done()
    assert line.final_status().data["CallStatus"] == "completed"
    assert dialled(line) == {"CallStatus": "completed", "DialCallDuration": 2, "DialedNumber": bob.uri}
    (told,) = line.requests("dialled")
    assert told.data["RequestUrl"] == line.application.url(line.path())
    assert line.requests("next") == [], "the call is over"


def test_the_star_hangs_up_the_party_and_other_keys_reach_it(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    bob = party(TALK)
    line.serve(f'<Dial hangupOnStar="true" ringing="false">{bob.uri}</Dial><Redirect>next</Redirect>')
    line.serve("<Hangup/>", at="next")
    with Phone(engine.target, line.number) as phone:
        phone.rtp.press("5", at=1.5)
        phone.rtp.press("*", at=3.0)
        phone.call()
        heard_keys = phone.rtp.heard_keys()
    bob.done()
    assert len(line.requests("next")) == 1
    assert "*" not in heard_keys


def test_a_number_that_the_account_does_not_have_cannot_be_shown(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    bob = party(receive("INVITE"))
    line.serve(f'<Dial action="dialled" callerId="12025550100">{bob.uri}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.call()
    assert dialled(line)["CallStatus"] == "failed"


def test_a_number_of_the_account_is_shown(engine: EngineProcess, line: Line, party: Callable[[str], Uas]) -> None:
    bob = party(TALK)
    line.serve(
        f'<Dial action="dialled" callerId="{line.number}" callerName="Front desk" timeLimit="1">{bob.uri}</Dial>'
    )
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.call()
    source = bob.done()[0].header("From")
    assert f"sip:{line.number}@" in source
    assert '"Front desk"' in source


def test_a_number_without_a_way_is_a_failed_dial(engine: EngineProcess, line: Line) -> None:
    line.serve('<Dial action="dialled">15550009999</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.call()
    assert dialled(line)["CallStatus"] == "failed"


CONFIRM = 'confirmKey="1" confirmSound="/sounds/tone-600-500.wav" timeout="8" action="dialled"'


@pytest.mark.parametrize(("key", "status"), [("1", "completed"), ("2", "noanswer")])
def test_the_called_party_must_press_the_key(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas], key: str, status: str
) -> None:
    bob = party(
        ANSWER + pause(1500) + play_capture(f"dtmf_2833_{key}.pcap") + receive("BYE") + respond_within(200, "OK")
    )
    line.serve(f'<Dial {CONFIRM} timeLimit="2">{bob.uri}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        phone.call()
        heard = [span.hz for span in tones(phone.rtp.heard())]
    bob.done()
    assert dialled(line)["CallStatus"] == status
    assert heard == ([1000] if status == "completed" else []), "the caller does not hear what the party is asked"


EARLY = receive("INVITE") + respond(183, "Session Progress", sdp=True) + pause(2500)


def test_a_call_answered_at_once_hears_the_early_media_of_the_party(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    bob = party(EARLY + respond(486, "Busy Here") + receive("ACK"))
    line.serve(f'<Dial ringing="false" action="dialled">{bob.uri}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        phone.call()
        (span,) = tones(phone.rtp.heard())
    bob.done()
    assert span.hz == 1000, "the echo of the early media"
    assert 1.8 < span.end - span.start < 3.0
    assert dialled(line)["CallStatus"] == "busy"


@pytest.mark.parametrize(("before", "ringing", "heard"), [("<Dtmf>,</Dtmf>", "true", 440), ("", "music", 0)])
def test_a_caller_who_has_been_answered_hears_that_it_rings(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas], before: str, ringing: str, heard: int
) -> None:
    bob = party(CANCELLED)
    line.serve(f'{before}<Dial ringing="{ringing}" timeout="2" action="dialled">{bob.uri}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(engine.target, line.number) as phone:
        phone.call()
        audio = phone.rtp.heard()
    bob.done()
    assert len(loud_part(audio)) / 8000 > 1.0
    if heard:
        assert share_at(loud_part(audio), heard) > 0.3


def test_both_parties_are_recorded_from_the_answer(
    engine: EngineProcess, line: Line, party: Callable[[str], Uas]
) -> None:
    bob = party(TALK)
    record = 'record="record-from-answer" recordingStatusCallback="told"'
    line.serve("<Redirect>talk</Redirect>")
    line.serve(f'<Dial {record} timeLimit="3">{bob.uri}</Dial>', at="talk")
    line.serve(Answer(status=204), at="told")
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        phone.call()
    bob.done()
    (told,) = line.wait_for("told")
    assert told.data["RecordingStatus"] == "completed"
    assert told.data["RecordingDuration"] == 3
    assert told.data["RequestUrl"] == line.application.url(line.path("talk"))


TRUNK = """
[[trunk]]
name = "{name}"
uri = "sip:127.0.0.1:{port}"
prefixes = {prefixes}
caller_id = "{caller_id}"
identity = "pai"
"""
OUT_OF_ORDER = receive("INVITE") + respond(503, "Service Unavailable") + receive("ACK")


def test_a_number_takes_the_trunk_of_its_longest_prefix_and_the_next_one_when_that_fails(
    application: Application, tmp_path: Path, party: Callable[[str], Uas]
) -> None:
    default, failing, carrier = party(TALK), party(OUT_OF_ORDER), party(TALK)
    trunks = [
        TRUNK.format(name="default", port=default.port, prefixes="[]", caller_id="as_is"),
        TRUNK.format(name="failing", port=failing.port, prefixes='["1555"]', caller_id="as_is"),
        TRUNK.format(name="carrier", port=carrier.port, prefixes='["1555"]', caller_id="12025550199"),
    ]
    line = Line("trunks", application)
    engine = EngineProcess(tmp_path / "engine", {"15550001000": application.url(line.path())}, extra="".join(trunks))
    line.serve('<Dial action="dialled" timeLimit="2">+1 555 000-2001</Dial>')
    line.serve("<Hangup/>", at="dialled")
    line.serve(Answer(status=204), at="status")
    engine.start()
    try:
        with Phone(engine.target, "15550001000") as phone:
            phone.rtp.speak(tone(1000, 10.0))
            phone.call()
            assert [span.hz for span in tones(phone.rtp.heard())] == [1000]
        assert dialled(line)["CallStatus"] == "completed"
        failing.done()
        (invite, *_) = carrier.done()
        assert invite.start.startswith("INVITE sip:15550002001@127.0.0.1")
        assert "sip:12025550199@" in invite.header("From")
        assert "sip:12025550199@" in invite.header("P-Asserted-Identity")
        states = {state["name"]: state for state in json.loads(engine.get("/trunks"))["trunks"]}
        assert states["failing"]["failure"].startswith("503")
        assert [states[name]["calls"] for name in ("default", "failing", "carrier")] == [0, 0, 0]
    finally:
        assert engine.stop() == 0
