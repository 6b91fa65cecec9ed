"""`/core/v2/dids`: numbers as the provider gives them to endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from .served import Client, Reply, Served
from .test_endpoints import NOBODY, created, faults

URL = "http://127.0.0.1:9/"


@pytest.fixture
def provider(api: Served) -> Client:
    return api.token("provider")[1]


def sid_of(api: Served, login: str) -> str:
    account = api.directory.of_login(login)
    assert account is not None
    return account.sid


def add(provider: Client, phonenumber: str, endpoint: str, **fields: object) -> dict[str, Any]:
    reply = provider.ask("POST", "/dids", {"phonenumber": phonenumber, "endpoint_sid": endpoint, **fields})
    assert reply.status == 200, reply.body
    return reply.body


def error(reply: Reply) -> dict[str, object]:
    (one,) = reply.body["errors"]
    return one


def test_a_new_number_takes_calls_at_once_and_its_account_sees_it(api: Served, provider: Client) -> None:
    mine = sid_of(api, "flexml_user_123")
    did = add(provider, "+442071838750", mine, url=URL, method="GET")
    assert did == {
        "account_sid": mine,
        "country_code": "GBR",
        "did_sid": did["did_sid"],
        "endpoint_sid": mine,
        "in_country_format": "020 7183 8750",
        "international_format": "+44 20 7183 8750",
        "method": "GET",
        "phonenumber": "442071838750",
        "status_callback_method": "POST",
        "status_callback_url": None,
        "url": URL,
    }
    assert provider.get(f"/dids/{did['did_sid']}").body == did
    route = api.directory.route("+442071838750")
    assert route is not None
    assert (route.account.sid, route.url, route.method) == (mine, URL, "GET")
    shown = api.me.get(f"/dids/{did['did_sid']}").body
    assert shown == {name: value for name, value in did.items() if name != "endpoint_sid"}
    assert api.other.get(f"/dids/{did['did_sid']}").status == 404
    provider.ask("DELETE", f"/dids/{did['did_sid']}")


def test_a_number_that_is_there_is_409_and_the_one_in_the_way_is_named(api: Served, provider: Client) -> None:
    other = sid_of(api, "other")
    did = add(provider, "15162065001", other)
    for written in ("15162065001", "+15162065001"):
        reply = provider.ask("POST", "/dids", {"phonenumber": written, "endpoint_sid": other})
        assert reply.status == 409
        message = "there is a number 15162065001 already"
        assert error(reply) == {"field": "phonenumber", "message": message, "reference_sid": did["did_sid"]}


@pytest.mark.parametrize("written", ["", "12", "1234567890123456", "+", "1-516-206-5319", "abc", "１２３４", "123\n"])
def test_what_is_no_number_is_refused(api: Served, provider: Client, written: str) -> None:
    reply = provider.ask("POST", "/dids", {"phonenumber": written, "endpoint_sid": sid_of(api, "other")})
    assert list(faults(reply)) == ["phonenumber"]


def test_what_is_wrong_with_a_new_number_is_named(api: Served, provider: Client) -> None:
    sent = {"account_sid": NOBODY, "country_code": "USA", "method": "PUT", "url": "ftp://a/", "colour": 1}
    assert faults(provider.ask("POST", "/dids", sent)) == {
        "account_sid": "read only",
        "colour": "unknown field",
        "country_code": "read only",
        "endpoint_sid": "Field required",
        "method": "found 'PUT'; expected 'POST' or 'GET'",
        "phonenumber": "Field required",
        "url": "expected an absolute http or https URL",
    }
    for nowhere in (NOBODY, "x", ""):
        found = faults(provider.ask("POST", "/dids", {"phonenumber": "15162065002", "endpoint_sid": nowhere}))
        assert found == {"endpoint_sid": f"found {nowhere!r}; expected the sid of an endpoint"}
    assert api.directory.route("15162065002") is None


def test_a_number_is_changed_in_part_or_whole(api: Served, provider: Client) -> None:
    mine = sid_of(api, "flexml_user_123")
    did = add(provider, "15162065003", mine, url=URL, method="GET")
    path = f"/dids/{did['did_sid']}"
    patched = provider.ask("PATCH", path, {"status_callback_url": URL})
    assert patched.body == {**did, "status_callback_url": URL}
    assert list(faults(provider.ask("PUT", path, {"method": "GET"}))) == ["endpoint_sid"]
    replaced = provider.ask("PUT", path, {"endpoint_sid": mine, "method": "GET"})
    assert replaced.body == {**did, "url": None}
    assert faults(provider.ask("PATCH", path, {"phonenumber": "15162065004"})) == {"phonenumber": "read only"}
    assert faults(provider.ask("PATCH", path, {"endpoint_sid": None}))["endpoint_sid"]


def test_a_number_moves_to_another_endpoint(api: Served, provider: Client) -> None:
    mine, made = sid_of(api, "flexml_user_123"), created(provider, name="receiver")
    did = add(provider, "15162065005", mine, url=URL)
    path = f"/dids/{did['did_sid']}"
    moved = provider.ask("PATCH", path, {"endpoint_sid": made["endpoint_sid"].replace("-", "").upper()})
    assert (moved.body["endpoint_sid"], moved.body["account_sid"]) == (made["endpoint_sid"],) * 2
    route = api.directory.route("15162065005")
    assert route is not None
    assert (route.account.sid, route.url) == (made["endpoint_sid"], URL)
    assert api.me.get(path).status == 404
    assert faults(provider.ask("PATCH", path, {"endpoint_sid": NOBODY})) == {
        "endpoint_sid": f"found '{NOBODY}'; expected the sid of an endpoint"
    }


def test_a_number_that_is_removed_takes_no_calls_any_more(api: Served, provider: Client) -> None:
    did = add(provider, "15162065006", sid_of(api, "flexml_user_123"), url=URL)
    path = f"/dids/{did['did_sid']}"
    reply = provider.ask("DELETE", path)
    assert (reply.status, reply.body) == (204, None)
    assert api.directory.route("15162065006") is None
    assert provider.get(path).status == provider.ask("DELETE", path).status == 404
    assert add(provider, "15162065006", sid_of(api, "other"))["did_sid"] != did["did_sid"]


def test_a_list_is_of_every_account_or_of_the_tokens(api: Served, provider: Client) -> None:
    made = created(provider, name="lists", properties={"login": "lists"})
    for number in ("4930901820", "15162065007"):
        add(provider, number, made["endpoint_sid"], url=URL)
    mine = f"endpoint_sid eq {made['endpoint_sid']}"
    items = provider.get("/dids", filter=mine, order="phonenumber desc").body["items"]
    assert [one["phonenumber"] for one in items] == ["4930901820", "15162065007"]
    owners = {one["endpoint_sid"] for one in provider.get("/dids", limit=1000).body["items"]}
    assert len(owners) >= 3
    _, own = api.token("own", of="lists")
    assert own.get("/dids").body["items"] == items[::-1]
    german = own.get("/dids", filter="country_code eq DEU", include_fields="endpoint_sid,phonenumber").body
    assert german["items"] == [{"endpoint_sid": made["endpoint_sid"], "phonenumber": "4930901820"}]


# ---- tokens of one account --------------------------------------------------------------------------------------


def test_a_token_of_one_account_says_where_its_calls_go_but_not_whose_numbers_are(
    api: Served, provider: Client
) -> None:
    token, mine = api.token("mine", of="flexml_user_123")
    other = sid_of(api, "other")
    did = add(provider, "15162065008", sid_of(api, "flexml_user_123"), url=URL)
    theirs = add(provider, "15162065009", other, url=URL)
    path = f"/dids/{did['did_sid']}"
    assert mine.ask("PATCH", path, {"url": "http://127.0.0.1:9/2"}).body["url"] == "http://127.0.0.1:9/2"
    assert mine.ask("PUT", path, {"endpoint_sid": token.account, "url": URL}).body == did
    for method, where, body, status in (
        ("PATCH", path, {"endpoint_sid": other}, 403),
        ("PATCH", path, {"endpoint_sid": NOBODY}, 403),
        ("POST", "/dids", {"phonenumber": "15162065010", "endpoint_sid": token.account}, 403),
        ("POST", "/dids", {"phonenumber": "15162065009", "endpoint_sid": token.account}, 403),
        ("DELETE", path, None, 403),
        ("DELETE", f"/dids/{theirs['did_sid']}", None, 403),
        ("DELETE", f"/dids/{NOBODY}", None, 403),
        ("GET", f"/dids/{theirs['did_sid']}", None, 404),
        ("PATCH", f"/dids/{theirs['did_sid']}", {"url": None}, 404),
        ("PUT", f"/dids/{theirs['did_sid']}", {"endpoint_sid": token.account}, 404),
    ):
        assert mine.ask(method, where, body).status == status, (method, where, body)
    assert provider.get(path).body == did
    assert provider.get(f"/dids/{theirs['did_sid']}").body == theirs
