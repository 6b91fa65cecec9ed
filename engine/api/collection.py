"""Collections of the REST API: a declaration each, and one place that lists and finds their objects.

Every query is bound to who asks, here and nowhere else, so no route can show what is another's: to an account, or by a
token of the provider's to none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from fastapi import Request

from ..db import Database
from ..records import Account
from ..storage.base import canonical_sid
from ..tokens import Token
from .problem import bad_query, missing
from .query.conditions import Clause, compile_filter
from .query.fields import Field
from .query.grammar import FilterError
from .query.paging import Order, Page, by_offset, by_sid, read_page
from .query.rows import Rows, sorting

NOW: Final = sa.bindparam("now", type_=sa.Double)
"""Unix time of the request, for fields that depend on it."""
Asking = Account | Token
"""Who asks: an account, or who has a token."""
Row = Mapping[str, Any]
Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """What a list of objects is: whose rows, which fields, how a row is shown.

    `show` takes a row of `table` (and of what is `beside` it, by label) and the time, and gives every field that is not
    `extra`, in the reference's order; `show_extra` gives those; columns that neither needs are `unread`. `sid` and
    `owner` are columns: the object's own, and its account's. A list that is not asked for in any order is in that of
    `order`, of which the first field decides in lists without a total.
    """

    noun: str
    table: sa.Table
    sid: sa.Column[str]
    owner: sa.Column[str]
    fields: tuple[Field, ...]
    order: tuple[Order, ...]
    show: Callable[[Row, float], Object]
    show_extra: Callable[[Row], Object] = lambda _: {}
    beside: tuple[sa.Label[Any], ...] = ()
    unread: frozenset[str] = frozenset()

    @property
    def query(self) -> sa.Select[Any]:
        """All of its rows."""
        return sa.select(self.table, *self.beside)

    @property
    def columns(self) -> tuple[sa.ColumnElement[Any], ...]:
        """What lists read of a row."""
        return (*(column for column in self.table.c if column.name not in self.unread), *self.beside)

    @property
    def by_name(self) -> dict[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which part of a collection a list is of; an `uncountable` one has no total, and `order` is its own."""

    where: tuple[Clause, ...] = ()
    uncountable: bool = False
    order: tuple[Order, ...] = ()


class Reader:
    """Reads collections; `clock` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock

    async def row(self, collection: Collection, asking: Asking, sid: str) -> Row:
        """The row of that sid (with dashes or without), if who asks may see it. Raises Problem 404."""
        query = collection.query.where(collection.sid == canonical_sid(sid), _visible(collection, asking))

        def read(connection: sa.Connection) -> sa.RowMapping | None:
            return connection.execute(query).mappings().first()

        found = await self._database.read(read)
        if found is None:
            raise missing(collection.noun)
        return {str(name): value for name, value in found.items()}

    async def one(self, collection: Collection, request: Request, asking: Asking, sid: str) -> Object:
        """That object, as far as the request wants it. Raises Problem."""
        wanted = chosen(request.query_params, collection)
        return self.shown(collection, await self.row(collection, asking, sid), wanted)

    def shown(self, collection: Collection, row: Row, wanted: Sequence[str] | None = None) -> Object:
        """A row as clients see it: the fields `wanted`, without that all but the extra ones."""
        usual = collection.show(row, self._clock())
        if wanted is None:
            return usual
        everything = usual | collection.show_extra(row)
        return {name: everything[name] for name in wanted}

    async def many(
        self, collection: Collection, request: Request, asking: Asking, selection: Selection | None = None
    ) -> Object:
        """A page of the list, in the reference's frame. Raises Problem 400."""
        selection, params = selection or Selection(), request.query_params
        fields = collection.by_name
        wanted = chosen(params, collection)
        page = read_page(params, fields, selection.order or collection.order, uncountable=selection.uncountable)
        query = Rows(
            table=collection.table,
            sid=collection.sid,
            part=(_visible(collection, asking), *selection.where),
            where=tuple(_filter(params.get("filter", ""), fields)),
            page=page,
        )
        now = {"now": self._clock()}

        def read(connection: sa.Connection) -> tuple[list[dict[str, Any]], int | None]:
            anchor = _anchor(connection, collection, asking, page) if page.after or page.before else None
            found = connection.execute(query.select(collection.columns, anchor), now)
            names = [*map(str, found.keys())]
            rows = [dict(zip(names, row, strict=True)) for row in found]
            return rows, None if selection.uncountable else connection.scalar(query.count(), now)

        rows, total = await self._database.read(read)
        more, rows = len(rows) > page.limit, rows[: page.limit]
        if page.before:
            rows = rows[::-1]
        pagination = _around(request, collection, selection, page, rows, more=more)
        return {
            "count": len(rows),
            "has_more": bool(pagination),
            "items": [self.shown(collection, row, wanted) for row in rows],
            "limit": page.limit,
            "offset": page.offset,
            "pagination": pagination,
            "total": total,
        }


def chosen(params: Mapping[str, str], collection: Collection) -> list[str] | None:
    """The fields that `include_fields` and `exclude_fields` leave; None for the usual ones. Raises Problem 400."""
    fields = collection.by_name
    named = {name: _names(params.get(name, ""), name, fields) for name in ("include_fields", "exclude_fields")}
    if not any(named.values()):
        return None
    included = named["include_fields"] or {name for name, field in fields.items() if not field.extra}
    return [name for name in fields if name in included - named["exclude_fields"]]


def _names(text: str, parameter: str, fields: Mapping[str, Field]) -> set[str]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(names - fields.keys()):
        raise bad_query(parameter, f"unknown field {unknown[0][:40]!r}; expected any of {', '.join(fields)}")
    return names


def _filter(text: str, fields: dict[str, Field]) -> list[Clause]:
    try:
        return compile_filter(text, fields)
    except FilterError as error:
        raise bad_query("filter", str(error)) from None


def _visible(collection: Collection, asking: Asking) -> Clause:
    """What holds for the rows that who asks may see."""
    owner = asking.sid if isinstance(asking, Account) else asking.account
    return sa.true() if owner is None else collection.owner == owner


def _anchor(connection: sa.Connection, collection: Collection, asking: Asking, page: Page) -> tuple[Any, str]:
    """Where the object that the page names lies in the list: the value it is sorted by, and its sid. Raises Problem."""
    sid = canonical_sid(page.after or page.before)
    select = sa.select(sorting(page.order[0].field)).where(_visible(collection, asking), collection.sid == sid)
    found = connection.execute(select).first()
    if found is None:
        raise bad_query("after" if page.after else "before", f"cannot find {collection.noun}")
    return found[0], sid


def _around(
    request: Request, collection: Collection, selection: Selection, page: Page, rows: Sequence[Row], *, more: bool
) -> dict[str, str]:
    steady = len(page.order) == 1 and bool(selection.order) and page.order[0].field is selection.order[0].field
    if selection.uncountable and steady:
        return by_sid(request, page, [row[collection.sid.name] for row in rows], more=more)
    return by_offset(request, page, len(rows), more=more)
