"""Filters as SQL expressions: never as SQL text, so that no value can be anything but a value.

A bare `null` after `eq` or `ne` is no value at all; in quotes it is a word. What has no value is not equal to any
value, so `ne` and `notin` find it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from .collation import ByCodePoint
from .fields import FLAGS, INTEGER, TEXTS, Field, Kind, find
from .grammar import Condition, FilterError, Word, parse_filter

Column = sa.ColumnElement[Any]
Clause = sa.ColumnElement[bool]
_ESCAPE: Final = "\\"
_SORTING: Final = frozenset({"ge", "gt", "le", "lt"})


def compile_filter(text: str, fields: dict[str, Field]) -> list[Clause]:
    """Conditions that all have to hold. Raises FilterError."""
    return [clause for condition in parse_filter(text) for clause in _clauses(condition, fields)]


def _clauses(condition: Condition, fields: dict[str, Field]) -> list[Clause]:
    field = find(fields, condition.field.text)
    if field is None:
        raise FilterError(
            f"unknown field {condition.field.text!r} (there are {', '.join(fields)})", condition.field.position
        )
    operator = condition.operator.text
    if operator not in field.kind.operators:
        takes = ", ".join(sorted(field.kind.operators)) or "none: its own fields do"
        raise FilterError(f"{field.name} does not take {operator}; it takes {takes}", condition.operator.position)
    is_null = operator in {"eq", "ne"} and _is_null(condition.values[0])
    wants_value = (operator == "ne") if is_null else operator not in {"ne", "notin"}
    filled = [OnSqlite(field.filled)] if field.filled is not None and wants_value else []
    if is_null:
        return [*filled, field.column.is_not(None) if wants_value else field.column.is_(None)]
    return [*filled, _clause(operator, field, [_value(word, field) for word in condition.values])]


def _clause(operator: str, field: Field, values: list[Any]) -> Clause:
    if field.kind.span is not None:
        return _spanning(operator, field.column, field.kind, values)
    if operator == "ilike" and field.kind.folded:
        return _like(field.column, [value.lower() for value in values])
    column = ByCodePoint(field.column) if field.kind in TEXTS and operator in _SORTING else field.column
    clause = _EXACT[operator](column, values)
    if field.within is not None and operator in _MENTIONING:
        return sa.and_(sa.or_(*(_mention(field.within, field.name, value) for value in values)), clause)
    return clause


def _is_null(word: Word) -> bool:
    return word.text == "null" and not word.quoted


def _value(word: Word, field: Field) -> Any:
    """The value; an integer as one of 64 bits, though the column may have fewer."""
    try:
        value = field.kind.read(word.text)
    except ValueError:
        found = repr(word.text[:40])
        raise FilterError(f"found {found} for {field.name}; expected {field.kind.name}", word.position) from None
    return sa.literal(value, sa.BigInteger) if field.kind in (INTEGER, FLAGS) else value


# ---- values as they are kept ----------------------------------------------------------------------------------


def _notin(column: Column, values: list[Any]) -> Clause:
    return sa.or_(column.not_in(values), column.is_(None))


def _bit(column: Column, values: list[Any]) -> Clause:
    return column.bitwise_and(values[0]) == values[0]


def _like(column: Column, values: list[Any]) -> Clause:
    return _SameCaseLike(column, sa.literal(_pattern(values[0])), sa.literal(_glob(values[0])))


def _ilike(column: Column, values: list[Any]) -> Clause:
    pattern = _pattern(values[0])
    if not pattern.isascii():
        return _AnyLetterLike(column, sa.literal(pattern))
    if isinstance(column, sa.Column) and not pattern.startswith(("%", "_")):
        begins = sa.or_(*(_like(column, [f"{beginning}%"]) for beginning in _beginnings(values[0])))
        return sa.and_(_OnPostgresql(begins), _AnyCaseLike(ByCodePoint(column), sa.literal(pattern)))
    return _FoldedLike(column, sa.literal(pattern.lower()))


def _beginnings(value: str) -> list[str]:
    """How what is like the value, in any case, begins: as far as its first letter, in one case or the other."""
    plain = "".join(itertools.takewhile(lambda char: not char.isalpha() and char not in "%_", value))
    letter = value[len(plain) :][:1].strip("%_")
    return sorted({plain + letter.lower(), plain + letter.upper()})


_EXACT: Final[dict[str, Callable[[Column, list[Any]], Clause]]] = {
    "bit": _bit,
    "eq": lambda column, values: column == values[0],
    "ge": lambda column, values: column >= values[0],
    "gt": lambda column, values: column > values[0],
    "ilike": _ilike,
    "in": lambda column, values: column.in_(values),
    "le": lambda column, values: column <= values[0],
    "like": _like,
    "lt": lambda column, values: column < values[0],
    "ne": lambda column, values: column.is_distinct_from(values[0]),
    "notin": _notin,
}


class _Condition(FunctionElement[bool]):
    """What a database takes as a condition as it is: SQLAlchemy would compare it with 1, for each row of SQLite."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Clause:
        return self


