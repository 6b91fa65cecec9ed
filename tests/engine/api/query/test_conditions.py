"""Filters on rows of real databases."""

from __future__ import annotations

import asyncio
import operator as operator_module
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flexml.engine.api.query.conditions import compile_filter
from flexml.engine.api.query.fields import BOOLEAN, FLAGS, INTEGER, OBJECT, SECONDS, SID, TEXT, TIME, Field
from flexml.engine.api.query.grammar import FilterError
from flexml.engine.db import Database
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from ....conftest import NewDatabase

Find = Callable[[str], list[int]]

TABLE = sa.Table(
    "thing",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sid", sa.String),
    sa.Column("name", sa.String),
    sa.Column("size", sa.Integer),
    sa.Column("flags", sa.Integer),
    sa.Column("on", sa.Boolean),
    sa.Column("at", sa.Double),
    sa.Column("left", sa.Double),
    sa.Column("more", sa.JSON),
)
KINDS = {"sid": SID, "name": TEXT, "size": INTEGER, "flags": FLAGS, "on": BOOLEAN, "at": TIME, "left": SECONDS}
KINDS["more"] = OBJECT
FIELDS = {name: Field(name=name, kind=kind, column=TABLE.c[name]) for name, kind in KINDS.items()}
ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "Account A", "size": 5, "flags": 3, "on": True, "at": 1539723558.0945, "left": 9.6,
     "more": {"cnam": "Desk", "X-Y": "1", "n": 7}},
    {"id": 2, "name": "account b", "size": 10, "flags": 4, "on": False, "at": 1539723558.095, "left": 10.4, "more": {}},
    {"id": 3, "name": None, "size": None, "flags": 7, "on": True, "at": None, "left": None, "more": None},
    {"id": 4, "name": r"100%_[*]?\'", "size": -1, "flags": 0, "on": True, "at": 0.0, "left": 0.0,
     "more": {"a": "b", "who": "MÜLLER Žo 1é"}},
]  # fmt: skip


for row in ROWS:  # the name within an object too
    row["sid"] = f"a{row['id']}-b"
    if row["name"] is not None:
        row["more"]["name"] = row["name"]


async def fill(database: Database) -> None:
    await database.start()
    async with database.begin() as connection:
        await connection.run_sync(TABLE.create)
        await connection.execute(sa.insert(TABLE), ROWS)


async def search(database: Database, text: str) -> list[int]:
    query = sa.select(TABLE.c.id).where(*compile_filter(text, FIELDS)).order_by(TABLE.c.id)
    async with database.begin() as connection:
        return list((await connection.execute(query)).scalars())


@pytest.fixture(scope="module")
def find(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Find]:
    database = Database(new_database(tmp_path_factory.mktemp("filters")))
    with asyncio.Runner() as runner:
        runner.run(fill(database))
        yield lambda text: runner.run(search(database, text))
        runner.run(database.close())


