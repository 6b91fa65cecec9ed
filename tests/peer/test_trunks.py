"""Trunks on the wire: SIPp is the carrier, as registrar with digest, as who answers OPTIONS, and as who calls."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import need
from engine_process import DEMO, EngineProcess, tracebacks
from flexml_app import Application, Line
from phone import Phone
from ports import free_port
from raw_peer import RawPeer, plain_sdp
from rtp_endpoint import RtpEndpoint
from sipp import Sipp, ack, pause, receive, receive_request, request, same_transaction, sdp
from sipp_server import CHALLENGE, CONTACT, SippServer, answer, take
from trunk_watch import TrunkWatch

LOGIN = ("engine", "secret")
GRANTED = answer("200 OK", headers="Contact: <sip:engine@127.0.0.1>\nExpires: 300\n")
REGISTRAR = take("REGISTER") + CHALLENGE + take("REGISTER", auth=LOGIN) + GRANTED
CARRIER = """
[[trunk]]
name = "{name}"
uri = "sip:127.0.0.1:{port}"
username = "engine"
password = "secret"
"""
TRUSTED = """
[[trunk]]
name = "trusted"
uri = "sip:127.0.0.2:5060"
addresses = ["127.0.0.2"]
max_calls = 1

[[trunk]]
name = "known"
uri = "sip:127.0.0.3:5060"
inbound_username = "carrier"
inbound_password = "hush"

[[trunk]]
name = "alaw"
uri = "sip:127.0.0.4:5060"
addresses = ["127.0.0.4"]
codecs = ["PCMA"]
"""


class Engine(TrunkWatch):
    """The engine with trunks."""

    def __init__(self, folder: Path, trunks: str, *, inbound: str = "any", dids: Mapping[str, str] = {}) -> None:
        super().__init__(EngineProcess(folder, dids, extra=trunks, sip=f'inbound = "{inbound}"'))

    def __enter__(self) -> "Engine":
        need("sipp")
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        status = self.process.stop()
        assert status == 0, self.process.log()[-4000:]
        assert tracebacks(self.process.log()) == []


def test_the_engine_registers_with_digest_shows_it_and_takes_it_back(tmp_path: Path) -> None:
    port = free_port()
    steps = REGISTRAR + take("REGISTER") + CHALLENGE + take("REGISTER", auth=LOGIN) + GRANTED
    with SippServer(tmp_path / "carrier", port, steps, calls=1) as carrier:
        with Engine(tmp_path, CARRIER.format(name="carrier", port=port) + "register = true\n") as engine:
            state = engine.until("carrier", lambda trunk: trunk["registered_until"] is not None)
            assert 200 < state["registered_until"] - time.time() <= 300
            row = engine.shown().splitlines()[1]
            assert row.split()[:2] == ["carrier", f"sip:127.0.0.1:{port}"]
            assert time.strftime("%Y-%m-%d", time.gmtime(state["registered_until"])) in row
        carrier.finish(10)
        requests = carrier.requests("REGISTER")
    assert [message.header("Expires") for message in requests] == ["300", "300", "0", "0"]
    assert "secret" not in "".join(message.text for message in requests)
    assert requests[0].header("To") == "<sip:engine@127.0.0.1>"


def test_a_registrar_that_is_busy_is_asked_again_until_it_takes_us(tmp_path: Path) -> None:
    port = free_port()
    busy = take("REGISTER") + answer("503 Service Unavailable")
    with (
        SippServer(tmp_path / "busy", port, busy, calls=2) as carrier,
        Engine(tmp_path, CARRIER.format(name="carrier", port=port) + "register = true\n") as engine,
    ):
        state = engine.until("carrier", lambda trunk: bool(trunk["failure"]))
        assert state["failure"] == "REGISTER: 503 Service Unavailable"
        assert state["registered_until"] is None
        carrier.finish(15)
        assert len(carrier.requests("REGISTER")) == 2
        with SippServer(tmp_path / "registrar", port, REGISTRAR):
            engine.until("carrier", lambda trunk: trunk["registered_until"] is not None)
        assert "REGISTER: 503 Service Unavailable" in engine.shown()


def test_a_wrong_password_is_not_tried_over_and_over(tmp_path: Path) -> None:
    port = free_port()
    steps = take("REGISTER") + CHALLENGE + take("REGISTER") + answer("403 Forbidden")
    with (
        SippServer(tmp_path / "registrar", port, steps) as carrier,
        Engine(tmp_path, CARRIER.format(name="carrier", port=port) + "register = true\n") as engine,
    ):
        state = engine.until("carrier", lambda trunk: bool(trunk["failure"]))
        assert state["failure"] == "REGISTER: 403 Forbidden"
        assert len(carrier.requests("REGISTER")) == 2
        assert "again in 3" in engine.process.log()  # 300 s and a little


def test_a_trunk_that_goes_silent_is_marked_dead_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    steps = take("OPTIONS") + answer("200 OK")
    with Engine(tmp_path, CARRIER.format(name="carrier", port=port) + "options_s = 1\n") as engine:
        with SippServer(tmp_path / "alive", port, steps) as carrier:
            deadline = time.monotonic() + 10
            while len(carrier.requests("OPTIONS")) < 2:
                assert time.monotonic() < deadline, carrier.errors
            assert engine.trunk("carrier")["reachable"]
        state = engine.until("carrier", lambda trunk: not trunk["reachable"])
        assert state["failure"] == "OPTIONS: no answer within 5 s"
        assert " no " in engine.shown().splitlines()[1]
        with SippServer(tmp_path / "again", port, steps):
            engine.until("carrier", lambda trunk: trunk["reachable"])


def test_a_trunk_that_comes_to_life_while_a_registration_is_under_way_is_not_asked_twice(tmp_path: Path) -> None:
    with (
        RawPeer("127.0.0.1:9") as carrier,
        Engine(
            tmp_path, CARRIER.format(name="carrier", port=carrier.port) + "register = true\noptions_s = 1\n"
        ) as engine,
    ):
        engine.until("carrier", lambda trunk: not trunk["reachable"])
        carrier.aim(engine.process.target)
        deadline = time.monotonic() + 20
        while not engine.trunk("carrier")["reachable"]:
            assert time.monotonic() < deadline
            carrier.send(carrier.answer(carrier.expect("OPTIONS "), "200 OK"))
        carrier.send(carrier.answer(carrier.expect("REGISTER "), "200 OK", headers="Expires: 300"))
        state = engine.until("carrier", lambda trunk: trunk["registered_until"] is not None)
        assert state["failure"] == "OPTIONS: no answer within 5 s"
        assert "not registered" not in engine.process.log()


def test_an_error_for_options_is_a_sign_of_life(tmp_path: Path) -> None:
    port = free_port()
    with (
        SippServer(tmp_path / "carrier", port, take("OPTIONS") + answer("405 Method Not Allowed")) as carrier,
        Engine(tmp_path, CARRIER.format(name="carrier", port=port) + "options_s = 1\n") as engine,
    ):
        deadline = time.monotonic() + 15
        while len(carrier.requests("OPTIONS")) < 7:
            assert time.monotonic() < deadline, carrier.errors
        assert engine.trunk("carrier")["reachable"]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that only trunks may call."""
    with Engine(tmp_path_factory.mktemp("closed"), TRUSTED, inbound="trunks") as engine:
        yield engine


