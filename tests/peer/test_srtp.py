"""Protected calls on the wire: SDES-SRTP (RFC 4568) with baresip and SIPp at the other end."""

import base64
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from baresip import MODULES, Baresip
from engine_process import EngineProcess
from flexml_app import Application, Line, tone_wav
from raw_peer import RawPeer
from rtp_endpoint import RtpEndpoint, loud_part, share_at
from sipp import Sipp, ack, call, pause, receive, refused, request, same_transaction, sdp

THEIRS = base64.b64encode(bytes(range(30))).decode()
RENEWED = base64.b64encode(bytes(range(30, 60))).decode()
TAG_OCTETS = 10
NUMBER = "15550003900"


def secure(*, key: str = THEIRS, suite: str = "AES_CM_128_HMAC_SHA1_80", port: str = "[rtp_port]") -> str:
    return sdp(f"a=crypto:3 {suite} inline:{key}|2^31", port=port).replace("RTP/AVP", "RTP/SAVP")


def crypto(body: str) -> tuple[str, str, bytes]:
    """Tag, suite and key of the one crypto line of a description that has RTP/SAVP."""
    assert re.search(r"^m=audio [0-9]+ RTP/SAVP 0 101", body, re.MULTILINE), body
    (line,) = re.findall(r"^a=crypto:(.*?)\r?$", body, re.MULTILINE)
    tag, suite, parameters = line.split(" ")
    return tag, suite, base64.b64decode(parameters.removeprefix("inline:"), validate=True)


@pytest.fixture
def secure_phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baresip]:
    if shutil.which("baresip") is None or not (MODULES / "srtp.so").exists():
        pytest.skip("baresip, or its srtp.so, is not installed")
    with Baresip(tmp_path_factory.mktemp("baresip"), media_encryption="srtp-mand") as phone:
        yield phone


