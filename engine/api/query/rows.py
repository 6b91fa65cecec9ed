"""The statements that read a page of a list.

The sids of the page are looked for first, in an index that has all that is needed for it; then its rows are fetched,
a thousand at most. So an offset of 80,000 does not read 80,000 rows, nor sort them.

PostgreSQL knows from its statistics which index that is. SQLite has none, so it is told: a list that is only sorted
goes by the index of its order (`TABLE_by_FIELD`), one with a filter by the smallest index that holds every field it
looks at (`TABLE_listing` and what begins so), where the table has such. Where an index has just the part of the rows
that the list is of, it goes by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from .collation import ByCodePoint
from .conditions import Clause, OnSqlite
from .fields import TEXTS, Field
from .paging import Page


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The rows of `table` for which `part` holds (whose they are, which list it is), and `where` (the filter)."""

    table: sa.Table
    sid: sa.Column[str]
    part: tuple[Clause, ...]
    where: tuple[Clause, ...]
    page: Page

    def select(self, columns: tuple[sa.ColumnElement[Any], ...], anchor: tuple[Any, str] | None) -> sa.Select[Any]:
        """The rows of the page and one more where there is one.

        `anchor` is what the page lies behind: the value of its order, and a sid. Pages `before` it come backwards.
        """
        page, order = self.page, self._order()
        beyond = [] if anchor is None else [self._beyond(anchor)]
        sids = self._told(sa.select(self.sid).where(*self.part, *self.where, *beyond), self._index(*order))
        sids = sids.order_by(*order).limit(page.limit + 1).offset(page.offset)
        return sa.select(*columns).where(self.sid.in_(sids)).order_by(*order)

    def count(self) -> sa.Select[int]:
        """How many rows there are on all pages."""
        select = sa.select(sa.func.count()).select_from(self.table).where(*self.part, *self.where)
        return self._told(select, self._index())

    def _index(self, *order: sa.ColumnElement[Any]) -> str:
        """The smallest listing that has all that is looked at; where everything is wanted, the index of the order."""
        looked_at = [node for clause in (*self.where, *order) for node in visitors.iterate(clause)]
        columns = {node for node in looked_at if isinstance(node, sa.Column) and node.table is self.table}
        name = f"{self.table.name}_listing"
        there = [index for index in self.table.indexes if str(index.name).startswith(name)]
        fit = [index for index in there if columns <= set(index.columns) and self._has_all(index)]
        fit.sort(key=lambda index: (not _is_among(_part_of(index), self.part), len(index.columns)))
        if fit and (self.where or _part_of(fit[0]) is not None):
            return str(fit[0].name)
        return f"{self.table.name}_by_{self.page.order[0].field.name}"

    def _has_all(self, index: sa.Index) -> bool:
        """Whether no row of the list is left out of the index."""
        part = _part_of(index)
        return part is None or _is_among(part, (*self.part, *self.where))

    def _told(self, select: sa.Select[Any], index: str) -> sa.Select[Any]:
        known = {one.name for one in self.table.indexes}
        return select.with_hint(self.table, f"INDEXED BY {index}", "sqlite") if index in known else select

    def _order(self) -> list[sa.ColumnElement[Any]]:
        backwards = bool(self.page.before)
        order = [_sorted(one.field, one.descending != backwards) for one in self.page.order]
        if any(one.field.column is self.sid for one in self.page.order):
            return order  # which is one already, and said twice would make SQLite sort
        return [*order, _towards(self.sid, self.page.order[0].descending != backwards)]

    def _beyond(self, anchor: tuple[Any, str]) -> Clause:
        here = sa.tuple_(sorting(self.page.order[0].field), self.sid)
        descending = self.page.order[0].descending != bool(self.page.before)
        return here < anchor if descending else here > anchor


def _is_among(part: Clause | None, clauses: tuple[Clause, ...]) -> bool:
    meant = (clause.inner if isinstance(clause, OnSqlite) else clause for clause in clauses)
    return part is not None and any(clause.compare(part) for clause in meant)


def _part_of(index: sa.Index) -> sa.ColumnElement[bool] | None:
    """The rows that are in an index of SQLite, if not all are."""
    return index.dialect_options["sqlite"]["where"]


def sorting(field: Field) -> sa.ColumnElement[Any]:
    """What lists are sorted by, by that field."""
    column = field.column if field.sort is None else field.sort
    return ByCodePoint(column) if field.kind in TEXTS else column


def _sorted(field: Field, descending: bool) -> sa.ColumnElement[Any]:
    """What has no value comes last, in every database."""
    ordered = _towards(sorting(field), descending)
    return ordered.nulls_last() if getattr(field.column, "nullable", True) and field.sort is None else ordered


def _towards(column: sa.ColumnElement[Any], descending: bool) -> sa.UnaryExpression[Any]:
    return column.desc() if descending else column.asc()
