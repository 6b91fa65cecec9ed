"""Recordings of real calls that go to clouds: hang-ups, stores that are away, documents that name no whole store."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from attribute_table import Call, on_call
from clouds import AWS, AZURE, AZURE_SAS, BUCKET, GCP, S3, SECRETS, Clouds, attributes, clouds_missing
from engine_process import EngineProcess
from flexml_app import Application, Line
from hearing import share_at
from phone import Phone
from ports import free_port
from recorded import NO_CONTENT, TALK, samples_of
from sounds import tone

NUMBER = "15550002000"
AGAIN = '"again_in_s"'
"""What an attempt that failed says if it was not the last one."""


@pytest.fixture(scope="module")
def engine_session(cloud_engine: EngineProcess) -> EngineProcess:
    return cloud_engine


def session(store: Mapping[str, str], **others: str) -> str:
    """A document that records the whole call, whose caller will hang up."""
    told = 'callbackUrl="told" recordingStatusCallback="status-told"'
    return f'<Record recordSession="true" {told} {attributes(store, **others)}/><Pause length="20"/>'


def notes(engine: EngineProcess, call_sid: object) -> list[tuple[str, str]]:
    """The lines of a call's timeline that are about its upload, which is over; they are written a little later."""
    deadline = time.monotonic() + 10.0
    while True:
        with engine.database() as database:
            rows = database.execute("SELECT what, details FROM timeline WHERE call = ? ORDER BY id", [call_sid])
            lines = [(str(row["what"]), str(row["details"])) for row in rows if str(row["what"]).startswith("upload")]
        if lines and (lines[-1][0] == "uploaded" or ('"attempt"' in lines[-1][1] and AGAIN not in lines[-1][1])):
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.1)


@on_call(session(AZURE, fileFormat="mp3"), serve={"told": NO_CONTENT, "status-told": NO_CONTENT}, speech=TALK,
         hang_up_at=2.0)  # fmt: skip
def test_a_hang_up_uploads_and_calls_back_just_the_same(call: Call, clouds: Clouds) -> None:
    told, status = call.asked("told"), call.asked("status-told")
    assert call.ending.by == "us"
    assert told.data == status.data
    assert str(told.data["RecordingUrl"]).endswith(".mp3")
    assert share_at(samples_of(clouds.get(str(told.data["RecordingUrl"]))), 1200) > 0.8
    final = call.line.final_status()
    assert final.data["CallSid"] == told.data["CallSid"]
    assert [what for what, _ in notes(call.engine, told.data["CallSid"])] == ["uploading", "uploaded"]


@on_call(
    session(AWS, awsBucketName="nowhere"), serve={"told": NO_CONTENT, "status-told": NO_CONTENT}, speech=TALK,
    hang_up_at=1.0,
)  # fmt: skip
def test_a_missing_bucket_loses_nothing(call: Call) -> None:
    assert call.ending.by == "us"
    (told,) = call.line.wait_for("told", timeout_s=20.0)
    assert told.data["RecordingStatus"] == "failed"
    lines = notes(call.engine, told.data["CallSid"])
    assert [what for what, _ in lines] == ["uploading", *["upload failed"] * (len(lines) - 1)]
    assert "NoSuchBucket" in lines[-1][1]
    assert AGAIN in lines[-2][1]
    assert AGAIN not in lines[-1][1]
    (kept,) = call.engine.config_path.parent.glob(f"files/failed/{told.data['RecordingSid']}.content")
    assert share_at(samples_of(kept.read_bytes()), 1200) > 0.9


