"""Text compared and sorted by code points in every database, whatever language it was set up for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class ByCodePoint(FunctionElement[str]):
    """A text that is compared and sorted so. Equality needs it nowhere."""

    type = sa.Text()
    inherit_cache = True


@compiles(ByCodePoint)
def _write_as_it_is(element: ByCodePoint, compiler: SQLCompiler, **how: Any) -> str:
    (column,) = element.clauses
    return compiler.process(column, **how)


@compiles(ByCodePoint, "postgresql")
def _write_collated(element: ByCodePoint, compiler: SQLCompiler, **how: Any) -> str:
    (column,) = element.clauses
    return f'({compiler.process(column, **how)}) COLLATE "C"'
