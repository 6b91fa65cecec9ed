"""Sms on the wire, with SIPp, bare sockets and the application as carriers; and messages that come in."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml.engine.sid import PARTNER_SID
from flexml.engine.webhook import sign
from flexml_app import Answer, Application, Line, Received
from phone import Phone, Talk
from ports import free_port
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Message
from sipp_server import CHALLENGE, SippServer, answer, take

CALLER = "15162065338"
TEXT = "Grüße, Ann!\n— «Привет» 你好 🎉 <&>"
MARKUP = TEXT.replace("&", "&amp;").replace("<", "&lt;")
LOGIN = ("engine", "secret")
TRUNK = """
[[trunk]]
name = "carrier"
uri = "sip:127.0.0.1:{port}"
username = "engine"
password = "secret"
identity = "pai"
"""
ACCOUNT = """
[[account]]
login = "{name}"
password = "x"
sms_route = "{route}"

[[did]]
phonenumber = "{number}"
account = "{name}"
url = "{url}"
status_callback_url = "{url}status"
"""


class Office:
    """The engine, its carrier's port, and a number for each route."""

    def __init__(self, folder: Path, application: Application) -> None:
        self.port = free_port()
        routes = {
            "trunk": "trunk:carrier",
            "http": application.url("/office"),
            "closed": f"http://127.0.0.1:{free_port()}/",
            "none": "",
            "late": "trunk:carrier",
        }
        self.lines = {name: Line(str(15550005000 + at), application) for at, name in enumerate(routes)}
        extra = TRUNK.format(port=self.port)
        for name, line in self.lines.items():
            application.serve(line.path("status"), Answer(status=204))
            url = application.url(line.path())
            extra += ACCOUNT.format(name=name, route=routes[name], number=line.number, url=url)
        self.engine = EngineProcess(folder, {}, extra=extra)

    def send(self, route: str, text: str = MARKUP, attributes: str = "") -> Received:
        """Call, send a message, and see what the action is told."""
        line = self.lines[route]
        asked = len(line.requests("sms"))
        line.serve(f'<Sms action="sms" {attributes}>{text}</Sms>')
        line.serve("<Hangup/>", at="sms")
        with Phone(self.engine.target, line.number) as phone:
            assert phone.call().status == 200
        return line.wait_for("sms", asked + 1)[-1]

    def timeline(self, call: object) -> dict[str, dict[str, Any]]:
        """The lines of a call that are about messages: details by what."""
        command = [Path(sys.executable).parent / "flexml", "timeline", "--config", self.engine.config_path, "--json"]
        said = subprocess.run([*command, str(call)], capture_output=True, text=True, check=True, timeout=60).stdout
        found = {line["what"]: line["details"] for line in json.loads(said)["timeline"]}
        return {what: details for what, details in found.items() if what.startswith(("message ", "> MESSAGE"))}

    def outcome(self, call: object) -> dict[str, Any]:
        """The last of these lines, once it is there."""
        deadline = time.monotonic() + 15
        while True:
            for what, details in self.timeline(call).items():
                if what.startswith("message "):
                    return {"what": what, **details}
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def office_session(tmp_path_factory: pytest.TempPathFactory, application: Application) -> Iterator[Office]:
    office = Office(tmp_path_factory.mktemp("office"), application)
    office.engine.start()
    yield office
    assert office.engine.stop() == 0, office.engine.log()[-4000:]


@pytest.fixture
def office(office_session: Office) -> Iterator[Office]:
    start = office_session.engine.log_path.stat().st_size
    yield office_session
    assert tracebacks(office_session.engine.log(start)) == []


def test_a_carrier_that_asks_for_credentials_gets_the_text_as_it_was(office: Office, tmp_path: Path) -> None:
    need("sipp")
    steps = take("MESSAGE") + CHALLENGE + take("MESSAGE", auth=LOGIN) + answer("202 Accepted")
    with SippServer(tmp_path, office.port, steps, calls=1) as carrier:
        told = office.send("trunk", attributes=f'from="{office.lines["trunk"].number}" to="+1{CALLER[1:]}"')
        carrier.finish(10)
        first, second = carrier.requests("MESSAGE")
    assert told.data["SmsStatus"] == "sent"
    assert first.start == second.start == f"MESSAGE sip:{CALLER}@127.0.0.1:{office.port} SIP/2.0"
    assert second.body.strip() == TEXT
    assert second.header("Content-Type") == "text/plain;charset=UTF-8"
    assert second.header("From").startswith("<sip:15550005000@127.0.0.1>;tag=")
    assert second.header("To") == f"<sip:{CALLER}@127.0.0.1>"
    assert second.header("P-Asserted-Identity") == "<sip:15550005000@127.0.0.1>"
    assert [one.header("Contact") for one in (first, second)] == ["", ""]  # RFC 3428 section 4
    assert first.header("Call-ID") == second.header("Call-ID")
    assert office.outcome(told.data["CallSid"])["status"] == 202


