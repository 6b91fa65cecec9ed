"""Dial's attributes of recording on the wire: from when, whom, where it lies, and who is told."""

from collections.abc import Callable

import pytest
from attribute_table import Call, Scenario, on_call, shows
from callee import Conduct
from engine_process import EngineProcess
from hearing import level_at, tones
from recorded import CONTAINER, FULL, NO_CONTENT, NOBODYS, own_container, recording, row, seconds
from sounds import join, silence, tone

CALLER_HZ, PARTY_HZ, EARLY_HZ = 500, 900, 700
CALLER = ((0.0, tone(CALLER_HZ, 30.0)),)
PARTY = Conduct(speech=((0.0, tone(PARTY_HZ, 30.0)),))
EARLY_S, TALK_S = 2.0, 2.0
EARLY = Conduct(
    after=EARLY_S,
    early_media=True,
    speech=((0.0, join(tone(EARLY_HZ, EARLY_S - 0.1), silence(0.2), tone(PARTY_HZ, 20.0))),),
)
TOLD = {"told": NO_CONTENT}
TALK = f'record="record-from-answer" timeLimit="{TALK_S:.0f}" recordingStatusCallback="told"'


# ---- what is recorded ---------------------------------------------------------------------------------------------


@shows("Dial.record")
@pytest.mark.parametrize(
    ("call", "early_s"),
    [
        (
            Scenario(
                document=f'{before}<Dial record="{record}" timeLimit="2" recordingStatusCallback="told">{{bob}}</Dial>',
                serve=TOLD,
                parties={"bob": EARLY},
            ),
            early_s,
        )
        for before, record, early_s in (
            ("", "record-from-answer", 0.0),
            ("<Dtmf>1</Dtmf>", "record-from-answer", 0.0),
            ("", "record-from-ringing", EARLY_S),
            ("<Dtmf>1</Dtmf>", "record-from-ringing", EARLY_S),
        )
    ],
    ids=["answer", "answer, answered before", "ringing", "ringing, answered before"],
    indirect=["call"],
)
def test_from_when_on_it_is_recorded(call: Call, early_s: float) -> None:
    """From ringing on, the party's early media is heard and recorded, whether the caller was answered before or not."""
    told = call.asked("told")
    spans = tones(recording(told))
    heard = {hz: sum(span.length for span in spans if span.hz == hz) for hz in (EARLY_HZ, PARTY_HZ)}
    assert heard[EARLY_HZ] == pytest.approx(early_s, abs=0.35)
    assert heard[PARTY_HZ] == pytest.approx(TALK_S - 0.1, abs=0.35)
    assert seconds(told) == pytest.approx(early_s + TALK_S, abs=0.35)


@shows("Dial.record")
@pytest.mark.parametrize(
    "call",
    [
        Scenario(
            document=f'<Dial {record} timeLimit="1" recordingStatusCallback="told">{{bob}}</Dial>',
            parties={"bob": PARTY},
        )
        for record in ('record="do-not-record"', "")
    ],
    ids=["do-not-record", "default"],
    indirect=True,
)
def test_it_is_not_recorded(call: Call) -> None:
    assert call.not_asked("told")
    assert "recording" not in [what for what, _ in call.timeline]


@shows("Dial.recordDirection")
@pytest.mark.parametrize(
    ("call", "caller", "party"),
    [
        (
            Scenario(
                document=f"<Dial {TALK} {direction}>{{bob}}</Dial>",
                serve=TOLD,
                speech=CALLER,
                parties={"bob": PARTY},
            ),
            caller,
            party,
        )
        for direction, caller, party in (
            ('recordDirection="in"', True, False),
            ('recordDirection="out"', False, True),
            ('recordDirection="any"', True, True),
            ("", True, True),
        )
    ],
    ids=["in", "out", "any", "default"],
    indirect=["call"],
)
def test_whom_is_recorded(call: Call, caller: bool, party: bool) -> None:
    middle = recording(call.asked("told"))[4000 : round(TALK_S * 8000) - 4000]
    assert (level_at(middle, CALLER_HZ) > -25, level_at(middle, PARTY_HZ) > -25) == (caller, party)


