"""Record's attributes on the wire: what begins and ends a recording, what is in it, and who is told."""

import io
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from attribute_table import Call, Scenario, on_call, shows
from engine_process import EngineProcess
from flexml_app import Answer, Application, Line, Received
from g711 import Samples, decode
from hearing import level_at, level_dbov, share_at, tones, utterances
from phone import Phone
from sounds import FIRST_STEP_HZ, STEP_HZ, join, noise, silence, stairs, tone

NO_CONTENT = Answer(status=204)
NOBODYS = "00000000-0000-4000-8000-000000000000"
TALK = ((0.0, tone(1200, 30.0)),)
STAIRS = ((0.0, stairs(20)),)


def content(told: Received) -> bytes:
    """What RecordingUrl gives."""
    with urllib.request.urlopen(str(told.data["RecordingUrl"]), timeout=10) as response:
        return response.read()


def recording(told: Received) -> Samples:
    """The samples of a recording in a container: at 8 kHz, mono or one column for each side."""
    samples, rate_hz = soundfile.read(io.BytesIO(content(told)), dtype="float64")
    assert rate_hz == 8000
    return np.asarray(samples, np.float64)


def seconds(told: Received) -> float:
    return len(recording(told)) / 8000


def ended(told: Received) -> float:
    """Up to which second of the stairs that the caller says there is a recording."""
    last = tones(recording(told))[-1]
    return (last.hz - FIRST_STEP_HZ) / STEP_HZ + last.length


def row(engine: EngineProcess, told: Received) -> dict[str, object]:
    """The recording's file in the database."""
    with engine.database() as database:
        return dict(database.execute("SELECT * FROM file WHERE sid = ?", [told.data["RecordingSid"]]).fetchone())


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


# ---- the file -----------------------------------------------------------------------------------------------------


@shows("Record.fileFormat")
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (
            Scenario(
                document=f'<Record fileFormat="{name}" maxLength="2" trim="do-not-trim" action="next"/>', speech=TALK
            ),
            name,
        )
        for name in ("wav", "mp3", "ul")
    ],
    ids=["wav", "mp3", "ul"],
    indirect=["call"],
)
def test_a_recording_has_the_format_asked_for(call: Call, name: str) -> None:
    octets = content(call.asked())
    if name == "ul":
        samples = decode(octets, 0)
    else:
        container = soundfile.SoundFile(io.BytesIO(octets))
        assert (container.format, container.samplerate) == (name.upper() if name == "wav" else "MP3", 8000)
        samples = np.asarray(container.read(dtype="float64"), np.float64)
    assert len(samples) / 8000 == pytest.approx(2.0, abs=0.2)
    assert share_at(samples, 1200) > 0.9


def again(mode: str) -> Scenario:
    """Two recordings into one file: 500 Hz, then, when the first has certainly ended, 1,200 Hz."""
    second = f'<Record fileSid="{{}}" {mode} maxLength="2" trim="do-not-trim" action="next"/>'
    return Scenario(
        document='<Record maxLength="2" trim="do-not-trim" action="more"/>',
        serve={"more": lambda told: second.format(told.data["RecordingSid"])},
        speech=((0.0, join(tone(500, 2.0), tone(1200, 20.0))),),
    )


@shows("Record.fileSid", "Record.fileMode")
@pytest.mark.parametrize(
    ("call", "lasts", "first_tone"),
    [(again('fileMode="append"'), 4.0, 500), (again(""), 4.0, 500), (again('fileMode="overwrite"'), 2.0, 1200)],
    ids=["append", "default", "overwrite"],
    indirect=["call"],
)
def test_a_file_is_added_to_or_written_over(call: Call, lasts: float, first_tone: int) -> None:
    first, second = call.asked("more"), call.asked()
    assert second.data["RecordingSid"] == first.data["RecordingSid"]
    assert seconds(second) == pytest.approx(lasts, abs=0.1)
    heard = tones(recording(second))
    assert heard[0].hz == first_tone
    assert heard[-1].hz == 1200


CONTAINER = str(uuid.uuid4())


def with_container(engine: EngineProcess) -> str:
    """A document that records into a container of the account, which is made for it."""
    with engine.database() as database:
        (account,) = database.execute("SELECT sid FROM account WHERE login = 'me'").fetchone()
        database.execute(
            "INSERT OR IGNORE INTO container (sid, account, name, created, updated) VALUES (?, ?, 'Mine', 0, 0)",
            [CONTAINER, account],
        )
    return f'<Record containerSid="{CONTAINER}" maxLength="1" action="next"/>'


@shows("Record.containerSid")
@on_call(with_container, speech=TALK)
def test_a_recording_lies_in_the_container_asked_for(call: Call) -> None:
    assert row(call.engine, call.asked())["container"] == CONTAINER


@shows("Record.stringKey1", "Record.stringKey2", "Record.integerKey1", "Record.integerKey2")
@on_call(
    '<Record maxLength="1" stringKey1="a" stringKey2="b c" integerKey1="1" integerKey2="-22" action="next"/>',
    speech=TALK,
)
def test_a_file_keeps_its_keys(call: Call) -> None:
    stored = row(call.engine, call.asked())
    names = ("string_key_1", "string_key_2", "integer_key_1", "integer_key_2")
    assert [stored[name] for name in names] == ["a", "b c", 1, -22]


