"""Many calls: at once without a digit lost, and one after another without anything left behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, tone_wav
from ports import free_block, free_port
from sipp import CAPTURES, call, pause, play_capture

CALLS_AT_ONCE = 200
CALLS_IN_A_ROW = 1000
NUMBER = "15550003000"
GROWTH_KB = 12 * 1024
"""How far memory may swing; a leak of 12 KB a call would show."""


@pytest.fixture(scope="module")
def busy_engine(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = EngineProcess(
        tmp_path_factory.mktemp("busy"), {NUMBER: application.url(f"/{NUMBER}/")}, legs=CALLS_AT_ONCE + 50
    )
    engine.start()
    yield engine
    assert engine.stop() == 0, engine.log()[-4000:]
    assert tracebacks(engine.log()) == []


@pytest.fixture
def load(busy_engine: EngineProcess, tmp_path: Path) -> Load:
    need("sipp")
    return Load(tmp_path, busy_engine.target)


class Load:
    """SIPp playing one scenario many times."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder, self._target = folder, target

    def run(self, steps: str, *, calls: int, at_once: int, rate: int, timeout_s: int) -> None:
        """Play `steps` `calls` times, at most `at_once` together, `rate` new ones a second; all must go as expected."""
        scenario, errors = self._folder / "load.xml", self._folder / "load-errors.log"
        scenario.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="load">\n{steps}</scenario>\n')
        command = [
            "sipp", self._target, "-sf", str(scenario), "-s", NUMBER, "-m", str(calls), "-l", str(at_once),
            "-r", str(rate), "-nostdin", "-i", "127.0.0.1", "-p", str(free_port()), "-mi", "127.0.0.1",
            "-mp", str(free_block(4)), "-key", "rtp_port", "9", "-timeout", f"{timeout_s}s", "-timeout_error",
            "-trace_err", "-error_file", str(errors),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=self._folder, capture_output=True, timeout=timeout_s + 15, check=False)
        said = errors.read_text(errors="replace") if errors.exists() else ""
        assert done.returncode == 0, said[-2000:] + done.stderr.decode(errors="replace")[-2000:]


def line_of(application: Application) -> Line:
    line = Line(NUMBER, application)
    application.serve(line.path("status"), Answer(status=204))
    return line


def until_idle(engine: EngineProcess, timeout_s: float = 20.0) -> None:
    """Wait for the calls that have ended to be concluded."""
    deadline = time.monotonic() + timeout_s
    while (live := engine.live_calls()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert live == 0


@pytest.mark.skipif(not CAPTURES.exists(), reason="SIPp's packaged captures are not installed")
def test_200_calls_at_once_play_and_gather_without_a_digit_lost(
    application: Application, busy_engine: EngineProcess, load: Load
) -> None:
    line = line_of(application)
    line.serve('<Gather numDigits="3" timeout="60" action="digits"><Play loop="0">tone.wav</Play></Gather>')
    line.serve(tone_wav(700, 5.0), at="tone.wav")
    line.serve("<Pause length='2'/><Hangup/>", at="digits")
    keys = "".join(
        play_capture(f"dtmf_2833_{digit}.pcap") + pause(1500) for digit in (1, 4, 7)
    )  # their timestamps rise with the digit
    steps = call(pause(9000), keys, hang_up=False)
    load.run(steps, calls=CALLS_AT_ONCE, at_once=CALLS_AT_ONCE, rate=25, timeout_s=90)
    gathered = [request.data["Digits"] for request in line.wait_for("digits", count=CALLS_AT_ONCE)]
    assert gathered == ["147"] * CALLS_AT_ONCE
    until_idle(busy_engine)


def test_a_thousand_calls_leave_nothing_behind(
    application: Application, busy_engine: EngineProcess, load: Load
) -> None:
    line = line_of(application)
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(700, 5.0), at="tone.wav")
    steps = call(pause(20))

    def run(calls: int) -> None:
        load.run(steps, calls=calls, at_once=1, rate=100, timeout_s=240)
        until_idle(busy_engine)

    # Caches fill, every one of pjsua's places is used, and as many transactions linger (32 s each) as ever will.
    run(1500)
    pids = busy_engine.pids
    before = [(sockets(pid), resident_kb(pid)) for pid in pids]
    run(CALLS_IN_A_ROW)
    assert busy_engine.pids == pids
    after = [(sockets(pid), resident_kb(pid)) for pid in pids]
    assert [count for count, _ in after] == [count for count, _ in before]
    assert all(now - then < GROWTH_KB for (_, then), (_, now) in zip(before, after, strict=True)), (before, after)


def sockets(pid: int) -> int:
    """How many sockets the process holds but those to the test's application, which come and go by themselves."""
    links = [str(entry.readlink()) for entry in list(Path(f"/proc/{pid}/fd").iterdir()) if entry.is_symlink()]
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    datagram = {row.split()[9] for row in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]}
    return len(inodes & datagram)


def resident_kb(pid: int) -> int:
    """What the process holds of memory."""
    (line,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1])
