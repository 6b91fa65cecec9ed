"""Record's attributes on the wire: what begins and ends a recording, and what is in it."""

import pytest
from attribute_table import Call, Scenario, on_call, shows
from hearing import level_at, share_at, utterances
from recorded import NO_CONTENT, STAIRS, TALK, ended, recording, seconds
from sounds import join, noise, silence, tone

# ---- what ends it -------------------------------------------------------------------------------------------------


@shows("Record.maxLength", "Record.trim", "Record.action", "Record.method")
@on_call('<Record maxLength="2" trim="do-not-trim" action="next"/><Say>Never heard</Say>', speech=TALK)
def test_a_recording_ends_at_its_longest(call: Call) -> None:
    told = call.asked()
    assert (told.method, told.data["RecordingStatus"], told.data["RecordingDuration"]) == ("POST", "completed", 2)
    assert (told.data["Digits"], told.data["FinishKey"]) == ("", None)
    assert seconds(told) == pytest.approx(2.0, abs=0.06)
    assert share_at(recording(told), 1200) > 0.95


@shows("Record.finishOnKey", "Record.action", "Record.method")
@on_call(
    '<Record finishOnKey="59" trim="do-not-trim" action="next" method="GET"/>',
    speech=STAIRS,
    keys=((1.5, "4"), (3.5, "5")),
)
def test_only_a_finish_key_ends_it(call: Call) -> None:
    told = call.asked()
    assert (told.method, told.data["Digits"], told.data["FinishKey"]) == ("GET", "5", "5")
    assert ended(told) == pytest.approx(3.5, abs=0.2)


@shows("Record.finishOnKey")
@on_call('<Record action="next" trim="do-not-trim"/>', speech=STAIRS, keys=((2.5, "7"),))
def test_any_key_ends_it_where_nothing_is_said(call: Call) -> None:
    assert call.asked().data["Digits"] == "7"
    assert ended(call.asked()) == pytest.approx(2.5, abs=0.2)


@shows("Record.action")
@on_call(
    '<Record action="next" recordingStatusCallback="stored" trim="do-not-trim"/>',
    serve={"next": "<Redirect>nowhere</Redirect>", "stored": NO_CONTENT},
    speech=STAIRS,
    hang_up_at=2.5,
)
def test_the_action_is_told_of_what_a_hang_up_has_ended(call: Call) -> None:
    told = call.asked()
    assert (told.data["RecordingStatus"], told.data["Digits"], told.data["FinishKey"]) == ("completed", "", None)
    assert told.data["RecordingSid"] == call.asked("stored").data["RecordingSid"]
    assert call.not_asked("nowhere")


@shows("Record.action")
@on_call('<Record action="next" timeout="5"/>', hang_up_at=1.0)
def test_the_action_is_not_told_of_nothing_but_silence_before_a_hang_up(call: Call) -> None:
    assert call.not_asked("next")


@shows("Record.finishOnKey")
@on_call(
    '<Record finishOnKey="none" maxLength="3" action="next" trim="do-not-trim"/>', speech=TALK, keys=((1.0, "7#"),)
)
def test_no_key_ends_it(call: Call) -> None:
    assert call.asked().data["FinishKey"] is None
    assert seconds(call.asked()) == pytest.approx(3.0, abs=0.06)


@shows("Record.timeout")
@pytest.mark.parametrize(
    ("call", "timeout"),
    [
        (
            Scenario(
                document=f'<Record {attribute} trim="do-not-trim" action="next"/>',
                speech=((0.0, join(noise(2.0), silence(1.0), noise(1.0))),),
            ),
            timeout,
        )
        for attribute, timeout in (('timeout="2"', 2.0), ("", 5.0))
    ],
    ids=["2 s", "default"],
    indirect=["call"],
)
def test_silence_ends_it(call: Call, timeout: float) -> None:
    recorded = recording(call.asked())
    said = utterances(recorded)
    assert len(said) == 2
    assert len(recorded) / 8000 - said[-1][1] == pytest.approx(timeout, abs=0.15)


