"""An Asterisk-style carrier: digest with nonces that go stale, qualify, early media, direct media, session timers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from asterisk import COMMON, REGISTRAR, call, proof
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from hearing import tones
from phone import Phone
from ports import free_port
from rtp_endpoint import RtpEndpoint, share_at
from sipp import Sipp, receive, request
from sipp import call as whole_call
from sipp_server import SippServer
from sounds import tone
from trunk_watch import TrunkWatch

NUMBERS = [str(15550007000 + offset) for offset in range(4)]
PARTY = "15162065399"
TRUNK = """
[[trunk]]
name = "carrier{status}"
uri = "sip:127.0.0.1:{port}"
username = "engine"
password = "secret"
prefixes = ["{prefix}"]
"""


@dataclass(frozen=True)
class Place:
    """An engine with a trunk for calls that the carrier challenges with each status, and where those come to."""

    trunks: TrunkWatch
    ports: dict[int, int]

    @property
    def engine(self) -> EngineProcess:
        return self.trunks.process


@pytest.fixture(scope="module")
def place(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    need("sipp")
    folder = tmp_path_factory.mktemp("asterisk")
    ports = {401: free_port(), 407: free_port()}
    trunks = "".join(TRUNK.format(status=status, port=port, prefix=f"1{status}") for status, port in ports.items())
    engine = EngineProcess(folder, {number: application.url(f"/{number}/") for number in NUMBERS}, legs=8, extra=trunks)
    engine.start()
    yield Place(TrunkWatch(engine), ports)
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


def test_a_nonce_that_goes_stale_is_replaced_at_registration(tmp_path: Path) -> None:
    need("sipp")
    port = free_port()
    trunk = TRUNK.format(status=401, port=port, prefix="1") + "register = true\n"
    with SippServer(tmp_path / "carrier", port, REGISTRAR + REGISTRAR, calls=1) as carrier:
        engine = EngineProcess(tmp_path / "engine", {}, legs=4, extra=trunk)
        engine.start()
        TrunkWatch(engine).until("carrier401", lambda state: state["registered_until"] is not None)
        assert engine.stop() == 0
        carrier.finish(10)
        assert [proof(one) for one in carrier.requests("REGISTER")] == 2 * ["", "first", "second"]


@pytest.mark.parametrize("status", [401, 407])
def test_a_call_survives_whatever_asterisk_does_with_it(place: Place, line: Line, tmp_path: Path, status: int) -> None:
    line.serve(f'<Dial action="dialled" ringing="false">1{status}5550100</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with ExitStack() as stack:
        early, direct = (stack.enter_context(RtpEndpoint()) for _ in range(2))
        early.speak(tone(700, 20.0))
        direct.speak(tone(900, 20.0))
        steps = call(status, early.port, direct.port)
        carrier = stack.enter_context(SippServer(tmp_path, place.ports[status], steps, calls=1))
        phone = stack.enter_context(Phone(place.engine.target, line.number))
        phone.rtp.speak(tone(1000, 20.0))
        assert phone.call().by == "them"
        carrier.finish(5)
        heard = tones(phone.rtp.heard())
        assert [span.hz for span in heard] == [700, 900], heard
        assert min(share_at(one.heard(), 1000) for one in (early, direct)) > 0.8
    assert [proof(one) for one in carrier.requests("INVITE")] == ["", "first", "second"]
    assert line.wait_for("dialled")[0].data["CallStatus"] == "completed"
    line.final_status()
    (ended,) = (details for what, details in place.engine.timeline() if what == "party ended")
    assert ended == {
        "party": f"1{status}5550100",
        "by": "remote",
        "status": 200,
        "reason": 'Q.850;cause=16;text="Normal Clearing"',
    }
    (renewed,) = [
        one for one in carrier.messages if not one.sent and one.header("CSeq") == "102 INVITE" and " 200 " in one.start
    ]
    assert renewed.header("Session-Expires").startswith("1800")


def test_qualify_is_answered(place: Place, tmp_path: Path) -> None:
    steps = request("OPTIONS", headers=COMMON) + receive(200)
    outcome = Sipp(tmp_path, place.engine.target).run(steps, number="engine")
    assert outcome.status == 0, outcome.errors


IDENTITY = """\
P-Asserted-Identity: "Ann" <sip:15162065338@carrier.example>
Privacy: id
X-Asterisk-Uniqueid: 1700000000.12
"""


def test_a_call_in_with_an_asserted_identity_is_taken_and_from_stays_as_it_came(
    place: Place, line: Line, tmp_path: Path
) -> None:
    line.serve("<Hangup/>")
    steps = whole_call(headers=IDENTITY, hang_up=False).replace(
        'From: "Peer" <sip:15162065338@[local_ip]:[local_port]>', 'From: "Anonymous" <sip:anonymous@anonymous.invalid>'
    )
    outcome = Sipp(tmp_path, place.engine.target).run(steps, number=line.number)
    assert outcome.status == 0, outcome.errors
    (asked,) = line.wait_for()
    wanted = ("From", "CallerName", "SipHeader_X-Asterisk-Uniqueid")
    assert [asked.data[name] for name in wanted] == ["anonymous", "Anonymous", "1700000000.12"]
    line.final_status()
