"""What `flexml trunks` shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from flexml.engine.cli import add_trunks, app
from flexml.engine.trunk_command import table
from rich.console import Console
from typer.testing import CliRunner

IDLE: dict[str, Any] = {
    "name": "carrier", "uri": "sip:c", "register": False, "registered_until": None, "reachable": None,
    "calls": 0, "max_calls": 0, "failure": "", "failed": None,
}  # fmt: skip
ROWS: list[tuple[dict[str, Any], str]] = [
    ({}, "carrier sip:c - not asked 0/any -"),
    ({"register": True}, "carrier sip:c no not asked 0/any -"),
    ({"register": True, "registered_until": 86399.0}, "carrier sip:c 1970-01-01 23:59:59 not asked 0/any -"),
    ({"reachable": True, "calls": 2, "max_calls": 2}, "carrier sip:c - yes 2/2 -"),
    (
        {"reachable": False, "failure": "OPTIONS: no answer", "failed": 60.0},
        "carrier sip:c - no 0/any 1970-01-01 00:01:00 OPTIONS: no answer",
    ),
    (
        {"failure": "REGISTER: 503 [red]No\x1b[2J", "failed": 0.0},
        "carrier sip:c - not asked 0/any 1970-01-01 00:00:00 REGISTER: 503 [red]No\\x1b[2J",
    ),
]


def shown(*states: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=200).print(table(states))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(("changes", "row"), ROWS)
def test_a_row_tells_how_a_trunk_is(changes: dict[str, Any], row: str) -> None:
    assert shown(IDLE | changes) == ["name uri registered until reachable calls last failure", row]


def test_without_an_engine_it_says_where_it_asked(tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text('[http]\nlisten = "127.0.0.1:1"\n')
    add_trunks()
    result = CliRunner().invoke(app, ["trunks", "--config", str(config)])
    assert result.exit_code == 1
    assert result.output.startswith(
        "no engine tells of its trunks at http://127.0.0.1:1/trunks: [Errno 111] Connection refused"
    )
