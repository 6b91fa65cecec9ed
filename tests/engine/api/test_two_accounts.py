"""What is one account's is nobody else's: every route, asked by the one for what the other has."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ...conftest import NewDatabase
from .served import Served, serving

ORDER = {"calling_did": "15162065319", "called_did": "15162065318", "delay": 1000}
BODIES: dict[str, object] = {"PATCH": {}, "PUT": {}, "POST": {}}


@pytest.fixture(scope="module")
def pair(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(new_database(tmp_path_factory.mktemp("pair"))) as served:
        yield served


def routes(served: Served) -> list[tuple[str, str]]:
    """Every method and path under `/flexml/v1` that the server says it has."""
    paths = served.nobody.get("http:///openapi.json").body["paths"]
    return [
        (method.upper(), path.removeprefix("/flexml/v1"))
        for path, methods in paths.items()
        if path.startswith("/flexml/v1/")
        for method in methods
    ]


def mine(served: Served) -> dict[str, str]:
    """A sid of mine for each collection."""
    call = served.me.ask("POST", "/calls", ORDER)
    assert call.status == 200, call.body
    return {
        "accounts": served.me.get("/accounts").body["items"][0]["account_sid"],
        "calls": call.body["call_sid"],
        "dids": served.me.get("/dids").body["items"][0]["did_sid"],
    }


def test_no_route_shows_changes_or_ends_what_is_anothers(pair: Served) -> None:
    sids = mine(pair)
    before = {name: pair.me.get(f"/{name}/{sid}").body for name, sid in sids.items()}
    asked = 0
    for method, path in routes(pair):
        collection = path.split("/")[1]
        if "{sid}" not in path:
            continue
        theirs = path.replace("{sid}", sids[collection])
        nothing = path.replace("{sid}", "2f367eb5-adc6-4413-b603-533e2a8f0804")
        found, absent = (pair.other.ask(method, one, BODIES.get(method)) for one in (theirs, nothing))
        assert found.status == 404, (method, path)
        assert (found.status, found.body) == (absent.status, absent.body), "nobody can tell that it is there"
        asked += 1
    assert asked >= 12
    assert {name: pair.me.get(f"/{name}/{sid}").body for name, sid in sids.items()} == before


def test_no_list_shows_what_is_anothers(pair: Served) -> None:
    sids = mine(pair)
    me = sids["accounts"]
    listed = 0
    for method, path in routes(pair):
        if method != "GET" or "{" in path:
            continue
        collection = path[1:]
        own = {"accounts": "account_sid", "calls": "call_sid", "dids": "did_sid"}[collection]
        for query in ({}, {"filter": f"{own} eq {sids[collection]}"}, {"filter": f"account_sid eq {me}"}):
            for state in ("scheduled", "live", "ended", "all") if collection == "calls" else ("",):
                body = pair.other.get(path, **query, **({"state": state} if state else {}), limit=1000).body
                assert sids[collection] not in [item[own] for item in body["items"]]
                assert not query or body["items"] == []
                listed += 1
    assert listed >= 9


def test_neither_pages_nor_orders_reach_what_is_anothers(pair: Served) -> None:
    sids = mine(pair)
    for name in ("after", "before"):
        assert pair.other.get("/calls", state="all", **{name: sids["calls"]}).status == 400
        nothing = {name: "2f367eb5-adc6-4413-b603-533e2a8f0804"}
        assert pair.other.get("/calls", state="all", **nothing).body == (
            pair.other.get("/calls", state="all", **{name: sids["calls"]}).body
        )
    placed = pair.other.ask("POST", "/calls", ORDER)
    assert (placed.status, placed.body["errors"][0]["field"]) == (422, "calling_did")


def test_errors_name_nothing_that_is_secret(pair: Served) -> None:
    text = str(pair.other.get(f"/dids/{mine(pair)['dids']}").body)
    assert re.search(r"1516|flexml_user|[0-9a-f]{8}-", text) is None


# ---- with tokens ------------------------------------------------------------------------------------------------


def core_routes(served: Served) -> list[tuple[str, str]]:
    """Every method and path of endpoints and numbers on the provisioning side."""
    paths = served.nobody.get("http:///openapi.json").body["paths"]
    return [
        (method.upper(), path.removeprefix("/core/v2"))
        for path, methods in paths.items()
        if path.startswith(("/core/v2/endpoints", "/core/v2/dids"))
        for method in methods
    ]


def core_sids(served: Served) -> dict[str, str]:
    sids = mine(served)
    return {"endpoints": sids["accounts"], "dids": sids["dids"]}


def test_no_route_shows_a_token_what_is_anothers_nor_lets_it_change_that(pair: Served) -> None:
    sids, (_, provider), (_, other) = core_sids(pair), pair.token("all"), pair.token("theirs", of="other")
    before = {name: provider.get(f"/{name}/{sid}").body for name, sid in sids.items()}
    bodies: dict[str, dict[str, object]] = {
        "endpoints": {"name": "stolen"},
        "dids": {"endpoint_sid": sids["endpoints"], "url": "http://stolen.example/"},
    }
    asked = 0
    for method, path in core_routes(pair):
        collection = path.split("/")[1]
        if "{sid}" not in path:
            continue
        body = bodies[collection] if method in {"PATCH", "PUT"} else None
        nothing = path.replace("{sid}", "2f367eb5-adc6-4413-b603-533e2a8f0804")
        found, absent = (other.ask(method, one, body) for one in (path.replace("{sid}", sids[collection]), nothing))
        assert found.status == (403 if method == "DELETE" else 404), (method, path)
        assert (found.status, found.body) == (absent.status, absent.body), "nobody can tell that it is there"
        asked += 1
    assert asked == 8
    assert {name: provider.get(f"/{name}/{sid}").body for name, sid in sids.items()} == before


def test_no_list_shows_a_token_what_is_anothers(pair: Served) -> None:
    sids, (_, other) = core_sids(pair), pair.token("theirs", of="other")
    for collection, own in (("endpoints", "endpoint_sid"), ("dids", "did_sid")):
        for query in ({}, {"filter": f"{own} eq {sids[collection]}"}, {"filter": f"endpoint_sid ne {sids['dids']}"}):
            body = other.get(f"/{collection}", **query, limit=1000).body
            assert sids[collection] not in [item[own] for item in body["items"]]
            assert body["total"] == len(body["items"])
    logins = [one["properties"]["login"] for one in other.get("/endpoints").body["items"]]
    assert logins == ["other"]
    assert other.get("/endpoints", filter="properties.login eq flexml_user_123").body["total"] == 0


def test_a_number_that_is_anothers_is_not_told_from_one_that_is_nobodys(pair: Served) -> None:
    sid, (token, other) = core_sids(pair)["endpoints"], pair.token("theirs", of="other")
    wanted = [{"phonenumber": number, "endpoint_sid": owner} for number in ("15162065319", "15162060000")
              for owner in (token.account, sid)]  # fmt: skip
    replies = [other.ask("POST", "/dids", body) for body in wanted]
    assert {(reply.status, str(reply.body)) for reply in replies} == {(403, str(replies[0].body))}
