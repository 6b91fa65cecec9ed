"""What `fuzz-filters` runs: libFuzzer's options are those of the command line (atheris).

The first octet of an input chooses what is read; the rest is text. Filters are compiled for SQLite and PostgreSQL, and
have to run on a SQLite table with rows. Only the errors that become a 400 may be raised, those of filters with a
position within the text.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["flexml.engine.api", "lark"]):
    import sqlalchemy as sa
    from flexml.engine.api.call_collection import CALLS
    from flexml.engine.api.collection import chosen
    from flexml.engine.api.dids import DIDS
    from flexml.engine.api.problem import Problem
    from flexml.engine.api.query.conditions import compile_filter
    from flexml.engine.api.query.fields import BOOLEAN, FLAGS, Field
    from flexml.engine.api.query.grammar import FilterError
    from flexml.engine.api.query.paging import Order, read_page

from flexml.engine.tables import metadata
from sqlalchemy.dialects import postgresql

AT: Final = re.compile(r" at character (\d+)\Z")
FIELDS: Final = CALLS.by_name | {
    "flags": Field(name="flags", kind=FLAGS, column=CALLS.table.c.duration_s),
    "on": Field(name="on", kind=BOOLEAN, column=CALLS.table.c.answered.is_not(None)),
}
WORDS: Final = [*FIELDS, "attributes.cnam", "bit", "eq", "ge", "gt", "ilike", "in", "le", "like", "lt", "ne", "notin",
                "and", "null", "true", "2026-01-31T12:00:00.000Z", "asc", "desc", "1000", "-1"]  # fmt: skip
CONNECTION: Final = sa.create_engine("sqlite://").connect()


def prepare() -> None:
    """A row to look at, so that expressions are computed."""
    metadata.create_all(CONNECTION)
    row = {"sid": "s", "account": "a", "direction": "outbound", "from_number": "1", "to_number": "2", "state": "ended",
           "started": 1.0, "created": 1.0, "status": "busy", "duration_s": 3, "attributes": {"cnam": "x"}}  # fmt: skip
    CONNECTION.execute(sa.insert(CALLS.table), [row])


def read_filter(text: str) -> None:
    """Compile it for both databases, run it on one."""
    try:
        clauses = compile_filter(text, FIELDS)
    except FilterError as error:
        check_position(str(error), text)
        return
    query = sa.select(CALLS.sid).where(*clauses)
    query.compile(dialect=postgresql.dialect())
    assert CONNECTION.execute(query, {"now": 2.0}).scalars().all() in ([], ["s"])


def check_position(said: str, text: str) -> None:
    """What is said of a filter points into it, or right behind it."""
    at = AT.search(said)
    assert at is not None, said
    assert 1 <= int(at[1]) <= len(text) + 1, (said, text)


def read_paging(text: str) -> None:
    """Numbers, order and anchors, each from a part of the text."""
    names = ("limit", "offset", "order", "after", "before")
    params = dict(zip(names, text.split("&"), strict=False))
    default = CALLS.order if len(text) % 2 else (Order(DIDS.by_name["phonenumber"]),)
    page = read_page(params, FIELDS, default, uncountable=len(text) % 3 == 0)
    assert 1 <= page.limit <= 1000
    assert page.offset >= 0
    assert page.order


def read_fields(text: str) -> None:
    """Names of fields."""
    included, _, excluded = text.partition("&")
    wanted = chosen({"include_fields": included, "exclude_fields": excluded}, CALLS)
    assert wanted is None or set(wanted) <= CALLS.by_name.keys()


READERS: Final = (read_filter, read_filter, read_filter, read_paging, read_fields)


def one(data: bytes) -> None:
    """One input."""
    provider = atheris.FuzzedDataProvider(data)
    reader, spelt = READERS[provider.ConsumeIntInRange(0, len(READERS) - 1)], provider.ConsumeBool()
    text = _words(provider) if spelt else provider.ConsumeUnicode(300)
    try:
        reader(text)
    except Problem as problem:
        if problem.status != 400:
            raise


def _words(provider: Any) -> str:
    """Words of the language and others, one after the other: most of them nearly a filter."""
    found: list[str] = []
    while provider.remaining_bytes() and len(found) < 40:
        word = provider.PickValueInList(WORDS) if provider.ConsumeBool() else provider.ConsumeUnicode(8)
        found.append(word + provider.PickValueInList([" ", " ", " ", "", ",", "(", ")", '"', "'", "&"]))
    return "".join(found)


def main() -> None:
    """Run until libFuzzer is done."""
    prepare()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
