"""What `flexml timeline` prints; tests/peer/test_timeline.py runs it about real calls."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flexml.engine.cli import add_timeline, app
from flexml.engine.db import Database
from flexml.engine.records import CallRecord
from flexml.engine.timeline import Entry, Timeline
from flexml.engine.timeline_command import UnknownCallError, find, lines
from typer.testing import CliRunner

START = datetime(2026, 1, 31, 23, 59, 58, tzinfo=UTC).timestamp()
SID = "0a1b2c3d-0000-4000-8000-000000000001"
CALL = CallRecord(
    sid=SID, account="a1", direction="inbound", from_number="15162065338", to_number="15550001000", state="ended",
    started=START, answered=START + 1, ended=START + 9, status="completed", duration_s=8,
)  # fmt: skip


def text_of(*entries: Entry, record: CallRecord = CALL) -> list[str]:
    return [line.plain for line in lines(record, list(entries))]


def test_a_line_has_the_time_since_the_start_the_time_of_day_what_and_details() -> None:
    assert text_of(
        Entry(SID, START, "< INVITE", {"source": "127.0.0.1:5060", "account": "my own"}),
        Entry(SID, START + 2.5, "> POST", {"url": "http://app/x", "status": 200, "total_ms": 1.5}),
        Entry(SID, START + 3, "verb", {"name": "Play", "line": 2}),
        Entry(SID, START + 4, "digit", {"digit": "#", "none": None, "empty": ""}),
        Entry(SID, START - 1, "> 200"),
    ) == [
        f"call {SID}: inbound from 15162065338 to 15550001000, began 2026-01-31 23:59:58 UTC, completed, 8 s",
        '    +0.000 s  23:59:58.000  < INVITE             source=127.0.0.1:5060 account="my own"',
        "    +2.500 s  00:00:00.500  > POST http://app/x  status=200 total_ms=1.5",
        "    +3.000 s  00:00:01.000  verb Play            line=2",
        '    +4.000 s  00:00:02.000  digit                digit=# none=null empty=""',
        "    -1.000 s  23:59:57.000  > 200",
    ]


@pytest.mark.parametrize(
    ("record", "end"),
    [
        (replace(CALL, state="live", answered=None, ended=None, status=None, duration_s=0), ", live"),
        (replace(CALL, answered=None, status="busy", duration_s=0), ", busy, not answered"),
    ],
)
def test_the_head_says_what_became_of_the_call(record: CallRecord, end: str) -> None:
    (head,) = text_of(record=record)
    assert head.endswith(f"UTC{end}")


def test_what_a_peer_wrote_forges_no_line_and_no_colour() -> None:
    (_, line) = text_of(Entry(SID, START, "document\x1b[31m", {"url": "http://a/\n+9.000 s", "x": "\x1b]0;title\x07"}))
    assert line.isprintable()
    assert "\\x1b[31m" in line
    assert "\\n+9.000 s" in line


@pytest.mark.parametrize(
    ("entry", "style"),
    [
        (Entry(SID, START, "> POST", {"error": "http://a/: refused"}), "red"),
        (Entry(SID, START, "callback given up"), "red"),
        (Entry(SID, START, "> POST", {"status": 200}), "cyan"),
        (Entry(SID, START, "RTP quality", {"lost": 0}), "dim"),
        (Entry(SID, START, "call ended", {"by": "remote"}), "bold"),
        (Entry(SID, START, "AMD result", {"status": "HUMAN"}), "green"),
        (Entry(SID, START, "playing"), "default"),
    ],
)
def test_failures_stand_out(entry: Entry, style: str) -> None:
    (_, line) = lines(CALL, [entry])
    (at,) = [span for span in line.spans if line.plain[span.start : span.end].startswith(entry.what)]
    assert at.style == style


def filled(path: Path) -> Path:
    """A configuration whose database holds three calls, the first with a line."""
    config = path / "engine.toml"
    config.write_text('[database]\nurl = "sqlite:///calls.db"\n')

    async def fill() -> None:
        database = Database(f"sqlite:///{path / 'calls.db'}")
        await database.start()
        timeline = Timeline(database)
        await timeline.start()
        for number in (1, 2, 3):
            sid = f"{SID[:-1]}{number}" if number < 3 else "ffffffff-0000-4000-8000-000000000003"
            await database.save_call(replace(CALL, sid=sid, started=START + number))
        timeline.note(SID, START + 1.25, "digit", {"digit": "5"})
        await timeline.close()
        for named, found in [
            ("ffffff", "ffffffff"),
            ("FFFFFFFF0000", "ffffffff"),
            ("", "ffffffff"),
            ("000003", "ffffffff"),
            ("8000000000000003", "ffffffff"),
            (SID, SID),
        ]:
            assert (await find(database, named)).sid.startswith(found)
        with pytest.raises(UnknownCallError, match=r"more than one call: 0a1b2c3d.*1, 0a1b2c3d.*2$"):
            await find(database, "0a1b2c")
        await database.close()

    asyncio.run(fill())
    return config


def test_a_call_is_found_by_either_end_where_that_is_enough(tmp_path: Path) -> None:
    add_timeline()
    config = filled(tmp_path)
    result = CliRunner().invoke(app, ["timeline", "--json", "--config", str(config), SID.replace("-", "")])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["call"]["sid"] == SID
    assert told["timeline"] == [
        {"since_s": 0.25, "at": "2026-01-31T23:59:59.250Z", "what": "digit", "details": {"digit": "5"}}
    ]
    ambiguous = CliRunner().invoke(app, ["timeline", "--config", str(config), "0a1b2c3d0000"])
    assert (ambiguous.exit_code, "more than one call" in ambiguous.output) == (1, True)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    add_timeline()
    (tmp_path / "calls.db").write_bytes(b"this is no database, but a text of some length\n" * 50)
    config = tmp_path / "engine.toml"
    config.write_text('[database]\nurl = "sqlite:///calls.db"\n')
    result = CliRunner().invoke(app, ["timeline", "--last", "--config", str(config)])
    assert result.exit_code == 1
    assert re.fullmatch(r"the database \S+/calls\.db cannot be used: file is not a database\n", result.output)