def test_a_carrier_that_asks_for_nothing_gets_one_message(office: Office, tmp_path: Path) -> None:
    need("sipp")
    with SippServer(tmp_path, office.port, take("MESSAGE") + answer("200 OK")) as carrier:
        told = office.send("trunk")
        (request,) = carrier.requests("MESSAGE")
    assert told.data["SmsStatus"] == "sent"
    assert request.header("From").startswith(f"<sip:{CALLER}@127.0.0.1>")
    assert request.header("To") == "<sip:15550005000@127.0.0.1>"


def test_a_long_text_goes_by_tcp(office: Office, tmp_path: Path) -> None:
    need("sipp")
    with SippServer(tmp_path, office.port, take("MESSAGE") + answer("200 OK"), tcp=True) as carrier:
        told = office.send("trunk", "ж" * 1600)
        (request,) = carrier.requests("MESSAGE")
    assert told.data["SmsStatus"] == "sent"
    assert request.header("Via").startswith("SIP/2.0/TCP ")
    assert request.header("To") == "<sip:15550005000@127.0.0.1>"
    assert request.body.strip() == "ж" * 1600


def test_a_long_text_fails_where_the_carrier_takes_no_tcp(office: Office, tmp_path: Path) -> None:
    with RawPeer("127.0.0.1:9", port=office.port) as carrier:
        told = office.send("trunk", "ж" * 1600)
        assert carrier.receive(0.5) is None
    assert told.data["SmsStatus"] == "failed"
    assert "Connection refused" in office.outcome(told.data["CallSid"])["error"]


def test_a_refusal_is_a_failure_with_its_status(office: Office, tmp_path: Path) -> None:
    need("sipp")
    with SippServer(tmp_path, office.port, take("MESSAGE") + answer("404 Not Found")) as carrier:
        told = office.send("trunk")
        assert len(carrier.requests("MESSAGE")) == 1
    assert told.data["SmsStatus"] == "failed"
    outcome = office.outcome(told.data["CallSid"])
    assert (outcome["what"], outcome["status"], outcome["reason"]) == ("message failed", 404, "Not Found")


def test_a_carrier_that_does_not_know_us_is_not_asked_over_and_over(office: Office, tmp_path: Path) -> None:
    need("sipp")
    with SippServer(tmp_path, office.port, (take("MESSAGE") + CHALLENGE) * 3) as carrier:
        told = office.send("trunk")
        assert len(carrier.requests("MESSAGE")) == 2
    assert told.data["SmsStatus"] == "failed"
    assert office.outcome(told.data["CallSid"])["status"] == 401


def test_a_silent_carrier_is_given_up_after_ten_seconds_and_the_caller_notices_nothing(office: Office) -> None:
    line = office.lines["trunk"]
    line.serve("<Sms>Hi</Sms><Redirect>next</Redirect>")
    line.serve("<Hangup/>", at="next")
    with (
        RawPeer("127.0.0.1:9", port=office.port) as carrier,
        Phone(office.engine.target, line.number) as phone,
    ):
        began = time.monotonic()
        assert phone.call().status == 200
        assert phone.at("SIP/2.0 200") - began == pytest.approx(10, abs=0.5)
        received = carrier.receive_all(0.1)
    assert {start.split()[1] for start in phone.starts if start.startswith("SIP/2.0 1")} <= {"100"}
    assert {message.start.split()[0] for message in received} == {"MESSAGE"}
    assert len({message.header("Via") for message in received}) == 1, "one transaction"
    told = line.wait_for("next")[-1]
    assert told.data["SmsStatus"] == "failed"
    assert office.outcome(told.data["CallSid"])["error"] == "no answer within 10 s"


def test_a_message_outlives_its_call(office: Office) -> None:
    line = office.lines["late"]
    line.serve('<Dtmf>1</Dtmf><Sms action="sms">Hi</Sms>')
    with (
        RawPeer("127.0.0.1:9", port=office.port) as carrier,
        Phone(office.engine.target, line.number) as phone,
    ):
        talk = Talk(lambda: phone.call(hang_up_at=1.0))
        talk.start()
        message = carrier.expect(f"MESSAGE sip:{line.number}@")  # another test's may be sent again
        assert talk.result().by == "us"
        callback = line.final_status()
        aim(carrier, message)
        carrier.send(carrier.answer(message, "200 OK"))
        assert office.outcome(callback.data["CallSid"])["what"] == "message sent"
    assert "SmsStatus" not in callback.data
    assert not line.requests("sms")


