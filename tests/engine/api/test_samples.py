"""Every curl sample of the reference under `/flexml/v1`, run as it stands, gives what the reference shows."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .served import Reply, Served, serving

REFERENCE = Path(__file__).parents[4] / "shared" / "spec" / "flexml-api-reference.txt"
BASE = "https://api.carrierx.com/flexml/v1"
CREDENTIALS = "flexml_user_123:qwerty123"
CURL = re.compile(r"^curl (?:.*\\\n)*.*$", re.MULTILINE)
SHOWN = re.compile(r"\nResponse (\d{3}) status code.*\n(?:\n(\{\n(?:.*\n)*?\}\n))?")
NULLABLE = {"url", "status_callback_url"}


@dataclass(frozen=True)
class Sample:
    """A request of the reference, and the response below it; `shown` is None for an empty body."""

    method: str
    path: str
    body: bytes | None
    status: int
    shown: Any


def samples(text: str) -> list[Sample]:
    """Every sample for the part of the API that is ours."""
    found: list[Sample] = []
    for curl in CURL.finditer(text):
        words = shlex.split(curl[0].replace("\\\n", " "))
        url = next(word for word in words if word.startswith("https://"))
        if not url.startswith(BASE):
            continue
        assert words[words.index("-u") + 1] == CREDENTIALS
        body = words[words.index("--data-binary") + 1].encode() if "--data-binary" in words else None
        response = SHOWN.match(text, curl.end() + 1)
        assert response is not None, curl[0]
        shown = json.loads(response[2]) if response[2] else None
        method = words[words.index("-X") + 1]
        found.append(Sample(method, url.removeprefix(BASE), body, int(response[1]), shown))
    return found


TEXT = REFERENCE.read_text() if REFERENCE.exists() else ""
SAMPLES = samples(TEXT)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("samples")) as served:
        yield served


def existing(served: Served, path: str) -> str:
    """The path with the sid of an object that exists; a call is made for it."""
    collection, _, sid = path[1:].partition("/")
    if not sid:
        return path
    call = {"calling_did": "15162065319", "called_did": "15162065317", "delay": 9993}
    if collection == "calls":
        return "/calls/" + served.me.ask("POST", "/calls", call).body["call_sid"]
    (item,) = served.me.get(f"/{collection}").body["items"]
    return f"/{collection}/" + item[{"accounts": "account_sid", "dids": "did_sid"}[collection]]


def shape(value: object, name: str = "") -> object:
    """Names and JSON types of a value; a URL that is not set is one all the same."""
    if isinstance(value, dict):
        return {key: shape(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return str if name in NULLABLE and value is None else type(value)


@pytest.mark.skipif(not TEXT, reason="the reference is not beside this checkout")
def test_all_samples_are_found() -> None:
    assert len(SAMPLES) == TEXT.count(f"{BASE}/") >= 11


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.method} {sample.path}")
def test_a_sample_gives_what_the_reference_shows(given: Served, sample: Sample) -> None:
    if sample.path == "/calls" and sample.method == "GET":
        existing(given, "/calls/any")
    headers = {"Content-Type": "application/json"} if sample.body is not None else None
    reply: Reply = given.me.ask(sample.method, existing(given, sample.path), sample.body, headers=headers)
    assert reply.status == sample.status, reply.body
    assert shape(reply.body) == shape(sample.shown)
    if isinstance(sample.shown, dict):
        assert list(reply.body) == list(sample.shown), "in the same order"
        for name, value in json.loads(sample.body or b"{}").items():
            assert reply.body[name] == sample.shown[name] == value
