"""Which index SQLite reads a list from."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flexml.engine.api.call_collection import CALLS
from flexml.engine.api.query.conditions import compile_filter
from flexml.engine.api.query.fields import OBJECT
from flexml.engine.api.query.paging import Order, Page
from flexml.engine.api.query.rows import Rows
from flexml.engine.tables import call_is_scheduled, call_table, call_waits

from ...test_outbox import opened

ORDERS = [name for name, field in CALLS.by_name.items() if field.kind is not OBJECT and name != "account_sid"]
COMPUTED = {"delay"}
"""SQLite does not say that an index has what is computed, though it reads no more than that."""
BY_ATTRIBUTES = "attributes.ticket eq 7"
FILTERED = [
    (BY_ATTRIBUTES, "date_created", "call_listing_attributes"),
    (f"{BY_ATTRIBUTES} and state ne live", "date_created", "call_listing_attributes"),
    ("attributes.ticket ne null", "date_created", "call_listing_attributes"),
    *((f"attributes.ticket {rest}", "date_created", "call_listing") for rest in ("ne 7", "eq null")),
    ('call_sid like "a%"', "call_sid", "call_listing"),
    (BY_ATTRIBUTES, "url", "call_listing"),
    (f"{BY_ATTRIBUTES} and method eq GET", "date_created", "call_listing"),
    (BY_ATTRIBUTES, "delay", "call_listing"),
    *((f"{name} ne null", "date_created", "call_listing") for name in CALLS.by_name if name in ORDERS),
]


@pytest.mark.parametrize(
    ("filter_text", "order", "index"), [*(("", name, f"call_by_{name}") for name in ORDERS), *FILTERED]
)
@pytest.mark.parametrize("of_one", [True, False])
def test_sqlite_finds_a_list_in_one_index(
    tmp_path: Path, filter_text: str, order: str, index: str, of_one: bool
) -> None:
    fields = CALLS.by_name
    where = tuple(compile_filter(filter_text, fields)) if filter_text else ()
    page = Page(limit=10, offset=0, order=(Order(fields[order]),))
    part = (CALLS.owner == "me",) if of_one else ()
    rows = Rows(table=call_table, sid=CALLS.sid, part=part, where=where, page=page)
    found = asyncio.run(planned(tmp_path, rows.select((CALLS.sid,), None)))
    covering = "" if order in COMPUTED and not filter_text else "COVERING "
    assert re.search(rf"call USING {covering}INDEX {index}( |$)", found, re.MULTILINE), found
    assert "RIGHT PART" not in found or filter_text, "an index has the whole order"


@pytest.mark.parametrize("filter_text", ["", BY_ATTRIBUTES, "url ne x and status eq null"])
def test_sqlite_finds_scheduled_calls_in_their_own_index(tmp_path: Path, filter_text: str) -> None:
    fields = CALLS.by_name
    where = tuple(compile_filter(filter_text, fields)) if filter_text else ()
    page = Page(limit=10, offset=0, order=(Order(fields["delay"]),))
    part = (CALLS.owner == "me", call_is_scheduled, call_waits > 0.0)
    rows = Rows(table=call_table, sid=CALLS.sid, part=part, where=where, page=page)
    for query in (rows.select((CALLS.sid,), None), rows.count()):
        found = asyncio.run(planned(tmp_path, query))
        assert "call USING COVERING INDEX call_listing_scheduled (account=? AND <expr>>?)" in found


async def planned(folder: Path, query: sa.Select[Any]) -> str:
    """What SQLite plans where the API reads."""

    def explain(connection: sa.Connection) -> str:
        compiled = query.params(now=0.0).compile(dialect=connection.dialect)
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)
        return "\n".join(row[-1] for row in rows)

    async with opened(f"sqlite:///{folder}/flexml.db") as database:
        return await database.read(explain)
