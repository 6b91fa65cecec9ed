"""Which trunk takes a call, and whose a call is."""

from __future__ import annotations

import pytest
from flexml.engine.config import Trunk
from flexml.engine.sip.trunks import Trunks, by_tcp, line_of, outgoing, should_fail_over


def trunk(name: str = "t", *prefixes: str, uri: str = "sip:carrier.example", **settings: object) -> Trunk:
    return Trunk(name=name, uri=uri, prefixes=prefixes, **settings)  # pyright: ignore[reportArgumentType]


def names(trunks: Trunks, number: str) -> list[str]:
    return [trunk.name for trunk in trunks.route(number)]


ROUTES = [
    ("15162065338", ["new york", "america", "second", "any"]),
    ("+15162065338", ["new york", "america", "second", "any"]),
    ("15550001000", ["america", "second", "new york", "any"]),
    ("442071838750", ["london", "any"]),
    ("442171838750", ["any"]),
    ("4930901820", ["germany or france", "any"]),
    ("33140205050", ["germany or france", "any"]),
    ("911", ["any"]),
    ("", ["any"]),
]


@pytest.mark.parametrize(("number", "order"), ROUTES)
def test_the_longest_prefix_goes_first_and_the_file_decides_between_equals(number: str, order: list[str]) -> None:
    trunks = Trunks(
        [
            trunk("any"),
            trunk("america", "1"),
            trunk("second", "1"),
            trunk("london", "44207", "44208"),
            trunk("germany or france", "49", "33"),
            trunk("new york", "1", "1516"),
        ]
    )
    assert names(trunks, number) == order


def test_a_number_that_no_trunk_takes_has_no_route() -> None:
    assert names(Trunks([trunk("america", "1")]), "442071838750") == []


STATUSES = [
    (0, True),
    (200, False),
    (302, False),
    (401, True),
    (403, False),
    (404, False),
    (407, True),
    (408, True),
    (480, False),
    (486, False),
    (487, False),
    (488, False),
    (500, True),
    (503, True),
    (504, True),
    (600, False),
    (603, False),
]


@pytest.mark.parametrize(("status", "goes_on"), STATUSES)
def test_the_next_trunk_is_tried_where_the_trunk_failed_and_not_the_call(status: int, goes_on: bool) -> None:
    assert should_fail_over(status) is goes_on


def test_a_dead_trunk_is_out_of_routing_until_it_lives() -> None:
    trunks = Trunks([trunk("first", options_s=30), trunk("second")])
    assert trunks.set_reachable("first", False)
    assert names(trunks, "1") == ["second"]
    assert not trunks.set_reachable("first", False)
    assert trunks.set_reachable("first", True)
    assert names(trunks, "1") == ["first", "second"]


def test_a_trunk_that_registers_gets_calls_only_while_it_is_registered() -> None:
    trunks = Trunks([trunk("first", register=True, username="me"), trunk("second")])
    assert names(trunks, "1") == ["second"]
    trunks.registered("first", 1300.0)
    assert names(trunks, "1") == ["first", "second"]
    trunks.unregistered("first")
    assert names(trunks, "1") == ["second"]


def test_a_full_trunk_gets_no_more_calls_until_one_is_over() -> None:
    trunks = Trunks([trunk("small", max_calls=2), trunk("large")])
    trunks.take("small", 7)
    trunks.take("small", 8)
    assert names(trunks, "1") == ["large"]
    assert not trunks.has_room("small")
    trunks.release(9)
    assert names(trunks, "1") == ["large"]
    trunks.release(7)
    trunks.release(7)
    assert names(trunks, "1") == ["small", "large"]
    assert trunks.state("small").calls == 1


def test_the_state_tells_what_is_known() -> None:
    trunks = Trunks([trunk("a", register=True, username="me", max_calls=5, options_s=10), trunk("b")])
    trunks.registered("a", 1300.0)
    trunks.take("a", 1)
    trunks.failed("a", "REGISTER: 503 Busy", 1000.0)
    a, b = trunks.states()
    assert (a.name, a.uri, a.register) == ("a", "sip:carrier.example", True)
    assert (a.registered_until, a.reachable) == (1300.0, True)
    assert (a.calls, a.max_calls, a.failure, a.failed) == (1, 5, "REGISTER: 503 Busy", 1000.0)
    assert (b.registered_until, b.reachable, b.calls, b.failure, b.failed) == (None, None, 0, "", None)


SOURCES = [
    ("192.0.2.7:5060", "network"),
    ("192.0.2.8:5060", "network"),
    ("192.0.3.1:5060", ""),
    ("198.51.100.1:40000", "address"),
    ("198.51.100.2:5060", ""),
    ("[2001:db8::1]:5060", "six"),
    ("2001:db8::1:5060", "six"),
    ("::ffff:192.0.2.7:5060", ""),
    ("nonsense", ""),
    ("", ""),
]


@pytest.mark.parametrize(("source", "name"), SOURCES)
def test_a_call_is_recognised_by_where_it_comes_from(source: str, name: str) -> None:
    trunks = Trunks(
        [
            trunk("none"),
            trunk("network", addresses=("192.0.2.0/24",)),
            trunk("address", addresses=("203.0.113.1/32", "198.51.100.1/32")),
            trunk("six", addresses=("2001:db8::/32",)),
        ]
    )
    found = trunks.at_address(source)
    assert (found.name if found else "") == name


