"""Digest authentication of who calls."""

from __future__ import annotations

import re

import pytest
from flexml.engine.sip.digest import Challenger, Credentials, read_credentials, response

# RFC 7616 section 3.9.1, the example with MD5.
RFC_EXAMPLE = {
    "username": "Mufasa",
    "realm": "http-auth@example.org",
    "uri": "/dir/index.html",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "nc": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "qop": "auth",
}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def nonce_of(challenge: str) -> str:
    found = re.search(r'nonce="([^"]+)"', challenge)
    assert found is not None
    return found[1]


def credentials(nonce: str, *, password: str = "secret", uri: str = "sip:100@h", **changes: str) -> Credentials:
    told = {"username": "u", "realm": "flexml", "uri": uri, "nonce": nonce, "nc": "00000001", "cnonce": "c"}
    told |= {"qop": "auth", "algorithm": "MD5"} | changes
    return Credentials(parameters=told | {"response": response(told, method="INVITE", password=password)})


def judge(challenger: Challenger, given: Credentials) -> str:
    return challenger.judge(given, method="INVITE", request_uri="sip:100@engine", password="secret")


def test_the_response_is_that_of_the_standard() -> None:
    answer = response(RFC_EXAMPLE, method="GET", password="Circle of Life")
    assert answer == "8ca523f5e9506fed4657c9700eebdbec"


def test_the_right_password_is_right_once_for_each_nonce() -> None:
    challenger = Challenger(b"key", Clock())
    given = credentials(nonce_of(challenger.challenge()))
    assert judge(challenger, given) == "right"
    assert judge(challenger, given) == "stale"


def test_a_nonce_past_its_time_is_stale_and_the_challenge_says_so() -> None:
    clock = Clock()
    challenger = Challenger(b"key", clock)
    given = credentials(nonce_of(challenger.challenge()))
    clock.now += 61
    assert judge(challenger, given) == "stale"
    assert "stale=true" in challenger.challenge(stale=True)
    assert "stale" not in challenger.challenge()


NONCES = ["", "x", "1000000-", "1000000-00", "99999999999999999999-1", "\u0665-1"]


@pytest.mark.parametrize("nonce", NONCES)
def test_a_nonce_that_is_not_ours_is_stale(nonce: str) -> None:
    assert judge(Challenger(b"key", Clock()), credentials(nonce)) == "stale"
    foreign = Challenger(b"other", Clock()).challenge()
    assert judge(Challenger(b"key", Clock()), credentials(nonce_of(foreign))) == "stale"


CHANGES: list[dict[str, str]] = [
    {"password": "wrong"},
    {"uri": "sip:200@h"},
    {"uri": ""},
    {"qop": ""},
    {"qop": "auth-int"},
    {"algorithm": "SHA-256"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_anything_else_is_wrong(changes: dict[str, str]) -> None:
    challenger = Challenger(b"key", Clock())
    given = credentials(nonce_of(challenger.challenge()), **changes)
    assert judge(challenger, given) == "wrong"


@pytest.mark.parametrize("uri", ["sip:100@elsewhere:5070", "sip:elsewhere"])
def test_the_host_may_differ_as_proxies_change_it(uri: str) -> None:
    challenger = Challenger(b"key", Clock())
    assert judge(challenger, credentials(nonce_of(challenger.challenge()), uri=uri)) == "right"


def test_a_missing_or_altered_response_is_wrong() -> None:
    challenger = Challenger(b"key", Clock())
    given = credentials(nonce_of(challenger.challenge()))
    for answer in ("", "0" * 32, "é"):
        altered = Credentials(parameters={**given.parameters, "response": answer})
        assert judge(challenger, altered) == "wrong"
    assert judge(challenger, Credentials(parameters={})) == "wrong"


OURS = 'Digest username="u", realm="flexml"'
HEADERS = [
    ([("Authorization", 'Digest username="a\\"b", realm="flexml",nc=00000001')], 'a"b'),
    ([("authorization", 'DIGEST realm = "flexml" , username=u')], "u"),
    ([("Authorization", 'Digest realm="other", username="x"'), ("Authorization", OURS)], "u"),
    ([("Authorization", 'Basic realm="flexml", username="u"')], None),
    ([("Proxy-Authorization", OURS)], None),
    ([("Authorization", "Digest")], None),
    ([("Authorization", "")], None),
    ([], None),
]


@pytest.mark.parametrize(("headers", "username"), HEADERS)
def test_credentials_are_read_from_the_header_for_our_realm(
    headers: list[tuple[str, str]], username: str | None
) -> None:
    found = read_credentials(headers)
    assert (found.username if found else None) == username


@pytest.mark.parametrize("name", ["username", "uri", "nonce", "cnonce", "nc", "response"])
def test_octets_that_are_no_utf_8_prove_nothing(name: str) -> None:
    challenger = Challenger(b"key", Clock())
    given = credentials(nonce_of(challenger.challenge()))
    assert judge(challenger, Credentials(parameters={**given.parameters, name: "\udce9\udcff"})) == "wrong"


def test_octets_that_are_no_utf_8_are_hashed_as_they_came() -> None:
    challenger = Challenger(b"key", Clock())
    given = credentials(nonce_of(challenger.challenge()), username="j\udcfcrgen")
    assert judge(challenger, given) == "right"
    assert judge(challenger, credentials("\udce9")) == "stale"


def test_what_is_long_and_no_parameter_is_looked_through_once() -> None:
    assert read_credentials([("Authorization", "Digest " + "a" * (1 << 20))]) is None
