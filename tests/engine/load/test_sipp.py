"""What SIPp writes, read; what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from flexml.engine.load import sipp
from flexml.engine.load.plan import LoadPlan, Target
from flexml.engine.load.sipp import Answered, ErrorReader, Files, LogReader, Moved, Over, Statistics, statistics

PLAN = LoadPlan(target=Target(number="100", host="192.0.2.1"))

BODY = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20002 RTP/AVP 0 101\r\n"
OK = f"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
UP = f"up 30004 17 1795572929.000000 152895.000000 1795572930.000000 2895.000000 {OK} :end\n"
ANSWERED = Answered(
    local_port=30004,
    call=17,
    begun_ns=1795572929_152895_000,
    answered_ns=1795572930_002895_000,
    host="192.0.2.1",
    port=20002,
)


def test_an_answer_tells_when_it_came_and_where_media_goes() -> None:
    assert list(LogReader().feed(UP.encode())) == [ANSWERED]
    assert ANSWERED.answer_ms == 850.0


def test_lines_may_come_in_any_pieces() -> None:
    aim = f"aim 30004 INVITE sip:load SIP/2.0\r\n\r\n{BODY.replace('20002', '20010')} :end\n"
    text = f"{UP}{aim}down 30004 server 1795572931.000000 5.000000\n"
    reader = LogReader()
    found = [event for at in range(len(text)) for event in reader.feed(text[at : at + 1].encode())]
    moved = Moved(local_port=30004, host="192.0.2.1", port=20010)
    assert found == [ANSWERED, moved, Over(local_port=30004, at_ns=1795572931_000005_000, by_server=True)]


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (BODY, ("192.0.2.1", 20002)),
        (BODY + "c=IN IP4 192.0.2.9\r\n", ("192.0.2.9", 20002)),
        (BODY.replace("audio 20002", "audio 0"), ("", 0)),
        (BODY.replace("m=audio", "m=video 5000 RTP/AVP 99\r\nm=audio"), ("192.0.2.1", 20002)),
        ("", ("", 0)),
        ("no session description", ("", 0)),
    ],
)
def test_media_goes_where_the_answer_says(body: str, address: tuple[str, int]) -> None:
    assert sipp.media_address(f"SIP/2.0 200 OK\r\nVia: x\r\n\r\n{body}") == address


ERRORS = (
    "The following events occurred:\n"
    "2026-11-25\t02:15:30.161664\t1795572930.161664: Call-Id: 1-17964@127.0.0.1, receive timeout on message load:7, "
    "jumping to label 92026-11-25\t02:15:31.5\t1795572931.5: Aborting call on unexpected message for Call-Id "
    "'3-17964@127.0.0.1': while expecting '200' (index 4), received 'SIP/2.0 503 Service Unavailable\r\nVia: x\r\n'."
    "\n2026-11-25\t02:15:32.5\t1795572932.5: Aborting call on UDP retransmission timeout for Call-ID "
    "'5-17964@127.0.0.1'.\n"
)


def test_failed_calls_are_known_by_their_number_and_reason() -> None:
    for size in (1, 37, 10_000):
        reader = ErrorReader()
        octets = ERRORS.encode()
        calls = [call for at in range(0, len(octets), size) for call in reader.feed(octets[at : at + size])]
        calls += reader.finish()
        assert calls == [3, 5]
        assert reader.reasons == {"503 Service Unavailable": 1, "no answer to what was sent again and again": 1}


def test_statistics_are_those_of_the_last_line() -> None:
    text = (
        "TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C);CallRate(C);\n"
        "0;0;0;0;0;\n50;47;3;2;24.5;\n"
    )
    assert statistics(text) == Statistics(created=50, successful=47, failed=3, retransmissions=2, rate=24.5)
    assert statistics("") == Statistics()


@pytest.mark.parametrize(("rate", "said"), [(50.0, ["50", "1000"]), (0.5, ["1", "2000"]), (2.5, ["1", "400"])])
def test_rates_below_one_are_periods(rate: float, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sipp, "program", lambda: "sipp")
    plan = LoadPlan(target=PLAN.target, rate=rate)
    words = sipp.command(plan, Files(Path("x")), 7000)
    assert [words[words.index(option) + 1] for option in ("-r", "-rp")] == said


def test_where_there_is_no_sipp_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(sipp.LoadError, match="apt-get install sip-tester"):
        sipp.program()
