"""`flexml load` against the engine, and against a server that is none and loses packets on purpose."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import load_server
import pytest
from conftest import need
from engine_process import EngineProcess
from flexml_app import Line, Received, tone_wav
from load_server import EchoSocket, LoadServer
from ports import free_block

TIMEOUT_S: Final = 90


class Loaded:
    """How a run of the command went."""

    def __init__(self, folder: Path, target: str, *arguments: str) -> None:
        need("sipp")
        json_file, self.page_file = folder / "load.json", folder / "load.html"
        done = subprocess.run(
            [
                Path(sys.executable).parent / "flexml", "load", target, "--from-port", str(free_block(60)),
                "--json", json_file, "--html", self.page_file, *arguments,
            ],
            cwd=folder, capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        self.status = done.returncode
        self.text = (done.stdout + done.stderr).decode()
        self.figures: dict[str, Any] = json.loads(json_file.read_text()) if json_file.exists() else {}


def test_held_calls_are_measured_on_both_sides(line: Line, engine: EngineProcess, tmp_path: Path) -> None:
    line.serve('<Play loop="0">tone.wav</Play>')
    line.serve(tone_wav(600, 3.0), at="tone.wav")
    loaded = Loaded(
        tmp_path, f"sip:{line.number}@{engine.target}", "--calls", "10", "--duration", "5", "--send", "speech",
        "--header", "X-Load=yes", "--server-pid", str(engine.pids[0]),
    )  # fmt: skip
    figures = loaded.figures
    assert figures, loaded.text
    calls, media, server = figures["calls"], figures["media"], figures["server"]
    assert (calls["placed"], calls["answered"], calls["failed"], calls["cut_short"], calls["held"]) == (
        10,
        10,
        0,
        0,
        10,
    )
    assert abs(media["received"] - 10 * 250) <= 20, loaded.text
    assert (media["lost"], media["duplicates"], media["restarts"], media["silent_streams"]) == (0, 0, 0, 0)
    assert media["sent"] >= 10 * 250
    assert figures["answer"]["count"] == media["first_packet"]["count"] == 10
    assert 0 < figures["answer"]["p50"] < 1000
    assert 0 < media["deviation"]["p50"] < 20
    assert media["deviation"]["count"] >= 2300
    assert 0 < server["cpu_percent_per_call"] < 20
    assert {"flexml: worker 1", "flexml: control"} <= {one["name"] for one in server["processes"]}
    assert server["memory_with_calls_kb"] > 0
    assert figures["generator"]["streams_cpu_percent"] > 0
    assert len(figures["seconds"]) >= 7
    assert loaded.status == (0 if figures["clean"] else 1)
    assert ("not clean" in loaded.text) == (not figures["clean"])
    assert loaded.page_file.read_text().count("<svg") == 7
    assert line.requests()[0].data["SipHeader_X-Load"] == "yes"


def test_keys_are_heard_back(line: Line, engine: EngineProcess, tmp_path: Path) -> None:
    def press(request: Received) -> str:
        return f"<Dtmf>{request.data['Digits']}</Dtmf><Redirect>../{line.number}/</Redirect>"

    line.serve('<Gather numDigits="1" timeout="30" action="key"/>')
    line.serve(press, at="key")
    loaded = Loaded(
        tmp_path, f"sip:{line.number}@{engine.target}", "--calls", "3", "--duration", "5", "--digits", "15*", "--echo"
    )
    media = loaded.figures["media"]
    # Each call lasts 8.3 s: keys after 1 s .. 5 s, the last of which has 2.5 s to come back.
    assert media["digits_sent"] == 15, loaded.text
    assert (media["digits_heard"], media["digits_lost"]) == (15, 0), loaded.text
    assert [one.data["Digits"] for one in line.requests("key")].count("*") == 3


def test_calls_may_come_and_go(line: Line, engine: EngineProcess, tmp_path: Path) -> None:
    line.serve('<Play loop="0">tone.wav</Play>')
    line.serve(tone_wav(600, 3.0), at="tone.wav")
    loaded = Loaded(
        tmp_path, f"sip:{line.number}@{engine.target}", "--calls", "8", "--rate", "5", "--hold", "1", "--duration", "5",
        "--transport", "tcp", "--codec", "pcma",
    )  # fmt: skip
    figures = loaded.figures
    assert (figures["calls"]["placed"], figures["calls"]["answered"], figures["calls"]["failed"]) == (25, 25, 0)
    assert 2 < figures["calls"]["held"] < 8
    assert abs(figures["media"]["received"] - 25 * 50) < 75, loaded.text
    assert figures["media"]["lost"] == 0


def test_packets_that_a_server_loses_are_found(tmp_path: Path) -> None:
    need("sipp")
    with EchoSocket(skip=10) as echo, LoadServer(tmp_path / "server", load_server.TALK, echo) as server:
        loaded = Loaded(
            tmp_path,
            server.target,
            "--calls",
            "4",
            "--duration",
            "4",
            "--send",
            "noise",
            "--server-pid",
            str(server.pid),
        )
    media = loaded.figures["media"]
    assert loaded.status == 1
    assert media["lost"] == pytest.approx(4 * 20, abs=4), loaded.text
    assert media["received"] == pytest.approx(4 * 180, abs=12)
    assert loaded.figures["missing_percent"] == pytest.approx(10, abs=0.6)
    assert "% of the packets were lost or never sent" in loaded.text
    assert sorted(echo.heard) == sorted(set(echo.heard))
    assert len(echo.heard) == 4


def test_who_is_asked_for_a_password_gives_it(tmp_path: Path) -> None:
    need("sipp")
    with EchoSocket() as echo, LoadServer(tmp_path / "server", load_server.CHALLENGE, echo) as server:
        loaded = Loaded(
            tmp_path, server.target, "--calls", "2", "--duration", "1", "--user", "alice", "--password", "secret"
        )
        assert server.written("logs.log").count("username=") == 2
        assert server.written("errors.log") == ""
    assert (loaded.figures["calls"]["answered"], loaded.figures["calls"]["failed"]) == (2, 0), loaded.text


def test_media_follows_a_re_invite(tmp_path: Path) -> None:
    need("sipp")
    with EchoSocket() as echo, EchoSocket() as second:
        with LoadServer(tmp_path / "server", load_server.REINVITE, echo, second) as server:
            loaded = Loaded(tmp_path, server.target, "--calls", "2", "--duration", "3", "--send", "silence")
            assert server.written("errors.log") == ""
    assert (loaded.figures["calls"]["failed"], loaded.figures["calls"]["cut_short"]) == (0, 0), loaded.text
    assert len(second.heard) == 2
    assert all(60 < count < 100 for count in echo.heard.values()), echo.heard
    assert all(150 < count < 300 for count in second.heard.values()), second.heard


def test_a_server_that_hangs_up_is_told(tmp_path: Path) -> None:
    need("sipp")
    with EchoSocket() as echo, LoadServer(tmp_path / "server", load_server.HANG_UP, echo) as server:
        loaded = Loaded(tmp_path, server.target, "--calls", "2", "--duration", "1")
    assert loaded.status == 1
    assert (loaded.figures["calls"]["cut_short"], loaded.figures["calls"]["failed"]) == (2, 0), loaded.text
    assert "the server ended 2 calls that were to be held" in loaded.text


def test_refused_calls_are_told_with_their_status(engine: EngineProcess, tmp_path: Path) -> None:
    loaded = Loaded(tmp_path, f"sip:15559999999@{engine.target}", "--calls", "2", "--duration", "1")
    assert loaded.status == 1
    assert loaded.figures["calls"]["failed"] == 2
    assert list(loaded.figures["calls"]["reasons"]) == ["404 Not Found"], loaded.text
    assert "no call was answered" in loaded.text


def test_a_run_whose_sipp_ends_before_its_time_is_none(
    line: Line, engine: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.serve('<Pause length="30"/>')
    need("sipp")
    mortal = tmp_path / "bin" / "sipp"
    mortal.parent.mkdir()
    mortal.write_text(f'#!/bin/sh\n{shutil.which("sipp")} "$@" &\nsleep 3\nkill -INT $!\nwait $!\n')
    mortal.chmod(0o755)
    monkeypatch.setenv("PATH", str(mortal.parent), prepend=":")
    loaded = Loaded(tmp_path, f"sip:{line.number}@{engine.target}", "--calls", "2", "--duration", "20")
    assert loaded.status == 1
    assert "calls that it left to the server: 2" in " ".join(loaded.text.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["127.0.0.1"],
        ["sip:1@127.0.0.1", "--digits", "12x"],
        ["sip:1@127.0.0.1", "--echo"],
        ["sip:1@127.0.0.1", "--send", "nowhere.wav"],
        ["sip:1@127.0.0.1", "--header", "nothing"],
        ["sip:1@127.0.0.1", "--core", "4000"],
        ["sip:1@127.0.0.1", "--json", "nowhere/figures.json"],
        ["sip:1@127.0.0.1", "--html", "."],
        ["sip:1@127.0.0.1", "--server-pid", "999999999"],
    ],
)
def test_what_is_not_understood_is_a_usage_error(arguments: list[str], tmp_path: Path) -> None:
    assert Loaded(tmp_path, *arguments).status == 2
