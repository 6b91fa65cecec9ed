"""Many rows of a table written by one statement, past most of what SQLAlchemy does for each of them.

SQLAlchemy writes the statement, once for a table and its columns, and says how a column's values are to be given to
the driver. The values then go to the driver as they are: a row takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

Columns = frozenset[str]
_INSERTS = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, which all have the same columns. Raises what the database refuses them for."""
    _write(connection, table, rows, None)


def put_rows(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], changed: Columns | None = None
) -> None:
    """Insert rows, or set the `changed` columns, all unless given, of those whose `sid` is there.

    All have the same columns. SQLite writes every index anew that has a column which is set, even to what it is.
    """
    _write(connection, table, rows, frozenset(rows[0]) - {"sid"} if rows and changed is None else changed)


@dataclass(frozen=True, slots=True)
class _Statement:
    """What the driver is given: a text, and the values of a row in this order, some made into others first."""

    text: str
    columns: tuple[str, ...]
    made: tuple[tuple[int, Callable[[Any], Any]], ...]

    def values(self, row: dict[str, Any]) -> tuple[Any, ...]:
        values = [row[name] for name in self.columns]
        for index, make in self.made:
            values[index] = make(values[index])
        return tuple(values)


def _write(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], replaced: Columns | None
) -> None:
    if rows:
        statement = _statement(table, tuple(rows[0]), connection.dialect, replaced)
        connection.exec_driver_sql(statement.text, [statement.values(row) for row in rows])


@cache
def _statement(table: sa.Table, columns: tuple[str, ...], dialect: Dialect, replaced: Columns | None) -> _Statement:
    insert = _INSERTS[dialect.name](table).values({name: sa.bindparam(name) for name in columns})
    if replaced is not None:
        given = {name: insert.excluded[name] for name in columns if name in replaced}
        insert = insert.on_conflict_do_update(index_elements=["sid"], set_=given)
    compiled = insert.compile(dialect=dialect)
    order = tuple(compiled.positiontup or ())
    makers = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in order]
    return _Statement(str(compiled), order, tuple((i, make) for i, make in enumerate(makers) if make is not None))
