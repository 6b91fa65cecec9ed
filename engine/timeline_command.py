"""`flexml timeline`: what happened on a call, as the database has it. docs/timeline.md explains the lines."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from .command_database import fail

if TYPE_CHECKING:
    from .db import Database
    from .records import CallRecord
    from .timeline import Entry

DEFAULT_CONFIG: Final = Path("config/engine.toml")
MIN_DIGITS: Final = 6
SHOWN_CANDIDATES: Final = 5
STYLES: Final = (
    (("call over", "call ended", "verb ended"), "bold"),
    (("<", ">"), "cyan"),
    (("callback", "RTP", "document"), "dim"),
    (("digit", "silence", "noise", "AMD"), "green"),
)
"""How lines look on a terminal, by how they begin; what tells of a failure is red whatever it is."""
FAILURES: Final = (
    "error", "failed", "refused", "given up", "cannot", "no RTP", "lost", "left out", "replaced", "engine has ended",
)  # fmt: skip


class UnknownCallError(Exception):
    """No call, or more than one, is meant."""


def timeline(
    call: Annotated[
        str, typer.Argument(metavar="CALL_SID", help="The call's sid, or 6 or more of its last characters or its first")
    ] = "",
    *,
    last: Annotated[bool, typer.Option("--last", help="The call that began last")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs")] = False,
    config: Annotated[Path, typer.Option("--config", help="The configuration file")] = DEFAULT_CONFIG,
) -> None:
    """Print what happened on a call: requests, verbs, keys, audio quality, how it ended."""
    if bool(call) == last:
        fail("give the sid of a call, or --last", status=2)
    record, entries = asyncio.run(_load(_database_url(config), call))
    if as_json:
        typer.echo(json.dumps(_as_json(record, entries), ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False)
    for line in lines(record, entries):
        console.print(line, soft_wrap=True)


def _database_url(file: Path) -> str:
    from sqlalchemy.engine import make_url

    from .config_file import load
    from .errors import ConfigError

    try:
        url = load(file, os.environ).database.url
    except ConfigError as error:
        fail("\n".join(error.problems), status=2)
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
        fail(f"there is no database {parsed.database}: has the engine run with {file}?", status=1)
    return url


async def _load(url: str, call: str) -> tuple[CallRecord, list[Entry]]:
    from sqlalchemy.exc import SQLAlchemyError

    from .db import Database
    from .errors import DatabaseError
    from .sql import said
    from .timeline import load_timeline

    database = Database(url)
    try:
        await database.start()
        record = await find(database, call)
        return record, await load_timeline(database, record.sid)
    except (UnknownCallError, DatabaseError) as error:
        fail(str(error), status=1)
    except SQLAlchemyError as error:
        fail(f"the database cannot be read: {said(error)}", status=1)
    finally:
        await database.close()


async def find(database: Database, call: str) -> CallRecord:
    """The call whose sid is `call`, or ends or begins with it (dashes do not count), the latest for "".

    Raises UnknownCallError. Sids of calls that began in the same minute begin alike; their ends do not.
    """
    if not call:
        latest = await database.load_latest_calls(1)
        if not latest:
            raise UnknownCallError("there are no calls in the database")
        return latest[0]
    digits = call.replace("-", "").lower()
    if len(digits) < MIN_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise UnknownCallError(f"{call!r} is no call sid; expected {MIN_DIGITS} or more hexadecimal digits")
    found = await database.find_calls(first=_first(digits), last=_last(digits), limit=SHOWN_CANDIDATES + 1)
    if not found:
        raise UnknownCallError(f"there is no call {call}")
    if len(found) > 1:
        several = ", ".join(record.sid for record in found[:SHOWN_CANDIDATES])
        raise UnknownCallError(f"{call} fits more than one call: {several}")
    return found[0]


def _first(digits: str) -> str:
    """The first digits of a UUID as they are written (RFC 9562 section 4)."""
    return _dashed(digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])


def _last(digits: str) -> str:
    """The last digits of a UUID as they are written."""
    return _dashed(digits[:-24], digits[-24:-20], digits[-20:-16], digits[-16:-12], digits[-12:])


def _dashed(*parts: str) -> str:
    return "-".join(part for part in parts if part)


def lines(record: CallRecord, entries: list[Entry]) -> list[Text]:
    """The call in one line, then its timeline: seconds since the start, time of day (UTC), what, details."""
    width = min(28, max((len(_head(entry)[0]) for entry in entries), default=0))
    return [Text(_summary(record), style="bold"), *(_line(record, entry, width) for entry in entries)]


def _summary(record: CallRecord) -> str:
    state = record.status or record.state
    began = _utc(record.started).strftime("%Y-%m-%d %H:%M:%S")
    lasted = f", {record.duration_s} s" if record.answered else ", not answered" if record.ended else ""
    return (
        f"call {record.sid}: {record.direction} from {record.from_number} to {record.to_number}, "
        f"began {began} UTC, {state}{lasted}"
    )


def _line(record: CallRecord, entry: Entry, width: int) -> Text:
    what, details = _head(entry)
    shown = " ".join(f"{name}={_quoted(value)}" for name, value in details.items())
    since, wall = entry.at - record.started, _utc(entry.at).strftime("%H:%M:%S.%f")[:-3]
    line = Text(f"{since:+10.3f} s  {wall}  ", style="dim")
    line.append(f"{_one_line(what):<{width}}", style=_style(entry))
    line.append(f"  {shown}", style="default")
    line.rstrip()
    return line


def _head(entry: Entry) -> tuple[str, dict[str, Any]]:
    """What happened, with the URL or name that belongs to it, and the other details."""
    details = dict(entry.details)
    if entry.what.startswith("> ") and (url := details.pop("url", "")):
        return f"{entry.what} {url}", details
    if entry.what.startswith("verb") and (name := details.pop("name", "")):
        return f"{entry.what} {name}", details
    return entry.what, details


def _style(entry: Entry) -> str:
    if "error" in entry.details or any(word in entry.what for word in FAILURES):
        return "red"
    return next((style for starts, style in STYLES if entry.what.startswith(starts)), "default")


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return _one_line(json.dumps(text, ensure_ascii=False) if text == "" or set(text) & set(' "=') else text)


def _one_line(text: str) -> str:
    """What a peer wrote must not move the cursor or forge a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _as_json(record: CallRecord, entries: list[Entry]) -> dict[str, object]:
    from dataclasses import asdict

    timeline = [
        {
            "since_s": round(entry.at - record.started, 3),
            "at": _utc(entry.at).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "what": entry.what,
            "details": entry.details,
        }
        for entry in entries
    ]
    return {"call": asdict(record), "timeline": timeline}
