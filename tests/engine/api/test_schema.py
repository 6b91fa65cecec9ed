"""Requests made of the API's own description: none breaks the server, and answers are as described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from .served import Served

EXAMPLES = 50
"""Requests of each operation."""
PREFIXES = ("/flexml/v1", "/core/v2")
CHECKS = [status_code_conformance, response_schema_conformance]


def test_no_request_of_the_description_breaks_the_server(api: Served) -> None:
    schema = schemathesis.openapi.from_url("http://{}:{}/openapi.json".format(*api.address))
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    labels = {operation.label for operation in operations if operation.path.startswith(PREFIXES)}
    assert len(labels) >= 40, sorted(labels)
    _, provider = api.token("schema")
    made = provider.ask("POST", "/endpoints", {"type": "flexml"}).body["endpoint_sid"]
    number = {"phonenumber": "15162067000", "endpoint_sid": made}
    did = provider.ask("POST", "/dids", number).body["did_sid"]
    file = provider.ask("POST", "/storage/files", b"x", account_sid=made, name="x.wav").body
    core_sids = {"endpoints": made, "dids": did, "files": file["file_sid"], "containers": file["container_sid"]}
    sids = {
        "accounts": api.me.get("/accounts").body["items"][0]["account_sid"],
        "dids": api.me.get("/dids").body["items"][0]["did_sid"],
        "calls": api.me.ask(
            "POST", "/calls", {"calling_did": "15162065319", "called_did": "15162065318", "delay": 1000}
        ).body["call_sid"],
    }
    for operation in operations:
        if operation.path.startswith("/core/v2"):
            try_out(operation, core_sids, headers={"Authorization": f"Bearer {provider.written}"})
        elif operation.path.startswith("/flexml/v1"):
            try_out(operation, sids, auth=("flexml_user_123", "qwerty123"))


def try_out(operation: Any, sids: dict[str, str], **who: Any) -> None:
    collection = operation.path.replace("/storage/", "/").split("/")[3]

    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(), exists=st.booleans())
    def check(case: Any, exists: bool) -> None:
        if exists and "sid" in case.path_parameters:
            case.path_parameters["sid"] = sids[collection]
        response = case.call(**who)
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        case.validate_response(response, checks=CHECKS)

    check()


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The properties of an object and of those within it."""
    for name, said in schema.get("properties", {}).items():
        yield name, said
        yield from properties(said)


@pytest.mark.parametrize(
    "path",
    [
        "/flexml/v1/accounts/{sid}",
        "/flexml/v1/calls",
        "/flexml/v1/calls/{sid}",
        "/flexml/v1/calls/{sid}/timeline",
        "/flexml/v1/dids",
        "/core/v2/dids",
        "/core/v2/endpoints/{sid}",
        "/core/v2/oauth/whoami",
        "/core/v2/storage/containers/{sid}",
        "/core/v2/storage/files",
        "/flexml/v1/calls/{sid}/recordings",
    ],
)
def test_every_field_is_described(api: Served, path: str) -> None:
    document = api.nobody.get("http:///openapi.json").body
    models = document["components"]["schemas"]
    bare = [f"{name}.{field}" for name in models for field, said in models[name].get("properties", {}).items()
            if "description" not in said]  # fmt: skip
    bodies = [
        (f"{method} {path}", said["requestBody"]["content"]["application/json"]["schema"])
        for path, methods in document["paths"].items()
        for method, said in methods.items()
        if "application/json" in said.get("requestBody", {}).get("content", {})
    ]
    assert len(bodies) >= 12
    bare += [f"{where}: {name}" for where, schema in bodies for name, said in properties(schema)
             if "description" not in said]  # fmt: skip
    assert bare == []
    assert path in document["paths"]


def test_what_is_shown_has_no_field_that_must_be_there(api: Served) -> None:
    """Each may be left out by `include_fields` and `exclude_fields`."""
    models = api.nobody.get("http:///openapi.json").body["components"]["schemas"]
    shown = ["AccountObject", "CallObject", "CoreDidObject", "DidObject", "EndpointObject"]
    assert [name for name in shown if "required" in models[name]] == []
    assert api.me.get("/accounts", include_fields="url").body["items"] == [{"url": None}]


def test_every_error_is_described_in_the_form_that_it_has(api: Served) -> None:
    """Of 400 the body that is no JSON has another one, which the reference shows."""
    document = api.nobody.get("http:///openapi.json").body
    errors = {
        f"{method} {path} {status}": answer["content"]["application/json"]["schema"]["$ref"]
        for path, item in document["paths"].items()
        for method, one in item.items()
        for status, answer in one["responses"].items()
        if status >= "400" and "content" in answer
    }
    assert len(errors) > 100
    assert set(errors.values()) == {"#/components/schemas/ErrorObject"}
    silent = [f"{method} {path}" for path, item in document["paths"].items() for method in item
              if f"{method} {path} 503" not in errors]  # fmt: skip
    assert silent == ["get /health"], "the database may be away from everything else"
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