def test_a_call_is_recognised_by_its_user_and_no_user_is_nobody() -> None:
    trunks = Trunks([trunk("none"), trunk("user", inbound_username="them", inbound_password="x")])
    found = trunks.of_user("them")
    assert found is not None
    assert found.name == "user"
    assert trunks.of_user("") is None
    assert trunks.of_user("us") is None
    assert trunks.any_digest
    assert not Trunks([trunk("none")]).any_digest


TARGETS = [
    ("sip:carrier.example", "sip:15162065338@carrier.example"),
    ("sip:user@carrier.example:5070", "sip:15162065338@carrier.example:5070"),
    ("sip:carrier.example;transport=tcp", "sip:15162065338@carrier.example;transport=tcp"),
    ("sips:[2001:db8::1]:5061", "sips:15162065338@[2001:db8::1]:5061"),
]


@pytest.mark.parametrize(("uri", "target"), TARGETS)
def test_the_number_takes_the_place_of_the_user_in_the_trunks_uri(uri: str, target: str) -> None:
    assert outgoing(trunk(uri=uri), "15162065338", caller="1", host="h").target == target


CALLERS = [
    ({}, "sip:100@10.0.0.1:5060", ()),
    ({"username": "me"}, "sip:100@carrier.example", ()),
    ({"caller_id": "15550001000"}, "sip:15550001000@10.0.0.1:5060", ()),
    ({"identity": "pai"}, "sip:100@10.0.0.1:5060", (("P-Asserted-Identity", '"Ann" <sip:100@10.0.0.1:5060>'),)),
    (
        {"identity": "rpid", "caller_id": "200"},
        "sip:200@10.0.0.1:5060",
        (("Remote-Party-ID", '"Ann" <sip:200@10.0.0.1:5060>;party=calling;privacy=off;screen=yes'),),
    ),
]


@pytest.mark.parametrize(("settings", "from_uri", "headers"), CALLERS)
def test_the_trunk_says_which_caller_is_shown_and_how(
    settings: dict[str, object], from_uri: str, headers: tuple[tuple[str, str], ...]
) -> None:
    placed = outgoing(trunk(**settings), "15162065338", caller="100", name="Ann", host="10.0.0.1:5060")  # pyright: ignore[reportArgumentType]
    assert (placed.from_uri, placed.display_name, placed.headers) == (from_uri, "Ann", headers)


def test_who_has_no_number_is_anonymous_and_claims_no_identity() -> None:
    placed = outgoing(trunk(username="me", identity="pai"), "15162065338", caller="", host="h")
    assert (placed.from_uri, placed.headers) == ("sip:anonymous@anonymous.invalid", ())


def test_neither_name_nor_number_can_add_to_a_header() -> None:
    line = outgoing(
        trunk(identity="pai"), "1@evil.example;x", caller='1>\r\nX: y"', name='A"\r\nB: c <sip:d@e>\\', host="h"
    )
    assert line.target == "sip:1%40evil.example%3Bx@carrier.example"
    assert line.from_uri == "sip:1%3E%0D%0AX%3A%20y%22@h"
    assert line.headers == (("P-Asserted-Identity", rf'"A\" B: c <sip:d@e>\\" <{line.from_uri}>'),)


IDENTITIES = [
    ({"uri": "sip:c.example", "username": "me"}, "sip:c.example", "sip:me@c.example"),
    ({"uri": "sip:100@c.example:5070", "username": "me"}, "sip:c.example:5070", "sip:100@c.example"),
    ({"uri": "sip:c.example;transport=tcp"}, "sip:c.example;transport=tcp", "sip:flexml@c.example"),
    ({"uri": "sip:c.example", "username": "me@home"}, "sip:c.example", "sip:me%40home@c.example"),
]


@pytest.mark.parametrize(("settings", "uri", "identity"), IDENTITIES)
def test_who_we_are_at_a_trunk_comes_from_its_uri_or_the_username(
    settings: dict[str, object], uri: str, identity: str
) -> None:
    line = line_of(trunk(**settings))  # pyright: ignore[reportArgumentType]
    assert (line.uri, line.identity) == (uri, identity)


def test_only_a_registrar_knows_us_by_a_user() -> None:
    trunks = Trunks([trunk("a", username="4711", register=True), trunk("b", uri="sip:100@c", username="4712")])
    assert [user for user in ("4711", "4712", "100", "") if trunks.known_as(user)] == ["4711"]


def test_a_password_is_not_shown() -> None:
    assert "hush" not in repr(line_of(trunk(password="hush")))


TOO_LONG = [
    ("sip:1@carrier.example", "sip:1@carrier.example;transport=tcp"),
    ("sip:1@[2001:db8::1]:5070;transport=UDP;x=1", "sip:1@[2001:db8::1]:5070;x=1;transport=tcp"),
    ("sip:1@carrier.example;transport=tcp", "sip:1@carrier.example;transport=tcp"),
    ("sip:1@carrier.example;transport=TLS", "sip:1@carrier.example;transport=TLS"),
    ("sips:1@carrier.example", "sips:1@carrier.example"),
]


@pytest.mark.parametrize(("target", "by"), TOO_LONG)
def test_what_is_too_long_for_udp_goes_by_tcp(target: str, by: str) -> None:
    assert by_tcp(target) == by
