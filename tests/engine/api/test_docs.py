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