# ---- who is told --------------------------------------------------------------------------------------------------


@shows("Record.callbackUrl", "Record.recordingStatusCallback", "Record.recordingStatusCallbackMethod")
@on_call(
    '<Record maxLength="1" callbackUrl="called" recordingStatusCallback="told" recordingStatusCallbackMethod="GET"/>',
    serve={"called": NO_CONTENT, "told": NO_CONTENT},
    speech=TALK,
)
def test_callbacks_say_how_it_went(call: Call) -> None:
    called, told = call.asked("called"), call.asked("told")
    assert (called.method, told.method) == ("POST", "GET")
    for one in (called, told):
        assert one.data["RecordingStatus"] == "completed"
        assert one.data["RecordingSid"] == one.data["RecordingFileSid"]
    assert seconds(called) == pytest.approx(1.0, abs=0.06)


@shows("Record.recordingStatusCallbackEvent", "Record.trim")
@on_call(
    '<Record timeout="1" recordingStatusCallback="told" recordingStatusCallbackEvent="absent" action="never"/>'
    '<Pause length="5"/>'
    '<Record maxLength="1" recordingStatusCallback="not" recordingStatusCallbackEvent="failed,absent" action="next"/>',
    serve={"told": NO_CONTENT},
    speech=((4.0, noise(20.0)),),
)
def test_only_the_events_asked_for_are_told(call: Call) -> None:
    """The first recording is silent, so there is none, and no action."""
    assert call.asked("told").data["RecordingStatus"] == "absent"
    assert call.not_asked("never")
    assert call.not_asked("not")


@shows("Record.recordingStatusCallbackEvent")
@on_call(
    '<Record timeout="1" recordingStatusCallback="not"/><Pause length="5"/>'
    '<Record maxLength="2" recordingStatusCallback="told"/>',
    serve={"told": NO_CONTENT},
    speech=((4.0, noise(20.0)),),
)
def test_an_absent_recording_is_not_told_of_where_nothing_is_said(call: Call) -> None:
    assert call.asked("told").data["RecordingStatus"] == "completed"
    assert call.not_asked("not")


@shows("Record.errorAction", "Record.errorMethod", "Record.fileSid")
@on_call(
    f'<Record fileSid="{NOBODYS}" action="next" errorAction="failed" errorMethod="GET"/>',
    serve={"failed": "<Dtmf>1</Dtmf>"},
)
def test_a_file_that_nobody_has_leads_to_the_error_action(call: Call) -> None:
    told = call.asked("failed")
    assert (told.method, told.data["RecordingStatus"], call.keys) == ("GET", "failed", "1")
    assert call.not_asked("next")


@shows("Record.errorAction", "Record.errorMethod", "Record.containerSid")
@on_call(f'<Record containerSid="{NOBODYS}" errorAction="failed"/>', serve={"failed": "<Hangup/>"})
def test_a_container_that_nobody_has_leads_to_the_error_action(call: Call) -> None:
    assert call.asked("failed").method == "POST"


# ---- how long the file lives --------------------------------------------------------------------------------------


@pytest.fixture
def own_engine(application: Application, tmp_path: Path) -> Iterator[EngineProcess]:
    """An engine that may be started again: files that are past their time are deleted at the start, too."""
    engine = EngineProcess(tmp_path, {"15550002000": application.url("/lifecycle/")})
    engine.start()
    yield engine
    assert engine.stop() == 0


@shows("Record.lifecycleTtl", "Record.lifecycleAction")
def test_a_file_is_deleted_when_its_time_is_over(own_engine: EngineProcess, application: Application) -> None:
    line = Line("lifecycle", application)
    line.serve(
        '<Record maxLength="1" action="two" lifecycleTtl="1"/>',
    )
    line.serve('<Record maxLength="1" action="three" lifecycleTtl="1" lifecycleAction="keep"/>', at="two")
    line.serve('<Record maxLength="1" action="four" lifecycleTtl="3600"/>', at="three")
    line.serve("<Hangup/>", at="four")
    with Phone(own_engine.target, "15550002000") as phone:
        phone.rtp.speak(noise(20.0))
        assert phone.call().by == "them"
    told = [line.wait_for(at)[0] for at in ("two", "three", "four")]
    assert own_engine.stop() == 0
    time.sleep(max(0.0, float(str(row(own_engine, told[1])["updated"])) + 1.1 - time.time()))
    own_engine.start()
    deadline = time.monotonic() + 10
    while row_is_there(own_engine, told[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [row_is_there(own_engine, one) for one in told] == [False, True, True]
    assert level_dbov(recording(told[2])) > -30
    with pytest.raises(OSError, match="404"):
        content(told[0])


def row_is_there(engine: EngineProcess, told: Received) -> bool:
    with engine.database() as database:
        return database.execute("SELECT 1 FROM file WHERE sid = ?", [told.data["RecordingSid"]]).fetchone() is not None
