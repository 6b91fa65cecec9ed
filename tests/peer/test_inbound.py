"""Inbound calls by SIPp, with the audio and the HTTP requests that come of them (decisions, sections 2 to 4)."""

import json
import re
import socket
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from engine_process import DEMO, EngineProcess
from flexml_app import Answer, Application, Line, tone_wav
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint, level_dbov, loud_part, share_at
from sipp import (
    CAPTURES,
    PROVISIONAL,
    Sipp,
    ack,
    call,
    pause,
    play_capture,
    receive,
    refused,
    request,
    same_transaction,
    sdp,
)

NOBODY = "15559990000"


def test_an_inbound_call_is_answered_and_hears_its_prompt_whole(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 2.0), at="tone.wav")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    tone = loud_part(rtp.heard())
    assert 1.96 <= len(tone) / 8000 <= 2.04
    assert share_at(tone, 1000) > 0.95
    assert -17 < level_dbov(tone) < -13
    callback = line.final_status()
    assert callback.data["CallStatus"] == "completed"
    assert callback.data["CallDuration"] in (2, 3)


def test_rtp_is_one_stream_without_gaps(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 1.0), at="tone.wav")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    packets = rtp.packets
    assert len({packet.ssrc for packet in packets}) == 1
    assert {packet.payload_type for packet in packets} == {0}
    assert {len(packet.payload) for packet in packets} == {160}
    steps = {((b.sequence - a.sequence) % 65536, (b.timestamp - a.timestamp) % 2**32) for a, b in pairwise(packets)}
    assert steps == {(1, 160)}