@pytest.fixture(scope="module")
def strict(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine with `[sip] srtp = "required"`, which has one number and logs whatever there is to log."""
    engine = EngineProcess(tmp_path_factory.mktemp("strict"), {NUMBER: application.url(f"/{NUMBER}/")}, legs=4)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FLEXML_SIP_SRTP", "required")
        environment.setenv("FLEXML_LOG_LEVEL", "debug")
        engine.start()
    yield engine
    assert engine.stop() == 0, engine.log()[-4000:]


@pytest.fixture
def strict_sipp(strict: EngineProcess, tmp_path: Path) -> Sipp:
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed")
    return Sipp(tmp_path, strict.target)


@pytest.fixture
def strict_line(application: Application) -> Line:
    line = Line(NUMBER, application)
    line.serve("", at="status")
    return line


def check_baresip_call(line: Line, engine: EngineProcess, phone: Baresip) -> None:
    """Play a tone, take keys, hang up; and look at both ends that they understood each other."""
    line.serve('<Play>tone.wav</Play><Gather finishOnKey="#" timeout="8" action="digits"/>')
    line.serve(tone_wav(1000, 1.5), at="tone.wav")
    line.serve("<Hangup/>", at="digits")
    phone.dial(f"sip:{line.number}@{engine.target}")
    phone.wait_for("CALL_ESTABLISHED")
    phone.press("42#")
    phone.wait_for("CALL_CLOSED")
    assert line.wait_for("digits")[0].data["Digits"] == "42"
    assert share_at(loud_part(phone.audio()), 1000) > 0.8
    line.final_status()
    assert {"SRTP keys came in clear", "media agreed"} <= notes(engine)


def media_worker(engine: EngineProcess) -> int:
    """The process id of the engine's one media worker, by the name it bears."""
    (pid,) = (pid for pid in engine.pids if b"flexml: worker 1" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


def notes(engine: EngineProcess) -> set[str]:
    """What the timelines of all calls hold."""
    with engine.database() as database:
        return {row["what"] for row in database.execute("select what from timeline")}


def test_baresip_hears_a_tone_and_presses_keys_over_srtp(
    line: Line, engine: EngineProcess, secure_phone: Baresip
) -> None:
    check_baresip_call(line, engine, secure_phone)


def test_baresip_is_answered_by_an_engine_that_requires_srtp(
    strict_line: Line, strict: EngineProcess, secure_phone: Baresip
) -> None:
    check_baresip_call(strict_line, strict, secure_phone)


def test_an_engine_that_requires_srtp_refuses_plain_rtp(strict_line: Line, strict_sipp: Sipp) -> None:
    outcome = strict_sipp.run(refused(488), number=strict_line.number)
    assert outcome.status == 0, outcome.errors


SAVP_OFFERS = {
    "80-bit tag": (secure(), "AES_CM_128_HMAC_SHA1_80", 10),
    "32-bit tag": (secure(suite="AES_CM_128_HMAC_SHA1_32"), "AES_CM_128_HMAC_SHA1_32", 4),
    "a suite that we lack first": (
        secure(suite="AEAD_AES_256_GCM") + f"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}\n",
        "AES_CM_128_HMAC_SHA1_80",
        10,
    ),
}


@pytest.mark.parametrize(("offer", "suite", "tag_octets"), SAVP_OFFERS.values(), ids=SAVP_OFFERS)
def test_an_offer_of_savp_is_answered_with_savp_and_a_key_and_nothing_goes_out_in_clear(
    line: Line, sipp: Sipp, rtp: RtpEndpoint, offer: str, suite: str, tag_octets: int
) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    outcome = sipp.run(call(pause(1500), offer=offer), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    tag, chosen, key = crypto(outcome.answer(200).body)
    assert (tag, chosen, len(key)) == ("4" if "GCM" in offer else "3", suite, 30)
    assert key != bytes(range(30))
    assert {len(packet.payload) for packet in rtp.packets} == {160 + tag_octets}
    assert share_at(rtp.heard(), 1000) < 0.1, "the tone can be heard without the key"


UNUSABLE = {
    "a key identifier": secure().replace("|2^31", "|2^31|1:4"),
    "packets that are not encrypted": secure().replace("|2^31", " UNENCRYPTED_SRTP"),
    "a suite that nobody has": secure(suite="F8_128_HMAC_SHA1_80"),
    "half a key": secure(key="c2hvcnQ="),
    "no key": sdp().replace("RTP/AVP", "RTP/SAVP"),
    "keys by DTLS": sdp("a=setup:actpass").replace("RTP/AVP", "UDP/TLS/RTP/SAVP"),
}


@pytest.mark.parametrize("offer", UNUSABLE.values(), ids=UNUSABLE)
def test_an_offer_without_a_usable_key_is_refused(line: Line, engine: EngineProcess, sipp: Sipp, offer: str) -> None:
    outcome = sipp.run(refused(488, offer), number=line.number)
    assert outcome.status == 0, outcome.errors
    line.wait_for("status")
    assert "no media fits" in str(dict(engine.timeline())["offer refused"]["error"])


USABLE = f"a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}\n"
BESIDE = {
    "half a key": secure(key="c2hvcnQ="),
    "no line at all": sdp("a=crypto:").replace("RTP/AVP", "RTP/SAVP"),
    "its tag": secure(suite="F8_128_HMAC_SHA1_80").replace("crypto:3", "crypto:7"),
}


@pytest.mark.parametrize("unusable", BESIDE.values(), ids=BESIDE)
def test_what_cannot_be_used_does_not_spoil_the_line_beside_it(line: Line, sipp: Sipp, unusable: str) -> None:
    line.serve("<Hangup/>")
    outcome = sipp.run(call(offer=unusable + USABLE, hang_up=False), number=line.number)
    assert outcome.status == 0, outcome.errors
    tag, suite, _ = crypto(outcome.answer(200).body)
    assert (tag, suite) == ("7", "AES_CM_128_HMAC_SHA1_80")


def test_a_key_that_media_in_clear_needs_not_is_not_looked_at(line: Line, sipp: Sipp) -> None:
    line.serve("<Hangup/>")
    outcome = sipp.run(
        call(offer=sdp("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ="), hang_up=False), number=line.number
    )
    assert outcome.status == 0, outcome.errors
    assert "RTP/AVP 0" in outcome.answer(200).body


ANSWERS = {
    "the other suite under that tag": (
        secure(suite="AES_CM_128_HMAC_SHA1_32").replace("crypto:3", "crypto:1"),
        "failed",
    ),
    "a tag of its own": (secure(), "failed"),
    "both lines": (secure().replace("crypto:3", "crypto:1") + USABLE.replace("crypto:7", "crypto:2"), "completed"),
}


@pytest.mark.parametrize(("answer", "status"), ANSWERS.values(), ids=ANSWERS)
def test_a_party_gets_ack_before_bye_whatever_its_answer_is(
    strict_line: Line, strict: EngineProcess, answer: str, status: str
) -> None:
    strict_line.serve("<Hangup/>")
    with RawPeer(strict.target) as party:
        told = f"told/{party.port}"
        strict_line.serve("", at=told)
        order = {"called_did": f"sip:party@127.0.0.1:{party.port}", "calling_did": NUMBER}
        order["status_callback_url"] = strict_line.application.url(strict_line.path(told))
        strict.post("/flexml/v1/calls", order)
        invite = party.expect("INVITE ")
        party.send(party.answer(invite, "200 OK", body=answer.replace("[rtp_port]", "9")))
        assert (end := party.receive()) is not None
        assert end.start.startswith("ACK ")
        party.send(party.answer(party.expect("BYE "), "200 OK"))
    (callback,) = strict_line.wait_for(told)
    assert callback.data["CallStatus"] == status


def test_a_reinvite_renews_both_keys_and_one_in_clear_is_488(line: Line, sipp: Sipp, rtp: RtpEndpoint) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")

    def again(cseq: int, offer: str, status: int) -> str:
        asked = request("INVITE", body=offer, within=True, cseq=cseq) + receive(100, optional=True) + receive(status)
        return asked + (ack(cseq=cseq) if status == 200 else same_transaction("ACK", cseq=cseq)) + pause(500)

    steps = call(
        pause(500), again(2, secure(), 200), again(3, secure(key=RENEWED), 200), again(4, sdp(), 488), offer=secure()
    )
    outcome = sipp.run(steps, number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    answers = [m.body for m in outcome.messages if not m.sent and m.start.startswith("SIP/2.0 200 ") and m.body]
    first, same, renewed = [crypto(body)[2] for body in answers]
    assert first == same
    assert renewed not in (first, bytes(range(30, 60)))
    assert {len(packet.payload) for packet in rtp.packets} == {160 + TAG_OCTETS}
    assert len(rtp.packets) > 90


def test_a_protected_call_goes_on_when_its_media_worker_is_killed(
    line: Line, engine: EngineProcess, secure_phone: Baresip
) -> None:
    line.serve("<Play>before.wav</Play><Redirect>second</Redirect>")
    line.serve("<Play>after.wav</Play><Redirect>third</Redirect>", at="second")
    line.serve('<Gather finishOnKey="#" timeout="8" action="digits"/>', at="third")
    line.serve(tone_wav(1000, 1.0), at="before.wav")
    line.serve(tone_wav(1500, 3.0), at="after.wav")
    line.serve("<Hangup/>", at="digits")
    secure_phone.dial(f"sip:{line.number}@{engine.target}")
    secure_phone.wait_for("CALL_ESTABLISHED")
    line.wait_for("second")
    os.kill(media_worker(engine), signal.SIGKILL)
    line.wait_for("third")
    secure_phone.press("42#")
    secure_phone.wait_for("CALL_CLOSED")
    assert line.wait_for("digits")[0].data["Digits"] == "42"
    assert share_at(loud_part(secure_phone.audio()[-3 * 8000 :]), 1500) > 0.8


def test_no_key_is_in_the_log_whatever_is_logged(strict_line: Line, strict: EngineProcess, strict_sipp: Sipp) -> None:
    strict_line.serve("<Hangup/>")
    outcome = strict_sipp.run(call(offer=secure(), hang_up=False), number=strict_line.number)
    assert outcome.status == 0, outcome.errors
    _, _, key = crypto(outcome.answer(200).body)
    log = strict.log()
    assert log.count("inline:***") >= 2, "offer and answer are there"
    assert THEIRS not in log
    assert base64.b64encode(key).decode() not in log
