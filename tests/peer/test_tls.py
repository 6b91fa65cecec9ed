"""TLS and SRTP with baresip, which calls and is called; who proves to be somebody else is not talked to."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import certificate
import pytest
from baresip import Baresip
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, tone_wav
from hearing import tones
from phone import Phone
from rtp_endpoint import loud_part, share_at
from sounds import tone

NUMBERS = [str(15550008000 + offset) for offset in range(8)]
PARTY = "15550002001"
UNVERIFIED = "503 SSL certificate verification error (PJSIP_TLS_ECERTVERIF)"
CONFIG = """
[[trunk]]
name = "house"
uri = "sip:127.0.0.9:5060"
prefixes = ["999"]
addresses = ["127.0.0.1"]
srtp = "optional"

[[trunk]]
name = "stranger"
uri = "sip:127.0.0.1:{stranger};transport=tls"

[[trunk]]
name = "bob"
uri = "sip:127.0.0.1:{bob};transport=tls"
"""
"""Whoever calls may do so in clear, but all calls out are protected."""


@dataclass(frozen=True)
class Place:
    """An engine that listens for TLS, and softphones.

    Ann has no certificate, so that nobody can connect to her; the engine trusts Bob's, does not trust the stranger's,
    and trusts one that is for another host.
    """

    engine: EngineProcess
    ann: Baresip
    bob: Baresip
    stranger: Baresip
    elsewhere: Baresip


@pytest.fixture(scope="module")
def place(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    for tool in ("baresip", "openssl"):
        need(tool)
    folder = tmp_path_factory.mktemp("tls")
    proofs = {name: certificate.make(folder, name) for name in ("engine", "bob", "stranger")}
    proofs["elsewhere"] = certificate.make(folder, "elsewhere", "DNS:sip.elsewhere.example")
    trusted = [proofs[name].path.read_bytes() for name in ("bob", "elsewhere")]
    (folder / "trusted.pem").write_bytes(b"".join(trusted))
    with ExitStack() as stack:

        def phone(name: str) -> Baresip:
            proof = proofs[name].both if name in proofs else None
            made = Baresip(
                folder / name, user=PARTY, certificate=proof, authorities=proofs["engine"].path,
                media_encryption="srtp-mand", answers=True,
            )  # fmt: skip
            return stack.enter_context(made)

        ann, bob, stranger, elsewhere = map(phone, ("ann", "bob", "stranger", "elsewhere"))
        engine = EngineProcess(
            folder / "engine",
            {number: application.url(f"/{number}/") for number in NUMBERS},
            legs=8,
            sip=f'srtp = "required"\ntls_ca = "{folder}/trusted.pem"',
            certificate=proofs["engine"],
            extra=CONFIG.format(bob=bob.sip_port + 1, stranger=stranger.sip_port + 1),
        )
        engine.start()
        yield Place(engine, ann, bob, stranger, elsewhere)
        assert engine.stop() == 0, engine.log()[-4000:]
        assert tracebacks(engine.log()) == []


@pytest.fixture(scope="module")
def numbers() -> Iterator[str]:
    return iter(NUMBERS)


@pytest.fixture
def line(application: Application, numbers: Iterator[str]) -> Line:
    line = Line(next(numbers), application)
    application.serve(line.path("status"), Answer(status=204))
    return line


def test_baresip_calls_by_tls_with_srtp_hears_a_tone_and_presses_keys(place: Place, line: Line) -> None:
    line.serve('<Play>tone.wav</Play><Gather finishOnKey="#" timeout="8" action="digits"/>')
    line.serve(tone_wav(1000, 1.5), at="tone.wav")
    line.serve("<Hangup/>", at="digits")
    place.ann.dial(f"sip:{line.number}@127.0.0.1:{place.engine.tls_port};transport=tls")
    place.ann.wait_for("CALL_ESTABLISHED")
    place.ann.press("42#")
    place.ann.wait_for("CALL_CLOSED")
    assert share_at(loud_part(place.ann.audio()), 1000) > 0.8
    assert line.wait_for("digits")[0].data["Digits"] == "42"
    assert line.final_status().data["CallStatus"] == "completed"
    told = dict(place.engine.timeline())
    assert told["media agreed"]["srtp"] == "AES_CM_128_HMAC_SHA1_80"
    assert "SRTP keys came in clear" not in told


def talk(place: Place, line: Line, target: str) -> list[int]:
    """Dial `target` for somebody who calls in clear and says 1000 Hz; what tones the caller hears."""
    line.serve(f'<Dial action="dialled" timeLimit="2">{target}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(place.engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        assert phone.call().status == 200
        heard = [span.hz for span in tones(phone.rtp.heard())]
    line.final_status()
    return heard


def test_a_party_that_is_called_by_tls_with_srtp_talks_with_a_caller_in_clear(place: Place, line: Line) -> None:
    assert talk(place, line, place.bob.tls_uri) == [700]
    place.bob.wait_for("CALL_CLOSED")
    assert share_at(loud_part(place.bob.audio()), 1000) > 0.8
    assert line.wait_for("dialled")[0].data["CallStatus"] == "completed"
    assert "srtp" not in dict(place.engine.timeline())["media agreed"]


def test_a_trunk_whose_certificate_is_not_trusted_is_passed_over(place: Place, line: Line) -> None:
    assert talk(place, line, PARTY) == [700]
    place.bob.wait_for("CALL_CLOSED")
    assert line.wait_for("dialled")[0].data["CallStatus"] == "completed"
    states = {state["name"]: state["failure"] for state in json.loads(place.engine.get("/trunks"))["trunks"]}
    assert states == {"house": "", "stranger": UNVERIFIED, "bob": ""}
    assert "was broken off: The certificate is untrusted\n" in place.engine.log()
    assert "Call established" not in place.stranger.log()


def test_a_party_whose_certificate_is_for_another_host_is_not_called(place: Place, line: Line) -> None:
    assert talk(place, line, place.elsewhere.tls_uri) == []
    assert line.wait_for("dialled")[0].data["CallStatus"] == "failed"
    (ended,) = (details for what, details in place.engine.timeline() if what == "party ended")
    assert (f"{ended['status']} {ended['reason']}", ended["by"]) == (UNVERIFIED, "stack")
    assert "was broken off: The server identity does not match" in place.engine.log()
    assert "Call established" not in place.elsewhere.log()


def connect(place: Place) -> socket.socket:
    return socket.create_connection(("127.0.0.1", place.engine.tls_port), timeout=0.5)


def anybody() -> ssl.SSLContext:
    """A client's side of TLS that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_who_connects_and_does_not_finish_the_handshake_is_hung_up_on_after_a_while(place: Place) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        anybody().wrap_bio(incoming, outgoing).do_handshake()
    logged = place.engine.log_path.stat().st_size
    with connect(place) as silent, connect(place) as halting:
        halting.sendall(outgoing.read())
        for connection in (silent, halting):
            connection.settimeout(30)
            while connection.recv(65536):
                pass
    assert "ERROR" not in place.engine.log(logged)


def test_many_at_once_can_connect_though_nobody_takes_them_yet(place: Place) -> None:
    with ExitStack() as connections:
        os.kill(place.engine.pids[0], signal.SIGSTOP)
        try:
            for _ in range(50):
                connections.enter_context(connect(place))
        finally:
            os.kill(place.engine.pids[0], signal.SIGCONT)