FOUND = {
    "": [1, 2, 3, 4],
    'name eq "Account A"': [1],
    'name ne "Account A"': [2, 3, 4],
    'name like "Account%"': [1],
    'name like "%ount _"': [1, 2],
    'name ilike "AccOUnt%"': [1, 2],
    'name ilike "%OUNT _"': [1, 2],
    'name ilike "_CCOUNT A"': [1],
    'name ilike "%É%"': [],
    'more.who ilike "müller žO _É"': [4],
    'more.who ilike "m%Ž%"': [4],
    'more.who ilike "müller__o 1é"': [4],
    'more.n ilike "%é"': [],
    'more.who like "Mü%"': [],
    'more.cnam ilike "dESK"': [1],
    'more.cnam ilike "%eS%"': [1],
    'sid ilike "A2-B"': [2],
    'sid ilike "A%"': [1, 2, 3, 4],
    'sid ilike "%3-B"': [3],
    'sid like "%3-B"': [],
    'sid ge "a2-b"': [2, 3, 4],
    'sid in ("A1-b", "a2-b")': [2],
    r"name like '%[*]?\%'": [4],
    r"name ilike '%\%'": [4],
    'name like "*"': [],
    'name in ("Account A", "account b")': [1, 2],
    'name notin ("Account A")': [2, 3, 4],
    'name gt "B"': [2],
    'name lt "_"': [1, 4],
    "name eq null": [3],
    "name ne null": [1, 2, 4],
    'name eq "null"': [],
    "size ge 5": [1, 2],
    "size gt 5": [2],
    "size le 5": [1, 4],
    "size lt 5": [4],
    "size eq -1": [4],
    "size in (5,10)": [1, 2],
    "size lt 999999999999999": [1, 2, 4],
    "size in (5, -999999999999999)": [1],
    "flags bit 3": [1, 3],
    "flags bit 4": [2, 3],
    "flags bit 7": [3],
    "flags bit 999999999999999": [],
    "on eq false": [2],
    "on in (true)": [1, 3, 4],
    "at eq 2018-10-16T20:59:18.094Z": [1],
    "at ne 2018-10-16T20:59:18.094Z": [2, 3, 4],
    "at gt 2018-10-16T20:59:18.094Z": [2],
    "at ge 2018-10-16T20:59:18.094Z": [1, 2],
    "at le 2018-10-16T20:59:18.094Z": [1, 4],
    "at lt 2018-10-16T20:59:18.094Z": [4],
    "at eq 1970-01-01": [4],
    "at gt 2018-10-16T22:59:18.094+02:00": [2],
    "at in (1970-01-01, 2018-10-16T20:59:18.095Z)": [2, 4],
    "left eq 10": [1, 2],
    "left gt 9": [1, 2],
    "left lt 10": [4],
    "left notin (10)": [3, 4],
    "more.cnam eq Desk": [1],
    "more.X-Y eq 1": [1],
    "more.n eq 7": [1],
    "more.cnam gt a": [],
    "more.cnam lt a": [1],
    "more.cnam ne Desk": [2, 3, 4],
    'more.cnam like "D%" and size ge 5': [1],
    "size ge 5 and size lt 10 and name ne null": [1],
}


@pytest.mark.parametrize("text", FOUND, ids=repr)
def test_what_a_filter_finds(find: Find, text: str) -> None:
    assert find(text) == FOUND[text]


WRONG = {
    "nothing eq 1": f"unknown field 'nothing' (there are {', '.join(FIELDS)}) at character 1",
    "name.part eq 1": f"unknown field 'name.part' (there are {', '.join(FIELDS)}) at character 1",
    "size eq 1 and nothing eq 1": f"unknown field 'nothing' (there are {', '.join(FIELDS)}) at character 15",
    "size like 1": "size does not take like; it takes eq, ge, gt, in, le, lt, ne, notin at character 6",
    "name bit 1": "name does not take bit; it takes eq, ge, gt, ilike, in, le, like, lt, ne, notin at character 6",
    "more eq 1": "more does not take eq; it takes none: its own fields do at character 6",
    "size eq five": "found 'five' for size; expected an integer at character 9",
    "size eq 1_0": "found '1_0' for size; expected an integer at character 9",
    "size in (1, 99999999999999999999)": "found '99999999999999999999' for size; expected an integer at character 13",
    "on eq yes": "found 'yes' for on; expected true or false at character 7",
    "at gt soon": "found 'soon' for at; expected a time such as \"2026-01-31T12:00:00.000Z\" at character 7",
    "at in (1970-01-01, null)": (
        "found 'null' for at; expected a time such as \"2026-01-31T12:00:00.000Z\" at character 20"
    ),
    "name eq '\ud800'": "found '\\ud800' for name; expected text at character 9",
    "name eq '\0'": "found '\\x00' for name; expected text at character 9",
}


@pytest.mark.parametrize("text", WRONG, ids=repr)
def test_what_a_filter_may_not_say(text: str) -> None:
    with pytest.raises(FilterError) as raised:
        compile_filter(text, FIELDS)
    assert str(raised.value) == WRONG[text]


NAMES = st.sampled_from([*FIELDS, "more.cnam", "more.x-y", "other"])
OPERATORS = st.sampled_from(["bit", "eq", "ge", "gt", "ilike", "in", "le", "like", "lt", "ne", "notin"])
PLAIN = st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes().map(lambda at: at.isoformat())
VALUES = st.one_of(PLAIN, st.integers().map(str), TIMES, st.sampled_from(["null", "true", "%", "_", "[", "\\"]))


