"""Stored files as a client fetches them, over a real socket."""

from __future__ import annotations

import asyncio
import email
import io
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import soundfile
from flexml.engine.api.files import files_router
from flexml.engine.api.server import Health, create_app, run
from flexml.engine.conversions import Conversions
from flexml.engine.db import Database
from flexml.engine.storage.base import MIME_TYPES, StoredFile, Wanted
from flexml.engine.storage.local import LocalStorage

CONTENT = bytes(range(256)) * 4
NAME = "grüße.wav"
MODIFIED = 1_600_000_000
HEALTH = Health(version="1", uptime_s=0, live_calls=0, workers=1)


Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Asked:
    """A request; SID, BARE, GONE, AUDIO and PAGE in its path stand for the sids of files."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


async def _keep(storage: LocalStorage, folder: Path, name: str, octets: bytes, mime: str = "audio/wav") -> StoredFile:
    content = folder / "content"
    content.write_bytes(octets)
    file = await storage.reserve("account", Wanted(name=name, format="wav"))
    file = replace(file, bytes=len(octets), mime=mime)
    await storage.put(file, content)
    os.utime(storage.path(file), (MODIFIED, MODIFIED))
    return file


async def _fetch(folder: Path, *requests: Asked, at_once: bool = False) -> list[Answer]:
    """Store CONTENT as a WAV file and a second of audio, and ask for that.

    {tag} in a header is the tag of the first answer.
    """
    database = Database(f"sqlite:///{folder / 'db'}")
    await database.start()
    storage = LocalStorage(database, folder / "files", clock=lambda: 1000.0)
    conversions = Conversions(folder / "files", max_bytes=10**7)
    await conversions.start()
    file = await _keep(storage, folder, NAME, CONTENT)
    gone = await _keep(storage, folder, NAME, CONTENT)
    storage.path(gone).unlink()
    page = await _keep(storage, folder, "x.html", b"<script>", "text/html")
    audio = await _keep(storage, folder, "tone.wav", _tone())
    sids = {"GONE": gone.sid, "BARE": file.sid.replace("-", ""), "AUDIO": audio.sid, "PAGE": page.sid, "SID": file.sid}
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(health=lambda: HEALTH, routers=[files_router(storage, conversions)])
    server = asyncio.create_task(
        run(app, "127.0.0.1", 0, on_listening=lambda host, port: listening.set_result(f"http://{host}:{port}"))
    )
    answers: list[Answer] = []
    async with aiohttp.ClientSession(await listening) as client:

        async def ask(asked: Asked) -> Answer:
            path = asked.path
            for name, value in sids.items():
                path = path.replace(name, value)
            tag = answers[0][1].get("etag", "") if answers else ""
            headers = {name: value.replace("{tag}", tag) for name, value in asked.headers.items()}
            async with client.request(asked.method, path, headers=headers) as response:
                told = {name.lower(): value for name, value in response.headers.items()}
                return response.status, told, await response.read()

        if at_once:
            answers.extend(await asyncio.gather(*map(ask, requests)))
        else:
            for asked in requests:
                answer = await ask(asked)  # which looks at the answers before
                answers.append(answer)
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    await conversions.close()
    await database.close()
    return answers


def _tone() -> bytes:
    octets = io.BytesIO()
    soundfile.write(octets, 0.3 * np.sin(2 * np.pi * 400 * np.arange(8000) / 8000), 8000, format="WAV")
    return octets.getvalue()


def fetch(folder: Path, method: str, path: str, **headers: str) -> Answer:
    return asyncio.run(_fetch(folder, Asked(method, path, headers)))[0]


@pytest.mark.parametrize("path", ["/f/SID", "/f/BARE", "/f/SID.wav", "/f/BARE.wav?download=1", "/f/SID?a=b&c"])
def test_a_file_is_given_under_its_sid(tmp_path: Path, path: str) -> None:
    status, headers, body = fetch(tmp_path, "GET", path)
    assert (status, body) == (200, CONTENT)
    assert headers["content-type"] == "audio/wav"
    assert headers["content-length"] == "1024"
    assert headers["accept-ranges"] == "bytes"


def test_head_tells_without_the_content(tmp_path: Path) -> None:
    status, headers, body = fetch(tmp_path, "HEAD", "/f/SID")
    assert (status, headers["content-length"], body) == (200, "1024", b"")


@pytest.mark.parametrize(
    ("wanted", "part", "told"),
    [
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/1024"),
        ("bytes=-4", CONTENT[-4:], "bytes 1020-1023/1024"),
        ("bytes=1000-", CONTENT[1000:], "bytes 1000-1023/1024"),
    ],
)
def test_a_range_is_given_alone(tmp_path: Path, wanted: str, part: bytes, told: str) -> None:
    status, headers, body = fetch(tmp_path, "GET", "/f/SID", Range=wanted)
    assert (status, body, headers["content-range"]) == (206, part, told)
    assert headers["content-length"] == str(len(part))


def test_several_ranges_come_as_parts_each_with_its_place(tmp_path: Path) -> None:
    status, headers, body = fetch(tmp_path, "GET", "/f/SID", Range="bytes=0-4,-3")
    assert (status, int(headers["content-length"])) == (206, len(body))
    message = email.message_from_bytes(f"Content-Type: {headers['content-type']}\n\n".encode() + body)
    parts = [(part["Content-Range"], part.get_content_type(), part.get_payload(decode=True)) for part in message.walk()]
    assert parts[1:] == [
        ("bytes 0-4/1024", "audio/wav", CONTENT[:5]),
        ("bytes 1021-1023/1024", "audio/wav", CONTENT[-3:]),
    ]


def test_a_range_beyond_the_end_is_416_and_tells_the_length(tmp_path: Path) -> None:
    status, headers, body = fetch(tmp_path, "GET", "/f/SID", Range="bytes=1024-")
    assert (status, headers["content-range"]) == (416, "bytes */1024")
    assert b'"field":"Range"' in body


def test_conditions_go_by_the_tag_and_the_time_that_were_told(tmp_path: Path) -> None:
    asked = [
        Asked("GET", "/f/SID"),
        Asked("GET", "/f/SID", {"If-None-Match": "{tag}"}),
        Asked("GET", "/f/SID", {"Range": "bytes=0-0", "If-Range": "{tag}"}),
        Asked("GET", "/f/SID", {"Range": "bytes=0-0", "If-Range": '"other"'}),
        Asked("GET", "/f/SID", {"If-Modified-Since": "Sun, 13 Sep 2020 12:26:40 GMT"}),
        Asked("GET", "/f/SID", {"If-Match": '"other"'}),
        Asked("HEAD", "/f/SID", {"Range": "bytes=0-0"}),
    ]
    answers = asyncio.run(_fetch(tmp_path, *asked))
    assert [(status, len(body)) for status, _, body in answers[:5]] == [
        (200, 1024),
        (304, 0),
        (206, 1),
        (200, 1024),
        (304, 0),
    ]
    assert answers[5][0] == 412
    assert (answers[6][0], answers[6][1]["content-length"]) == (200, "1024")
    assert answers[0][1]["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    assert len({headers["etag"] for _, headers, _ in answers[:5]}) == 1


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/f/SID", "inline; filename=\"gr__e.wav\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.wav"),
        ("/f/SID?download=1", "attachment; filename=\"gr__e.wav\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.wav"),
        ("/f/AUDIO?download=0", 'inline; filename="tone.wav"'),
        ("/f/AUDIO?format=mp3", 'inline; filename="tone.mp3"'),
        ("/f/PAGE", 'attachment; filename="x.html"'),  # its scripts would run as ours
    ],
)
def test_a_file_has_its_name_and_only_audio_is_shown(tmp_path: Path, path: str, told: str) -> None:
    _, headers, _ = fetch(tmp_path, "GET", path)
    assert headers["content-disposition"] == told
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("wanted", ["mp3", "ul", "ULAW", "alaw", "flac", "ogg", "mp4a", "g722", "aac"])
def test_a_file_is_given_in_another_format(tmp_path: Path, wanted: str) -> None:
    status, headers, body = fetch(tmp_path, "GET", f"/f/AUDIO?format={wanted}")
    name = {"ULAW": "ul", "alaw": "al", "mp4a": "mp4"}.get(wanted, wanted)
    assert (status, headers["content-type"], int(headers["content-length"])) == (200, MIME_TYPES[name], len(body))
    if name in {"mp3", "flac"}:
        assert soundfile.info(io.BytesIO(body)).samplerate == 8000


def test_the_own_format_is_given_as_it_is(tmp_path: Path) -> None:
    own, asked = asyncio.run(_fetch(tmp_path, Asked("GET", "/f/SID"), Asked("GET", "/f/SID?format=wav")))
    assert own[2] == asked[2] == CONTENT
    assert own[1]["etag"] == asked[1]["etag"]


def test_a_conversion_is_ranged_and_conditional_too(tmp_path: Path) -> None:
    path = "/f/AUDIO?format=mp3"
    asked = [
        Asked("GET", path),
        Asked("GET", "/f/AUDIO"),
        Asked("GET", path, {"Range": "bytes=-100", "If-Range": "{tag}"}),
        Asked("GET", path, {"If-None-Match": "{tag}"}),
        Asked("HEAD", path),
    ]
    whole, source, part, same, head = asyncio.run(_fetch(tmp_path, *asked))
    assert (part[0], part[2]) == (206, whole[2][-100:])
    assert (same[0], head[1]["content-length"], head[2]) == (304, str(len(whole[2])), b"")
    assert source[1]["etag"] != whole[1]["etag"]


def test_many_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    asked = [Asked("GET", "/f/AUDIO?format=ogg")] * 8
    answers = asyncio.run(_fetch(tmp_path, *asked, at_once=True))
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1, "each Ogg stream has a serial number of its own"


def test_an_unknown_format_is_400_and_names_the_others(tmp_path: Path) -> None:
    status, _, body = fetch(tmp_path, "GET", "/f/AUDIO?format=midi")
    assert status == 400
    assert b"midi" in body
    assert all(name.encode() in body for name in ("wav", "mp3", "ul", "ulaw"))


def test_what_is_no_audio_cannot_be_converted(tmp_path: Path) -> None:
    status, _, body = fetch(tmp_path, "GET", "/f/PAGE?format=mp3")
    assert status == 422
    assert b"cannot be converted to mp3: not audio" in body


@pytest.mark.parametrize(
    "path",
    ["/f/GONE", "/f/6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001", "/f/nonsense", "/f/..%2f..%2fdb", "/f/", "/f/SID/x"],
)
def test_what_is_not_there_is_404(tmp_path: Path, path: str) -> None:
    status, _, body = fetch(tmp_path, "GET", path)
    assert status == 404
    assert b"errors" in body