def test_a_trunk_is_recognised_by_its_address_and_held_to_its_limit(closed: Engine, rtp: RtpEndpoint) -> None:
    target = closed.process.target
    with RawPeer(target, address="127.0.0.2") as first, RawPeer(target, address="127.0.0.2") as second:
        first.send(first.request("INVITE", DEMO, body=plain_sdp(rtp.port)))
        answered = first.expect("SIP/2.0 200 ")
        first.send(first.request("ACK", DEMO, answered=answered))
        assert closed.trunk("trusted")["calls"] == 1
        second.send(second.request("INVITE", DEMO, body=plain_sdp(rtp.port)))
        second.expect("SIP/2.0 503 ")
        first.send(first.request("BYE", DEMO, cseq=2, answered=answered))
        first.expect("SIP/2.0 200 ")
    closed.until("trusted", lambda trunk: trunk["calls"] == 0)


def test_a_call_from_a_trunk_has_the_codecs_of_the_trunk(closed: Engine, rtp: RtpEndpoint) -> None:
    with RawPeer(closed.process.target, address="127.0.0.4") as peer:
        peer.send(peer.request("INVITE", DEMO, body=plain_sdp(rtp.port).replace(" 0 101", " 0 8 101")))
        answered = peer.expect("SIP/2.0 200 ")
        peer.send(peer.request("ACK", DEMO, answered=answered))
        peer.send(peer.request("BYE", DEMO, cseq=2, answered=answered))
        peer.expect("SIP/2.0 200 ")
    assert " RTP/AVP 8 101" in answered.text


def invite(*, authenticated: bool = False, password: str = "hush") -> str:
    header = f"[authentication username=carrier password={password}]\n" if authenticated else ""
    return request("INVITE", body=sdp(), headers=header, cseq=2 if authenticated else 1)


CHALLENGED = (
    invite() + receive(100, optional=True)
    + receive(401).replace("<recv ", '<recv auth="true" ') + same_transaction("ACK")
)  # fmt: skip