@shows("Dial.trim")
@pytest.mark.parametrize(
    ("call", "lasts"),
    [
        (
            Scenario(
                document=f'<Dial record="record-from-answer" timeLimit="4" recordingStatusCallback="told" {trim}>'
                "{bob}</Dial>",
                serve=TOLD,
                parties={"bob": Conduct(speech=((1.5, tone(PARTY_HZ, 1.0)),))},
            ),
            lasts,
        )
        for trim, lasts in (('trim="trim-silence"', 1.2), ('trim="do-not-trim"', 4.0), ("", 4.0))
    ],
    ids=["trim-silence", "do-not-trim", "default"],
    indirect=["call"],
)
def test_silence_at_the_ends_of_a_conversation_is_removed(call: Call, lasts: float) -> None:
    assert seconds(call.asked("told")) == pytest.approx(lasts, abs=0.1)


def into_own_container(engine: EngineProcess) -> str:
    own_container(engine)
    return f'<Dial {TALK} containerSid="{CONTAINER}">{{bob}}</Dial>'


@shows("Dial.containerSid")
@on_call(into_own_container, serve=TOLD, parties={"bob": PARTY})
def test_a_conversation_lies_in_the_container_asked_for(call: Call) -> None:
    assert row(call.engine, call.asked("told"))["container"] == CONTAINER


def into_full_container(record: str) -> Callable[[EngineProcess], str]:
    def document(engine: EngineProcess) -> str:
        own_container(engine, FULL, quota_bytes=0)
        return (
            f'<Dial record="{record}" containerSid="{FULL}" timeLimit="1" recordingStatusCallback="told">{{bob}}</Dial>'
        )

    return document


@shows("Dial.containerSid")
@pytest.mark.parametrize(
    "call",
    [
        Scenario(document=into_full_container(record), serve=TOLD, parties={"bob": PARTY})
        for record in ("record-from-answer", "record-from-ringing")
    ],
    ids=["answer", "ringing"],
    indirect=True,
)
def test_a_full_container_costs_the_recording_and_not_the_conversation(call: Call) -> None:
    assert call.asked("told").data["RecordingStatus"] == "failed"
    assert len(call.line.requests("told")) == 1
    happened = [what for what, _ in call.timeline]
    assert happened.count("Dial: goes on without a recording") == 1
    assert "bridged" in happened
    assert "the time limit is reached" in happened


# ---- who is told --------------------------------------------------------------------------------------------------


@shows("Dial.recordingStatusCallback", "Dial.recordingStatusCallbackMethod")
@pytest.mark.parametrize(
    ("call", "method"),
    [
        (
            Scenario(document=f"<Dial {TALK} {attribute}>{{bob}}</Dial>", serve=TOLD, parties={"bob": PARTY}),
            method,
        )
        for attribute, method in (('recordingStatusCallbackMethod="GET"', "GET"), ("", "POST"))
    ],
    ids=["GET", "default"],
    indirect=["call"],
)
def test_the_application_is_told_of_the_recording(call: Call, method: str) -> None:
    told = call.asked("told")
    assert (told.method, told.data["RecordingStatus"]) == (method, "completed")
    assert int(str(told.data["RecordingDuration"])) == TALK_S
    assert told.data["RecordingSid"]
    assert seconds(told) == pytest.approx(TALK_S, abs=0.1)


FAILS = f'containerSid="{NOBODYS}"'


@shows("Dial.recordingStatusCallbackEvent", "Dial.containerSid")
@pytest.mark.parametrize(
    ("call", "told", "happened"),
    [
        (
            Scenario(document=f"<Dial {TALK} {attributes}>{{bob}}</Dial>", serve=TOLD, parties={"bob": PARTY}),
            told,
            happened,
        )
        for attributes, told, happened in (
            ('recordingStatusCallbackEvent="completed"', ["completed"], "recording ended"),
            ('recordingStatusCallbackEvent="failed"', [], "recording ended"),
            (f'recordingStatusCallbackEvent="failed" {FAILS}', ["failed"], "Dial: cannot be recorded"),
            (f'recordingStatusCallbackEvent="completed" {FAILS}', [], "Dial: cannot be recorded"),
            (FAILS, ["failed"], "Dial: cannot be recorded"),
        )
    ],
    ids=["completed", "not completed", "failed", "not failed", "default"],
    indirect=["call"],
)
def test_only_the_events_asked_for_are_told(call: Call, told: list[str], happened: str) -> None:
    """The last request that could come is the call's status callback; a recording's is queued before it."""
    notes = [what for what, _ in call.timeline]
    assert happened in notes
    assert ("> INVITE" in notes) is (happened == "recording ended"), "nobody is rung where there is no such container"
    if told:
        call.line.wait_for("told")
    assert [one.data["RecordingStatus"] for one in call.line.requests("told")] == told
