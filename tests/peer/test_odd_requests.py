"""Requests that are unusual but right, or that we do not know: each gets its answer, and the engine goes on."""

from __future__ import annotations

import pytest
from engine_process import EngineProcess
from flexml_app import Line
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Message

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AA"] * 32)
CANDIDATES = [f"a=candidate:{n} 1 udp 2122260223 192.0.2.{n} {40000 + n} typ host generation 0" for n in range(40)]
OTHER_LINE = "m=audio 40002 UDP/TLS/RTP/SAVPF 0"


def answered(peer: RawPeer, line: Line, body: str, headers: str = "") -> Message:
    """Call, and acknowledge; the 200."""
    peer.send(peer.request("INVITE", line.number, body=body, headers=headers))
    ok = peer.expect("SIP/2.0 200 ")
    peer.send(peer.request("ACK", line.number, answered=ok))
    return ok


@pytest.mark.parametrize(
    "header", ["Session-Expires: soon", "Min-SE: x", "Expires: soon", "Max-Forwards: many", "Record-Route: nonsense"]
)
def test_a_request_with_a_header_that_cannot_be_read_is_told_which(
    engine: EngineProcess, line: Line, header: str
) -> None:
    name, start = header.partition(":")[0], engine.log_path.stat().st_size
    with RawPeer(engine.target) as peer:
        peer.send(peer.request("INVITE", line.number, headers=header, body=plain_sdp(40000)))
        refusal = peer.expect("SIP/2.0 ")
        assert refusal.start == f"SIP/2.0 400 Bad {name} Header"
        assert "tag=" in refusal.header("To")
        peer.send(peer.request("ACK", line.number, answered=refusal, headers=header))
        assert peer.receive(0.5) is None, "an ACK is never answered"
        assert peer.options()
    assert f"refused with 400: its {name} cannot be read" in engine.log(start)
    assert not line.requests()


@pytest.mark.parametrize("proto", ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "TCP/RTP/AVP", "UDP/BFCP"])
def test_an_offer_of_media_that_we_do_not_speak_is_refused(engine: EngineProcess, line: Line, proto: str) -> None:
    offer = plain_sdp(40000, FINGERPRINT, "a=setup:actpass").replace("RTP/AVP", proto)
    with RawPeer(engine.target) as peer, RawPeer(engine.target) as other:
        peer.send(peer.request("INVITE", line.number, body=offer))
        refusal = next(one for one in iter(peer.receive, None) if not one.start.startswith("SIP/2.0 1"))
        assert refusal.start.startswith("SIP/2.0 4"), refusal.start
        peer.send(peer.request("ACK", line.number, answered=refusal))
        assert other.options(), "it goes on"


@pytest.mark.parametrize("first", [True, False])
def test_a_line_that_we_do_not_speak_beside_one_that_we_do_harms_nobody(
    engine: EngineProcess, line: Line, first: bool
) -> None:
    offer = plain_sdp(40000)
    head, _, media = offer.partition("m=")
    offer = f"{head}{OTHER_LINE}\r\nm={media}" if first else f"{offer}{OTHER_LINE}\r\n"
    with RawPeer(engine.target) as peer, RawPeer(engine.target) as other:
        peer.send(peer.request("INVITE", line.number, body=offer))
        final = next(one for one in iter(peer.receive, None) if not one.start.startswith("SIP/2.0 1"))
        peer.send(peer.request("ACK", line.number, answered=final))
        assert other.options(), "it goes on"


def test_a_long_offer_is_read_whole(engine: EngineProcess, line: Line, rtp: RtpEndpoint) -> None:
    line.serve('<Pause length="5"/><Hangup/>')
    offer = plain_sdp(rtp.port, *CANDIDATES)
    assert len(offer) > 2500
    with RawPeer(engine.target) as peer:
        ok = answered(peer, line, offer)
        rtp.wait_for(20)
        held = plain_sdp(rtp.port, *CANDIDATES, "a=sendonly").replace("o=- 1 1", "o=- 1 2")
        peer.send(peer.request("INVITE", line.number, cseq=2, answered=ok, body=held))
        changed = peer.expect("SIP/2.0 200 ")
        assert "a=recvonly" in changed.body
        peer.send(peer.request("ACK", line.number, cseq=2, answered=ok))
        peer.send(peer.request("BYE", line.number, cseq=3, answered=ok))
        peer.expect("SIP/2.0 200 ")
    assert line.final_status().data["CallStatus"] == "completed"


