"""The page /docs: complete without anybody else's files."""

from __future__ import annotations

import contextlib
import http.client
import re

import pytest

from .served import Served


def page(api: Served, path: str) -> tuple[str, dict[str, str]]:
    connection = http.client.HTTPConnection(*api.address, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        reply = connection.getresponse()
        assert reply.status == 200
        return reply.read().decode(), {name.lower(): value for name, value in reply.getheaders()}


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.css", "/docs/docs.js"])
def test_the_page_names_no_other_server_and_forbids_what_is_not_its_own(api: Served, path: str) -> None:
    text, headers = page(api, path)
    assert re.findall(r"https?://[^\s\"']+|//[a-z0-9-]+\.[a-z]", text) == []
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert not any("unsafe" in rule or "*" in rule or "http" in rule for rule in policy)


def test_all_that_the_page_loads_is_there(api: Served) -> None:
    text, _ = page(api, "/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert loaded == ["docs/docs.css", "docs/docs.js", "openapi.json"]
    for name in loaded:
        assert api.nobody.ask("GET", f"http:///{name}").status == 200


def test_nothing_else_is_given_from_beside_it(api: Served) -> None:
    for name in ("docs.html", "..%2fserver.py", "%2e%2e/server.py", "docs.py"):
        assert api.nobody.ask("GET", f"http:///docs/{name}").status == 404


def luminance(colour: str) -> float:
    """As WCAG 2.1 defines it, of #rrggbb."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_names_of_methods_can_be_read_by_day_and_by_night(api: Served) -> None:
    text, _ = page(api, "/docs/docs.css")
    pairs = dict(re.findall(r"--(\w+): light-dark\((#\w+, #\w+)\)", text))
    behind = pairs.pop("soft").split(", ")
    assert pairs.pop("line")
    assert sorted(pairs) == ["change", "delete", "get", "post"]
    for name, pair in pairs.items():
        for colour, ground in zip(pair.split(", "), behind, strict=True):
            dark, light = sorted((luminance(colour), luminance(ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, colour, "WCAG 2.1, 1.4.3")


def test_every_operation_says_what_it_does(api: Served) -> None:
    document = api.nobody.get("http:///openapi.json").body
    operations = {f"{method} {path}": one for path, item in document["paths"].items() for method, one in item.items()}
    assert len(operations) > 25
    made_up = [
        label for label, one in operations.items() if not one.get("summary") or one["operationId"].count("_") > 1
    ]
    assert made_up == [], "FastAPI makes up what is not said, from the names of functions"
    bare = [f"{label}: {parameter['name']}" for label, one in operations.items()
            for parameter in one.get("parameters", []) if not parameter.get("description")]  # fmt: skip
    assert bare == []
    assert operations["get /flexml/v1/accounts/{sid}"]["summary"] == "Show an account"
