"""What SIP allows a caller to do beyond the plain call: reliable provisionals, timers, re-INVITEs, lost messages."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from engine_process import EngineProcess
from flexml_app import Answer, Line, tone_wav
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint, loud_part, share_at
from sipp import Sipp, ack, call, pause, receive, request, same_transaction, sdp


def test_early_media_is_acknowledged_by_prack_where_the_caller_requires_it(
    line: Line, engine: EngineProcess, rtp: RtpEndpoint
) -> None:
    """RFC 3262: the 183 carries Require: 100rel and RSeq, and comes no more once it has its PRACK."""
    line.serve('<PreAnswer><Play>tone.wav</Play></PreAnswer><Reject reason="busy"/>')
    line.serve(tone_wav(1000, 2.0), at="tone.wav")
    with RawPeer(engine.target) as peer:
        peer.send(peer.request("INVITE", line.number, headers="Require: 100rel", body=plain_sdp(rtp.port)))
        early = peer.expect("SIP/2.0 183 ")
        assert "100rel" in early.header("Require")
        rack = f"RAck: {early.header('RSeq')} 1 INVITE"
        peer.send(peer.request("PRACK", line.number, cseq=2, answered=early, headers=rack))
        assert peer.expect("SIP/2.0 200 ").header("CSeq") == "2 PRACK"
        starts = [message.start[:11] for message in peer.receive_all(2.5)]
    assert "SIP/2.0 183" not in starts
    assert "SIP/2.0 600" in starts
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95


def test_early_media_is_heard_by_a_caller_whose_prack_answers_our_offer(
    line: Line, engine: EngineProcess, rtp: RtpEndpoint
) -> None:
    """RFC 3262 section 5: an INVITE without a description gets ours in the 183, and the PRACK answers it."""
    line.serve('<PreAnswer><Play>tone.wav</Play></PreAnswer><Reject reason="busy"/>')
    line.serve(tone_wav(1000, 2.0), at="tone.wav")
    with RawPeer(engine.target) as peer:
        peer.send(peer.request("INVITE", line.number, headers="Supported: 100rel"))
        early = peer.expect("SIP/2.0 183 ")
        headers, body = f"RAck: {early.header('RSeq')} 1 INVITE", plain_sdp(rtp.port)
        peer.send(peer.request("PRACK", line.number, cseq=2, answered=early, headers=headers, body=body))
        peer.expect("SIP/2.0 600 ")
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95


def test_a_caller_who_describes_nothing_before_the_answer_is_answered_without_what_it_could_not_hear(
    line: Line, engine: EngineProcess, rtp: RtpEndpoint
) -> None:
    line.serve("<PreAnswer><Play>early.wav</Play></PreAnswer><Play>tone.wav</Play>")
    line.serve(tone_wav(400, 2.0), at="early.wav")
    line.serve(tone_wav(1000, 1.0), at="tone.wav")
    with RawPeer(engine.target) as peer:
        peer.send(peer.request("INVITE", line.number))
        answered = peer.expect("SIP/2.0 200 ")
        peer.send(peer.request("ACK", line.number, answered=answered, body=plain_sdp(rtp.port)))
        peer.send(peer.answer(peer.expect("BYE "), "200 OK"))
    assert share_at(loud_part(rtp.heard()), 1000) > 0.95
    assert line.requests("early.wav") == []


def test_the_session_timer_is_agreed_upon(line: Line, sipp: Sipp) -> None:
    """RFC 4028 section 9: the 200 repeats the interval and who refreshes."""
    line.serve("<Hangup/>")
    headers = "Supported: timer\nSession-Expires: 90;refresher=uac\nMin-SE: 90\n"
    outcome = sipp.run(call(headers=headers, hang_up=False), number=line.number)
    assert outcome.status == 0, outcome.errors
    expires = outcome.answer(200).header("Session-Expires").replace(" ", "")
    assert expires == "90;refresher=uac"


def test_a_session_timer_that_is_too_short_is_422(line: Line, sipp: Sipp) -> None:
    line.serve("<Hangup/>")
    headers = "Supported: timer\nSession-Expires: 30\n"
    steps = request("INVITE", body=sdp(), headers=headers) + receive(100, optional=True) + receive(422)
    outcome = sipp.run(steps + same_transaction("ACK"), number=line.number)
    assert outcome.status == 0, outcome.errors
    assert outcome.answer(422).header("Min-SE") == "90"


def test_a_reinvite_moves_the_audio_and_the_stream_goes_on(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    with RtpEndpoint() as second:
        moved = request("INVITE", body=sdp(port=str(second.port)), within=True, cseq=2) + receive(100, optional=True)
        steps = call(pause(1000), moved, receive(200), ack(cseq=2), pause(1500))
        outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
        assert outcome.status == 0, outcome.errors
        before, after = rtp.packets, second.packets
        assert share_at(loud_part(second.heard()), 1000) > 0.95
    assert len(after) > 60
    assert {packet.ssrc for packet in before} == {packet.ssrc for packet in after}
    assert {(b.sequence - a.sequence) % 65536 for a, b in pairwise([*before, *after])} == {1}


def test_a_reinvite_without_a_usable_codec_is_488_and_the_call_goes_on(
    line: Line, sipp: Sipp, rtp: RtpEndpoint
) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    offer = sdp("a=rtpmap:18 G729/8000", formats="18 101")
    bad = request("INVITE", body=offer, within=True, cseq=2) + receive(100, optional=True) + receive(488)
    steps = call(pause(1000), bad, same_transaction("ACK", cseq=2), pause(1500))
    outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert len(loud_part(rtp.heard())) / 8000 > 2.2
    assert len({packet.ssrc for packet in rtp.packets}) == 1


def test_the_200_is_repeated_until_its_ack_comes(line: Line, engine: EngineProcess, rtp: RtpEndpoint) -> None:
    """RFC 3261 section 13.3.1.4: first after T1, 500 ms."""
    line.serve("<Hangup/>")
    with RawPeer(engine.target) as peer:
        peer.send(peer.request("INVITE", line.number, body=plain_sdp(rtp.port)))
        first = peer.expect("SIP/2.0 200 ")
        sent = time.monotonic()
        again = peer.expect("SIP/2.0 200 ")
        assert 0.3 < time.monotonic() - sent < 1.5
        assert again.header("To") == first.header("To")
        peer.send(peer.request("ACK", line.number, answered=again))
        peer.expect("BYE ")
    line.final_status()


def test_a_bye_while_a_document_is_fetched_leaves_nothing(line: Line, engine: EngineProcess, sipp: Sipp) -> None:
    line.serve('<Pause length="1"/><Redirect>slow</Redirect>')
    line.serve(Answer(body="<Response><Say>never heard</Say></Response>", delay_s=2.0), at="slow")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sipp.run, call(pause(1600)), number=line.number)
        line.wait_for("slow")
        outcome = running.result()
    assert outcome.status == 0, outcome.errors
    assert line.final_status().data["CallStatus"] == "completed"
    assert idle(engine)


def test_a_cancel_while_the_first_document_is_fetched_leaves_nothing(
    line: Line, engine: EngineProcess, sipp: Sipp
) -> None:
    line.serve(Answer(body="<Response><Say>never heard</Say></Response>", delay_s=2.0))
    steps = (
        request("INVITE", body=sdp()) + receive(100) + pause(500)
        + same_transaction("CANCEL") + receive(200) + receive(487) + same_transaction("ACK")
    )  # fmt: skip
    outcome = sipp.run(steps, number=line.number)
    assert outcome.status == 0, outcome.errors
    assert line.final_status().data["CallStatus"] == "cancel"
    assert idle(engine)


def idle(engine: EngineProcess, within_s: float = 3.0) -> bool:
    """True once no call lives: a call is forgotten a moment after its status callback has gone out."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if engine.live_calls() == 0:
            return True
    return False