def test_every_call_hears_of_its_own_message(office: Office) -> None:
    """Every other one is refused, in another order than they were sent."""
    line, calls, numbers = office.lines["trunk"], 10, count()
    asked = len(line.requests("sms"))
    line.serve(lambda _: sms(next(numbers)))
    line.serve("<Hangup/>", at="sms")

    def sms(number: int) -> str:
        return f'<Sms action="sms?n={number}" to="1516206530{number}">Hi</Sms>'

    def call() -> None:
        with Phone(office.engine.target, line.number) as phone:
            phone.call()

    with RawPeer("127.0.0.1:9", port=office.port) as carrier:
        threads = [threading.Thread(target=call) for _ in range(calls)]
        for thread in threads:
            thread.start()
        received: dict[str, Message] = {}
        while len(received) < calls:
            message = carrier.expect("MESSAGE sip:1516206530")
            received[message.header("Call-ID")] = message
        for message in reversed(received.values()):
            number = int(message.start.partition("@")[0][-1])
            aim(carrier, message)
            carrier.send(carrier.answer(message, "200 OK" if number % 2 else "486 Busy Here"))
        for thread in threads:
            thread.join()
    told = {int(str(one.data["n"])): one.data["SmsStatus"] for one in line.wait_for("sms", asked + calls)[asked:]}
    assert told == {number: "sent" if number % 2 else "failed" for number in range(calls)}


@pytest.mark.parametrize(("status", "outcome"), [(202, "sent"), (500, "failed")])
def test_a_url_is_told_the_message_signed_and_once(
    office: Office, application: Application, status: int, outcome: str
) -> None:
    before = len(application.requests("/office"))
    application.serve("/office", Answer(status=status))
    told = office.send("http")
    (message,) = application.requests("/office")[before:]
    assert told.data["SmsStatus"] == outcome
    assert message.data == {
        "AccountSid": "", "ApiVersion": "2.0", "CallSid": told.data["CallSid"], "PartnerSid": PARTNER_SID,
        "EndpointSid": told.data["EndpointSid"], "From": CALLER, "To": "15550005001", "Text": TEXT,
    }  # fmt: skip
    body = json.dumps(message.data, ensure_ascii=False, separators=(",", ":")).encode()
    signature = sign(b"", message.headers["X-FlexML-Timestamp"], "POST", application.url("/office"), body)
    assert message.headers["X-FlexML-Signature"] == signature
    assert office.outcome(told.data["CallSid"])["status"] == status


@pytest.mark.parametrize(("route", "why"), [("closed", "Connection refused"), ("none", "no sms_route")])
def test_without_anybody_to_take_it_a_message_fails(office: Office, route: str, why: str) -> None:
    told = office.send(route)
    assert told.data["SmsStatus"] == "failed"
    assert why in office.outcome(told.data["CallSid"])["error"]


def test_a_message_that_comes_in_is_refused(office: Office) -> None:
    with RawPeer(office.engine.target) as peer:
        request = peer.request("MESSAGE", "15550005000", body="Hi").replace("application/sdp", "text/plain")
        for _ in range(2):  # the second is a retransmission
            peer.send(request)
            refusal = peer.expect("SIP/2.0 ")
            assert refusal.start == "SIP/2.0 403 Messages Not Taken"
        assert peer.options(cseq=2)


def test_a_message_within_a_call_leaves_the_call_alone(office: Office, rtp: RtpEndpoint) -> None:
    office.lines["trunk"].serve('<Pause length="20"/>')
    with RawPeer(office.engine.target) as peer:
        peer.send(peer.request("INVITE", "15550005000", body=plain_sdp(rtp.port)))
        answered = peer.expect("SIP/2.0 200 ")
        peer.send(peer.request("ACK", "15550005000", answered=answered))
        message = peer.request("MESSAGE", "15550005000", cseq=2, answered=answered, body="Hi")
        peer.send(message.replace("application/sdp", "text/plain"))
        assert peer.expect("SIP/2.0 ").header("CSeq") == "2 MESSAGE"
        peer.send(peer.request("BYE", "15550005000", cseq=3, answered=answered))
        assert peer.expect("SIP/2.0 ").start == "SIP/2.0 200 OK"
    deadline = time.monotonic() + 10
    while "MESSAGE within a call" not in office.engine.log():
        assert time.monotonic() < deadline


def aim(carrier: RawPeer, request: Message) -> None:
    """Answer where the request came from."""
    carrier.aim(request.header("Via").split()[1].partition(";")[0])
