"""SIP addresses, telephone numbers and diversions as carriers and softphones send them."""

import pytest
from flexml.engine.sip.address import (
    Address,
    caller_uri,
    diverting_number,
    normalise_number,
    number_of,
    one_line,
    parse_address,
    quoted,
    target_of,
    user_part,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sip:a@b", Address(scheme="sip", user="a", host="b")),
        ("SIP:a@b:5070", Address(scheme="sip", user="a", host="b", port=5070)),
        (
            "<sip:100@192.0.2.1:99;Transport=tcp;lr>;tag=1",
            Address(scheme="sip", user="100", host="192.0.2.1", port=99, params={"transport": "tcp", "lr": ""}),
        ),
        (
            '"A \\"x\\" <b>" <sips:+1@[::1]:5061>',
            Address(scheme="sips", user="+1", host="::1", port=5061, display='A "x" <b>'),
        ),
        ("Bob Smith <sip:bob@h>", Address(scheme="sip", user="bob", host="h", display="Bob Smith")),
        ("sip:100;phone-context=x:secret@h", Address(scheme="sip", user="100", host="h")),
        ("sip:a:password@h?subject=x", Address(scheme="sip", user="a", host="h")),
        ("sip:%41nn@h", Address(scheme="sip", user="Ann", host="h")),
        ("sip:host.example", Address(scheme="sip", user="", host="host.example")),
        ("<tel:+1-516-206-5338;x=y>", Address(scheme="tel", user="+1-516-206-5338", params={"x": "y"})),
        ("", None),
        ("someone", None),
        ("mailto:a@b", None),
        ("sip:", None),
        ("sip:@h", None),
        ("sip:a@", None),
        ("sip:a@h:99999", None),
        ("tel:", None),
        ("<sip:a@b", None),
    ],
)
def test_addresses(text: str, address: Address | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("number", "region", "normal"),
    [
        ("+15162065338", "US", "15162065338"),
        ("15162065338", "US", "15162065338"),
        ("5162065338", "US", "15162065338"),
        ("+1 (516) 206-5338", "US", "15162065338"),
        ("15550001000", "US", "15550001000"),
        ("442079460958", "US", "442079460958"),
        ("011442079460958", "US", "442079460958"),
        ("02079460958", "GB", "442079460958"),
        ("2065338", "US", "2065338"),
        ("911", "US", "911"),
        ("1001", "US", "1001"),
        ("anonymous", "US", "anonymous"),
        ("12345678901234567890", "US", "12345678901234567890"),
        ("+", "US", "+"),
        ("", "US", ""),
        ("١٢٣", "US", "١٢٣"),
    ],
)
def test_numbers_become_e164_where_they_parse(number: str, region: str, normal: str) -> None:
    assert normalise_number(number, region) == normal


@pytest.mark.parametrize(
    ("uri", "user", "number"),
    [
        ("<sip:+15162065338@h;user=phone>", "+15162065338", "15162065338"),
        ("sip:alice@h", "alice", "alice"),
        ("sip:h", "sip:h", "sip:h"),
        ("nonsense", "nonsense", "nonsense"),
    ],
)
def test_the_user_part_is_kept_as_received_beside_the_number(uri: str, user: str, number: str) -> None:
    assert user_part(uri) == user
    assert number_of(uri) == number


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ((), ""),
        ((("X-Diversion", "<sip:+15162065338@h>"),), ""),
        ((("DIVERSION", "<tel:+15162065338>;reason=no-answer;counter=1"),), "15162065338"),
        ((("Diversion", '"Desk, 2" <sip:5162065338@h>;reason=unconditional, <sip:100@h>'),), "15162065338"),
        ((("Diversion", "<sip:front,desk@h>, <sip:100@h>"),), "front,desk"),
        ((("Diversion", "<sip:100@h>"), ("Diversion", "<sip:200@h>")), "100"),
        ((("Diversion", "rubbish"), ("Diversion", "<sip:200@h>")), "200"),
    ],
)
def test_the_topmost_diversion_counts(headers: tuple[tuple[str, str], ...], number: str) -> None:
    assert diverting_number(headers) == number


@given(st.text(alphabet='sip:tel<>@;"\\=,+[]0123456789 %aé\n', max_size=60))
def test_reading_never_raises(text: str) -> None:
    parse_address(text)
    number_of(text)
    diverting_number([("Diversion", text)])


@given(st.text(max_size=40))
def test_a_display_name_is_read_as_it_was_written_and_ends_no_header(name: str) -> None:
    address = parse_address(f"{quoted(name)}<sip:a@b>")
    assert address is not None
    assert address.display == one_line(name)
    assert quoted(name).isprintable()


@pytest.mark.parametrize(
    ("number", "host", "uri"),
    [
        ("15162065338", "192.0.2.1", "sip:15162065338@192.0.2.1"),
        ("100", "::1", "sip:100@[::1]"),
        ("100", "[::1]", "sip:100@[::1]"),
        ("a b", "h:5070", "sip:a%20b@h:5070"),
        ("", "h", "sip:anonymous@anonymous.invalid"),
    ],
)
def test_who_calls(number: str, host: str, uri: str) -> None:
    assert caller_uri(number, host) == uri


@pytest.mark.parametrize("run", [" ", "\t", '"', "\\", "a ", "<"])
def test_what_is_long_and_no_address_is_looked_through_once(run: str) -> None:
    """Else this would take days, and a header of 16,000 octets too long for the calls that are up meanwhile."""
    long = run * (1 << 18)
    assert parse_address(long) is None
    assert parse_address(f"sip:a@b{long}b") is None
    assert target_of(f"sip:a{long}b") == ""