@pytest.mark.parametrize(("ptime", "octets"), [(10, 80), (20, 160), (30, 240), (40, 320)])
def test_packets_are_as_long_as_asked_for(line: Line, sipp: Sipp, rtp: RtpEndpoint, ptime: int, octets: int) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 1.2), at="tone.wav")
    outcome = sipp.run(call(offer=sdp(f"a=ptime:{ptime}"), hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert {len(packet.payload) for packet in rtp.packets} == {octets}
    tone = loud_part(rtp.heard())
    assert 1.2 - 0.045 <= len(tone) / 8000 <= 1.24  # what does not fill a packet is not sent
    assert share_at(tone, 1000) > 0.95


def test_a_law_is_spoken_where_it_is_offered_first(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 1.0), at="tone.wav")
    outcome = sipp.run(call(offer=sdp(formats="18 8 0 101"), hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert {packet.payload_type for packet in rtp.packets} == {8}
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95


def test_a_call_over_tcp(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 1.0), at="tone.wav")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port, tcp=True)
    assert outcome.status == 0, outcome.errors
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95
    assert line.final_status().data["CallStatus"] == "completed"


def test_the_first_request_tells_of_the_call(line: Line, sipp: Sipp) -> None:
    line.serve("<Hangup/>")
    headers = "X-Campaign: spring\nDiversion: <sip:+15162065340@127.0.0.1>;reason=unconditional\n"
    outcome = sipp.run(call(headers=headers, hang_up=False), number=line.number)
    assert outcome.status == 0, outcome.errors
    (asked,) = line.wait_for()
    expected = {
        "AccountSid": "", "ApiVersion": "2.0", "CallerName": "Peer", "CallStatus": "completed",
        "Direction": "inbound", "From": "15162065338", "To": line.number, "OriginalFrom": "15162065338",
        "OriginalTo": line.number, "ForwardedFrom": "15162065340", "SipHeader_X-Campaign": "spring",
    }  # fmt: skip
    assert asked.method == "POST"
    assert {name: asked.data.get(name) for name in expected} == expected
    assert line.final_status().data["CallSid"] == asked.data["CallSid"]


def test_an_unknown_number_is_404(sipp: Sipp) -> None:
    outcome = sipp.run(refused(404), number=NOBODY)
    assert outcome.status == 0, outcome.errors


def test_an_offer_without_a_usable_codec_is_488(line: Line, sipp: Sipp) -> None:
    line.serve("<Say>never heard</Say>")
    offer = sdp("a=rtpmap:18 G729/8000", formats="18 101")
    outcome = sipp.run(refused(488, offer), number=line.number, rtp_port=9000)
    assert outcome.status == 0, outcome.errors


def test_a_broken_offer_is_refused(line: Line, sipp: Sipp) -> None:
    line.serve("<Say>never heard</Say>")
    outcome = sipp.run(refused(488, "v=0\nm=audio what\n"), number=line.number)
    assert [status for status in outcome.answers() if status >= 200] in ([488], [400])


def test_options_is_answered_with_200(line: Line, sipp: Sipp) -> None:
    outcome = sipp.run(request("OPTIONS") + receive(200), number=line.number)
    assert outcome.status == 0, outcome.errors
    assert "INVITE" in outcome.answer(200).header("Allow")


def test_the_caller_hangs_up_and_one_status_callback_comes(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    """A second call proves that the first left only one: its own is the second."""
    line.serve('<Pause length="20"/>')
    for _ in range(2):
        outcome = sipp.run(call(pause(1000)), number=line.number, rtp_port=rtp.port)
        assert outcome.status == 0, outcome.errors
    callbacks = line.wait_for("status", count=2)
    assert len({callback.data["CallSid"] for callback in callbacks}) == 2
    assert [callback.data["CallStatus"] for callback in callbacks] == ["completed", "completed"]
    assert all(callback.data["CallDuration"] in (1, 2) for callback in callbacks)


def test_cancel_during_preanswer_is_487_and_a_cancelled_call(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<PreAnswer><Play>tone.wav</Play></PreAnswer><Say>never heard</Say>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    steps = (
        request("INVITE", body=sdp()) + receive(100, optional=True) + receive(183) + pause(1000)
        + same_transaction("CANCEL") + receive(200) + receive(487) + same_transaction("ACK")
    )  # fmt: skip
    outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert outcome.answers() == [100, 183, 487]
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95
    assert line.final_status().data["CallStatus"] == "cancel"


def test_early_media_is_heard_before_the_call_is_rejected(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve('<PreAnswer><Play>tone.wav</Play></PreAnswer><Reject reason="busy"/>')
    line.serve(tone_wav(1000, 1.5), at="tone.wav")
    steps = request("INVITE", body=sdp()) + receive(100, optional=True) + receive(183) + receive(600)
    outcome = sipp.run(steps + same_transaction("ACK"), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert "m=audio" in outcome.answer(183).body
    tone = loud_part(rtp.heard())
    assert 1.4 <= len(tone) / 8000 <= 1.54
    assert share_at(tone, 1000) > 0.95
    line.final_status()


@pytest.mark.parametrize(
    ("reason", "status"), [("", 403), ("busy-here", 486), ("busy", 600), ("decline", 603), ("not-found", 404)]
)
def test_reject_reasons_on_the_wire(line: Line, sipp: Sipp, reason: str, status: int) -> None:
    line.serve(f'<Reject reason="{reason}"/>' if reason else "<Reject/>")
    outcome = sipp.run(refused(status), number=line.number)
    assert outcome.status == 0, outcome.errors


def test_an_invite_without_sdp_gets_our_offer(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 1.0), at="tone.wav")
    steps = request("INVITE") + PROVISIONAL + receive(200) + ack(body=sdp("a=sendrecv", formats="0 101"))
    outcome = sipp.run(
        steps + pause(2000) + '<recv request="BYE" timeout="9000"/>', number=line.number, rtp_port=rtp.port
    )
    assert re.search(r"m=audio \d+ RTP/AVP 0 8 .*\b101\b", outcome.answer(200).body)
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95


def test_a_held_caller_hears_nothing_until_it_resumes(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    hold = request("INVITE", body=sdp("a=sendonly"), within=True, cseq=2) + receive(100, optional=True)
    resume = request("INVITE", body=sdp("a=sendrecv"), within=True, cseq=3) + receive(100, optional=True)
    steps = call(
        pause(1000), hold, receive(200), ack(cseq=2), pause(1500), resume, receive(200), ack(cseq=3), pause(1000)
    )
    outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    bodies = [one.body for one in outcome.messages if not one.sent and one.header("CSeq") in ("2 INVITE", "3 INVITE")]
    assert [body for body in bodies if "a=recvonly" in body]
    assert [body for body in bodies if "a=sendrecv" in body]
    gaps = [after.at - before.at for before, after in pairwise(rtp.packets)]
    assert 1.2 < max(gaps) < 2.0
    assert len({packet.ssrc for packet in rtp.packets}) == 1


def test_digits_of_a_capture_reach_the_action(line: Line, sipp: Sipp) -> None:
    """SIPp sends its packaged RFC 4733 captures (payload type 101) from its own media port."""
    if not (CAPTURES / "dtmf_2833_1.pcap").exists():
        pytest.skip("SIPp's captures are not installed")
    line.serve('<Gather numDigits="2" timeout="8" action="digits"><Pause length="1"/></Gather>')
    line.serve("<Hangup/>", at="digits")
    offer = sdp(port="[media_port]")
    steps = call(
        pause(500), play_capture("dtmf_2833_1.pcap"), pause(1500), play_capture("dtmf_2833_9.pcap"),
        offer=offer, hang_up=False,
    )  # fmt: skip
    outcome = sipp.run(steps, number=line.number)
    assert outcome.status == 0, outcome.errors
    (asked,) = line.wait_for("digits")
    assert asked.data["Digits"] == "19"


def test_keys_pressed_during_a_prompt_stop_it_and_count(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve('<Gather finishOnKey="#" action="digits"><Play>tone.wav</Play></Gather>')
    line.serve(tone_wav(1000, 15.0), at="tone.wav")
    line.serve("<Hangup/>", at="digits")
    rtp.press("0472#")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    (asked,) = line.wait_for("digits")
    assert (asked.data["Digits"], asked.data["FinishKey"]) == ("0472", "#")
    assert len(loud_part(rtp.heard())) / 8000 < 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body="<Response><Say>open"),
        Answer(body="<Response><Sing>la</Sing></Response>"),
        Answer(body="gone", status=404, content_type="text/plain"),
        Answer(body="", status=500),
        Answer(hang=True),
    ],
    ids=["malformed", "unknown verb", "404", "500", "hanging"],
)
def test_an_application_error_is_said_to_the_caller(line: Line, sipp: Sipp, rtp: RtpEndpoint, answer: Answer) -> None:
    line.serve(answer)
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert len(loud_part(rtp.heard())) / 8000 > 1.5
    line.final_status()


def test_the_demo_tells_the_time_to_who_presses_1(engine: EngineProcess, sipp: Sipp, rtp: RtpEndpoint) -> None:
    rtp.press("1")
    outcome = sipp.run(call(pause(4000)), number=DEMO, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert len(loud_part(rtp.heard())) / 8000 > 2
    calls = json.loads(engine.get("/demo/log"))["calls"]
    asked = [(one["path"], one["data"].get("Digits")) for one in calls[-1]["requests"]]
    assert asked[:3] == [("/demo/", None), ("/demo/choice", "1"), ("/demo/", None)]


def test_speech_is_heard(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Say>One two three four five.</Say>")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    speech = loud_part(rtp.heard())
    assert 1 < len(speech) / 8000 < 6
    assert level_dbov(speech) > -40


def test_rtp_ports_that_another_program_has_are_passed_over(application: Application, tmp_path: Path) -> None:
    line = Line("15550008300", application)
    line.serve("<Hangup/>")
    engine = EngineProcess(tmp_path / "engine", {"15550008300": application.url(line.path())})
    first, _ = engine.rtp_ports
    with ExitStack() as others:
        for port in (first, first + 3):
            others.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        engine.start()
        others.callback(engine.stop)
        caller = others.enter_context(RawPeer(engine.target))
        caller.send(caller.request("INVITE", "15550008300", body=plain_sdp(9)))
        answered = caller.expect("SIP/2.0 200 ")
        caller.send(caller.request("ACK", "15550008300", answered=answered))
        caller.expect("BYE ")
    described = re.search(r"m=audio (\d+) ", answered.text)
    assert described is not None
    assert int(described[1]) == first + 4
