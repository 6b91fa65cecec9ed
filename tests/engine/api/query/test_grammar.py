"""The form of filters: what is read, and where it says that it cannot read on."""

from __future__ import annotations

import re

import pytest
from flexml.engine.api.query.grammar import MOST, FilterError, parse_filter
from hypothesis import example, given
from hypothesis import strategies as st

READ = {
    "type eq conference": [("type", "eq", ["conference"])],
    'state eq "NY" and phonenumber like "%555%"': [("state", "eq", ["NY"]), ("phonenumber", "like", ["%555%"])],
    "name eq 'filter value name'": [("name", "eq", ["filter value name"])],
    """name eq "it's" and name ne 'say "x"'""": [("name", "eq", ["it's"]), ("name", "ne", ['say "x"'])],
    'status in ("active", "suspended")': [("status", "in", ["active", "suspended"])],
    "status notin(a,'b' ,  c)": [("status", "notin", ["a", "b", "c"])],
    "trunks.allow_transfer eq false": [("trunks.allow_transfer", "eq", ["false"])],
    "attributes.sip_header_X-Queue eq gold": [("attributes.sip_header_X-Queue", "eq", ["gold"])],
    "capabilities bit 7": [("capabilities", "bit", ["7"])],
    "  a   ge\t1  and b\nlt 2 ": [("a", "ge", ["1"]), ("b", "lt", ["2"])],
    "and eq and and in ne or": [("and", "eq", ["and"]), ("in", "ne", ["or"])],
    "url eq http://a/?b=c&d='e'": [("url", "eq", ["http://a/?b=c&d='e'"])],
    "name eq ''": [("name", "eq", [""])],
    "": [],
    "   ": [],
}


@pytest.mark.parametrize("text", READ, ids=repr)
def test_a_filter_is_read(text: str) -> None:
    found = [(c.field.text, c.operator.text, [word.text for word in c.values]) for c in parse_filter(text)]
    assert found == READ[text]


OPERATOR = "an operator (bit, eq, ge, gt, ilike, in, le, like, lt, ne or notin)"
WRONG = {
    "name": "found the end; expected " + OPERATOR + " at character 5",
    "name foo b": "found 'foo'; expected " + OPERATOR + " at character 6",
    "name EQ b": "found 'EQ'; expected " + OPERATOR + " at character 6",
    "name eqb": "found 'eqb'; expected " + OPERATOR + " at character 6",
    "name eq": "found the end; expected a value at character 8",
    "name eq a b": "found 'b'; expected 'and' or the end at character 11",
    "name eq a or b eq c": "found 'or'; expected 'and' or the end at character 11",
    "name eq a AND b eq c": "found 'AND'; expected 'and' or the end at character 11",
    'name eq "a': "found '\"a'; expected a value at character 9",
    "name in a": "found 'a'; expected '(' at character 9",
    "name eq (a)": "found '(a)'; expected a value at character 9",
    "name in ()": "found ')'; expected a value at character 10",
    "name in (a": "found the end; expected ')' or ',' at character 11",
    "name in (a b)": "found 'b)'; expected ')' or ',' at character 12",
    "a eq b and": "found the end; expected a field at character 11",
    "a..b eq c": "found '..b'; expected " + OPERATOR + " at character 2",
    "9 eq 9": "found '9'; expected a field at character 1",
    "a" * (MOST + 1): f"longer than {MOST} characters; expected the end at character {MOST + 1}",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: repr(text[:20]))
def test_what_is_no_filter_is_pointed_at(text: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter(text)
    assert str(raised.value) == WRONG[text]


PIECES = st.sampled_from(
    ["name", "a.b", "eq", "in", "notin", "like", "and", "(", ")", ",", "'", '"', "x", " ", "9", "."]
)


@given(st.text() | st.lists(PIECES).map(" ".join) | st.lists(PIECES).map("".join))
@example("\0")
@example("a eq \ud800")
def test_nothing_makes_anything_but_a_result_or_a_position(text: str) -> None:
    try:
        conditions = parse_filter(text)
    except FilterError as error:
        found = re.search(r"at character (\d+)$", str(error))
        assert found is not None
        assert 1 <= int(found[1]) <= len(text) + 1
    else:
        for condition in conditions:
            at = condition.field.position - 1
            assert text[at:].startswith(condition.field.text), "positions are those of the text"
