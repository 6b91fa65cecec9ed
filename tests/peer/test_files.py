"""Files of real calls: what a call has recorded or can play, fetched whole, in part and in other formats."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from hearing import share_at, tones
from phone import Phone
from recorded import NO_CONTENT, samples_of
from sounds import tone, wav

NUMBER = "15550003000"


@pytest.fixture(scope="module")
def served(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path_factory.mktemp("files"), {NUMBER: application.url(f"/files/{NUMBER}/")})
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


@pytest.fixture
def line(application: Application) -> Line:
    line = Line(f"files/{NUMBER}", application)
    line.serve(Answer(status=204), at="status")
    return line


def recordings(engine: EngineProcess, call: object, query: str = "") -> dict[str, Any]:
    return engine.post(f"/flexml/v1/calls/{call}/recordings{query}", {}, method="GET")


def fetched(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_a_call_that_records_twice_shows_both_and_gives_them_in_other_formats(
    served: EngineProcess, line: Line
) -> None:
    first = '<Record maxLength="2" trim="do-not-trim" recordingStatusCallback="told" action="again"/>'
    line.serve(first)
    line.serve('<Record maxLength="1" trim="do-not-trim" fileFormat="ul" recordingStatusCallback="told"/>', at="again")
    line.serve(NO_CONTENT, at="told")
    with Phone(served.target, NUMBER) as phone:
        phone.rtp.speak(tone(1000, 30.0))
        assert phone.call().by == "them"
    told = line.wait_for("told", 2)
    by_sid = {one.data["RecordingSid"]: one.data for one in told}
    listed = recordings(served, told[0].data["CallSid"])
    assert listed["total"] == 2
    wave, mulaw = listed["items"]
    assert [(one["format"], one["duration"], one["status"]) for one in listed["items"]] == [
        ("wav", 2, "completed"),
        ("ul", 1, "completed"),
    ]
    for one in listed["items"]:
        assert one["url"] == by_sid[one["recording_sid"]]["RecordingUrl"]
        assert one["file_sid"] == one["recording_sid"]
        assert one["call_sid"] == told[0].data["CallSid"]
    assert recordings(served, wave["call_sid"], "?filter=format+eq+ul")["items"] == [mulaw]

    status, headers, whole = fetched(wave["url"])
    assert (status, share_at(samples_of(whole), 1000) > 0.9) == (200, True)
    assert fetched(wave["url"], Range="bytes=-1000")[::2] == (206, whole[-1000:])
    assert fetched(wave["url"], **{"If-None-Match": headers["etag"]})[0] == 304
    status, headers, flac = fetched(f"{mulaw['url']}?format=flac")
    assert (status, headers["content-type"]) == (200, "audio/flac")
    assert share_at(samples_of(flac), 1000) > 0.9
    mp3 = fetched(f"{wave['url']}?format=mp3")[2]
    assert soundfile.info(io.BytesIO(mp3)).format == "MP3"
    assert fetched(f"{wave['url']}?format=mp3", Range="bytes=100-199")[::2] == (206, mp3[100:200])
    began = time.monotonic()
    assert fetched(f"{wave['url']}?format=mp3")[2] == mp3
    assert time.monotonic() - began < 0.5, "it is made only once"
    assert fetched(f"{wave['url']}?format=midi")[0] == 400


@pytest.fixture(scope="module")
def token(served: EngineProcess) -> str:
    """One of the account's, made beside the engine that runs."""
    flexml = Path(sys.executable).parent / "flexml"
    command = [flexml, "token", "create", "uploads", "--account", "me", "--config", served.config_path]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def curl(engine: EngineProcess, token: str, path: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Status and answer of a request as operators make it."""
    command = ["curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {token}", *options]
    url = engine.url(f"/core/v2/storage{path}")
    done = subprocess.run([*command, url], check=True, capture_output=True, text=True, timeout=20).stdout
    body, _, status = done.rpartition("\n")
    return int(status), json.loads(body or "{}")


@pytest.fixture
def tune(tmp_path: Path) -> Path:
    """A second of 600 Hz."""
    path = tmp_path / "tune.wav"
    path.write_bytes(wav(tone(600, 1.0)))
    return path


@pytest.mark.parametrize("named", ["url", "file_sid"])
def test_a_file_that_was_uploaded_is_played_by_its_url_or_sid(
    served: EngineProcess, line: Line, token: str, tune: Path, named: str
) -> None:
    status, file = curl(served, token, "/files", "-F", "string_key_1=hold", "-F", f"file=@{tune};type=audio/wav")
    assert (status, file["name"], file["bytes"]) == (200, "tune.wav", tune.stat().st_size)
    line.serve(f"<Play>{file['url']}</Play>" if named == "url" else f"<Play><File>{file['file_sid']}</File></Play>")
    with Phone(served.target, NUMBER) as phone:
        assert phone.call().by == "them"
        heard = phone.rtp.heard()
    assert sum(span.length for span in tones(heard) if span.hz == 600) == pytest.approx(1.0, abs=0.1)
    assert fetched(file["url"])[2] == tune.read_bytes()
    assert curl(served, token, f"/files/{file['file_sid']}", "-X", "DELETE")[0] == 204
    assert fetched(file["url"])[0] == 404


def test_a_full_container_takes_neither_uploads_nor_recordings(
    served: EngineProcess, line: Line, token: str, tune: Path
) -> None:
    wanted = ("-H", "Content-Type: application/json", "-d", '{"name": "small", "quota_bytes": 30000}')
    status, container = curl(served, token, "/containers", *wanted)
    assert status == 200
    into = f"/files?container_sid={container['container_sid']}"
    sent = ("-H", "Content-Type: audio/wav", "--data-binary", f"@{tune}")
    assert curl(served, token, into, *sent)[0] == 200
    status, refused = curl(served, token, into, *sent)
    free = 30000 - tune.stat().st_size
    assert (status, refused["errors"][0]["message"]) == (413, f"the container has {free} bytes free")
    record = '<Record maxLength="2" trim="do-not-trim" recordingStatusCallback="full" containerSid="{}"/>'
    line.serve(record.format(container["container_sid"]))
    line.serve(NO_CONTENT, at="full")
    with Phone(served.target, NUMBER) as phone:
        phone.rtp.speak(tone(1000, 30.0))
        assert phone.call().by == "them"
    (told,) = line.wait_for("full")
    assert told.data["RecordingStatus"] == "failed"
    (kept,) = recordings(served, told.data["CallSid"])["items"]
    assert (kept["status"], kept["url"]) == ("failed", None)
    assert "is full: 16044 of 30000 bytes taken, 32044 wanted" in kept["error"]
    assert curl(served, token, f"/containers/{container['container_sid']}", "-X", "DELETE")[0] == 409
