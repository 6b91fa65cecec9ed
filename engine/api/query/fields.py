"""What a collection says of its fields, and how their values are written in a filter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

_INTEGER: Final = re.compile("-?[0-9]{1,15}")
"""As far as every JSON reader and every database column goes."""
_EQUALITY: Final = frozenset({"eq", "ne", "in", "notin"})
_ORDER: Final = _EQUALITY | {"ge", "gt", "le", "lt"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A type of fields. `read` takes a value's text and raises ValueError where it is none.

    Where what is shown is coarser than what is kept, `span` gives what is shown alike: from, and up to but without.
    What is `folded` is kept in lower case, always.
    """

    name: str
    operators: frozenset[str]
    read: Callable[[str], Any]
    span: Callable[[float], tuple[float, float]] | None = None
    folded: bool = False


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError
    text.encode()  # half of a surrogate pair is no text: a ValueError
    return text


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError
    return text == "true"


def _time(text: str) -> float:
    """Unix seconds; a time without a zone is UTC."""
    read = datetime.fromisoformat(text)
    try:
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        raise ValueError from None


def _millisecond(at: float) -> tuple[float, float]:
    """All times that are shown so, cut to milliseconds; a microsecond's half lies between two floats for sure."""
    return at - 5e-7, at + 1e-3 - 5e-7


def _second(seconds: float) -> tuple[float, float]:
    return seconds - 0.5, seconds + 0.5


TEXT: Final = Kind(name="text", operators=_ORDER | {"like", "ilike"}, read=_text)
SID: Final = replace(TEXT, folded=True)
TEXTS: Final = frozenset({TEXT, SID})
INTEGER: Final = Kind(name="an integer", operators=_ORDER, read=_integer)
SECONDS: Final = Kind(name="an integer", operators=_ORDER, read=_integer, span=_second)
"""Whole seconds, of what is kept more finely."""
FLAGS: Final = Kind(name="an integer", operators=_ORDER | {"bit"}, read=_integer)
BOOLEAN: Final = Kind(name="true or false", operators=_EQUALITY, read=_boolean)
TIME: Final = Kind(
    name='a time such as "2026-01-31T12:00:00.000Z"', operators=_ORDER, read=_time, span=_millisecond
)  # fmt: skip
OBJECT: Final = Kind(name="an object", operators=frozenset(), read=_text)
"""Takes no operator itself; what lies in it is reached by dots, and compared as text where it is in a JSON column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field of a collection's objects. `column` is what filters go by, `sort` what orders do where it is another.

    One that is `extra` is shown only where `include_fields` names it. `inner` are the fields of an object that is made
    of columns. Where the column of an object is null, `long` gives what is in it at a path. One that is `within` an
    object is found in that column, which is JSON, of rows for which `filled` holds: on SQLite, which has an index of
    those.
    """

    name: str
    kind: Kind
    column: sa.ColumnElement[Any]
    extra: bool = False
    inner: tuple[Field, ...] = ()
    long: Callable[[str], sa.ColumnElement[Any]] | None = None
    sort: sa.ColumnElement[Any] | None = None
    within: sa.ColumnElement[Any] | None = None
    filled: sa.ColumnElement[bool] | None = None


def find(fields: dict[str, Field], name: str) -> Field | None:
    """The field of that name, one within an object included: `attributes.cnam`."""
    if (field := fields.get(name)) is not None:
        return field
    outer, dot, path = name.partition(".")
    holder = fields.get(outer)
    if not dot or holder is None or holder.kind is not OBJECT:
        return None
    if holder.inner:
        return next((field for field in holder.inner if field.name == name), None)
    inner = reach(holder.column, path)
    if holder.long is not None:
        inner = sa.case((holder.column.is_(sa.null()), holder.long(path)), else_=inner)
    return Field(name=name, kind=TEXT, column=inner, within=holder.column, filled=holder.filled)


def reach(column: sa.ColumnElement[Any], path: str) -> sa.ColumnElement[Any]:
    """What is at a path of a JSON column, as text. One step is what PostgreSQL finds faster than a path of one."""
    steps = path.split(".")
    return column[steps[0] if len(steps) == 1 else tuple(steps)].as_string()
