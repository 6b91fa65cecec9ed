"""Accounts, numbers and calls as an application sees and changes them."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from .served import NOW, Client, Reply, Served

ORDER = {"calling_did": "15162065319", "called_did": "15162065318"}
NO_JSON = {"body": {"message": "cannot parse json. Check json for validity", "errors": None}, "status": 400}


def faults(reply: Reply) -> dict[str, str]:
    """What is wrong with which field, of a 422."""
    assert (reply.status, reply.body["message"]) == (422, "object validation error")
    return {one["field"]: one["message"] for one in reply.body["errors"]}


def did_of(client: Client) -> dict[str, Any]:
    return client.get("/dids").body["items"][0]


def account_of(client: Client) -> dict[str, Any]:
    return client.get("/accounts").body["items"][0]


def schedule(api: Served, **order: object) -> dict[str, Any]:
    reply = api.me.ask("POST", "/calls", {**ORDER, "delay": 1000, **order})
    assert reply.status == 200, reply.body
    return reply.body


# ---- accounts and numbers -------------------------------------------------------------------------------------


def test_an_account_as_the_reference_shows_it(api: Served) -> None:
    account = account_of(api.me)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", account.pop("account_sid"))
    assert account == {
        "date_created": "2027-01-15T08:00:00.000Z",
        "error_handler": "basic",
        "login": "flexml_user_123",
        "method": "POST",
        "name": "John Smith",
        "url": None,
    }


def test_a_changed_account_is_what_calls_go_by_at_once(api: Served) -> None:
    path = "/accounts/" + account_of(api.me)["account_sid"]
    changed = api.me.ask("PATCH", path, {"error_handler": "none", "url": "http://127.0.0.1:9/new page"})
    assert changed.status == 200
    assert changed.body == {**account_of(api.me), "error_handler": "none", "url": "http://127.0.0.1:9/new%20page"}
    route = api.directory.route("15162065319")
    assert route is not None
    assert (route.account.error_handler, route.account.name) == ("none", "John Smith")
    assert route.account == api.directory.of_login("flexml_user_123")
    assert route.account.caller_ids == ("15162065300",)
    replaced = api.me.ask("PUT", path, {"name": "Jane"})
    expected = {**changed.body, "name": "Jane", "error_handler": "basic", "url": None}
    assert replaced.body == expected
    assert api.me.ask("PATCH", path, {}).body == expected
    api.me.ask("PATCH", path, {"name": "John Smith"})


def test_a_changed_number_is_what_calls_go_by_at_once(api: Served) -> None:
    did = did_of(api.me)
    path = "/dids/" + did["did_sid"].replace("-", "").upper()
    changed = api.me.ask("PATCH", path, {"method": "GET", "status_callback_url": "https://a.example/told"})
    assert changed.body == {**did, "method": "GET", "status_callback_url": "https://a.example/told"}
    route = api.directory.route("15162065319")
    assert route is not None
    assert (route.method, route.did.status_callback_url) == ("GET", "https://a.example/told")
    assert api.me.ask("PATCH", path, {"status_callback_url": None}).body["status_callback_url"] is None
    replaced = api.me.ask("PUT", path, {"url": did["url"]})
    assert replaced.body == did


def test_what_is_read_only_unknown_or_wrong_is_named(api: Served) -> None:
    sent = {
        "account_sid": "x", "login": "x", "password": "x", "method": "PUT", "url": "ftp://a/", "error_handler": None,
    }  # fmt: skip
    assert faults(api.me.ask("PATCH", "/accounts/" + account_of(api.me)["account_sid"], sent)) == {
        "account_sid": "read only",
        "login": "read only",
        "password": "unknown field",
        "method": "found 'PUT'; expected 'POST' or 'GET'",
        "url": "expected an absolute http or https URL",
        "error_handler": "found null; expected 'basic' or 'none'",
    }
    found = faults(api.me.ask("PUT", "/dids/" + did_of(api.me)["did_sid"], {"phonenumber": "1", "nested": {}}))
    assert found == {"phonenumber": "read only", "nested": "unknown field"}


# ---- bodies ---------------------------------------------------------------------------------------------------

BODIES: dict[str, tuple[bytes, int, object]] = {
    "no JSON": (b"{", 400, NO_JSON),
    "empty": (b"", 400, NO_JSON),
    "not a number": (b'{"name": NaN}', 400, NO_JSON),
    "too large a number": (b'{"name": 1e999}', 400, NO_JSON),
    "deep": (b"[" * 60000, 400, NO_JSON),
    "not UTF-8": (b'{"name": "\xff"}', 400, NO_JSON),
    "a list": (b"[]", 400, "no json object could be decoded"),
    "too long": (b" " * 70000, 413, "body longer than 65536 octets"),
    "half a character": (b'{"name": "\\ud800"}', 422, "object validation error"),
    "half a character in a name": (b'{"\\ud800": 1}', 422, "object validation error"),
    "U+0000": (b'{"name": "a\\u0000"}', 422, "object validation error"),
    "nested deep": (b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}", 422, "object validation error"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_cannot_be_taken(api: Served, name: str) -> None:
    body, status, expected = BODIES[name]
    reply = api.me.ask(
        "PATCH", "/accounts/" + account_of(api.me)["account_sid"], body, headers={"Content-Type": "application/json"}
    )
    assert (reply.status, reply.body if isinstance(expected, dict) else reply.body["message"]) == (status, expected)


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/merge-patch+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_media_types(api: Served, media_type: str, status: int) -> None:
    path = "/accounts/" + account_of(api.me)["account_sid"]
    assert api.me.ask("PATCH", path, b"{}", headers={"Content-Type": media_type}).status == status


# ---- who asks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", [None, "", "flexml_user_123:wrong", "nobody:x", "flexml_user_123"])
def test_nobody_known_gets_401_before_anything_else(api: Served, login: str | None) -> None:
    client = Client(api.address, login)
    for method, path, body in (("GET", "/dids?limit=x", None), ("POST", "/calls", b"{"), ("DELETE", "/calls/x", None)):
        reply = client.ask(method, path, body)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Basic realm="flexml", charset="UTF-8"')
        message = "authentication required"
        assert reply.body["errors"] == [{"field": "cause", "message": message, "reference_sid": None}]


def test_credentials_stand_behind_any_number_of_spaces(api: Served) -> None:
    given = base64.b64encode(b"flexml_user_123:qwerty123").decode()
    for header, status in ((f"basic   {given}", 200), (f"Basic {given} ", 200), (f"Basic{given}", 401)):
        assert api.nobody.ask("GET", "/dids", headers={"Authorization": header}).status == status


@pytest.mark.parametrize("path", ["/dids/x", "/calls/2f367eb5-adc6-4413-b603-533e2a8f0804", "/accounts/-", "/nothing"])
def test_what_is_not_there_is_404_in_the_form_of_the_reference(api: Served, path: str) -> None:
    reply = api.me.get(path)
    assert reply.status == 404
    assert reply.body.keys() == {"message", "errors"}
    assert reply.body["errors"][0].keys() == {"field", "message", "reference_sid"}


def test_other_origins_may_ask(api: Served) -> None:
    asked = {"Origin": "http://a.example", "Access-Control-Request-Method": "PATCH",
             "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
    reply = api.nobody.ask("OPTIONS", "/dids", headers=asked)
    assert reply.status == 200
    assert "PATCH" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == "authorization,content-type"


# ---- calls ----------------------------------------------------------------------------------------------------


def test_a_scheduled_call_as_the_reference_shows_it(api: Served) -> None:
    call = schedule(api, delay=9993.4, attributes={"cnam": "Desk"})
    assert api.me.get(f"/calls/{call['call_sid']}").body == call
    assert call == {
        "account_sid": account_of(api.me)["account_sid"],
        "attributes": {"cnam": "Desk"},
        "call_sid": call["call_sid"],
        "called_did": "15162065318",
        "calling_did": "15162065319",
        "date_created": "2027-01-15T08:00:00.000Z",
        "delay": 9993,
        "method": "POST",
        "status_callback_method": "POST",
        "status_callback_url": None,
        "url": None,
    }


def test_what_is_left_of_the_delay(api: Served) -> None:
    path = "/calls/" + schedule(api)["call_sid"]
    api.now = NOW + 84
    assert api.me.get(path).body["delay"] == 916
    assert api.me.ask("PATCH", path, {"delay": 1000}).body["delay"] == 1000
    api.now += 10
    assert api.me.ask("PATCH", path, {"method": "GET"}).body["delay"] == 990
    api.now = NOW


def test_a_scheduled_call_is_changed_and_placed_as_it_was_changed(api: Served) -> None:
    call = schedule(api)
    path = "/calls/" + call["call_sid"]
    sent = {"called_did": "+1 (516) 206-5317", "url": "http://a.example/", "delay": 0.4}
    changed = api.me.ask("PATCH", path, sent)
    assert changed.body == {**call, "called_did": "15162065317", "url": "http://a.example/", "delay": 1}
    (due,) = (one for one in api.do(api.database.claim_due_calls(NOW + 1)) if one.sid == call["call_sid"])
    assert due.order is not None
    assert (due.order["called_did"], due.order["url"]) == ("+1 (516) 206-5317", "http://a.example/")
    refused = api.me.ask("PATCH", path, {"delay": 5})
    assert (refused.status, refused.body["errors"][0]["field"]) == (409, "delay"), "it is live"


def test_records_of_a_nested_object_one_by_one_or_all(api: Served) -> None:
    path = "/calls/" + schedule(api, attributes={"name": "a", "sip_header_X-Q": "gold"})["call_sid"]

    def patch(attributes: dict[str, object], query: str = "") -> object:
        return api.me.ask("PATCH", path + query, {"attributes": attributes}).body["attributes"]

    assert patch({"name": "b"}) == {"name": "b", "sip_header_X-Q": "gold"}
    assert patch({"name2": {"deep": 1}}) == {"name": "b", "sip_header_X-Q": "gold", "name2": {"deep": 1}}
    assert patch({"name": None, "nothing": None}) == {"sip_header_X-Q": "gold", "name2": {"deep": 1}}
    assert patch({"name3": "c"}, "?nested_objects=replace") == {"name3": "c"}
    reply = api.me.ask("PATCH", path + "?nested_objects=merge", {"attributes": {}})
    assert (reply.status, reply.body["errors"][0]["field"]) == (400, "nested_objects")


def test_put_needs_the_whole_call_and_gives_the_rest_its_defaults(api: Served) -> None:
    call = schedule(api, method="GET", attributes={"a": 1}, url="http://a.example/")
    path = "/calls/" + call["call_sid"]
    assert faults(api.me.ask("PUT", path, {"delay": 7})) == {
        "called_did": "Field required",
        "calling_did": "Field required",
    }
    replaced = api.me.ask("PUT", path, {**ORDER, "delay": 7})
    assert replaced.body == {**call, "method": "POST", "attributes": {}, "url": None, "delay": 7}


WRONG_ORDERS: list[tuple[dict[str, object], set[str]]] = [
    ({"called_did": ""}, {"called_did"}),
    ({"called_did": "nobody"}, {"called_did"}),
    ({"calling_did": "15162065399"}, {"calling_did"}),  # the other account's
    ({"delay": -1, "method": "get", "status_callback_url": "a"}, {"delay", "method", "status_callback_url"}),
    ({"delay": 1e12}, {"delay"}),
    ({"attributes": {"sip_header_Q": "1"}}, {"attributes.sip_header_Q"}),
    ({"attributes": []}, {"attributes"}),
    ({"attributes": {"sip_header_X-N": [], "cnam": "a"}}, {"attributes.sip_header_X-N"}),
    ({"attributes": {"sip_header_X-N": True}}, {"attributes.sip_header_X-N"}),
    ({"attributes": {"cnam": {"a": 1}}}, {"attributes.cnam"}),
    ({"delay": True}, {"delay"}),
    ({"delay": "5"}, {"delay"}),
    ({"url": "http://a:b/", "status_callback_url": "http://a:99999/"}, {"url", "status_callback_url"}),
    ({"url": "http://a b/", "status_callback_url": "http://a..b/"}, {"url", "status_callback_url"}),
    *[({"called_did": did}, {"called_did"}) for did in ("sip:", "sip:a@[::1", "sip:a@h:99999", "sip:a b@h", "١٢٣٤")],
    ({"called_did": "sip:a@h?From=sip:b@h"}, {"called_did"}),
    ({"called_did": "sip:a@h\r\nX: y"}, {"called_did"}),
    ({"call_sid": "x", "nothing": 1}, {"call_sid", "nothing"}),
]


@pytest.mark.parametrize(("sent", "fields"), WRONG_ORDERS, ids=str)
def test_orders_that_cannot_be_name_each_field(api: Served, sent: dict[str, object], fields: set[str]) -> None:
    assert faults(api.me.ask("POST", "/calls", {**ORDER, **sent})).keys() == fields
    path = "/calls/" + schedule(api)["call_sid"]
    assert faults(api.me.ask("PATCH", path, sent)).keys() == fields
    assert faults(api.me.ask("PUT", path, {**ORDER, **sent})).keys() == fields


def test_a_sip_uri_is_shown_and_found_as_it_was_ordered(api: Served) -> None:
    uri = "sip:15162065317@127.0.0.1:5090;transport=tcp"
    call = schedule(api, called_did=uri)
    path = "/calls/" + call["call_sid"]
    assert call["called_did"] == uri
    shown = api.me.get("/calls", filter=f'called_did eq "{uri}"').body["items"]
    assert [one["call_sid"] for one in shown] == [call["call_sid"]]
    put = {name: call[name] for name in ("called_did", "calling_did", "delay")}
    assert api.me.ask("PUT", path, put).body == call


def test_changes_at_once_are_all_kept(api: Served) -> None:
    path = "/calls/" + schedule(api)["call_sid"]
    sent = [{"attributes": {f"a{number}": number}} for number in range(12)] + [{"method": "GET"}]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(partial(api.me.ask, "PATCH", path), sent))
    assert {reply.status for reply in replies} == {200}
    found = api.me.get(path).body
    assert (found["attributes"], found["method"]) == ({f"a{number}": number for number in range(12)}, "GET")


def test_a_call_that_is_cancelled_before_it_is_placed_is_told_of_once(api: Served) -> None:
    call = schedule(api, status_callback_url="http://127.0.0.1:9/told")
    path = "/calls/" + call["call_sid"]
    assert api.me.ask("DELETE", path).status == 204
    (told,) = [one for one in api.do(api.database.load_callbacks("pending")) if one.data["CallSid"] == call["call_sid"]]
    assert (told.url, told.data["CallStatus"], told.data["CallDuration"]) == ("http://127.0.0.1:9/told", "cancel", 0)
    steps = api.me.get(f"{path}/timeline").body["items"]
    assert ("call over", {"status": "cancel", "duration_s": 0}) in [(one["what"], one["details"]) for one in steps]


def test_a_call_that_is_just_being_placed_is_cancelled(api: Served) -> None:
    call = schedule(api, delay=0.2)
    (claimed,) = [one for one in api.do(api.database.claim_due_calls(NOW + 1)) if one.sid == call["call_sid"]]
    assert api.me.ask("DELETE", f"/calls/{claimed.sid}").status == 204
    assert not api.do(api.database.begin_placing(claimed.sid))


def test_a_call_that_is_over_stays_as_it_is(api: Served) -> None:
    path = "/calls/" + schedule(api)["call_sid"]
    assert (api.me.ask("DELETE", path).status, api.me.ask("DELETE", path).status) == (204, 404)
    for method in ("PATCH", "PUT"):
        reply = api.me.ask(method, path, {**ORDER, "url": "http://a.example/"})
        assert (reply.status, reply.body["errors"][0]["message"]) == (409, "the call is over")
    assert api.me.get(path, include_fields="state,status").body == {"state": "ended", "status": "cancel"}


def test_nothing_is_changed_where_the_query_is_wrong(api: Served) -> None:
    path = "/calls/" + schedule(api)["call_sid"]
    assert api.me.ask("PATCH", f"{path}?include_fields=nothing", {"delay": 5}).status == 400
    assert api.me.get(path).body["delay"] == 1000


def test_a_url_is_measured_in_octets(api: Served) -> None:
    """What is longer fits into no index of PostgreSQL's."""
    (did, *_) = api.me.get("/dids").body["items"]
    far = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(1000))
    reply = api.me.ask("PATCH", f"/dids/{did['did_sid']}", {"url": f"http://there/{far}"})
    assert (reply.status, [each["message"] for each in reply.body["errors"]]) == (422, ["expected at most 2048 octets"])