# ---- what is in it ------------------------------------------------------------------------------------------------


@shows("Record.playBeep")
@pytest.mark.parametrize(
    ("call", "beeps"),
    [
        (Scenario(document=f'<Record {beep} maxLength="2" trim="do-not-trim" action="next"/>', speech=TALK), beeps)
        for beep, beeps in (('playBeep="true"', 1), ("", 0))
    ],
    ids=["true", "default"],
    indirect=["call"],
)
def test_a_beep_is_heard_before_the_recording_begins(call: Call, beeps: int) -> None:
    assert len(call.tones) == beeps
    for beep in call.tones:
        assert beep.length == pytest.approx(0.5, abs=0.06)
        assert level_at(recording(call.asked()), beep.hz) < -45
    assert seconds(call.asked()) == pytest.approx(2.0, abs=0.06)


@shows("Record.trim")
@pytest.mark.parametrize(
    ("call", "lasts"),
    [
        (
            Scenario(
                document=f'<Record maxLength="4" {trim} action="next"/>',
                speech=((1.5, tone(1200, 1.0)),),
            ),
            lasts,
        )
        for trim, lasts in (('trim="trim-silence"', 1.2), ("", 1.2), ('trim="do-not-trim"', 4.0))
    ],
    ids=["trim-silence", "default", "do-not-trim"],
    indirect=["call"],
)
def test_silence_at_the_ends_is_removed(call: Call, lasts: float) -> None:
    assert seconds(call.asked()) == pytest.approx(lasts, abs=0.06)


SESSION = (
    '<Record recordSession="true" trim="do-not-trim" recordingStatusCallback="recorded" {}/>'
    '<Play>/sounds/tone-900-3000.wav</Play><Pause length="1"/>'
)


@shows("Record.direction", "Record.recordSession", "Record.recordingStatusCallback")
@pytest.mark.parametrize(
    ("call", "caller", "called"),
    [
        (
            Scenario(
                document=SESSION.format(attribute), serve={"recorded": NO_CONTENT}, speech=((0.0, tone(500, 9.0)),)
            ),
            caller,
            called,
        )
        for attribute, caller, called in (
            ('direction="in"', True, False), ('direction="out"', False, True), ('direction="any"', True, True),
            ("", True, True),
        )
    ],
    ids=["in", "out", "any", "default"],
    indirect=["call"],
)  # fmt: skip
def test_a_session_is_recorded_in_the_direction_asked_for(call: Call, caller: bool, called: bool) -> None:
    told = call.asked("recorded")
    (played,) = call.tones
    assert played.start < 1.5
    assert 4.0 <= seconds(told) < played.end + 1.4
    middle = recording(told)[8000 : 3 * 8000]
    assert (level_at(middle, 500) > -25, level_at(middle, 900) > -25) == (caller, called)
    assert told.method == "POST"


@shows("Record.channels", "Record.recordSession")
@on_call(SESSION.format('channels="dual"'), serve={"recorded": NO_CONTENT}, speech=((0.0, tone(500, 9.0)),))
def test_either_side_has_a_channel(call: Call) -> None:
    middle = recording(call.asked("recorded"))[8000 : 3 * 8000]
    calling, called = middle[:, 0], middle[:, 1]
    assert share_at(calling, 500) > 0.95
    assert share_at(called, 900) > 0.95


@shows("Record.backgroundAudioUrl", "Record.backgroundAudioLoop")
@on_call(
    '<Record maxLength="4" trim="do-not-trim" backgroundAudioUrl="/sounds/tone-700-1000.wav" backgroundAudioLoop="2"'
    ' action="next"/>',
    speech=((0.0, tone(1200, 10.0)),),
)
def test_background_audio_is_heard_but_not_recorded(call: Call) -> None:
    assert sum(length for hz, length in call.steps if hz == 700) == pytest.approx(2.0, abs=0.1)
    recorded = recording(call.asked())
    assert share_at(recorded, 1200) > 0.95
    assert level_at(recorded, 700) < -45
