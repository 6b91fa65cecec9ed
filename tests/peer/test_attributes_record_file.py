"""Record's attributes on the wire: which file it goes into, how long that lives, and who is told."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from attribute_table import Call, Scenario, on_call, shows
from engine_process import EngineProcess
from flexml_app import Application, Line
from g711 import decode
from hearing import level_dbov, share_at, tones
from phone import Phone
from recorded import CONTAINER, NO_CONTENT, NOBODYS, TALK, content, own_container, recording, row, row_is_there, seconds
from sounds import join, noise, tone

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


def with_container(engine: EngineProcess) -> str:
    own_container(engine)
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
