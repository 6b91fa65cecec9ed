"""Record's transcription on the wire: what is said on the phone comes as a text, once, by either kind of engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from attribute_table import shows
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, Received
from phone import Phone
from recorded import NO_CONTENT, seconds
from sounds import noise, spoken

SENTENCE: Final = "I would like to order a number of things. I would like to speak to somebody about my account."
WORTH_HEARING: Final = {"would", "like", "order", "number", "things", "somebody", "about", "my", "account"}
NUMBER: Final = "15550008100"
SAYS: Final = [("hello", 0.9), ("their", 0.2), ("crewel", 0.005), ("world", 0.6)]
SERVICE: Final = Answer(
    body=json.dumps({"words": [{"word": word, "confidence": confidence} for word, confidence in SAYS]}),
    content_type="application/json",
)
TEXT_WAIT_S: Final = 60.0
"""The processes give way to the tests."""


def record(attributes: str) -> str:
    return f'<Record maxLength="2" transcribe="true" callbackUrl="told" action="next" {attributes}/>'


def prepare(line: Line, document: str) -> None:
    line.serve(document)
    line.serve("<Hangup/>", at="next")
    for at in ("text", "told", "status"):
        line.serve(NO_CONTENT, at=at)


def text(line: Line) -> Received:
    """The one callback about the text."""
    (told,) = line.application.wait_for(line.path("text"), timeout_s=TEXT_WAIT_S)
    return told


@shows("Record.transcribe", "Record.transcribeCallback")
def test_what_the_caller_says_comes_as_a_text(engine: EngineProcess, line: Line, tmp_path: Path) -> None:
    prepare(
        line, '<Record maxLength="9" timeout="3" channels="dual" transcribe="true" transcribeCallback="text"'
        ' callbackUrl="told" action="next"/>',
    )  # fmt: skip
    with Phone(engine.target, line.number, longest_s=20.0) as phone:
        phone.rtp.speak(spoken(SENTENCE, tmp_path), 0.5)
        assert phone.call().by == "them"
    (action,), (callback,) = line.wait_for("next"), line.wait_for("told")
    for early in (action, callback):
        assert (early.data["TranscriptionStatus"], early.data["TranscriptionText"]) == ("pending", "")
    told = text(line)
    assert told.method == "POST"
    assert (told.data["TranscriptionStatus"], told.data["TranscriptionUrl"]) == ("completed", "")
    assert told.data["TranscriptionSid"] == action.data["TranscriptionSid"] == callback.data["TranscriptionSid"]
    assert told.data["RecordingSid"] == action.data["RecordingSid"]
    assert told.data["CallSid"] == action.data["CallSid"]
    assert 5.0 < seconds(told) < 9.0
    words = set(str(told.data["TranscriptionText"]).split())
    assert len(WORTH_HEARING & words) >= 4, words


@shows("Record.transcribe", "Record.transcribeCallback")
@pytest.mark.parametrize("attributes", ['transcribe="false" transcribeCallback="text"', 'transcribe="true"'])
def test_nothing_is_transcribed_that_nobody_wants(engine: EngineProcess, line: Line, attributes: str) -> None:
    prepare(line, f'<Record maxLength="1" action="next" {attributes}/>')
    with Phone(engine.target, line.number) as phone:
        phone.rtp.speak(noise(10.0))
        assert phone.call().by == "them"
    (action,) = line.wait_for("next")
    assert action.data["RecordingStatus"] == "completed"
    assert "TranscriptionSid" not in action.data


# ---- by a service, of which it is known what it says ---------------------------------------------------------------


@pytest.fixture(scope="module")
def service(application: Application) -> Line:
    """The part of the application that is the transcription service."""
    return Line("ears", application)


@pytest.fixture(scope="module")
def own_engine(
    application: Application, service: Line, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    """An engine that has the service transcribe."""
    engine = EngineProcess(
        tmp_path_factory.mktemp("transcribing"),
        {f"{NUMBER}{suffix}": application.url(f"/transcribed{suffix}/") for suffix in range(6)},
        extra=f'\n[speech]\ntranscription_url = "{application.url(service.path())}"\ntranscription_key = "k1"\n',
    )
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


def talk(engine: EngineProcess, line: Line, number: str) -> None:
    """A call whose caller is loud enough to be recorded."""
    with Phone(engine.target, number) as phone:
        phone.rtp.speak(noise(10.0))
        assert phone.call().by == "them"
    line.wait_for("next")


@shows("Record.transcribeLowConfidenceWordThreshold", "Record.transcribeLowConfidenceWordReplacement")
@pytest.mark.parametrize(
    ("suffix", "attributes", "says"),
    [
        (0, "", "hello their _ world"),
        (1, 'transcribeLowConfidenceWordThreshold="0.5"', "hello _ _ world"),
        (2, 'transcribeLowConfidenceWordThreshold="0.61" transcribeLowConfidenceWordReplacement="(?)"',
         "hello (?) (?) (?)"),
        (3, 'transcribeLowConfidenceWordThreshold="0"', "hello their crewel world"),
    ],
)  # fmt: skip
def test_words_of_low_confidence_are_replaced(
    own_engine: EngineProcess, application: Application, service: Line, suffix: int, attributes: str, says: str
) -> None:
    service.serve(SERVICE)
    line = Line(f"transcribed{suffix}", application)
    prepare(line, record(f'transcribeCallback="text" {attributes}'))
    talk(own_engine, line, f"{NUMBER}{suffix}")
    assert text(line).data["TranscriptionText"] == says
    (asked, *_) = service.requests("")
    assert (asked.method, asked.headers["Content-Type"], asked.headers["Authorization"]) == (
        "POST", "audio/wav", "Bearer k1",
    )  # fmt: skip


@shows("Record.transcribeTimeout")
def test_a_text_that_does_not_come_in_time_is_a_time_out(
    own_engine: EngineProcess, application: Application, service: Line
) -> None:
    service.serve(Answer(body=SERVICE.body, content_type="application/json", delay_s=4.0))
    line = Line("transcribed4", application)
    prepare(line, record('transcribeCallback="text" transcribeTimeout="1"'))
    talk(own_engine, line, f"{NUMBER}4")
    told = text(line)
    assert (told.data["TranscriptionStatus"], told.data["TranscriptionText"]) == ("timeout", "")
    assert told.data["RecordingStatus"] == "completed"


def test_a_killed_engine_has_it_transcribed_at_the_next_start_and_tells_once(
    own_engine: EngineProcess, application: Application, service: Line
) -> None:
    asked = len(service.requests(""))
    service.serve(Answer(hang=True))
    line = Line("transcribed5", application)
    prepare(line, record('transcribeCallback="text"'))
    talk(own_engine, line, f"{NUMBER}5")
    service.wait_for("", asked + 1)
    own_engine.kill()
    service.serve(SERVICE)
    own_engine.start()
    assert text(line).data["TranscriptionText"] == "hello their _ world"
    assert own_engine.stop() == 0
    own_engine.start()
    assert len(line.requests("text")) == 1
    (told,) = line.wait_for("told")
    assert told.data["TranscriptionSid"] == text(line).data["TranscriptionSid"]
    assert len(application.requests(Line("transcribed4", application).path("text"))) == 1, "and no late result"
