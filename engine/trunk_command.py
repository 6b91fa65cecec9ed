"""`flexml trunks`: how the running engine's trunks are, as it tells by HTTP. docs/trunks.md explains the columns."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .command_database import fail

DEFAULT_CONFIG: Final = Path("config/engine.toml")
TIMEOUT_S: Final = 5.0
PIPE_WIDTH: Final = 1000
"""Wide enough that a row stays a line where no terminal limits it."""
COLUMNS: Final = ("name", "uri", "registered until", "reachable", "calls", "last failure")


def trunks(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs")] = False,
    config: Annotated[Path, typer.Option("--config", help="The configuration file of the engine")] = DEFAULT_CONFIG,
) -> None:
    """Show the trunks of the running engine: registration, reachability, calls, what failed last."""
    found = _ask(_url(config))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    states: list[dict[str, Any]] = found["trunks"]
    if not states:
        typer.echo("No [[trunk]] is configured.")
        return
    terminal = Console(highlight=False)
    console = terminal if terminal.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
    console.print(table(states))


def table(states: Sequence[Mapping[str, Any]]) -> Table:
    """One row a trunk; times are UTC."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        shown.add_column(column, overflow="fold")
    for state in states:
        shown.add_row(*(Text(_one_line(text), style=style) for text, style in _cells(state)))
    return shown


def _cells(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    until, reachable, failed = state["registered_until"], state["reachable"], state["failed"]
    registered = (_utc(until), "green") if until is not None else ("no", "red") if state["register"] else ("-", "dim")
    lives = {None: ("not asked", "dim"), True: ("yes", "green"), False: ("no", "red")}[reachable]
    calls, limit = state["calls"], state["max_calls"]
    full = bool(limit) and calls >= limit
    return [
        (state["name"], ""),
        (state["uri"], ""),
        registered,
        lives,
        (f"{calls}/{limit or 'any'}", "red" if full else ""),
        (f"{_utc(failed)} {state['failure']}", "") if failed is not None else ("-", "dim"),
    ]


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _one_line(text: str) -> str:
    """What a carrier said must not move the cursor or forge a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _url(file: Path) -> str:
    from .config_file import load
    from .errors import ConfigError

    try:
        listen = load(file, os.environ).http.listen
    except ConfigError as error:
        fail("\n".join(error.problems), status=2)
    return f"http://{listen}/trunks"


def _ask(url: str) -> dict[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        fail(f"no engine tells of its trunks at {url}: {getattr(error, 'reason', error)}", status=1)
