"""What whoever runs an engine does to it: starts it twice, closes its terminal, kills it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from inherited import inherits
from phone import Phone, Talk
from sounds import tone

NUMBER = "15550001000"
LONG = '<Pause length="60"/>'


@pytest.fixture
def line(application: Application, request: pytest.FixtureRequest) -> Line:
    line = Line(request.node.name, application)
    line.serve(Answer(status=204), at="status")
    line.serve(LONG)
    return line


@pytest.fixture
def own_engine(application: Application, line: Line, tmp_path: Path) -> EngineProcess:
    return EngineProcess(tmp_path, {NUMBER: application.url(line.path())})


def test_a_second_engine_on_a_sqlite_database_does_not_start(
    own_engine: EngineProcess, application: Application, line: Line, tmp_path: Path
) -> None:
    second = EngineProcess(
        tmp_path / "second", {NUMBER: application.url(line.path())}, database=f"sqlite:///{tmp_path}/flexml.db"
    )
    own_engine.start()
    try:
        with Phone(own_engine.target, NUMBER) as phone:
            talk = Talk(lambda: phone.call(hang_up_at=4.0))
            talk.start()
            phone.rtp.wait_for(20)
            with pytest.raises(AssertionError, match="exit status 1") as refused:
                second.start()
            assert (
                f"there is an engine on the database {tmp_path}/flexml.db already (process {own_engine.pids[0]})"
                in str(refused.value)
            )
            flexml = Path(sys.executable).parent / "flexml"
            read = [flexml, "account", "list", "--config", own_engine.config_path]
            assert b"Peer tests" in subprocess.run(read, check=True, capture_output=True, timeout=60).stdout
            assert talk.result().by == "us"
        (told,) = line.wait_for("status")
        assert told.data["CallStatus"] == "completed"
    finally:
        own_engine.stop()
        second.stop()
    assert tracebacks(second.log()) == []


def test_a_hang_up_of_the_terminal_ends_calls_and_engine_in_order_and_the_timeline_says_so(
    own_engine: EngineProcess, line: Line
) -> None:
    with inherits(signal.SIGHUP):
        own_engine.start()
    try:
        with Phone(own_engine.target, NUMBER) as phone:
            talk = Talk(phone.call)
            talk.start()
            phone.rtp.wait_for(20)
            wait_for_answer(own_engine)
            os.kill(own_engine.pids[0], signal.SIGHUP)
            assert talk.result().by == "them"
            assert 'text="the engine is stopping"' in phone.sip[-1][1].header("Reason")
        (told,) = line.wait_for("status")
        assert told.data["CallStatus"] == "completed"
        assert own_engine.stop() == 0
        whats = [what for what, _ in own_engine.timeline()]
        begin = whats.index("the engine is stopping")
        assert [what for what in whats[begin:] if what in {"> BYE", "call ended", "call over"}] == [
            "> BYE", "call ended", "call over",
        ]  # fmt: skip
        assert 'text="the engine is stopping"' in str(dict(own_engine.timeline())["> BYE"]["reason"])
    finally:
        own_engine.stop()


def test_who_has_not_been_answered_when_the_engine_stops_may_be_by_another_one(
    own_engine: EngineProcess, line: Line
) -> None:
    line.serve('<PreAnswer><Pause length="60"/></PreAnswer>')
    own_engine.start()
    try:
        with Phone(own_engine.target, NUMBER) as phone:
            talk = Talk(phone.call)
            talk.start()
            deadline = time.monotonic() + 30
            while not any(start.startswith("SIP/2.0 183") for start in phone.starts):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert own_engine.stop() == 0
            assert (talk.result().status, talk.result().by) == (503, "refused")
            assert 'text="the engine is stopping"' in phone.sip[-1][1].header("Reason")
        (told,) = line.wait_for("status")
        assert told.data["CallStatus"] == "failed"
    finally:
        own_engine.stop()


def test_an_engine_that_was_started_to_outlive_its_terminal_does(own_engine: EngineProcess) -> None:
    with inherits(signal.SIGHUP, signal.SIG_IGN):  # as nohup does
        own_engine.start()
    try:
        os.kill(own_engine.pids[0], signal.SIGHUP)
        assert "stopping" not in own_engine.log()
        assert own_engine.live_calls() == 0
    finally:
        assert own_engine.stop() == 0


def test_a_call_of_an_engine_that_was_killed_has_an_end_on_its_timeline(own_engine: EngineProcess, line: Line) -> None:
    own_engine.start()
    try:
        with Phone(own_engine.target, NUMBER, longest_s=3.0) as phone:
            talk = Talk(phone.call)
            talk.start()
            phone.rtp.wait_for(20)
            own_engine.kill()
            with pytest.raises(AssertionError):
                talk.result()
        own_engine.start()
        line.wait_for("status")
        lines = [line for line in own_engine.timeline() if not line[0].startswith("callback")]
        assert lines[-2:] == [("the engine has ended", {}), ("call over", {"status": "failed", "duration_s": 0})]
        assert "1 calls had been live" in own_engine.log()
    finally:
        own_engine.stop()


def test_health_and_metrics_tell_of_a_database_that_takes_nothing(own_engine: EngineProcess, line: Line) -> None:
    own_engine.start()
    try:
        with own_engine.database() as database:
            database.execute("BEGIN IMMEDIATE")
            with Phone(own_engine.target, NUMBER) as phone:
                phone.call(hang_up_at=0.5)
            health = wait_for_status(own_engine, "degraded")
            assert int(str(health["database_ms"])) >= 2000
            wait_for_status(own_engine, "takes nothing", of="database")
            assert b"flexml_database_up 0.0" in own_engine.get("/metrics")
            database.execute("ROLLBACK")
        assert wait_for_status(own_engine, "ok")["database"] == "answers"
        assert b"flexml_database_up 1.0" in own_engine.get("/metrics")
        line.wait_for("status")
    finally:
        own_engine.stop()


def test_an_engine_on_a_damaged_database_says_so_in_a_sentence(own_engine: EngineProcess, tmp_path: Path) -> None:
    own_engine.start()
    assert own_engine.stop() == 0
    with own_engine.database() as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'account'").fetchone()
    with (tmp_path / "flexml.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xab" * 4096)
    with pytest.raises(
        AssertionError, match=r"cannot serve: the database is damaged.*database disk image is malformed"
    ):
        own_engine.start()
    assert tracebacks(own_engine.log()) == []


def test_an_engine_whose_output_is_full_starts_all_the_same(own_engine: EngineProcess, tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "flexml", "serve", "--config", own_engine.config_path]
    with Path("/dev/full").open("wb") as full, (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(command, stdout=full, stderr=errors)
    try:
        deadline = time.monotonic() + 30
        while b"the greeting cannot be written: No space left on device" not in (tmp_path / "errors").read_bytes():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert json.loads(own_engine.get("/health"))["workers"] == 1
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_an_engine_whose_log_nobody_reads_takes_calls_and_ends_all_the_same(
    own_engine: EngineProcess, line: Line
) -> None:
    command = [Path(sys.executable).parent / "flexml", "serve", "--config", own_engine.config_path]
    read, write = os.pipe()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=write)
    try:
        wait_until_healthy(own_engine)
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x")
        os.set_blocking(write, True)
        (worker,) = (pid for pid in children(process.pid) if b"worker 1" in Path(f"/proc/{pid}/cmdline").read_bytes())
        with Phone(own_engine.target, NUMBER) as phone:
            phone.later(1.0, lambda _: os.kill(worker, signal.SIGSTOP))
            phone.later(2.0, lambda _: os.kill(worker, signal.SIGCONT))
            assert phone.call(hang_up_at=3.0).by == "us"
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(read)
        os.close(write)
    line.wait_for("status")


def test_an_engine_that_was_started_without_any_output_plays_and_records(own_engine: EngineProcess, line: Line) -> None:
    line.serve('<Play>/sounds/tone-600-1000.wav</Play><Record maxLength="1" playBeep="false" callbackUrl="told"/>')
    line.serve(Answer(status=204), at="told")
    flexml = Path(sys.executable).parent / "flexml"
    command = f"exec {flexml} serve --config {own_engine.config_path} <&- >&- 2>&-"
    process = subprocess.Popen(["bash", "-c", command])
    try:
        wait_until_healthy(own_engine)
        with Phone(own_engine.target, NUMBER) as phone:
            phone.rtp.speak(tone(1000, 30.0))
            assert phone.call().by == "them"
            assert phone.rtp.elapsed_s > 1.5
        (told,) = line.wait_for("told")
        assert told.data["RecordingStatus"] == "completed"
        for number in (0, 1, 2):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path(os.devnull)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()


def children(pid: int) -> list[int]:
    """The processes that it has started and that live."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_healthy(engine: EngineProcess) -> None:
    """Return once /health is answered; fails after a while."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            if json.loads(engine.get("/health"))["status"] == "ok":
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_status(engine: EngineProcess, status: str, *, of: str = "status") -> dict[str, object]:
    """What /health says once its status, or that `of` something, is that."""
    deadline = time.monotonic() + 60
    while (health := json.loads(engine.get("/health")))[of] != status:
        assert time.monotonic() < deadline, health
        time.sleep(0.1)
    return health


def wait_for_answer(engine: EngineProcess) -> None:
    """Return once the API says of the one live call when it was answered."""
    deadline = time.monotonic() + 30
    live = "/flexml/v1/calls?state=live&include_fields=date_answered"
    while not engine.post(live, {}, method="GET")["items"][0]["date_answered"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