class _SameCaseLike(_Condition):
    """LIKE that heeds case everywhere: SQLite's own does not, but its GLOB does."""

    inherit_cache = True


class _AnyCaseLike(_Condition):
    """LIKE that does not heed case, which is what SQLite's own is (of ASCII letters)."""

    inherit_cache = True


class _FoldedLike(_Condition):
    """The same for a pattern in lower case, of ASCII, which is folded alike by every language and faster by none.

    PostgreSQL's ILIKE folds the pattern again for every row. But of how columns begin it knows statistics for ILIKE.
    """

    inherit_cache = True


class _AnyLetterLike(_Condition):
    """LIKE that does not heed the case of letters beyond ASCII either, for which SQLite has to ask Python."""

    inherit_cache = True


@compiles(_FoldedLike)
def _write_folded(element: FunctionElement[bool], compiler: SQLCompiler, **how: Any) -> str:
    column, pattern = element.clauses
    return _write_like(_SameCaseLike(sa.func.lower(ByCodePoint(column)), pattern), compiler, **how)


@compiles(_SameCaseLike)
@compiles(_AnyCaseLike, "sqlite")
@compiles(_FoldedLike, "sqlite")
def _write_like(element: FunctionElement[bool], compiler: SQLCompiler, **how: Any) -> str:
    column, pattern, *_ = element.clauses
    return f"{compiler.process(column, **how)} LIKE {compiler.process(pattern, **how)} ESCAPE '{_ESCAPE}'"


@compiles(_AnyLetterLike, "sqlite")
def _write_lowered(element: FunctionElement[bool], compiler: SQLCompiler, **how: Any) -> str:
    return _write_like(_SameCaseLike(*map(sa.func.lowered, element.clauses)), compiler, **how)


@compiles(_AnyCaseLike)
@compiles(_AnyLetterLike)
def _write_ilike(element: FunctionElement[bool], compiler: SQLCompiler, **how: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **how)} ILIKE {compiler.process(pattern, **how)} ESCAPE '{_ESCAPE}'"


@compiles(_SameCaseLike, "sqlite")
def _write_glob(element: FunctionElement[bool], compiler: SQLCompiler, **how: Any) -> str:
    column, _, glob = element.clauses
    return f"{compiler.process(column, **how)} GLOB {compiler.process(glob, **how)}"


class _OnPostgresql(_Condition):
    """A condition that holds anyway, and has PostgreSQL find rows sooner."""

    inherit_cache = True


class OnSqlite(_Condition):
    """A condition that holds anyway, and has SQLite find rows sooner."""

    inherit_cache = True

    @property
    def inner(self) -> Clause:
        """The condition itself."""
        return self.clauses.clauses[0]


@compiles(_OnPostgresql, "postgresql")
@compiles(OnSqlite, "sqlite")
def _write_condition(element: FunctionElement[bool], compiler: SQLCompiler, **how: Any) -> str:
    return f"({compiler.process(element.clauses, **how)})"


@compiles(_OnPostgresql)
@compiles(OnSqlite)
def _write_nothing(_element: FunctionElement[bool], _compiler: SQLCompiler, **_how: Any) -> str:
    return "TRUE"


def _pattern(value: str) -> str:
    """`%` and `_` stand for others, and nothing takes that from them: an escape is a character like any."""
    return value.replace(_ESCAPE, _ESCAPE * 2)


def _glob(value: str) -> str:
    special = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(special.get(char, char) for char in value)


# ---- values within JSON ----------------------------------------------------------------------------------------

_MENTIONING: Final = frozenset({"eq", "in", "like", "ilike"})
"""Operators for which a text has to contain what the value does."""
_PLAIN: Final = re.compile("[A-Za-z0-9 @.+_-]{1,100}")
"""What stands in JSON as it does in the text there, where a word is in it: numbers may be written differently."""
_WORD: Final = re.compile("[A-Za-z]{2}")


def _mention(column: Column, name: str, value: str) -> Clause:
    """What holds for every row in whose JSON a text of that name is the value or like it; and where there is no JSON.

    SQLite looks through a text several times faster than it reads JSON from it. PostgreSQL has its JSON read already.
    """
    words = max(filter(_WORD.search, _PLAIN.findall(value)), key=len, default="")
    if not words:
        return sa.true()
    last = name.rpartition(".")[2]
    key = f'"{last}"%' if _PLAIN.fullmatch(last) else ""
    text = sa.type_coerce(column, sa.Text)
    return OnSqlite(sa.func.ifnull(text.like(sa.literal(f"%{key}{words}%")), sa.true()))


# ---- values that stand for all that is shown alike -------------------------------------------------------------


def _spanning(operator: str, column: Column, kind: Kind, values: list[Any]) -> Clause:
    assert kind.span is not None
    spans = [kind.span(value) for value in values]
    low, high = spans[0]
    among = sa.or_(*(sa.and_(column >= start, column < stop) for start, stop in spans))
    match operator:
        case "eq" | "in":
            return among
        case "ne" | "notin":
            return sa.or_(sa.not_(among), column.is_(None))
        case "ge":
            return column >= low
        case "gt":
            return column >= high
        case "le":
            return column < high
        case _:
            return column < low