def test_a_new_offer_that_cannot_be_read_is_refused_and_the_call_goes_on(
    engine: EngineProcess, line: Line, rtp: RtpEndpoint
) -> None:
    line.serve('<Pause length="5"/><Hangup/>')
    with RawPeer(engine.target) as peer:
        ok = answered(peer, line, plain_sdp(rtp.port))
        rtp.wait_for(20)
        peer.send(peer.request("INVITE", line.number, cseq=2, answered=ok, body=plain_sdp(rtp.port, address="nowhere")))
        peer.expect("SIP/2.0 488 ")
        peer.send(peer.request("ACK", line.number, cseq=2, answered=ok))
        rtp.wait_for(len(rtp.packets) + 20)
        peer.send(peer.request("BYE", line.number, cseq=3, answered=ok))
        peer.expect("SIP/2.0 200 ")


def test_nobody_takes_the_place_of_another_call(engine: EngineProcess, line: Line, rtp: RtpEndpoint) -> None:
    """The stack would replace it (RFC 3891) behind our back; for us it is a call like any other."""
    line.serve('<Pause length="5"/><Hangup/>')
    with RawPeer(engine.target) as first, RawPeer(engine.target) as second, RawPeer(engine.target) as third:
        ok = answered(first, line, plain_sdp(rtp.port))
        assert "replaces" not in ok.header("Supported")
        rtp.wait_for(20)
        to, mine = (ok.header(name).partition("tag=")[2] for name in ("To", "From"))
        replaces = f"Replaces: {ok.header('Call-ID')};to-tag={to};from-tag={mine}"
        third.send(
            third.request("INVITE", line.number, body=plain_sdp(40000), headers=f"{replaces}\nRequire: replaces")
        )
        third.expect("SIP/2.0 420 ")
        other = answered(second, line, plain_sdp(40000), headers=replaces)
        assert first.receive(0.5) is None, "the first call goes on"
        for peer, dialog in ((second, other), (first, ok)):
            peer.send(peer.request("BYE", line.number, cseq=2, answered=dialog))
            peer.expect("SIP/2.0 200 ")
        assert third.options(cseq=2)
    statuses = [told.data["CallSid"] for told in line.wait_for("status", 2)]
    assert len(set(statuses)) == 2


OUTSIDE = {"REGISTER": 405, "PUBLISH": 405, "FOO": 405, "BYE": 481, "INFO": 481, "NOTIFY": 481, "UPDATE": 481}


@pytest.mark.parametrize(("method", "status"), OUTSIDE.items())
def test_what_nobody_takes_outside_a_call_is_answered(
    engine: EngineProcess, line: Line, method: str, status: int
) -> None:
    with RawPeer(engine.target) as peer:
        peer.send(peer.request(method, line.number))
        answer = peer.expect("SIP/2.0 ")
    assert answer.start.startswith(f"SIP/2.0 {status} ")
    assert ("INVITE" in answer.header("Allow")) == (status == 405)


@pytest.mark.parametrize("event", ["presence", "presence.winfo", "dialog", "message-summary", "refer"])
def test_nobody_may_subscribe_and_have_us_send_anything(engine: EngineProcess, line: Line, event: str) -> None:
    with RawPeer(engine.target) as peer:
        peer.send(peer.request("SUBSCRIBE", line.number, headers=f"Event: {event}\nExpires: 300"))
        assert [message.start for message in peer.receive_all(2.0)] == ["SIP/2.0 489 Bad Event"]


INSIDE = {"OPTIONS": 200, "INFO": 200, "PUBLISH": 405, "FOO": 405}


def test_what_nobody_takes_within_a_call_is_answered(engine: EngineProcess, line: Line, rtp: RtpEndpoint) -> None:
    line.serve('<Pause length="5"/><Hangup/>')
    with RawPeer(engine.target) as peer:
        ok = answered(peer, line, plain_sdp(rtp.port))
        for cseq, (method, status) in enumerate(INSIDE.items(), 2):
            peer.send(peer.request(method, line.number, cseq=cseq, answered=ok))
            answer = peer.expect("SIP/2.0 ")
            assert answer.start.startswith(f"SIP/2.0 {status} "), method
        peer.send(peer.request("INFO", line.number, cseq=8, answered=ok, body="x"))
        assert peer.expect("SIP/2.0 ").start.startswith("SIP/2.0 415 ")
        peer.send(peer.request("BYE", line.number, cseq=9, answered=ok))
        peer.expect("SIP/2.0 200 ")