@given(NAMES, OPERATORS, st.lists(VALUES, min_size=1, max_size=3))
@example("at", "ge", ["0001-01-01T00:00:00+14:00"])
@example("at", "le", ["9999-12-31T23:59:59-14:00"])
@example("name", "like", ["\\"])
def test_every_filter_that_compiles_runs(find: Find, name: str, operator: str, values: list[str]) -> None:
    quoted = [f'"{value}"' for value in values]
    text = f"{name} {operator} " + (f"({','.join(quoted)})" if operator in {"in", "notin"} else quoted[0])
    try:
        found = find(text)
    except FilterError:
        return
    assert set(found) <= {1, 2, 3, 4}


WRITTEN = {
    'name like "a%"': "thing.name LIKE ",
    'name ilike "É%"': "thing.name ILIKE ",
    'name ilike "A%"': '(thing.name) COLLATE "C" ILIKE ',
    'name ilike "1a%"': "::VARCHAR ESCAPE '\\' OR thing.name LIKE ",
    'name ilike "%A%"': 'lower((thing.name) COLLATE "C") LIKE ',
    'more.cnam ilike "A%"': 'COLLATE "C") LIKE ',
    "name ne a": "thing.name IS DISTINCT FROM ",
    "flags bit 2": "thing.flags & ",
    "more.cnam eq x": "thing.more ->> ",
    "more.cnam.of eq x": "thing.more #>> ",
}


@pytest.mark.parametrize("text", WRITTEN, ids=repr)
def test_how_a_filter_is_written_for_postgresql(text: str) -> None:
    (clause,) = compile_filter(text, FIELDS)
    assert WRITTEN[text] in str(clause.compile(dialect=postgresql.dialect()))


LETTERS = st.text("ABacount 10%_[*]?'\\é", max_size=8)
TEXT_OPERATORS = ["eq", "ne", "ge", "gt", "le", "lt", "like", "ilike", "in", "notin"]


def matches(name: str, pattern: str, flags: int = 0) -> bool:
    wild = {"%": ".*", "_": "."}
    return bool(re.fullmatch("".join(wild.get(each) or re.escape(each) for each in pattern), name, flags | re.DOTALL))


def holds(name: str | None, operator: str, values: list[str]) -> bool:
    """What an operator means, in plain Python: text is compared by code points, and no value is another than any."""
    if name is None:
        return operator in {"ne", "notin"}
    (first, *_) = values
    meanings: dict[str, Callable[[], bool]] = {
        "eq": lambda: name == first,
        "ne": lambda: name != first,
        "ge": lambda: name >= first,
        "gt": lambda: name > first,
        "le": lambda: name <= first,
        "lt": lambda: name < first,
        "like": lambda: matches(name, first),
        "ilike": lambda: matches(name, first, re.IGNORECASE),
        "in": lambda: name in values,
        "notin": lambda: name not in values,
    }
    return meanings[operator]()


WORDS = st.sampled_from(["Account A", "%c%", "ACC%", "%ount b", "acc_unt b", "100%", "Ac", "%unt A%"])


@given(
    st.sampled_from(["name", "more.name"]),
    st.sampled_from(TEXT_OPERATORS),
    st.lists(LETTERS | WORDS, min_size=1, max_size=3),
)
def test_operators_mean_on_text_what_they_mean_in_python(
    find: Find, field: str, operator: str, values: list[str]
) -> None:
    quoted = [f'"{value}"' for value in values]
    text = f"{field} {operator} " + (f"({','.join(quoted)})" if operator in {"in", "notin"} else quoted[0])
    names: dict[int, Any] = {int(str(row["id"])): row["name"] for row in ROWS}
    assert find(text) == [number for number, name in names.items() if holds(name, operator, values)]


@given(st.sampled_from(["eq", "ne", "ge", "gt", "le", "lt", "in", "notin"]), st.lists(st.integers(-3, 12), min_size=1))
def test_operators_mean_on_numbers_what_they_mean_in_python(find: Find, operator: str, values: list[int]) -> None:
    written = f"({','.join(map(str, values))})" if operator in {"in", "notin"} else str(values[0])
    sizes: dict[int, Any] = {int(str(row["id"])): row["size"] for row in ROWS}

    def means(size: int) -> bool:
        if operator in {"in", "notin"}:
            return (size in values) == (operator == "in")
        return bool(getattr(operator_module, operator)(size, values[0]))

    lacking = operator in {"ne", "notin"}
    assert find(f"size {operator} {written}") == [
        number for number, size in sizes.items() if (lacking if size is None else means(size))
    ]
