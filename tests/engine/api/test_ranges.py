"""Conditions and ranges by the tables of RFC 9110."""

from __future__ import annotations

import pytest
from flexml.engine.api.ranges import Unsatisfiable, fails, unchanged, wanted_ranges

TAG = '"abc"'
MODIFIED = 1_600_000_000.75
DATE = "Sun, 13 Sep 2020 12:26:40 GMT"
LATER, EARLIER = "Sun, 13 Sep 2020 12:26:41 GMT", "Sun, 13 Sep 2020 12:26:39 GMT"
SIZE = 1000


@pytest.mark.parametrize(
    ("header", "octets"),
    [
        ("bytes=0-0", [range(1)]),
        ("bytes=0-9", [range(10)]),
        ("BYTES = 0-9", [range(10)]),
        ("bytes=990-", [range(990, 1000)]),
        ("bytes=990-99999", [range(990, 1000)]),
        ("bytes=-10", [range(990, 1000)]),
        ("bytes=-5000", [range(1000)]),
        ("bytes=0-9,20-29, -1", [range(10), range(20, 30), range(999, 1000)]),
        ("bytes=20-29,0-9", [range(20, 30), range(10)]),
        ("bytes=5000-,0-9", [range(10)]),  # what can be satisfied is
        ("bytes=,0-9,", [range(10)]),
        # what follows is no range, so all of it comes
        ("", []),
        ("bytes=", []),
        ("bytes=-", []),
        ("bytes=9-5", []),
        ("bytes=0-9,9-5", []),
        ("bytes=a-b", []),
        ("bytes=0-9;q=1", []),
        ("bytes=0x1-9", []),
        ("bytes=1_0-9", []),
        ("bytes=" + "9" * 40 + "-", []),
        ("samples=0-9", []),
        ("0-9", []),
        ("bytes=" + ",".join(["0-0"] * 17), []),
    ],
)
def test_ranges_are_those_that_the_header_names(header: str, octets: list[range]) -> None:
    assert list(wanted_ranges({"range": header}, TAG, MODIFIED, SIZE)) == octets


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=2000-,3000-4000"])
def test_ranges_that_lie_beyond_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        wanted_ranges({"range": header}, TAG, MODIFIED, SIZE)


def test_nothing_of_an_empty_content_can_be_satisfied() -> None:
    with pytest.raises(Unsatisfiable):
        wanted_ranges({"range": "bytes=0-"}, TAG, MODIFIED, 0)


@pytest.mark.parametrize(
    ("if_range", "partly"),
    [(TAG, True), ('"abd"', False), ('W/"abc"', False), (DATE, True), (LATER, False), (EARLIER, False), ("x", False)],
)
def test_a_part_is_sent_only_of_the_content_that_the_client_has(if_range: str, partly: bool) -> None:
    assert bool(wanted_ranges({"range": "bytes=0-9", "if-range": if_range}, TAG, MODIFIED, SIZE)) is partly


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, False),
        ({"if-none-match": TAG}, True),
        ({"if-none-match": 'W/"abc"'}, True),
        ({"if-none-match": '"x", "abc"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": '"xabc"'}, False),
        ({"if-modified-since": DATE}, True),
        ({"if-modified-since": LATER}, True),
        ({"if-modified-since": EARLIER}, False),
        ({"if-modified-since": "yesterday"}, False),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, False),  # the tag decides
    ],
)
def test_a_client_that_has_the_content_is_told_so(headers: dict[str, str], told: bool) -> None:
    assert unchanged(headers, TAG, MODIFIED) is told


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"if-match": TAG}, False),
        ({"if-match": "*"}, False),
        ({"if-match": '"x"'}, True),
        ({"if-match": 'W/"abc"'}, True),
        ({"if-unmodified-since": DATE}, False),
        ({"if-unmodified-since": EARLIER}, True),
        ({"if-unmodified-since": "yesterday"}, False),
    ],
)
def test_a_content_that_has_changed_is_refused(headers: dict[str, str], refused: bool) -> None:
    assert fails(headers, TAG, MODIFIED) is refused
