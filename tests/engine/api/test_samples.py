"""The reference's curl samples, run as they stand, give what the reference shows.

Of `/flexml/v1` these are all; of `/core/v2` those of objects that the engine has (decisions, section 6).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ...conftest import NewDatabase
from .served import Client, Reply, Served, serving

REFERENCE = Path(__file__).parents[4] / "shared" / "spec" / "flexml-api-reference.txt"
BASE = "https://api.carrierx.com/flexml/v1"
CREDENTIALS = "flexml_user_123:qwerty123"
CURL = re.compile(r"^curl (?:.*\\\n)*.*$", re.MULTILINE)
SHOWN = re.compile(r"\nResponse (\d{3}) status code.*\n(?:\n(\{\n(?:.*\n)*?\}\n))?")
NULLABLE = {"url", "status_callback_url", "password", "container_sid"}
CORE = "https://api.carrierx.com/core/v2"
NOT_OURS = {"trunk_groups", "partners", "countries", "sms"}
"""What the engine has none of, by the beginning of the path."""


@dataclass(frozen=True)
class Sample:
    """A request of the reference, and the response below it; `shown` is None for an empty body."""

    method: str
    path: str
    body: bytes | None
    status: int
    shown: Any


def samples(text: str) -> list[Sample]:
    """Every sample for `/flexml/v1`."""
    found: list[Sample] = []
    for words, end in requests(text, BASE):
        assert words[words.index("-u") + 1] == CREDENTIALS
        response = SHOWN.match(text, end + 1)
        assert response is not None, words
        shown = json.loads(response[2]) if response[2] else None
        found.append(sample(words, BASE, int(response[1]), shown))
    return found


def core_samples(text: str) -> list[Sample]:
    """Every sample for `/core/v2`; `shown` is the first thing in the text after it that is JSON."""
    ends = [end for _, end in requests(text, "https://")]
    found: list[Sample] = []
    for words, end in requests(text, CORE):
        following = next((later for later in ends if later > end), len(text))
        shown = next(values(text[end:following]), None)
        found.append(sample(words, CORE, 0, shown))
    return found


def requests(text: str, base: str) -> Iterator[tuple[list[str], int]]:
    """The words of each curl of the text that asks there, and where it ends."""
    for curl in CURL.finditer(text):
        words = shlex.split(curl[0].replace("\\\n", " "))
        if url_of(words).startswith(base):
            yield words, curl.end()


def url_of(words: list[str]) -> str:
    return next(word for word in words if word.startswith("https://"))


def sample(words: list[str], base: str, status: int, shown: Any) -> Sample:
    body = words[words.index("--data-binary") + 1].encode() if "--data-binary" in words else None
    method = words[words.index("-X") + 1]
    return Sample(method, url_of(words).removeprefix(base), body, status, shown)


def values(text: str) -> Iterator[Any]:
    for start in re.finditer(r"^\{$", text, re.MULTILINE):
        try:
            yield json.JSONDecoder().raw_decode(text, start.start())[0]
        except ValueError:  # some are cut short by dots
            continue


TEXT = REFERENCE.read_text() if REFERENCE.exists() else ""
SAMPLES = samples(TEXT)
CORE_SAMPLES = core_samples(TEXT)
referred = pytest.mark.skipif(not TEXT, reason="the reference is not beside this checkout")


@pytest.fixture(scope="module")
def given(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(new_database(tmp_path_factory.mktemp("samples"))) as served:
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


@referred
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


# ---- /core/v2 ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider(given: Served) -> Client:
    return given.token("provider")[1]


def core(method: str, path: str) -> Sample:
    """The sample of the reference that asks so."""
    return next(one for one in CORE_SAMPLES if (one.method, one.path) == (method, path))


def ask(client: Client, one: Sample, path: str = "") -> Reply:
    headers = {"Content-Type": "application/json"} if one.body is not None else None
    return client.ask(one.method, path or one.path, one.body, headers=headers)


@referred
def test_all_core_samples_are_found_and_each_is_ours_or_not() -> None:
    urls = TEXT.count(f"'{CORE}/")
    assert len(CORE_SAMPLES) == urls >= 13
    ours = {one.path.split("/")[1].partition("?")[0] for one in CORE_SAMPLES} - NOT_OURS
    assert ours == {"endpoints", "oauth"}


@referred
@pytest.mark.parametrize("path", ["/endpoints", "/endpoints?exclude_fields=properties"])
def test_endpoints_are_listed_as_the_reference_shows_them(given: Served, provider: Client, path: str) -> None:
    one = core("GET", path)
    reply = ask(provider, one)
    assert (reply.status, shape(reply.body)) == (200, shape(one.shown))
    assert list(reply.body["items"][0]) == list(one.shown["items"][0]), "in the same order"


@referred
def test_a_filter_for_another_type_finds_nothing(given: Served, provider: Client) -> None:
    one = core("GET", "/endpoints?filter=type+eq+conference")
    reply = ask(provider, one)
    assert (reply.status, reply.body["items"], reply.body["total"]) == (200, [], 0)
    assert list(reply.body) == list(one.shown)


@referred
def test_a_conference_cannot_be_made(given: Served, provider: Client) -> None:
    reply = ask(provider, core("POST", "/endpoints"))
    assert reply.status == 422
    assert [(e["field"], e["message"]) for e in reply.body["errors"]] == [
        ("type", "found 'conference'; expected 'flexml'")
    ]


@referred
def test_whoami_is_answered(given: Served, provider: Client) -> None:
    asked = [one for one in CORE_SAMPLES if one.path == "/oauth/whoami"]
    assert len(asked) == 2
    for one in asked:
        reply = ask(provider, one)
        assert (reply.status, reply.body["name"]) == (200, "provider")


@referred
def test_nested_objects_are_patched_as_the_reference_does_with_its_partners(given: Served, provider: Client) -> None:
    """An endpoint has attributes like a partner's."""
    made = provider.ask("POST", "/endpoints", {"type": "flexml"}).body
    patches = [one for one in CORE_SAMPLES if one.path.startswith("/partners/")]
    found: list[object] = []
    for one in patches:
        query = one.path.partition("?")[2]
        path = f"/endpoints/{made['endpoint_sid']}" + (f"?{query}" if query else "")
        reply = ask(provider, one, path)
        assert reply.status == 200
        found.append(reply.body["attributes"])
    first, second = {"name": "New Partner Name"}, {"name2": "New Partner Name 2"}
    assert found == [first, {**first, **second}, {"name3": "New Partner Name 3"}]


@referred
def test_an_endpoint_is_deleted(given: Served, provider: Client) -> None:
    made = provider.ask("POST", "/endpoints", {"type": "flexml"}).body
    one = next(one for one in CORE_SAMPLES if one.method == "DELETE")
    assert ask(provider, one).status == 404, "the reference's is not there"
    reply = ask(provider, one, f"/endpoints/{made['endpoint_sid']}")
    assert (reply.status, reply.body) == (204, None)


@referred
def test_what_the_engine_has_none_of_is_not_there(given: Served, provider: Client) -> None:
    absent = [one for one in CORE_SAMPLES if one.path.split("/")[1].partition("?")[0] in NOT_OURS]
    assert len(absent) == 6
    for one in absent:
        reply = ask(provider, one)
        assert (reply.status, reply.body.keys()) == (404, {"message", "errors"})


@referred
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_token_of_the_samples_is_nobodys(given: Served, method: str) -> None:
    stranger = given.with_token("5ebc03d6-8b2b-44ad-bf65-72d4f1491dda")
    assert ask(stranger, core(method, "/endpoints")).status == 401
