"""Every list that can be asked for, for `bench_api.py`: each field with each operator, each order, deep offsets.

Filters are asked with a value that some row has and with one that none has; `ne` and `notin` find nothing when every
value there is stands in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from flexml.engine.api.call_collection import CALLS, STATES
from flexml.engine.api.collection import Collection
from flexml.engine.api.dids import DIDS
from flexml.engine.api.query.fields import BOOLEAN, OBJECT, TEXT, TEXTS, TIME, Field

LISTS: Final = {"in", "notin"}
FEW: Final = 8
"""So many values can be left out by one filter."""
NOTHING: Final = "no such thing"
WITHIN: Final = ("attributes.cnam", "attributes.ticket", "attributes.customer.tier", "attributes.nothing")


class Shape(NamedTuple):
    """A list to ask for: what it is called in the report, and where it is."""

    name: str
    target: str


def shapes(samples: dict[str, list[dict[str, Any]]]) -> Iterator[Shape]:
    """All shapes; `samples` are some objects of each path, with every field."""
    for path, collection, states in (("dids", DIDS, ("",)), ("calls", CALLS, STATES)):
        for state in states:
            base = {"state": state} if state else {}
            label = f"{path} {state}".strip()
            found = samples[f"{path}?{urlencode(base)}" if base else path]
            for name, query in itertools.chain(_pages(collection, found), _filters(collection, found)):
                yield Shape(f"{label}: {name}", f"/flexml/v1/{path}?{urlencode({**base, **query})}")


def _pages(collection: Collection, samples: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    names = ",".join(field.name for field in collection.fields)
    yield "first page", {}
    yield "limit 1000", {"limit": 1000}
    yield "all fields", {"include_fields": names}
    yield "one field", {"include_fields": collection.fields[0].name}
    for offset in (1000, 8000, 80_000):
        yield f"offset {offset}", {"offset": offset}
    for field in collection.fields:
        if field.kind is OBJECT:
            continue
        for way, offset in itertools.product(("asc", "desc"), (0, 80_000 if collection is CALLS else 8000)):
            yield f"order {field.name} {way} offset {offset}", {"order": f"{field.name} {way}", "offset": offset}
    if collection is CALLS and samples and samples[0]["state"] != "scheduled":
        for name, one in itertools.product(("after", "before"), samples[:: max(1, len(samples) // 3)]):
            yield f"{name}", {name: one["call_sid"]}


def _filters(collection: Collection, samples: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for field in collection.fields:
        if field.kind is not OBJECT:
            there = {one[field.name]: None for one in samples if one[field.name] is not None}
            yield from _of_field(field.name, field, next(iter(there), None))
            if 0 < len(there) <= FEW:
                values = ", ".join(f'"{value}"' for value in there)
                yield f"{field.name} notin all", {"filter": f"{field.name} notin ({values})"}
    if collection is CALLS:
        for name in WITHIN:
            yield from _of_field(name, Field(name=name, kind=TEXT, column=collection.sid), "Company 7")
        yield "two conditions", {"filter": 'method eq POST and url like "%flows/7%"'}
        yield "two conditions, nothing", {"filter": f'method eq POST and url like "%{NOTHING}%"'}
        yield "two of attributes, nothing", {"filter": f'attributes.cnam ne x and attributes.ticket eq "{NOTHING}"'}


def _of_field(name: str, field: Field, there: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for operator in sorted(field.kind.operators):
        for kind, value in _values(operator, field, there):
            text = f"({value}, {value})" if operator in LISTS else value
            yield f"{name} {operator}{kind}", {"filter": f"{name} {operator} {text}"}
    for operator in ("eq", "ne"):
        yield f"{name} {operator} null", {"filter": f"{name} {operator} null"}


def _values(operator: str, field: Field, there: Any) -> Iterator[tuple[str, str]]:
    if field.kind in TEXTS:
        known = str(there or "x")
        if operator in {"like", "ilike"}:
            yield " prefix", f'"{known[:4]}%"'
            yield " within", f'"%{known[2:5]}%"'
            yield " prefix, nothing", f'"{NOTHING}%"'
            yield " within, nothing", f'"%{NOTHING}%"'
            return
        yield "", f'"{known}"'
        yield ", nothing", '"~~~"' if operator in {"gt", "ge"} else '""' if operator in {"lt", "le"} else f'"{NOTHING}"'
    elif field.kind is TIME:
        yield "", str(there or "2026-06-01T00:00:00Z")
        yield ", nothing", "2100-01-01" if operator in {"gt", "ge"} else "1970-01-01"
    elif field.kind is BOOLEAN:
        yield "", "true"
    else:
        yield "", str(there or 0)
        yield ", nothing", "999999999" if operator in {"gt", "ge", "eq", "in", "ne", "notin"} else "-1"
