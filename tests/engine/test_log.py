"""Log lines: what is in them, and that writing them holds nobody up."""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import re
import threading
import time

import pytest
from flexml.engine.log import LINES, DroppingQueueHandler, GatheringWriter, Noted, call_id, logging_to

log = logging.getLogger("flexml.test")


def written(style: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    with logging_to(stream, level=level, style=style):
        log.debug("hidden")
        about = call_id.set("c1")
        log.info("< %s", "INVITE", extra={"codec": "PCMU", "reason": "Not Here"})
        call_id.reset(about)
        log.warning("two\nlines \x1b[31m")
    return stream


def test_a_plain_line_has_time_level_call_logger_message_and_values() -> None:
    first, second = written("plain").getvalue().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    c1 flexml\.test < INVITE .*", first)
    assert first.endswith('codec=PCMU reason="Not Here"')
    assert second.endswith(r"WARNING - flexml.test two\nlines \x1b[31m")


def test_a_json_line_has_the_same() -> None:
    first, second = map(json.loads, written("json").getvalue().splitlines())
    assert {**first, "time": ""} == {
        "time": "",
        "level": "info",
        "call": "c1",
        "logger": "flexml.test",
        "message": "< INVITE",
        "codec": "PCMU",
        "reason": "Not Here",
    }
    assert (second["call"], second["message"]) == ("-", "two\nlines \x1b[31m")


def test_what_is_noted_of_a_call_is_a_line_like_any_other() -> None:
    plain, as_json = io.StringIO(), io.StringIO()
    for stream, style in ((plain, "plain"), (as_json, "json")):
        with logging_to(stream, style=style):
            log.handle(Noted(log.name, logging.INFO, "c1", 1.25, "100 %s\n", {"codec": "PCMU"}))
    assert plain.getvalue() == "1970-01-01T00:00:01.250Z INFO    c1 flexml.test 100 %s\\n codec=PCMU\n"
    assert json.loads(as_json.getvalue()) == {
        "time": "1970-01-01T00:00:01.250Z", "level": "info", "call": "c1", "logger": "flexml.test",
        "message": "100 %s\n codec=PCMU",
    }  # fmt: skip


@pytest.mark.parametrize("style", ["plain", "json"])
def test_a_traceback_stays_on_the_line_of_its_record(style: str) -> None:
    stream = io.StringIO()
    with logging_to(stream, style=style):
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in line
    assert line.count("Traceback") == 1


def test_debug_is_written_where_it_is_asked_for() -> None:
    assert "hidden" in written("plain", "debug").getvalue()


def test_a_full_queue_drops_records_and_tells_how_many() -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = DroppingQueueHandler(records, 2)
    for number in range(5):
        handler.handle(logging.makeLogRecord({"msg": f"record {number}"}))
    assert [records.get_nowait().msg for _ in range(2)] == ["record 0", "record 1"]
    handler.handle(logging.makeLogRecord({"msg": "record 5"}))
    assert [records.get_nowait().msg for _ in range(2)] == [
        "record 5",
        "3 records were dropped: the log could not be written fast enough",
    ]


def test_what_is_noted_of_calls_is_dropped_and_counted_alike() -> None:
    records = queue.SimpleQueue[logging.LogRecord]()
    handler = DroppingQueueHandler(records, 2)
    lines = [Noted("flexml.call", logging.INFO, "c1", float(number), "digit", {"digit": number}) for number in range(6)]
    for line in lines[:5]:
        handler.handle(line)
    assert [records.get_nowait().getMessage() for _ in range(2)] == ["digit digit=0", "digit digit=1"]
    handler.handle(lines[5])
    assert [records.get_nowait().getMessage() for _ in range(2)] == [
        "digit digit=5",
        "3 records were dropped: the log could not be written fast enough",
    ]


def test_what_comes_shortly_after_is_written_with_one_waking(monkeypatch: pytest.MonkeyPatch) -> None:
    rests, rested, go_on = 0, threading.Event(), threading.Event()

    def rest(seconds: float) -> None:
        nonlocal rests
        rests += 1
        rested.set()
        assert go_on.wait(10)

    monkeypatch.setattr("flexml.engine.log.time.sleep", rest)
    stream = io.StringIO()
    with logging_to(stream):
        assert rested.wait(10)
        for number in range(50):
            log.info("record %d", number)
        assert stream.getvalue() == ""
        go_on.set()
    assert len(stream.getvalue().splitlines()) == 50
    assert rests <= 2


class Counting(io.StringIO):
    """Counts writes; `broken` is a reader that has gone."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.writes, self.broken = 0, broken

    def write(self, text: str, /) -> int:
        self.writes += 1
        if self.broken:
            raise BrokenPipeError
        return super().write(text)


def record(message: str, *values: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "args": values})


def test_lines_of_many_records_are_written_together() -> None:
    stream = Counting()
    writer = GatheringWriter(stream)
    for number in range(LINES + 3):
        writer.handle(record("record %d", number))
    assert (stream.writes, len(stream.getvalue().splitlines())) == (1, LINES)
    writer.flush()
    writer.flush()
    assert (stream.writes, len(stream.getvalue().splitlines())) == (2, LINES + 3)


def test_a_record_that_has_no_text_costs_no_other_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Counting()
    writer = GatheringWriter(stream)
    for one in (record("one"), record("%d", "two"), record("three")):
        writer.handle(one)
    writer.flush()
    assert stream.getvalue() == "one\nthree\n"
    assert "TypeError" in capsys.readouterr().err


def test_a_reader_that_has_gone_ends_nothing() -> None:
    stream = Counting(broken=True)
    writer = GatheringWriter(stream)
    writer.handle(record("lost"))
    writer.flush()
    stream.broken = False
    writer.handle(record("read"))
    writer.flush()
    assert stream.getvalue() == "read\n"


def test_an_output_that_takes_nothing_is_not_waited_for_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flexml.engine.log.END_S", 0.1)
    reader, writer = os.pipe()
    output = io.TextIOWrapper(io.FileIO(writer, "w"), write_through=True)  # pyright: ignore[reportArgumentType]
    with os.fdopen(reader, "rb"), logging_to(output):
        log.info("x" * 1_000_000)
        while not (held := [each for each in threading.enumerate() if "_monitor" in each.name]):
            pass
        began = time.monotonic()
    assert time.monotonic() - began < 5
    held[0].join()  # nobody can read any more, so it is held no longer
    output.close()
