"""Files of real calls: what a call has recorded, fetched whole, in part and in other formats."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import soundfile
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from hearing import share_at
from phone import Phone
from recorded import NO_CONTENT, samples_of
from sounds import tone

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
