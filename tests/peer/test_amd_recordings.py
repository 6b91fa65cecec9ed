"""The labelled recordings, spoken into real calls: status and cause are those that a real Asterisk gave."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Final

import pytest
import soundfile
from caller import Call, Outcome, place
from engine_process import EngineProcess
from flexml_app import Line

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data" / "amd"
AT_ONCE: Final = 41
FIRST_CALLER: Final = 15165550100
VERBS: Final = {
    "asterisk_default": '<Amd action="result"/>',
    "flexml_example": (
        '<Amd action="result" method="POST" initialSilence="5000" greeting="2000" afterGreetingSilence="500"'
        ' totalAnalysisTime="10000"/>'
    ),
}


def labels() -> list[dict[str, str]]:
    with (DATA / "labels.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def one_call(caller: str, recording: Path) -> Call:
    """Speak all of it but the last 200 ms: what is undecided then must not be decided by the silence that follows."""
    duration_ms = round(soundfile.info(recording).duration * 1000)
    return Call(caller=caller, recording=str(recording), hang_up_after_ms=duration_ms - 200)


def told(line: Line, at: str, count: int) -> dict[str, tuple[object, object]]:
    """Status and cause of the last `count` requests for `at`, by caller."""
    requests = line.wait_for(at, count)[-count:]
    return {
        re.sub(r"\D", "", str(each.data["From"])): (each.data.get("AMDStatus"), each.data.get("AMDCause"))
        for each in requests
    }


def without_time(cause: str) -> str:
    """What of a cause can be foretold: TOOLONG depends on a wall clock."""
    return "TOOLONG" if cause.startswith("TOOLONG") else cause


@pytest.mark.skipif(not DATA.exists(), reason=f"no recordings in {DATA}")
@pytest.mark.parametrize("parameters", VERBS)
def test_recordings_have_the_status_and_cause_that_asterisk_gave_them(
    line: Line, engine: EngineProcess, parameters: str
) -> None:
    line.serve(VERBS[parameters])
    line.serve("<Hangup/>", at="result")
    rows = {str(FIRST_CALLER + at): row for at, row in enumerate(labels())}
    callers = list(rows)
    outcomes: list[Outcome] = []
    for start in range(0, len(callers), AT_ONCE):
        calls = [one_call(caller, DATA / rows[caller]["file"]) for caller in callers[start : start + AT_ONCE]]
        outcomes += place(engine.target, line.number, calls)
    assert {outcome.status for outcome in outcomes} == {200}

    # The status callback has the result of every call, and so has the action, one that was hung up before included.
    found = told(line, "status", len(rows))
    expected = {
        caller: (row[f"{parameters}_status"], without_time(row[f"{parameters}_cause"])) for caller, row in rows.items()
    }
    named = {rows[caller]["file"]: (status, without_time(str(cause))) for caller, (status, cause) in found.items()}
    assert named == {rows[caller]["file"]: result for caller, result in expected.items()}
    assert told(line, "result", len(rows)) == found
    ended_by_us = {outcome.caller for outcome in outcomes if outcome.end == "we hung up"}
    assert ended_by_us == {caller for caller, (status, _) in found.items() if status == "HANGUP"}


def test_a_caller_that_sends_no_audio_is_not_sure(line: Line, engine: EngineProcess) -> None:
    line.serve('<Amd action="result" totalAnalysisTime="3000"/>')
    line.serve("<Hangup/>", at="result")
    (outcome,) = place(engine.target, line.number, [Call(caller=str(FIRST_CALLER))])
    assert outcome.end == "they hung up"
    assert told(line, "result", 1) == {outcome.caller: ("NOTSURE", "NOAUDIODATA-0")}


def test_a_caller_that_hangs_up_meanwhile_is_told_of_by_callbacks(line: Line, engine: EngineProcess) -> None:
    line.serve('<Amd action="result"/>')
    line.serve("<Redirect>nowhere</Redirect>", at="result")
    (outcome,) = place(engine.target, line.number, [Call(caller=str(FIRST_CALLER), hang_up_after_ms=1000)])
    assert outcome.end == "we hung up"
    assert told(line, "status", 1) == {outcome.caller: ("HANGUP", "")}
    assert told(line, "result", 1) == {outcome.caller: ("HANGUP", "")}
    assert line.requests("nowhere") == []


def test_without_an_action_the_call_goes_on_and_later_requests_carry_the_result(
    line: Line, engine: EngineProcess
) -> None:
    line.serve('<Amd totalAnalysisTime="500"/><Redirect>next</Redirect>')
    line.serve("<Hangup/>", at="next")
    (outcome,) = place(engine.target, line.number, [Call(caller=str(FIRST_CALLER))])
    assert told(line, "next", 1) == {outcome.caller: ("NOTSURE", "NOAUDIODATA-0")}
