"""Logging of the control process: one line a record, with the call it is about, never blocking the loop.

    2026-01-31T12:00:00.123Z INFO    3f2c... flexml.call answered codec=PCMU

The call id travels in a context variable, so that it is in the records of libraries too. What a record
carries in `extra=` is appended as `key=value`. A full queue drops records and says how many.
"""

from __future__ import annotations

import io
import json
import logging
import queue
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from logging.handlers import QueueHandler, QueueListener
from typing import Final, TextIO

GATHER_S: Final = 0.05
"""How long records gather once all have been written: each waking of the thread that writes holds up the loop."""
QUEUE_SIZE: Final = 10_000
"""Records; what accumulates in a second or so of a blocked terminal under load."""

END_S: Final = 2.0
"""How long the end waits for an output that takes nothing: a terminal that is held, a program that reads no more."""

LINES: Final = 200
"""That are written at once at most: each writing may have to wait for its turn to run Python again."""

QUIET: Final = ("alembic", "asyncio", "aiosqlite", "sqlalchemy", "uvicorn", "aiohttp", "flexml.pjsip")
"""Loggers that are heard from WARNING on, unless the level is debug."""

UNSHOWN: Final = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")
"""What logging would look for to say where a record comes from, which no line does (Logging HOWTO, Optimization)."""

call_id: Final[ContextVar[str]] = ContextVar("call_id", default="-")
"""The call that the running task works for."""

_BLANK: Final = vars(logging.makeLogRecord({}))
_PLAIN_ATTRIBUTES: Final = frozenset(_BLANK) | {"message", "asctime", "taskName", "call", "details"}


Records = queue.SimpleQueue[logging.LogRecord]


class Noted(logging.LogRecord):
    """A line about a call at a time (Unix seconds), with details by name. It becomes text where it is written.

    Calls note so much that what logging does for a record like any other is a twentieth of what a call costs.
    """

    def __init__(  # pyright: ignore[reportMissingSuperCall]
        self, name: str, level: int, call: str, at: float, what: str, details: Mapping[str, object]
    ) -> None:
        self.__dict__.update(_BLANK)
        self.name, self.levelno, self.levelname, self.created = name, level, logging.getLevelName(level), at
        self.call, self.msg, self.details = call, what, details

    def getMessage(self) -> str:  # noqa: N802
        """What was noted, and the details."""
        return " ".join([self.msg, *[f"{name}={value}" for name, value in self.details.items()]])


def _extras(record: logging.LogRecord) -> dict[str, object]:
    if vars(record).keys() <= _PLAIN_ATTRIBUTES:
        return {}
    return {key: value for key, value in vars(record).items() if key not in _PLAIN_ATTRIBUTES}


def _time(record: logging.LogRecord) -> str:
    ms = int(record.created * 1000)
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(1)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class PlainFormatter(logging.Formatter):
    """Lines to read; what would break a line is escaped, so that nobody can forge one."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), f"{record.levelname:<7}", str(vars(record).get("call", "-")), record.name]
        parts.append(_one_line(record.getMessage()))
        parts += [f"{key}={_one_line(_quoted(value))}" for key, value in _extras(record).items()]
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info), ensure_ascii=False)}")
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """Lines to feed to something."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "call": vars(record).get("call", "-"),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if text == "" or any(c in text for c in ' "=') else text


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class DroppingQueueHandler(QueueHandler):
    """Puts records into a queue, dropping them when there are `size` in it."""

    def __init__(self, records: Records, size: int) -> None:
        super().__init__(records)
        self.records = records
        self.size = size
        self.dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Put the record there. What is noted of calls needs neither filters nor, while there is room, a lock."""
        if isinstance(record, Noted) and not self.dropped and self.records.qsize() < self.size:
            self.records.put(record)
            return True
        return super().handle(record)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Note the call while its context is at hand. Nothing is formatted here: that is the listener's work."""
        if isinstance(record, Noted):
            return record
        record.call = call_id.get()
        record.msg, record.args = record.getMessage(), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        if self.records.qsize() >= self.size:
            self.dropped += 1
            return
        self.records.put(record)
        if self.dropped:
            count, self.dropped = self.dropped, 0
            self.handle(logging.makeLogRecord(_dropped_record(record, count)))


def _dropped_record(after: logging.LogRecord, count: int) -> dict[str, object]:
    return {
        "name": "flexml.log",
        "levelno": logging.WARNING,
        "levelname": "WARNING",
        "msg": f"{count} records were dropped: the log could not be written fast enough",
        "created": after.created,
    }


class GatheringWriter(logging.Handler):
    """Makes lines of records, and writes those of `LINES` records or of a `flush` together.

    Only the listener's thread has it, and whoever stops the listener, after that.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        try:
            self._lines.append(self.format(record) + "\n")
        except Exception:  # whatever a record cannot do, the next one is written
            self.handleError(record)
        if len(self._lines) >= LINES:
            self.flush()

    def flush(self) -> None:
        """Write what there is. Where nobody takes it any more it is lost: there is nowhere to say so."""
        text, self._lines = "".join(self._lines), []
        if text:
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()


def standard_error() -> TextIO:
    """Standard error without a buffer: whoever is held while writing to one would not let the program end."""
    raw = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)  # pyright: ignore[reportArgumentType]


class GatheringListener(QueueListener):
    """Writes what is there, then looks again after GATHER_S; what comes after a silence is written at once."""

    def __init__(self, records: Records, writer: GatheringWriter) -> None:
        super().__init__(records, writer)
        self._records, self._writer = records, writer

    def dequeue(self, block: bool) -> logging.LogRecord:
        """The next record."""
        if self._records.empty():
            self._writer.flush()
            time.sleep(GATHER_S)
        record = super().dequeue(block)
        if record is None:  # pyright: ignore[reportUnnecessaryComparison]  # what `stop` puts last
            self._writer.flush()
        return record

    def stop(self) -> None:
        """Write what is left; it is lost where nobody takes it for END_S."""
        thread, self._thread = self._thread, None
        self.enqueue_sentinel()
        if thread is not None:
            thread.join(END_S)


def _set_logging(settings: Mapping[str, object]) -> None:
    for name, value in settings.items():
        setattr(logging, name, value)


@contextmanager
def logging_to(stream: TextIO, *, level: str = "info", style: str = "plain", size: int = QUEUE_SIZE) -> Generator[None]:
    """Write every record of `level` and above to `stream` from a thread of its own; at the end, write what is left.

    `level` and `style` are [log] level and format of the configuration.
    """
    writer = GatheringWriter(stream)
    writer.setFormatter(JsonFormatter() if style == "json" else PlainFormatter())
    records: Records = queue.SimpleQueue()
    handler = DroppingQueueHandler(records, size)
    listener = GatheringListener(records, writer)
    root = logging.getLogger()
    before = root.level
    root.setLevel(level.upper())
    root.addHandler(handler)
    looked_for = {name: getattr(logging, name) for name in UNSHOWN}
    _set_logging(dict.fromkeys(UNSHOWN))
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)
    listener.start()
    try:
        yield
    finally:
        _set_logging(looked_for)
        root.removeHandler(handler)
        root.setLevel(before)
        listener.stop()
