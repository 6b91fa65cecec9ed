"""What commands that work on the database of a configuration have in common, whether the engine runs or not.

They are programs of their own, so this is where they read the clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from .config import Config
    from .db import Database

T = TypeVar("T")
DEFAULT_CONFIG: Final = Path("config/engine.toml")
PIPE_WIDTH: Final = 1000
"""Wide enough that a row stays a line where no terminal limits it."""
ConfigOption = Annotated[Path, typer.Option("--config", help="The configuration file")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, for programs")]


class CommandError(Exception):
    """What was asked for cannot be done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A configuration and its database; `now` is Unix time in seconds."""

    config: Config
    database: Database
    now: float


def on_database(file: Path, work: Callable[[Place], Awaitable[T]]) -> T:
    """Do something on the database that a configuration names; say what is wrong, and exit, where it cannot be."""
    from .config_file import load
    from .errors import ConfigError

    try:
        config = load(file, os.environ)
    except ConfigError as error:
        fail("\n".join(error.problems), status=2)
    return asyncio.run(_with_database(config, work))


async def _with_database(config: Config, work: Callable[[Place], Awaitable[T]]) -> T:
    from sqlalchemy.exc import SQLAlchemyError

    from .db import Database
    from .errors import FlexmlError

    database = Database(config.database.url)
    try:
        await database.start()
        return await work(Place(config=config, database=database, now=time.time()))
    except (CommandError, FlexmlError) as error:
        fail(str(error), status=1)
    except (SQLAlchemyError, OSError) as error:
        fail(f"the database cannot be used: {getattr(error, 'orig', None) or error}", status=1)
    finally:
        await database.close()


def fail(message: str, *, status: int) -> NoReturn:
    """Say why nothing was done, and exit."""
    typer.echo(message, err=True)
    raise typer.Exit(status)


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; in a pipe, one line a row. Without names of columns it has no header."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    terminal = Console(highlight=False)
    (terminal if terminal.is_terminal else Console(highlight=False, width=PIPE_WIDTH)).print(table)


def one_line(text: str) -> str:
    """What somebody wrote must not move the cursor or forge a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def utc(at: float | None) -> str:
    """A time as people read it; `-` for none."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(at: float | None) -> str | None:
    """A time for programs."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def count(number: int, noun: str) -> str:
    """How many there are of what."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
