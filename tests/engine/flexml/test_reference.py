"""The reference page: it is what the declarations give, tells of everything, and its examples are right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest
from flexml.engine.errors import DocumentError, FetchError, FlexmlError
from flexml.engine.flexml.attributes import Attribute
from flexml.engine.flexml.document import parse
from flexml.engine.flexml.interpreter import error_code
from flexml.engine.flexml.request import CallFacts, Ending, request_data, status_callback_data
from flexml.engine.flexml.verbs import NOUNS, VERBS, declarations
from flexml.engine.recording import Recorded
from flexml.engine.webhook import sign

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/flexml.md").read_text(encoding="utf-8")
FACTS = CallFacts(
    sid="a", direction="inbound", from_="1", to="2", original_from="1", original_to="2", forwarded_from="3"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    """What stands below `heading`, up to the next of the same or a higher level."""
    level = heading.partition(" ")[0]
    found = re.search(rf"^{heading}\n(.*?)(?=^#{{2,{len(level)}}} |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def told(text: str) -> set[str]:
    """The fields in the first column of a table."""
    first = re.findall(r"^\| (`[^|]+`) \|", text, flags=re.MULTILINE)
    return {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def test_the_page_is_what_the_declarations_give(tmp_path: Path) -> None:
    made = tmp_path / "flexml.md"
    subprocess.run([sys.executable, ROOT / "scripts/flexml_reference.py", made], check=True)
    assert made.read_text(encoding="utf-8") == PAGE, "run scripts/flexml-reference"


@pytest.mark.parametrize(("element", "attribute"), declarations(), ids=lambda it: getattr(it, "name", it))
def test_every_attribute_says_what_it_does(element: str, attribute: Attribute) -> None:
    assert re.fullmatch(r"\S.*\.", attribute.says), f"{element} {attribute.name}"
    assert "|" not in attribute.says


@pytest.mark.parametrize(("element", "attribute"), declarations(), ids=lambda it: getattr(it, "name", it))
def test_the_page_has_every_attribute_and_marks_those_without_effect(element: str, attribute: Attribute) -> None:
    level = "###" if element in {noun.name for noun in NOUNS} else "##"
    row = re.search(rf"^\| `{attribute.name}` \|.*$", section(f"{level} {element}"), flags=re.MULTILINE)
    assert row
    assert attribute.says in row[0]
    assert ("Not carried out" in row[0]) is not attribute.effect


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_an_example_and_stands_in_the_contents(verb: str) -> None:
    assert re.search(rf"<{verb}[ />]", section(f"## {verb}"))
    assert f"[{verb}](#{verb.lower()})" in PAGE


@pytest.mark.parametrize("example", blocks("xml"))
def test_an_example_is_a_document_without_anything_odd(example: str) -> None:
    document = parse(example.encode(), url="https://app.example/welcome")
    assert document.verbs
    assert document.notes == ()


def test_the_fields_of_requests_are_those_that_are_sent() -> None:
    sent = set(request_data(FACTS, request_url=""))
    assert set(json.loads(blocks("json")[0])) == sent - {"ForwardedFrom"}
    assert told(section("## Requests")) >= sent
    ending = Ending(status="completed", duration_s=1, play_offset_ms=0)
    called_back = status_callback_data(FACTS, ending, request_url="", request_method="POST")
    assert told(section("## Callbacks")) >= set(called_back) - sent
    assert told(section("## Record")) >= set(Recorded(status="completed").data())


@pytest.mark.parametrize(
    "error", [FetchError("", url=""), FetchError("", url="", status=500), DocumentError(""), FlexmlError("")]
)
def test_the_words_for_errors_are_those_that_are_told(error: FlexmlError) -> None:
    assert f"`{error_code(error)}`" in section("## When something fails")


@pytest.mark.parametrize(
    ("path", "digits", "verbs"),
    [
        ("/welcome", None, ["Gather", "Say"]),
        ("/menu", "1", ["Say", "Redirect"]),
        ("/menu", "2", ["Say", "Record"]),
        ("/menu", "3", ["Gather", "Say"]),
        ("/thanks", "#", ["Say"]),
    ],
)
def test_the_application_answers_over_http(path: str, digits: str | None, verbs: list[str]) -> None:
    defined: dict[str, Any] = {"__name__": "app"}
    exec(blocks("python")[0], defined)
    body = json.dumps(request_data(FACTS, request_url="", data={"Digits": digits, "RecordingDuration": 7}))
    with HTTPServer(("127.0.0.1", 0), defined["Application"]) as server:
        answering = Thread(target=server.handle_request)
        answering.start()
        with urlopen(f"http://127.0.0.1:{server.server_port}{path}", body.encode(), timeout=10) as answer:
            document = parse(answer.read(), url=answer.url)
        answering.join()
    assert [verb.name for verb in document.verbs] == verbs
    assert document.notes == ()


def test_the_check_of_signatures_accepts_ours_and_no_other() -> None:
    defined: dict[str, Any] = {}
    exec(blocks("python")[1], defined)
    url = "https://app.example/menu?a=1"
    signature = sign(b"key", "1700000000", "POST", url, b"{}")
    assert defined["genuine"]("key", "1700000000", "POST", url, b"{}", signature)
    assert not defined["genuine"]("key", "1700000000", "POST", url, b"{ }", signature)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        name, _, anchor = target.partition("#")
        page = (ROOT / "docs" / name).read_text(encoding="utf-8") if name else PAGE
        assert not anchor or anchor in anchors(page), target


def anchors(page: str) -> set[str]:
    """What a link to a part of `page` may name."""
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^a-z ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
