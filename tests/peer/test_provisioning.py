"""Accounts and numbers that come and go while the engine runs, and the calls that do or do not reach them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from phone import Phone, Talk
from sipp import Sipp, call, refused

NUMBER = "15550002000"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path_factory.mktemp("provisioning"), {})
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


@pytest.fixture(scope="module")
def token(served: EngineProcess) -> str:
    """A token of the provider's, made beside the engine that runs."""
    return flexml(served, "token", "create", "peer tests").strip()


@pytest.fixture
def line(application: Application, request: pytest.FixtureRequest) -> Line:
    line = Line(f"provisioning/{request.node.name}", application)
    line.serve(Answer(status=204), at="status")
    return line


@pytest.fixture
def sipp(served: EngineProcess, tmp_path: Path) -> Sipp:
    return Sipp(tmp_path, served.target)


def flexml(engine: EngineProcess, *arguments: str) -> str:
    """What the command prints, run as an operator does beside the engine."""
    command = [Path(sys.executable).parent / "flexml", *arguments, "--config", engine.config_path]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def ask(
    engine: EngineProcess, authorization: str, method: str, path: str, body: dict[str, object] | None = None
) -> tuple[int, Any]:
    """Status and body of a request."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    try:
        request = urllib.request.Request(engine.url(path), data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def provision(engine: EngineProcess, token: str, line: Line, number: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new endpoint and its number, whose calls go to the line."""
    status, endpoint = ask(engine, bearer(token), "POST", "/core/v2/endpoints", {"type": "flexml", "name": number})
    assert status == 200, endpoint
    url = line.application.url
    wanted: dict[str, object] = {
        "phonenumber": number,
        "endpoint_sid": endpoint["endpoint_sid"],
        "url": url(line.path()),
        "status_callback_url": url(line.path("status")),
    }
    status, did = ask(engine, bearer(token), "POST", "/core/v2/dids", wanted)
    assert status == 200, did
    return endpoint, did


def until(true: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_new_number_takes_calls_at_once_and_a_removed_one_none(
    served: EngineProcess, token: str, line: Line, sipp: Sipp
) -> None:
    outcome = sipp.run(refused(404), number=NUMBER)
    assert outcome.status == 0, outcome.errors
    line.serve("<Hangup/>")
    endpoint, did = provision(served, token, line, NUMBER)
    outcome = sipp.run(call(hang_up=False), number=NUMBER)
    assert outcome.status == 0, outcome.errors
    (asked,) = line.requests()
    assert (asked.data["To"], asked.data["EndpointSid"]) == (NUMBER, endpoint["endpoint_sid"])
    assert line.final_status().data["CallStatus"] == "completed"
    path = f"/core/v2/dids/{did['did_sid']}"
    assert ask(served, bearer(token), "DELETE", path) == (204, None)
    outcome = sipp.run(refused(404), number=NUMBER)
    assert outcome.status == 0, outcome.errors
    assert len(line.requests()) == 1
    assert ask(served, bearer(token), "GET", path)[0] == 404


def test_with_an_endpoint_its_live_call_ends_and_its_application_is_told(
    served: EngineProcess, token: str, line: Line
) -> None:
    number = "15550002001"
    line.serve('<Pause length="30"/>')
    endpoint, _ = provision(served, token, line, number)
    with Phone(served.target, number) as phone:
        talk = Talk(phone.call)
        talk.start()
        until(line.requests)
        assert ask(served, bearer(token), "DELETE", f"/core/v2/endpoints/{endpoint['endpoint_sid']}")[0] == 204
        assert talk.result().by == "them"
    assert line.final_status().data["CallStatus"] == "completed"
    with Phone(served.target, number) as phone:
        assert phone.call().status == 404
    properties = endpoint["properties"]
    account = basic(properties["login"], properties["password"])
    assert ask(served, account, "GET", "/flexml/v1/accounts")[0] == 401


def test_what_commands_change_beside_the_engine_it_knows_within_seconds(
    served: EngineProcess, token: str, line: Line
) -> None:
    number = "15550002002"
    line.serve('<Pause length="30"/>')
    made = json.loads(flexml(served, "account", "create", "--login", "beside", "--json"))
    account = basic("beside", made["password"])
    until(lambda: ask(served, account, "GET", "/flexml/v1/accounts")[0] == 200)
    url = line.application.url
    wanted: dict[str, object] = {
        "phonenumber": number,
        "endpoint_sid": made["account_sid"],
        "url": url(line.path()),
        "status_callback_url": url(line.path("status")),
    }
    assert ask(served, bearer(token), "POST", "/core/v2/dids", wanted)[0] == 200
    own = bearer(flexml(served, "token", "create", "own", "--account", "beside").strip())
    status, shown = ask(served, own, "GET", "/core/v2/oauth/whoami")
    assert (status, shown["account_sid"]) == (200, made["account_sid"])
    flexml(served, "token", "revoke", shown["token_sid"])
    until(lambda: ask(served, own, "GET", "/core/v2/oauth/whoami")[0] == 401)
    other = basic("beside", json.loads(flexml(served, "account", "password", "beside", "--json"))["password"])
    until(lambda: ask(served, account, "GET", "/flexml/v1/accounts")[0] == 401)
    assert ask(served, other, "GET", "/flexml/v1/accounts")[0] == 200
    with Phone(served.target, number) as phone:
        talk = Talk(phone.call)
        talk.start()
        until(line.requests)
        flexml(served, "account", "delete", "beside", "--yes")
        assert talk.result().by == "them"
    assert line.final_status().data["CallStatus"] == "completed"
    assert ask(served, other, "GET", "/flexml/v1/accounts")[0] == 401


def test_what_was_provisioned_is_there_after_a_restart(served: EngineProcess, token: str, line: Line) -> None:
    number = "15550002003"
    line.serve("<Reject/>")
    endpoint, _ = provision(served, token, line, number)
    assert served.stop() == 0
    served.start()
    with Phone(served.target, number) as phone:
        phone.call()
    (asked,) = line.requests()
    assert asked.data["EndpointSid"] == endpoint["endpoint_sid"]
    properties = endpoint["properties"]
    account = basic(properties["login"], properties["password"])
    assert ask(served, account, "GET", "/flexml/v1/accounts")[0] == 200