WRONG = {
    "awsSecretKey": attributes({k: v for k, v in AWS.items() if k != "awsSecretKey"}),
    "gcpProject": attributes({k: v for k, v in GCP.items() if k != "gcpProject"}),
    "azureAccountKey": attributes({k: v for k, v in AZURE.items() if k != "azureAccountKey"}),
    "azureAccountName": attributes({**AWS, **AZURE_SAS}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_document_that_names_no_whole_store_does_nothing_at_all(engine: EngineProcess, line: Line, name: str) -> None:
    line.serve(f"<Dtmf>1</Dtmf><Record {WRONG[name]}/>")
    with Phone(engine.target, line.number) as phone:
        assert phone.call().by == "them"
        assert phone.rtp.heard_keys() == []
    sid = line.final_status().data["CallSid"]
    with engine.database() as database:
        (row,) = database.execute(
            "SELECT details FROM timeline WHERE call = ? AND what = 'application error'", [sid]
        ).fetchall()
    assert f"Record, attribute {name}: " in row["details"]


@pytest.fixture
def s3_port() -> int:
    if missing := clouds_missing():
        pytest.skip(missing)
    return free_port(socket.SOCK_STREAM)


def wait_until_delivered(engine: EngineProcess) -> None:
    """Wait until the engine knows that its callbacks have arrived."""
    deadline = time.monotonic() + 10.0
    while True:
        with engine.database() as database:
            if not database.execute("SELECT 1 FROM callback WHERE state = 'pending'").fetchall():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_store_that_is_away_gets_its_recording_when_it_is_back_and_a_kill_does_not_matter(
    application: Application, tmp_path: Path, s3_port: int
) -> None:
    line = Line("cloud-away", application)
    line.serve(session(AWS))
    for at in ("told", "status-told", "status"):
        line.serve(NO_CONTENT, at=at)
    (tmp_path / "engine").mkdir()
    store = f's3_endpoint = "http://127.0.0.1:{s3_port}"'
    engine = EngineProcess(tmp_path / "engine", {NUMBER: application.url(line.path())}, storage=store)
    engine.start()
    try:
        with Phone(engine.target, NUMBER) as phone:
            phone.rtp.speak(tone(1000, 60.0))
            assert phone.call(2.0).by == "us"
        status = line.final_status()
        assert status.data["CallStatus"] == "completed", "it is sent although the recording is not there yet"
        assert (line.requests("told"), len(list((tmp_path / "engine/files/spool").iterdir()))) == ([], 3)
        wait_until_delivered(engine)  # a kill before that repeats the status callback
        os.kill(engine.pids[0], signal.SIGKILL)
        assert engine.stop() == -signal.SIGKILL
        engine.start()
        time.sleep(3.0)  # attempts fail meanwhile
        assert line.requests("told") == []
        with S3(tmp_path / "s3", s3_port) as s3:
            assert isinstance(s3, S3)
            s3.make_bucket(BUCKET)
            (told,), (_,) = (line.wait_for(at, timeout_s=60.0) for at in ("told", "status-told"))
            assert told.data["RecordingStatus"] == "completed"
            assert told.data["CallSid"] == status.data["CallSid"]
            name = f"{told.data['RecordingSid']}.wav"
            assert told.data["RecordingUrl"] == f"{s3.url}/{BUCKET}/{name}"
            assert s3.names(BUCKET) == [name]
            assert share_at(samples_of(s3.get(BUCKET, name)), 1000) > 0.9
        lines = [what for what, _ in notes(engine, told.data["CallSid"])]
        assert lines[0] == "uploading"
        assert lines.count("upload failed") >= 2
        assert lines[-1] == "uploaded"
        assert list((tmp_path / "engine/files/spool").iterdir()) == []
        assert engine.stop() == 0
        engine.start()
        assert [len(line.requests(at)) for at in ("told", "status-told", "status")] == [1, 1, 1]
    finally:
        engine.stop()


def test_a_store_that_goes_away_for_a_minute_gets_its_recording_once_over_a_restart_of_the_engine(
    application: Application, tmp_path: Path, s3_port: int
) -> None:
    line = Line("cloud-minute", application)
    document = '<Record maxLength="2" trim="do-not-trim" {} errorAction="went-on"/>'
    line.serve(document.format(f'callbackUrl="told" recordingStatusCallback="status-told" {attributes(AWS)}'))
    line.serve("<Dtmf>1</Dtmf>", at="went-on")
    for at in ("told", "status-told", "status"):
        line.serve(NO_CONTENT, at=at)
    store = S3(tmp_path / "s3", s3_port)
    with store:
        store.make_bucket(BUCKET)
    gone_at = time.monotonic()
    folder = tmp_path / "engine"
    engine = EngineProcess(folder, {NUMBER: application.url(line.path())}, storage=f's3_endpoint = "{store.url}"')
    engine.start()
    try:
        with Phone(engine.target, NUMBER) as phone:
            phone.rtp.speak(tone(1000, 60.0))
            assert phone.call().by == "them", "the call goes on without its store"
        (went_on,) = line.wait_for("went-on")
        sid = went_on.data["RecordingSid"]
        assert (went_on.data["RecordingStatus"], went_on.data.get("RecordingUrl")) == ("failed", "")
        path = f"/flexml/v1/calls/{went_on.data['CallSid']}/recordings"
        wait_until_delivered(engine)
        time.sleep(max(0.0, gone_at + 25.0 - time.monotonic()))
        assert engine.stop() == 0, "in the middle of the minute"
        (kept,) = (folder / "files/spool").glob("*.content")
        engine.start()
        (listed,) = engine.post(path, {}, method="GET")["items"]
        assert (listed["status"], listed["url"]) == ("uploading", f"{store.url}/{BUCKET}/{sid}.wav")
        time.sleep(max(0.0, gone_at + 60.0 - time.monotonic()))
        assert (kept.exists(), line.requests("told"), line.requests("status-told")) == (True, [], [])
        with store:
            (told,), (_,) = (line.wait_for(at, timeout_s=60.0) for at in ("told", "status-told"))
            assert (told.data["RecordingStatus"], told.data["RecordingSid"]) == ("completed", sid)
            assert store.names(BUCKET) == [f"{sid}.wav"]
            assert share_at(samples_of(store.get(BUCKET, f"{sid}.wav")), 1000) > 0.9
            time.sleep(3.0)
        assert (tmp_path / "s3/log").read_text().count(f'Stored object "{sid}.wav"') == 1
        (listed,) = engine.post(path, {}, method="GET")["items"]
        assert listed["status"] == "completed"
        assert [what for what, _ in notes(engine, told.data["CallSid"])].count("uploaded") == 1
        assert list((folder / "files/spool").iterdir()) == []
        assert engine.stop() == 0
        engine.start()
        assert [len(line.requests(at)) for at in ("told", "status-told", "status")] == [1, 1, 1]
    finally:
        engine.stop()


def test_no_credential_is_in_the_log_the_timeline_or_the_database(cloud_engine: EngineProcess, clouds: Clouds) -> None:
    """Of all the calls of this file, and of those of test_attributes_record_cloud.py where it ran before."""
    folder = cloud_engine.config_path.parent
    assert "debug" in cloud_engine.log().lower()
    places = {"log": cloud_engine.log().encode()}
    places |= {path.name: path.read_bytes() for path in folder.glob("flexml.db*")}
    places |= {path.name: path.read_bytes() for path in folder.glob("files/failed/*.json")}
    with cloud_engine.database() as database:
        assert database.execute("SELECT COUNT(*) FROM timeline WHERE what = 'uploading'").fetchone()[0] > 0
    found = [(place, secret) for place, octets in places.items() for secret in SECRETS if secret.encode() in octets]
    assert found == []
