"""Short calls with everything that verbs do, hung up at any moment: whatever is begun ends, and nothing is left."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import caller
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, tone_wav

CALLS_EACH = 8
LONGEST_MS = 5000
TIMEOUT_S = 15.0
IDLE_S = 40.0
"""The pool closes a connection that is not used for 15 s when it looks next, which is every 15 s."""
POOLED = 20
"""Descriptors of connections to the application and to the database (three each) that may be kept; calls are more."""
MOST_LEFT_A_CALL = 50
"""Objects; a call whose own objects refer to each other would leave hundreds to the garbage collector."""
LONG = " ".join(f"This is sentence number {n} of a text that nobody hears to its end." for n in range(20))
TOLD = 'callbackUrl="told" recordingStatusCallback="event" recordingStatusCallbackEvent="completed,failed,absent"'
DOCUMENTS = (
    '<Play loop="0">/sounds/tone-500-300.wav</Play>',
    '<Play waitInitial="1" waitInitialUrl="/sounds/tone-400-300.wav">/slow.wav</Play><Play>/broken.mp3</Play>',
    '<Play background="true">/endless.wav</Play><Play streaming="true" timeLimit="2">/endless.wav</Play>',
    f'<Record playBeep="true" maxLength="1" trim="do-not-trim" {TOLD}/><Record timeout="1" {TOLD}/>',
    f'<Record recordSession="true" channels="dual" fileFormat="mp3" {TOLD}/><Say voice="woman">{LONG}</Say>',
    f'<PreAnswer><Say>Please wait.</Say></PreAnswer><Record recordSession="true" {TOLD}/><Say>{LONG}</Say>',
    f'<Gather numDigits="3" timeout="2"><Say>{LONG}</Say><Play>/slow.wav</Play></Gather>',
    '<Pause length="2" noise="true" minNoise="300"/><Amd totalAnalysisTime="1500"/><Dtmf>12</Dtmf>',
)


def descriptors(engine: EngineProcess) -> int:
    """How many files, pipes and sockets the control process has open."""
    return len(list(Path(f"/proc/{engine.pids[0]}/fd").iterdir()))


def becomes(true: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> bool:
    """True as soon as it is, False if it is not in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def random_calls(number: int) -> list[caller.Call]:
    chance = random.Random(number)
    return [
        caller.Call(caller=f"1516{number % 1000:03d}{n:04d}", wait_ms=0, hang_up_after_ms=chance.randint(0, LONGEST_MS))
        for n in range(CALLS_EACH)
    ]


def place_calls(engine: EngineProcess, numbers: Sequence[str]) -> int:
    """Place the calls to all numbers at once; how many there were, once all are over."""

    def place(number: str) -> list[caller.Outcome]:
        return caller.place(engine.target, number, random_calls(int(number)))

    with ThreadPoolExecutor(len(numbers)) as pool:
        return sum(map(len, pool.map(place, numbers)))


def test_calls_that_end_at_any_moment_leave_nothing_behind(application: Application, tmp_path: Path) -> None:
    lines = [Line(f"soak-{n}", application) for n in range(len(DOCUMENTS))]
    for line, document in zip(lines, DOCUMENTS, strict=True):
        line.serve(document)
        for at in ("status", "told", "event"):
            line.serve(Answer(status=204), at=at)
    tone = tone_wav(440, 4.0)
    application.serve("/slow.wav", Answer(body=tone.body, content_type="audio/wav", pace_s=0.1, pieces=3200))
    application.serve("/endless.wav", Answer(body=tone.body, content_type="audio/wav", pace_s=0.1, endless=True))
    application.serve("/broken.mp3", Answer(body=bytes(range(256)) * 40, content_type="audio/mpeg"))
    dids = {str(15550001000 + n): application.url(line.path()) for n, line in enumerate(lines)}
    engine = EngineProcess(tmp_path, dids, watched=True)
    engine.start()
    try:
        before = descriptors(engine)
        engine.left_behind()
        assert place_calls(engine, list(dids)) == len(DOCUMENTS) * CALLS_EACH
        assert becomes(lambda: engine.live_calls() == 0)
        with engine.database() as database:
            rows = {row["sid"] for row in database.execute("SELECT sid FROM call WHERE state = 'ended'")}

        def callbacks(at: str) -> list[object]:
            return [told.data["CallSid"] for line in lines for told in line.requests(at)]

        assert becomes(lambda: len(callbacks("status")) >= len(rows))
        assert sorted(map(str, callbacks("status"))) == sorted(rows)
        begun = engine.log().count("flexml.call recording direction=")
        assert begun > CALLS_EACH
        assert becomes(lambda: len(callbacks("told")) >= begun)
        assert len(callbacks("told")) == len(callbacks("event")) == begun
        assert list((tmp_path / "files" / "spool").iterdir()) == []
        left, of_what = engine.left_behind()
        assert left < MOST_LEFT_A_CALL * len(rows), of_what
        assert becomes(lambda: descriptors(engine) <= before + POOLED, IDLE_S), (
            "all that is kept is connections to be used again"
        )
        assert engine.slow_callbacks() == []
        assert tracebacks(engine.log()) == []
    finally:
        assert engine.stop() == 0
