"""An engine that is full: what is under way stays as it is, and whoever comes is told when to come again."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, tone_wav
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Sipp, call, pause, refused
from test_soak import becomes

NUMBER = "15550008200"
LEGS = 2
AT_ONCE = 600


@pytest.fixture
def small_engine(application: Application, tmp_path: Path) -> Iterator[EngineProcess]:
    need("sipp")
    engine = EngineProcess(tmp_path / "engine", {NUMBER: application.url(f"/{NUMBER}/")}, legs=LEGS)
    engine.start()
    yield engine
    assert engine.stop() == 0, engine.log()[-4000:]
    assert tracebacks(engine.log()) == []


def test_a_full_engine_says_when_to_come_again_and_leaves_its_calls_alone(
    application: Application, small_engine: EngineProcess, tmp_path: Path
) -> None:
    line = Line(NUMBER, application)
    line.serve('<Play loop="0">tone.wav</Play>')
    line.serve(tone_wav(700, 5.0), at="tone.wav")

    def peer(name: str) -> Sipp:
        folder = tmp_path / name
        folder.mkdir()
        return Sipp(folder, small_engine.target)

    with RtpEndpoint() as rtp, ThreadPoolExecutor(LEGS) as pool:
        holding = [
            pool.submit(peer(f"holds {number}").run, call(pause(4000)), number=NUMBER, rtp_port=rtp.port)
            for number in range(LEGS)
        ]
        line.wait_for("", count=LEGS)
        outcome = peer("comes").run(refused(503), number=NUMBER)
        assert outcome.status == 0, outcome.errors
        assert outcome.answer(503).header("Retry-After") == "5"
        for held in holding:
            assert held.result().status == 0, held.result().errors
        streams: dict[int, list[int]] = {}
        for packet in rtp.packets:
            streams.setdefault(packet.ssrc, []).append(packet.sequence)
    assert len(streams) == LEGS
    for sequences in streams.values():
        assert len(sequences) > 150
        assert sequences == [(sequences[0] + number) % 65536 for number in range(len(sequences))]

    line.wait_for("status", count=LEGS)
    figures = {(sample.name, *sample.labels.values()): sample.value for sample in samples(small_engine)}
    assert figures["flexml_calls_refused_total",] == 1
    assert figures["flexml_calls_ended_total", "inbound", "completed"] == LEGS
    again = peer("comes again").run(call(pause(200)), number=NUMBER)
    assert again.status == 0, again.errors


def test_whoever_comes_where_another_has_just_been_refused_is_refused_alike(
    application: Application, small_engine: EngineProcess, tmp_path: Path
) -> None:
    """So many at once that the stack uses a place again before the one refused from there is forgotten."""
    line = Line(NUMBER, application)
    line.serve('<Pause length="60"/>')
    with ExitStack() as open_peers, RtpEndpoint() as rtp, ThreadPoolExecutor(LEGS) as pool:
        for number in range(LEGS):
            (folder := tmp_path / f"holds {number}").mkdir()
            pool.submit(Sipp(folder, small_engine.target).run, call(pause(4000)), number=NUMBER, rtp_port=rtp.port)
        assert becomes(lambda: small_engine.live_calls() == LEGS, 10)
        peers = [open_peers.enter_context(RawPeer(small_engine.target)) for _ in range(AT_ONCE)]
        for peer in peers:
            peer.send(peer.request("INVITE", NUMBER, body=plain_sdp(rtp.port)))
        found = Counter(final_response(peer) for peer in peers)
    assert found == {"503": AT_ONCE}
    assert " ERROR " not in small_engine.log()


def final_response(peer: RawPeer) -> str:
    """The status of the first response to the INVITE that is one of 300 to 699, which is acknowledged."""
    while True:
        response = peer.expect("SIP/2.0 ")
        if response.start[8] >= "3":
            peer.send(peer.request("ACK", NUMBER, answered=response))
            return response.start[8:11]


def samples(engine: EngineProcess) -> list[Sample]:
    with urllib.request.urlopen(engine.url("/metrics"), timeout=5) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return [sample for family in families for sample in family.samples]


def test_far_more_calls_than_it_can_take_are_refused_and_those_taken_are_told_of_once(
    application: Application, tmp_path: Path
) -> None:
    need("sipp")
    line = Line("flood", application)
    line.serve('<Play loop="0">tone.wav</Play>')
    line.serve(tone_wav(700, 5.0), at="tone.wav")
    line.serve(Answer(status=204), at="status")
    engine = EngineProcess(tmp_path / "engine", {NUMBER: application.url(line.path())}, legs=1500)
    engine.start()
    try:
        flexml, figures = Path(sys.executable).parent / "flexml", tmp_path / "flood.json"
        flood = [flexml, "load", f"sip:{NUMBER}@{engine.target}", "--rate", "1500", "--hold", "1", "--calls", "4500",
                 "--duration", "3", "--send", "nothing", "--json", figures]  # fmt: skip
        subprocess.run(flood, cwd=tmp_path, check=False, timeout=120, capture_output=True)
        calls = json.loads(figures.read_text())["calls"]
        assert calls["reasons"]["503 Service Unavailable"] > 0
        assert "no room for new calls" in engine.log()
        assert becomes(lambda: engine.live_calls() == 0, 60)
        with engine.database() as database:
            rows = {row["sid"] for row in database.execute("SELECT sid FROM call WHERE state = 'ended'")}
            assert not list(database.execute("SELECT sid FROM call WHERE state != 'ended'"))
        assert len(rows) >= calls["answered"]
        assert becomes(lambda: len(line.requests("status")) >= len(rows), 60)
        assert sorted(str(told.data["CallSid"]) for told in line.requests("status")) == sorted(rows)
        assert "lines are being lost" not in engine.log()
        assert tracebacks(engine.log()) == []
    finally:
        assert engine.stop() == 0
