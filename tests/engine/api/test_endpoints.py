"""`/core/v2/endpoints`: accounts as the provider makes, changes and removes them."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from .served import API_URL, NOW, Client, Reply, Served

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOBODY = "2f367eb5-adc6-4413-b603-533e2a8f0804"


@pytest.fixture
def provider(api: Served) -> Client:
    return api.token("provider")[1]


def created(provider: Client, **fields: object) -> dict[str, Any]:
    reply = provider.ask("POST", "/endpoints", {"type": "flexml", **fields})
    assert reply.status == 200, reply.body
    return reply.body


def faults(reply: Reply, status: int = 422) -> dict[str, str]:
    assert reply.status == status, reply.body
    return {one["field"]: one["message"] for one in reply.body["errors"]}


def logs_in(api: Served, login: str, password: str) -> bool:
    reply = Client(api.address, f"{login}:{password}").get("/accounts")
    assert reply.status in {200, 401}
    return reply.status == 200


def test_a_new_endpoint_is_an_account_that_logs_in_at_once(api: Served, provider: Client) -> None:
    made = created(provider, name="my_flexml")
    properties = made["properties"]
    assert UUID.fullmatch(made["endpoint_sid"])
    assert UUID.fullmatch(properties["container_sid"])
    assert re.fullmatch(r"flexml_[0-9a-f]{12}", properties["login"])
    assert len(properties["password"]) == 24
    assert made == {
        "addresses": [],
        "attributes": {},
        "capacity": 0,
        "endpoint_sid": made["endpoint_sid"],
        "name": "my_flexml",
        "out_sip_password": None,
        "out_sip_username": None,
        "partner_sid": "00000000-0000-0000-0000-000000000000",
        "properties": {**properties, "account_sid": made["endpoint_sid"], "api_url": API_URL},
        "transformations": [],
        "type": "flexml",
        "voip_token": None,
    }
    account = Client(api.address, f"{properties['login']}:{properties['password']}").get("/accounts").body["items"]
    assert [(one["account_sid"], one["name"], one["date_created"]) for one in account] == [
        (made["endpoint_sid"], "my_flexml", "2027-01-15T08:00:00.000Z")
    ]


def test_the_password_is_shown_only_by_the_request_that_sets_it(api: Served, provider: Client) -> None:
    made = created(provider, name="once")
    path, login = f"/endpoints/{made['endpoint_sid']}", made["properties"]["login"]
    hidden = {**made, "properties": {**made["properties"], "password": None}}
    assert provider.get(path).body == hidden
    listed = provider.get("/endpoints", filter=f"properties.login eq {login}").body
    assert listed["items"] == [hidden]
    assert provider.ask("PATCH", path, {"name": "once"}).body == hidden
    changed = provider.ask("PATCH", path, {"properties": {"password": "another one"}}).body
    assert changed == {**made, "properties": {**made["properties"], "password": "another one"}}
    assert not logs_in(api, login, made["properties"]["password"])
    assert logs_in(api, login, "another one")
    assert provider.ask("PUT", path, {"name": "once"}).body == hidden, "a password has no default to go back to"
    assert logs_in(api, login, "another one")


def test_login_and_password_may_be_given(api: Served, provider: Client) -> None:
    made = created(provider, properties={"login": "chosen", "password": "long enough"})
    assert (made["properties"]["login"], made["properties"]["password"]) == ("chosen", "long enough")
    assert logs_in(api, "chosen", "long enough")
    taken = provider.ask("POST", "/endpoints", {"type": "flexml", "properties": {"login": "chosen"}})
    assert taken.status == 409
    assert taken.body["errors"] == [
        {
            "field": "properties.login",
            "message": "there is an account 'chosen' already",
            "reference_sid": made["endpoint_sid"],
        }
    ]


@pytest.mark.parametrize("kind", ["conference", "mediator", "FlexML", None])
def test_other_types_are_refused_and_the_allowed_one_is_named(provider: Client, kind: str | None) -> None:
    found = "null" if kind is None else repr(kind)
    assert faults(provider.ask("POST", "/endpoints", {"name": "x", "type": kind})) == {
        "type": f"found {found}; expected 'flexml'"
    }


def test_what_is_wrong_with_a_new_endpoint_is_named(provider: Client) -> None:
    sent = {
        "attributes": [], "capacity": 5, "colour": 1, "name": "x" * 256, "endpoint_sid": NOBODY,
        "properties": {"login": "a:b", "password": "short", "api_url": "http://a/"},
    }  # fmt: skip
    assert faults(provider.ask("POST", "/endpoints", sent)) == {
        "attributes": "found []; expected an object",
        "capacity": "read only",
        "colour": "unknown field",
        "endpoint_sid": "read only",
        "name": "String should have at most 255 characters",
        "properties.api_url": "read only or unknown",
        "properties.login": "expected 1 to 255 visible ASCII characters other than a colon",
        "properties.password": "String should have at least 8 characters",
        "type": "Field required",
    }


def test_a_password_that_is_refused_is_not_told_back(provider: Client) -> None:
    sent = {"type": "flexml", "properties": {"login": 5, "password": 12345678}}
    assert faults(provider.ask("POST", "/endpoints", sent)) == {
        "properties.login": "found 5; expected text",
        "properties.password": "expected text",
    }


def test_attributes_are_patched_record_by_record(provider: Client) -> None:
    made = created(provider, attributes={"name": "a", "keep": {"deep": 1}})
    path = f"/endpoints/{made['endpoint_sid']}"

    def patched(attributes: dict[str, object], **query: str) -> object:
        reply = provider.ask("PATCH", path, {"attributes": attributes}, headers=None, **query)
        assert reply.status == 200, reply.body
        assert provider.get(path).body["attributes"] == reply.body["attributes"]
        return reply.body["attributes"]

    assert patched({"name2": "b"}) == {"name": "a", "keep": {"deep": 1}, "name2": "b"}
    assert patched({"name": "c", "keep": None}) == {"name": "c", "name2": "b"}
    assert patched({"name3": "d"}, nested_objects="replace") == {"name3": "d"}
    assert provider.ask("PATCH", path, {"name": "n"}).body["attributes"] == {"name3": "d"}
    assert provider.ask("PUT", path, {}).body["attributes"] == {}
    assert provider.get(path).body["name"] == "", "PUT sets what is missing to its default"
    assert provider.ask("PATCH", f"{path}?nested_objects=all", {}).status == 400


def test_attributes_patched_at_once_are_all_kept(provider: Client) -> None:
    path = f"/endpoints/{created(provider)['endpoint_sid']}"
    sent = [{"attributes": {f"a{number}": number}} for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        assert {reply.status for reply in pool.map(partial(provider.ask, "PATCH", path), sent)} == {200}
    assert provider.get(path).body["attributes"] == {f"a{number}": number for number in range(12)}


def test_attributes_do_not_grow_without_bound(provider: Client) -> None:
    path = f"/endpoints/{created(provider)['endpoint_sid']}"
    assert provider.ask("PATCH", path, {"attributes": {"a": "x" * 40000}}).status == 200
    grown = provider.ask("PATCH", path, {"attributes": {"b": "x" * 40000}})
    assert list(faults(grown)) == ["attributes"]
    assert list(provider.get(path).body["attributes"]) == ["a"]


def test_what_is_read_only_of_an_endpoint_is_named(provider: Client) -> None:
    made = created(provider, name="fixed")
    path = f"/endpoints/{made['endpoint_sid']}"
    sent = {"type": "flexml", "properties": {"login": "x"}, "partner_sid": NOBODY, "name": "changed"}
    for method in ("PATCH", "PUT"):
        assert faults(provider.ask(method, path, sent)) == {
            "type": "read only", "partner_sid": "read only", "properties.login": "read only or unknown",
        }  # fmt: skip
    assert provider.get(path).body["name"] == "fixed"


def test_a_list_is_filtered_ordered_and_shown_in_part(api: Served, provider: Client) -> None:
    for name, colour in (("list-b", "red"), ("list-a", "blue"), ("list-c", "red")):
        created(provider, name=name, attributes={"colour": colour})

    def names(**query: object) -> list[str]:
        reply = provider.get("/endpoints", limit=1000, **query)
        assert reply.status == 200, reply.body
        return [one["name"] for one in reply.body["items"]]

    mine = 'name like "list-%"'
    assert names(filter=mine) == ["list-a", "list-b", "list-c"]
    assert names(filter=mine, order="name desc") == ["list-c", "list-b", "list-a"]
    assert names(filter=f"{mine} and attributes.colour eq red") == ["list-b", "list-c"]
    assert names(filter=f"{mine} and type eq flexml and capacity eq 0") == ["list-a", "list-b", "list-c"]
    assert names(filter="type eq conference") == []
    assert names(filter=f"{mine} and properties.container_sid ne null") == ["list-a", "list-b", "list-c"]
    assert names(filter=f"{mine} and properties.password ne null") == []
    assert names(filter=f"{mine} and addresses.x ne null") == []
    container = created(provider, name="container")["properties"]["container_sid"]
    assert names(filter=f"properties.container_sid eq {container}") == ["container"]
    for every in ("capacity", "type", "partner_sid", "voip_token", "endpoint_sid"):
        assert len(names(order=every)) == len(names())
    part = provider.get("/endpoints", include_fields="name,properties", filter="name eq container").body["items"]
    assert [list(one) for one in part] == [["name", "properties"]]
    without = provider.get("/endpoints", exclude_fields="properties", limit=1).body["items"][0]
    assert "properties" not in without
    assert provider.ask("POST", "/endpoints?exclude_fields=properties", {"type": "flexml"}).body.keys() == {*without}
    for wrong in ("properties.colour eq 1", "properties eq 1", "colour eq 1", "addresses eq 1"):
        assert provider.get("/endpoints", filter=wrong).status == 400
    assert provider.get("/endpoints", order="properties").status == 400
    assert provider.get("/endpoints", include_fields="properties.login").status == 400


def test_pages_of_endpoints_hold_each_one_once(provider: Client) -> None:
    for _ in range(7):
        created(provider, name="page")
    pages = provider.all_pages("/endpoints", limit=3, filter="name eq page")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({one["endpoint_sid"] for page in pages for one in page}) == 7


def test_with_an_endpoint_go_its_login_numbers_and_tokens(api: Served, provider: Client) -> None:
    made = created(provider, properties={"login": "leaving", "password": "long enough"})
    _, own = api.token("own", of="leaving")
    body = {"phonenumber": "15162065377", "endpoint_sid": made["endpoint_sid"], "url": "http://127.0.0.1:9/"}
    did = provider.ask("POST", "/dids", body).body
    me = Client(api.address, "leaving:long enough")
    order = {"calling_did": "15162065377", "called_did": "15162065318", "delay": 1000}
    call = me.ask("POST", "/calls", order).body["call_sid"]
    path = f"/endpoints/{made['endpoint_sid']}"
    assert own.get("/oauth/whoami").status == 200
    reply = provider.ask("DELETE", path)
    assert (reply.status, reply.body) == (204, None)
    api.now += 5
    try:
        assert me.get("/accounts").status == 401
        assert own.get("/oauth/whoami").status == 401
        assert provider.get(f"/dids/{did['did_sid']}").status == 404
        assert api.directory.route("15162065377") is None
        assert provider.get(path).status == provider.ask("DELETE", path).status == 404
        record = api.do(api.database.load_call(call))
        assert record is not None
        assert (record.state, record.status) == ("ended", "cancel")
    finally:
        api.now = NOW


def test_what_the_configuration_names_is_changed_there(api: Served, provider: Client) -> None:
    """The next start would make it again, with another sid, and set its password back."""
    (other,) = provider.get("/endpoints", filter="properties.login eq other").body["items"]
    path = f"/endpoints/{other['endpoint_sid']}"
    message = "the configuration names the account 'other': change it there"
    assert faults(provider.ask("DELETE", path), 409) == {None: message}
    changed = provider.ask("PATCH", path, {"properties": {"password": "long enough"}})
    assert faults(changed, 409) == {"properties.password": message}
    assert logs_in(api, "other", "secret")
    assert provider.ask("PATCH", path, {"attributes": {"any": 1}}).status == 200


def test_an_endpoint_whose_number_the_configuration_names_stays(api: Served, provider: Client) -> None:
    """Without it the engine would not start any more: its configuration would name an account that is not there."""
    made = created(provider, name="holder")
    (did,) = provider.get("/dids", filter="phonenumber eq 15162065399").body["items"]
    assert provider.ask("PATCH", f"/dids/{did['did_sid']}", {"endpoint_sid": made["endpoint_sid"]}).status == 200
    message = "the configuration names the number 15162065399: change it there"
    for path in (f"/endpoints/{made['endpoint_sid']}", f"/dids/{did['did_sid']}"):
        assert faults(provider.ask("DELETE", path), 409) == {None: message}
        assert provider.get(path).status == 200
    provider.ask("PATCH", f"/dids/{did['did_sid']}", {"endpoint_sid": did["endpoint_sid"]})
    assert provider.ask("DELETE", f"/endpoints/{made['endpoint_sid']}").status == 204


# ---- tokens of one account --------------------------------------------------------------------------------------


def test_a_token_of_one_account_sees_and_changes_that_account_only(api: Served, provider: Client) -> None:
    token, mine = api.token("mine", of="flexml_user_123")
    items = mine.get("/endpoints").body["items"]
    assert [one["endpoint_sid"] for one in items] == [token.account]
    assert mine.get("/endpoints", filter="name eq Other").body["total"] == 0
    everybody = {one["endpoint_sid"] for one in provider.get("/endpoints", limit=1000).body["items"]}
    assert len(everybody) >= 2
    for other in (everybody - {token.account}) | {NOBODY}:
        for method, body in (("GET", None), ("PATCH", {"name": "stolen"}), ("PUT", {})):
            reply = mine.ask(method, f"/endpoints/{other}", body)
            assert (reply.status, reply.body["errors"][0]["message"]) == (404, "cannot find endpoint")
    changed = mine.ask("PATCH", f"/endpoints/{token.account}", {"attributes": {"a": 1}})
    assert (changed.status, changed.body["attributes"]) == (200, {"a": 1})


def test_a_token_of_one_account_neither_adds_nor_removes_endpoints(api: Served) -> None:
    token, mine = api.token("mine", of="flexml_user_123")
    message = "permission denied"
    error = {"message": message, "errors": [{"field": "cause", "message": message, "reference_sid": None}]}
    for method, path, body in (
        ("POST", "/endpoints", {"type": "flexml"}),
        ("POST", "/endpoints", b"no JSON"),
        ("DELETE", f"/endpoints/{token.account}", None),
        ("DELETE", f"/endpoints/{NOBODY}", None),
    ):
        reply = mine.ask(method, path, body)
        assert (reply.status, reply.body) == (403, error)


def test_login_is_read_as_basic_has_it(api: Served, provider: Client) -> None:
    """What a login may be is what HTTP Basic can carry."""
    made = created(provider, properties={"login": "!~a@b.c", "password": "pass:wörd"})
    header = "Basic " + base64.b64encode("!~a@b.c:pass:wörd".encode()).decode()
    reply = api.nobody.ask("GET", "/accounts", headers={"Authorization": header})
    assert [one["account_sid"] for one in reply.body["items"]] == [made["endpoint_sid"]]
