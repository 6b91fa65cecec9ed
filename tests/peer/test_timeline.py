"""`flexml timeline`, the real command, about real calls."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import need
from engine_process import EngineProcess
from flexml_app import Answer, Line, tone_wav
from rtp_endpoint import RtpEndpoint
from sipp import Sipp, ack, call, pause, receive, request, sdp

FLEXML = Path(sys.executable).parent / "flexml"


class Reader:
    """The command, run against the engine's own configuration."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit status, and what was written."""
        command = [FLEXML, "timeline", "--config", self._engine.config_path, *arguments]
        done = subprocess.run(
            command, env={**os.environ, "COLUMNS": "80"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def entries(self, *arguments: str) -> list[tuple[str, dict[str, object]]]:
        """What and details of each line of one call."""
        status, said = self.run("--json", *arguments)
        assert status == 0, said
        return [(line["what"], line["details"]) for line in json.loads(said)["timeline"]]

    def entries_with(self, what: str, *arguments: str) -> list[tuple[str, dict[str, object]]]:
        """The same once a line says `what`: the status callback is delivered after the call is over."""
        deadline = time.monotonic() + 15
        while not details_of(entries := self.entries(*arguments), what):
            assert time.monotonic() < deadline, f"no line {what!r} among {entries}"
        return entries


@pytest.fixture
def reader(engine: EngineProcess) -> Reader:
    return Reader(engine)


def details_of(entries: list[tuple[str, dict[str, object]]], what: str) -> list[dict[str, object]]:
    return [details for one, details in entries if one == what]


def in_order(lines: list[str], *expected: str) -> None:
    """Every expected line is there, one after the other; each is the beginning of a line's text."""
    rest = iter(lines)
    for beginning in expected:
        assert any(line.startswith(beginning) for line in rest), f"{beginning!r} is not there, or too early: {lines}"


def test_a_call_tells_its_story(line: Line, sipp: Sipp, rtp: RtpEndpoint, reader: Reader) -> None:
    """Long enough for one report of the line's quality, which comes every ten seconds."""
    line.serve('<Play>tone.wav</Play><Gather action="choice?token=abc" numDigits="2" timeout="3"/>')
    line.serve("<Redirect>rest</Redirect>", at="choice")
    line.serve('<Pause length="10"/><Hangup/>', at="rest")
    line.serve(tone_wav(700, 1.0), at="tone.wav")
    rtp.press("12")
    outcome = sipp.run(call(pause(9000), hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    sid = str(line.final_status().data["CallSid"])
    entries = reader.entries_with("callback delivered", sid)

    status, said = reader.run(sid)
    assert status == 0, said
    head, *lines = said.splitlines()
    assert head.startswith(f"call {sid}: inbound from")
    assert ", completed, " in head
    shape = re.compile(r" *\+\d+\.\d{3} s  \d\d:\d\d:\d\d\.\d{3}  \S")
    assert all(shape.match(one) for one in lines), said
    assert "\x1b" not in said
    base = line.application.url(line.path())
    in_order(
        [one.split("  ", 2)[2] for one in (text.strip() for text in lines)],
        "< INVITE", "media agreed", f"> POST {base}", "document", "> 200", "verb Play", "audio", "playing",
        "verb ended Play", "verb Gather", "verb ended Gather", f"> POST {base}choice?token=***",
        "verb Redirect", "verb ended Redirect", f"> POST {base}rest", "verb Pause", "RTP quality", "verb ended Pause",
        "verb Hangup", "> BYE", "call ended", "RTP total", "call over", "callback queued",
        "callback attempt", "callback delivered",
    )  # fmt: skip

    for asked in details_of(entries, "> POST"):
        assert asked["status"] == 200
        assert 0 < asked["first_ms"] <= asked["total_ms"] < 3000  # type: ignore[operator]
        assert asked["octets"] > 20  # type: ignore[operator]
    assert [one["digit"] for one in details_of(entries, "digit")] == ["1", "2"]
    (heard,) = details_of(entries, "RTP heard")
    assert heard["source"] == f"127.0.0.1:{rtp.port}"
    (agreed,) = details_of(entries, "media agreed")
    assert (agreed["codec"], agreed["telephone_event"]) == ("PCMU/8000", 101)
    for quality in details_of(entries, "RTP quality"):
        assert quality["received"] == pytest.approx(50 * quality["over_s"], abs=25)  # type: ignore[operator]
        assert quality["lost"] == 0
    assert details_of(entries, "call over") == [{"status": "completed", "duration_s": pytest.approx(12, abs=3)}]
    ended = {one["name"]: one for one in details_of(entries, "verb ended")}
    assert ended["Pause"]["took_ms"] == pytest.approx(10_000, abs=300)


def test_requests_that_fail_and_callbacks_that_are_repeated_say_why(line: Line, sipp: Sipp, reader: Reader) -> None:
    line.serve(Answer(status=503, body="down"))
    line.application.serve(line.path("status"), Answer(status=500), Answer(status=204))
    assert sipp.run(call(hang_up=False), number=line.number).status == 0
    first, _ = line.wait_for("status", 2)
    sid = str(first.data["CallSid"])
    entries = reader.entries_with("callback delivered", sid)
    assert [one["status"] for one in details_of(entries, "> POST")] == [503]
    (failed,) = details_of(entries, "application error")
    assert "status 503, expected 2xx" in str(failed["error"])
    assert [(one["attempt"], one["status"]) for one in details_of(entries, "callback attempt")] == [(1, 500), (2, 204)]
    assert details_of(entries, "callback delivered")[0]["attempts"] == 2


def test_reinvites_are_noted_with_what_came_of_them(line: Line, sipp: Sipp, rtp: RtpEndpoint, reader: Reader) -> None:
    line.serve('<Pause length="10"/>')
    held = request("INVITE", body=sdp("a=sendonly"), within=True, cseq=2) + receive(100, optional=True) + receive(200)
    bad = request("INVITE", body=sdp(formats="18 101"), within=True, cseq=3) + receive(100, optional=True)
    refusal = request("ACK", within=True, cseq=3, retrans=False)
    steps = call(pause(200), held, ack(2), pause(200), bad, receive(488), refusal)
    assert sipp.run(steps, number=line.number, rtp_port=rtp.port).status == 0
    entries = reader.entries(str(line.final_status().data["CallSid"]))
    in_order(
        [what for what, _ in entries], "< INVITE", "media agreed", "> 200", "< ACK",
        "< re-INVITE", "media agreed", "< re-INVITE", "offer refused", "call ended",
    )  # fmt: skip
    assert [one["direction"] for one in details_of(entries, "media agreed")] == ["sendrecv", "recvonly"]
    (ended,) = details_of(entries, "call ended")
    assert (ended["by"], ended["request"]) == ("remote", "BYE")


def test_calls_are_found_by_either_end_without_dashes_and_as_the_last(line: Line, sipp: Sipp, reader: Reader) -> None:
    line.serve("<Hangup/>")
    assert sipp.run(call(hang_up=False), number=line.number).status == 0
    sid = str(line.final_status().data["CallSid"])
    digits = sid.replace("-", "")
    for named in (sid, digits, sid[-6:], sid[-16:], sid[:23], digits[-21:].upper(), digits[:20].upper(), "--last"):
        status, said = reader.run(named)
        assert status == 0, said
        assert said.startswith(f"call {sid}:")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["00000000-0000-0000-0000-000000000000"], 1, "there is no call 00000000-0000-0000-0000-000000000000"),
        (["abc"], 1, "'abc' is no call sid; expected 6 or more hexadecimal digits"),
        (["%%%%%%"], 1, "'%%%%%%' is no call sid"),
        ([], 2, "give the sid of a call, or --last"),
        (["abcdef", "--last"], 2, "give the sid of a call, or --last"),
    ],
)
def test_a_call_that_is_not_there_is_an_error(reader: Reader, arguments: list[str], status: int, message: str) -> None:
    found, said = reader.run(*arguments)
    assert (found, said.startswith(message)) == (status, True), said
    assert len(said.splitlines()) == 1


def test_there_is_no_timeline_without_a_database(tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text('[database]\nurl = "sqlite:///none.db"\n')
    done = subprocess.run(
        [FLEXML, "timeline", "--last", "--config", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "there is no database" in done.stderr) == (1, True)
    assert not (tmp_path / "none.db").exists()


def test_a_terminal_gets_colours(line: Line, sipp: Sipp, engine: EngineProcess) -> None:
    need("script")
    line.serve("<Hangup/>")
    assert sipp.run(call(hang_up=False), number=line.number).status == 0
    line.final_status()
    command = f"{FLEXML} timeline --last --config {engine.config_path}"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert "\x1b[" in done.stdout
