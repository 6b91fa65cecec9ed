"""Bearer tokens as requests bring them."""

from __future__ import annotations

import pytest

from .served import NOW, Served

MESSAGE = "authentication required"
ERROR = {"message": MESSAGE, "errors": [{"field": "cause", "message": MESSAGE, "reference_sid": None}]}


def test_whoami_says_whose_a_token_is(api: Served) -> None:
    token, provider = api.token("ops")
    assert provider.get("/oauth/whoami").body == {
        "account_sid": None,
        "date_created": "2027-01-15T08:00:00.000Z",
        "date_expires": None,
        "name": "ops",
        "partner_sid": "00000000-0000-0000-0000-000000000000",
        "scope": "provider",
        "token_sid": token.sid,
    }
    token, mine = api.token("mine", of="flexml_user_123", expires=NOW + 60)
    found = mine.get("/oauth/whoami").body
    assert (found["scope"], found["account_sid"]) == ("account", token.account)
    assert found["date_expires"] == "2027-01-15T08:01:00.000Z"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="flexml"'),
        ("Basic Zmxl", 'Bearer realm="flexml"'),
        ("Bearer", 'Bearer realm="flexml", error="invalid_token"'),
        ("Bearer 5ebc03d6-8b2b-44ad-bf65-72d4f1491dda", 'Bearer realm="flexml", error="invalid_token"'),
        ("Bearer \xff", 'Bearer realm="flexml", error="invalid_token"'),
    ],
)
def test_what_is_no_token_is_401(api: Served, header: str | None, challenge: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = api.nobody.ask("GET", "http:///core/v2/oauth/whoami", headers=headers)
    assert (reply.status, reply.headers["www-authenticate"], reply.body) == (401, challenge, ERROR)


def test_the_scheme_is_read_whatever_its_case(api: Served) -> None:
    _, written = api.do(api.tokens.create("case"))
    reply = api.nobody.ask("GET", "http:///core/v2/oauth/whoami", headers={"Authorization": f"bEARER  {written}"})
    assert reply.status == 200


def test_a_token_that_is_revoked_is_of_no_use_any_more(api: Served) -> None:
    token, client = api.token("gone")
    assert client.get("/oauth/whoami").status == 200
    assert api.do(api.tokens.revoke(token.sid))
    assert client.get("/oauth/whoami").status == 401


def test_neither_side_takes_the_credentials_of_the_other(api: Served) -> None:
    _, client = api.token("sides", of="flexml_user_123")
    assert client.get("http:///flexml/v1/dids").status == 401
    assert api.me.get("http:///core/v2/oauth/whoami").status == 401
