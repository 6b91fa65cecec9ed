"""The demo application: what each step of it answers, and that its documents lead where they should."""

import asyncio
import io
import json
import wave
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from fastapi import FastAPI
from flexml.engine.api.demo import RequestLog, demo_router, spoken_time
from flexml.engine.api.music import music_wav
from flexml.engine.api.server import Health, create_app

AFTERNOON = datetime(2026, 1, 2, 15, 7)  # noqa: DTZ001


def application() -> FastAPI:
    health = Health(version="1", uptime_s=0, live_calls=0, workers=1)
    return create_app(health=lambda: health, routers=[demo_router(lambda: AFTERNOON)])


def call(app: FastAPI, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send one request through the ASGI interface: POST where there is a body, else GET."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
        "method": "GET" if body is None else "POST", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": [(b"host", b"demo")], "server": ("demo", 80),
    }  # fmt: skip
    sent: list[Mapping[str, object]] = []

    async def receive() -> Mapping[str, object]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: Mapping[str, object]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # pyright: ignore[reportArgumentType]
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status, b"".join(part for message in sent[1:] if isinstance(part := message["body"], bytes))


def document(path: str, **data: object) -> ElementTree.Element:
    status, body = call(application(), path, json.dumps(data).encode())
    assert status == 200
    return ElementTree.fromstring(body)


def tags(response: ElementTree.Element) -> list[str]:
    return [str(child.tag) for child in response]


def test_the_menu_offers_itself_once_more_and_then_says_goodbye() -> None:
    first = document("/demo/", CallSid="a")
    assert tags(first) == ["Gather", "Redirect"]
    assert dict(first[0].attrib) == {"action": "/demo/choice", "numDigits": "1", "finishOnKey": "_", "timeout": "5"}
    assert first[1].text == "/demo/?attempt=2"
    assert tags(document(first[1].text)) == ["Gather", "Say", "Hangup"]


@pytest.mark.parametrize(
    ("digits", "verbs", "text"),
    [
        ("1", ["Say", "Redirect"], "It is 3:07 p.m."),
        ("2", ["Gather", "Redirect"], "Type some digits, then press the pound key."),
        ("3", ["Play", "Redirect"], "/demo/music.wav"),
        ("7", ["Say", "Redirect"], "Sorry, 7 is not on the menu."),
        ("<&", ["Say", "Redirect"], "Sorry, <& is not on the menu."),
        ("", ["Say", "Redirect"], "Sorry, that is not on the menu."),
    ],
)
def test_choices(digits: str, verbs: list[str], text: str) -> None:
    response = document("/demo/choice", Digits=digits)
    assert tags(response) == verbs
    assert "".join(str(part) for part in response[0].itertext()) == text
    assert response[1].text == "/demo/"


def test_digits_are_read_one_by_one() -> None:
    assert document("/demo/digits", Digits="104")[0].text == "You typed 1, 0, 4."


def test_data_may_come_in_the_query() -> None:
    status, body = call(application(), "/demo/choice?Digits=3&CallSid=a")
    assert status == 200
    assert b"music.wav" in body


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[1]", 400), (b"\xff", 400), (b" " * 70_000, 413), (b"", 200)]
)
def test_bodies_that_are_no_object_are_refused(body: bytes, status: int) -> None:
    assert call(application(), "/demo/", body)[0] == status


def test_the_log_shows_what_the_engine_sent() -> None:
    app = application()
    call(app, "/demo/", json.dumps({"CallSid": "a", "From": "15162065338"}).encode())
    call(app, "/demo/choice?CallSid=a&Digits=1")
    call(app, "/demo/status", json.dumps({"CallSid": "a", "CallDuration": 4}).encode())
    status, body = call(app, "/demo/log")
    assert status == 200
    assert json.loads(body) == {
        "calls": [
            {
                "call_sid": "a",
                "requests": [
                    {"method": "POST", "path": "/demo/", "data": {"CallSid": "a", "From": "15162065338"}},
                    {"method": "GET", "path": "/demo/choice", "data": {"CallSid": "a", "Digits": "1"}},
                    {"method": "POST", "path": "/demo/status", "data": {"CallSid": "a", "CallDuration": 4}},
                ],
            }
        ]
    }


def test_the_log_forgets_the_oldest() -> None:
    log = RequestLog(calls=2, requests=3)
    for sid in "abca":
        for number in range(5):
            log.add("POST", f"/{number}", {"CallSid": sid})
    entries = log.entries()
    assert [entry["call_sid"] for entry in entries] == ["c", "a"]
    assert [request["path"] for request in entries[0]["requests"]] == ["/2", "/3", "/4"]  # pyright: ignore


@pytest.mark.parametrize(
    ("hour", "minute", "spoken"),
    [(0, 5, "12:05 a.m."), (9, 30, "9:30 a.m."), (12, 0, "12:00 p.m."), (23, 59, "11:59 p.m.")],
)
def test_the_time_is_told_on_a_twelve_hour_clock(hour: int, minute: int, spoken: str) -> None:
    assert spoken_time(AFTERNOON.replace(hour=hour, minute=minute)) == spoken


def test_the_music_is_telephone_audio_that_neither_clips_nor_clicks() -> None:
    with wave.open(io.BytesIO(music_wav())) as music:
        assert (music.getnchannels(), music.getsampwidth(), music.getframerate()) == (1, 2, 8000)
        assert 4 < music.getnframes() / 8000 < 7
        raw = music.readframes(music.getnframes())
    samples = memoryview(raw).cast("h")
    assert 5000 < max(samples) < 20000
    assert max(abs(after - before) for before, after in pairwise(samples)) < 8000
    assert samples[0] == samples[-1] == 0