def test_a_caller_with_the_right_credentials_is_admitted(closed: Engine, tmp_path: Path) -> None:
    steps = "".join(
        [
            CHALLENGED, invite(authenticated=True), receive(100, optional=True), receive(200), ack(cseq=2),
            pause(300), request("BYE", within=True, cseq=9), receive(200),
        ]
    )  # fmt: skip
    outcome = Sipp(tmp_path, closed.process.target).run(steps, number=DEMO)
    assert outcome.status == 0, outcome.errors
    assert 'realm="flexml"' in outcome.answer(401).header("WWW-Authenticate")


def test_a_caller_with_the_wrong_password_is_refused(closed: Engine, tmp_path: Path) -> None:
    steps = CHALLENGED + invite(authenticated=True, password="guess") + receive(100, optional=True) + receive(403)
    outcome = Sipp(tmp_path, closed.process.target).run(steps + same_transaction("ACK", cseq=2), number=DEMO)
    assert outcome.status == 0, outcome.errors
    assert closed.trunk("known")["calls"] == 0


INVITED = (
    take("INVITE") + CHALLENGE
    + '<recv request="ACK"/>\n' + take("INVITE", auth=LOGIN)
    + answer("200 OK", headers=CONTACT, body=sdp(port="9"))
    + '<recv request="ACK"/>\n' + receive_request("BYE")
)  # fmt: skip


def test_a_call_on_a_trunk_brings_its_credentials_and_headers(tmp_path: Path) -> None:
    need("sipp")
    port = free_port()
    with SippServer(tmp_path, port, INVITED, calls=1) as carrier:
        command = [sys.executable, Path(__file__).parent / "trunk_caller.py", str(port)]
        done = subprocess.run(command, capture_output=True, input="", text=True, timeout=30, check=False)
        assert done.stdout.split() == ["Accepted", "Ended", "200", "local"], done.stderr + carrier.errors
        carrier.finish(5)
        first, second = carrier.requests("INVITE")
    assert second.start == f"INVITE sip:15162065338@127.0.0.1:{port} SIP/2.0"
    assert second.header("P-Asserted-Identity") == '"Ann" <sip:15550001000@127.0.0.1>'
    assert second.header("From").startswith('"Ann" <sip:15550001000@127.0.0.1>;tag=')
    assert (first.header("Authorization"), "engine" in second.header("Authorization")) == ("", True)


def test_a_trunk_that_leaves_an_invite_unanswered_is_given_up_and_a_late_answer_leaves_no_call(tmp_path: Path) -> None:
    with RawPeer("127.0.0.1:9") as carrier:
        command = [sys.executable, Path(__file__).parent / "trunk_caller.py", str(carrier.port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
            invite = carrier.expect("INVITE ")
            carrier.aim(invite.header("Via").split()[1].partition(";")[0])
            assert caller.stdout is not None
            assert caller.stdout.readline() == "Ended 408 stack\n"
            carrier.send(carrier.answer(invite, "200 OK", body=plain_sdp(9)))
            carrier.expect("ACK ")
            carrier.send(carrier.answer(carrier.expect("BYE "), "200 OK"))
            rest, _ = caller.communicate(timeout=20)
        assert (rest, caller.returncode) == ("", 0)


SILENT = """
[[trunk]]
name = "silent"
uri = "sip:127.0.0.1:{port}"
prefixes = ["1"]
answer_s = 1
"""


def test_a_dial_goes_on_to_the_next_trunk_when_one_is_silent(application: Application, tmp_path: Path) -> None:
    """Well within the dial's timeout: the stack itself would wait for 32 s (RFC 3261 section 17.1.1.2, timer B)."""
    line, port = Line("silent", application), free_port()
    line.serve('<Dial timeout="10" timeLimit="1">15550002001</Dial><Hangup/>')
    with (
        RawPeer("127.0.0.1:9") as silent,
        SippServer(tmp_path / "carrier", port, INVITED, calls=1) as carrier,
        Engine(
            tmp_path,
            SILENT.format(port=silent.port) + CARRIER.format(name="carrier", port=port),
            dids={"15550001000": application.url(line.path())},
        ) as engine,
        Phone(engine.process.target, "15550001000") as phone,
    ):
        assert phone.call().status == 200
        carrier.finish(10)
        assert silent.expect("INVITE ").start.startswith("INVITE sip:15550002001@127.0.0.1")
        states = [engine.trunk(name) for name in ("silent", "carrier")]
    assert [state["failure"] for state in states] == ["408 No response", ""]
    assert [state["calls"] for state in states] == [0, 0]
