"""What may come from outside and must not hurt: bad applications, bad SIP, bad RTP (decisions, section 2; RFC 4475)."""

import csv
import os
import random
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, tone_wav
from ports import free_port
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint, loud_part, share_at
from sipp import Sipp, call, pause, refused

TORTURE = Path(os.environ.get("FLEXML_SIP_TORTURE", Path(__file__).parents[3] / "shared/data/sip_torture"))
TORTURER = "127.0.0.77"
"""Answers go to the Via's port at the address a request came from (RFC 3261 section 18.2.2): one of our own."""
QUIET_NUMBER = "15550004000"
REFUSED_PORT = free_port(socket.SOCK_STREAM)

APPLICATION_ERRORS = {
    "a megabyte": (Answer(body=f"<Response>{' ' * 2**20}</Response>"), ["longer than"]),
    "no answer in time": (Answer(hang=True), ["no complete answer within 3 s"]),
    "connection refused": (
        Answer(body=f"<Response><Redirect>http://127.0.0.1:{REFUSED_PORT}/gone</Redirect></Response>"),
        [f"http://127.0.0.1:{REFUSED_PORT}/gone", "cannot connect", "refused"],
    ),
    "404": (Answer(body="gone", status=404, content_type="text/plain"), ["status 404", "expected 2xx"]),
    "malformed": (Answer(body="<Response><Say>open"), ["malformed XML", "line 1"]),
    "binary": (Answer(body=bytes(range(256)), content_type="application/octet-stream"), ["malformed XML"]),
    "a page": (Answer(body="<html><body>Hello</body></html>"), ["a page of HTML", "Response"]),
    "wrong root": (Answer(body="<Say>Hello</Say>"), ["root element", "Say", "Response"]),
    "wrong value": (
        Answer(body='<Response><Say>never heard</Say>\n<Gather numDigits="many"/></Response>'),
        ["line 2", "Gather", "numDigits", "'many'", "allowed"],
    ),
    "wrong nesting": (
        Answer(body="<Response><Gather><Hangup/></Gather></Response>"),
        ["Gather", "Hangup", "allowed"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", APPLICATION_ERRORS)
def test_an_application_error_is_spoken_logged_and_called_back_once(
    name: str, line: Line, engine: EngineProcess, sipp: Sipp, rtp: RtpEndpoint
) -> None:
    answer, words = APPLICATION_ERRORS[name]
    start = engine.log_path.stat().st_size
    line.serve(answer, "<Hangup/>")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert len(loud_part(rtp.heard())) / 8000 > 1.5
    sid = line.final_status().data["CallSid"]
    said = [entry for entry in engine.log(start).splitlines() if str(sid) in entry and "application error" in entry]
    assert len(said) == 1, engine.log(start)
    url = line.application.url(line.path())
    assert [word for word in words if word not in said[0]] == []
    assert url in said[0] or "http://" in words[0], said[0]
    assert sipp.run(call(hang_up=False), number=line.number).status == 0
    callbacks = line.wait_for("status", count=2)
    assert len({callback.data["CallSid"] for callback in callbacks}) == 2


@pytest.fixture(scope="module")
def quiet_engine(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine whose account leaves application errors to the carrier."""
    dids = {QUIET_NUMBER: application.url(f"/{QUIET_NUMBER}/")}
    engine = EngineProcess(tmp_path_factory.mktemp("quiet"), dids, error_handler="none")
    engine.start()
    yield engine
    assert engine.stop() == 0, engine.log()[-4000:]
    assert tracebacks(engine.log()) == []


def test_without_an_error_handler_an_application_error_is_503_or_a_hang_up(
    quiet_engine: EngineProcess, application: Application, tmp_path: Path, rtp: RtpEndpoint
) -> None:
    line, sipp = Line(QUIET_NUMBER, application), Sipp(tmp_path, quiet_engine.target)
    application.serve(line.path("status"), Answer(status=204))
    line.serve(Answer(status=500))
    outcome = sipp.run(refused(503), number=QUIET_NUMBER, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    line.serve('<Pause length="1"/><Redirect>missing</Redirect>')
    outcome = sipp.run(call(hang_up=False), number=QUIET_NUMBER, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert not len(loud_part(rtp.heard()))
    statuses = [one.data["CallStatus"] for one in line.wait_for("status", count=2)]
    assert statuses[1] == "completed"
    assert statuses[0] in ("failed", "noanswer")


def test_no_torture_message_harms_the_engine(engine: EngineProcess) -> None:
    """Each is followed by an OPTIONS, so that a failure names the message; a response is never answered."""
    if not (TORTURE / "index.csv").exists():
        pytest.skip(f"no torture messages at {TORTURE} (FLEXML_SIP_TORTURE names another place)")
    with (TORTURE / "index.csv").open(encoding="utf-8", newline="") as index:
        messages = list(csv.DictReader(index))
    with RawPeer(engine.target, address=TORTURER, port=5060) as torturer, RawPeer(engine.target) as peer:
        for count, message in enumerate(messages, 1):
            torturer.receive_all(0.001)
            torturer.send((TORTURE / message["file"]).read_bytes())
            assert peer.options(count), f"no answer to OPTIONS after {message['file']}"
            if message["class"].endswith("RESPONSE") and message["first_line"].startswith("SIP/2.0"):
                call_ids = [one.header("Call-ID") for one in torturer.receive_all(0.02)]
                assert not [one for one in call_ids if one and one in (TORTURE / message["file"]).read_text("latin-1")]
    assert engine.live_calls() == 0


def test_random_datagrams_do_not_harm_the_sip_port(engine: EngineProcess) -> None:
    dice = random.Random(4475)
    lines = [b"INVITE sip:a@b SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n", b"\r\n\r\n", b"Via: SIP/2.0/UDP x\r\n", b"\0" * 9]
    with RawPeer(engine.target, address=TORTURER) as torturer, RawPeer(engine.target) as peer:
        for count in range(300):
            torturer.send(b"".join(dice.choices(lines, k=dice.randrange(6))) + dice.randbytes(dice.randrange(1400)))
            if count % 50 == 49:
                assert peer.options(count)


def test_rubbish_on_the_media_port_does_not_disturb_a_call(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    """From a stranger and from the caller's own port: noise, RTP cut short, RTP that lies about its lengths."""
    line.serve('<Gather finishOnKey="#" timeout="9" action="digits"><Play>tone.wav</Play></Gather>')
    line.serve(tone_wav(1000, 2.0), at="tone.wav")
    line.serve("<Hangup/>", at="digits")
    with ThreadPoolExecutor(1) as pool, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        running = pool.submit(sipp.run, call(hang_up=False), number=line.number, rtp_port=rtp.port)
        rtp.wait_for(10)
        for junk in rubbish(600):
            stranger.sendto(junk, rtp.remote)
            rtp.send(junk)
        rtp.wait_for(110)
        rtp.press("12#")
        outcome = running.result()
    assert outcome.status == 0, outcome.errors
    tone = loud_part(rtp.heard())
    assert 1.96 <= len(tone) / 8000 <= 2.04
    assert share_at(tone, 1000) > 0.95
    assert len({packet.ssrc for packet in rtp.packets}) == 1
    (asked,) = line.wait_for("digits")
    assert asked.data["Digits"] == "12"


def rubbish(count: int) -> Iterator[bytes]:
    """Datagrams that are no RTP of any session, though some begin like it (RFC 3550 section 5.1)."""
    dice = random.Random(3550)
    header = struct.pack("!BBHII", 0x80, 0, 7, 7, 7)
    event = struct.pack("!BBHII", 0x80, 101 | 0x80, 9, 9, 9)
    extended = struct.pack("!BBHII", 0x90, 0, 7, 7, 7) + struct.pack("!HH", 0xBEDE, 0xFFFF)
    padded = struct.pack("!BBHII", 0xA0, 0, 7, 7, 7) + b"\xff" * 20 + b"\xfe"
    sources = bytes([0x8F]) + header[1:] + b"\0" * 8
    for _ in range(count):
        yield dice.choice(
            [
                b"", b"\x80", header[:11], header, event[:11], event, event + b"\x05", extended, padded, sources,
                bytes([0x40 | dice.randrange(64)]) + dice.randbytes(dice.randrange(1400)),
                struct.pack("!BB", 0x80, 96 + dice.randrange(4)) + dice.randbytes(dice.randrange(1400)),
            ]
        )  # fmt: skip


def test_an_invite_that_comes_thrice_is_one_call(line: Line, engine: EngineProcess, rtp: RtpEndpoint) -> None:
    """RFC 3261 section 17.2.1: the server transaction takes retransmissions, and answers them as before."""
    line.serve(Answer(body="<Response><Hangup/></Response>", delay_s=0.5))
    with RawPeer(engine.target) as peer:
        invite = peer.request("INVITE", line.number, body=plain_sdp(rtp.port))
        for _ in range(3):
            peer.send(invite)
        answered = peer.expect("SIP/2.0 200 ")
        peer.send(peer.request("ACK", line.number, answered=answered))
        peer.expect("BYE ")
    assert len(line.requests()) == 1
    line.final_status()


def test_many_digits_of_nothing_pressed_by_a_stranger_are_not_heard(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    """A whole RFC 4733 event from another source than the caller's is nobody's key."""
    line.serve('<Gather numDigits="1" timeout="2" action="digits"><Pause length="1"/></Gather>')
    line.serve("<Hangup/>", at="digits")
    with ThreadPoolExecutor(1) as pool, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        running = pool.submit(sipp.run, call(pause(0), hang_up=False), number=line.number, rtp_port=rtp.port)
        rtp.wait_for(10)
        for sequence in range(8):
            end = 0x80 if sequence > 4 else 0
            packet = struct.pack("!BBHIIBBH", 0x80, 101, sequence, 5, 77, 5, 10 | end, 160 * min(5, sequence + 1))
            stranger.sendto(packet, rtp.remote)
        assert running.result().status == 0
    assert line.requests("digits") == []
