"""Kamailio between the engine and its peers: as the registrar of a trunk, and as a proxy that stays in the path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from baresip import Baresip
from conftest import need
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from hearing import tones
from kamailio import PASSWORD, Kamailio, executable
from phone import Phone, Talk
from rtp_endpoint import loud_part, share_at
from sounds import tone
from trunk_watch import TrunkWatch
from uas import TALK, Uas, receive, respond, respond_within

NUMBERS = [str(15550006000 + offset) for offset in range(12)]
ANN, BOB, SHARED, NOBODY = "15550002001", "15550002002", "15550002003", "15550002999"
TRUNK = """
[[trunk]]
name = "pbx"
uri = "sip:{target};transport={transport}"
username = "engine"
password = "{password}"
register = true
options_s = 1
answer_s = 1
addresses = ["127.0.0.5"]
"""


@dataclass(frozen=True)
class Place:
    """A proxy, an engine that is registered there, and two users: Ann answers by herself, Bob when told."""

    kamailio: Kamailio
    trunks: TrunkWatch
    ann: Baresip
    bob: Baresip

    @property
    def engine(self) -> EngineProcess:
        return self.trunks.process

    def byes_from(self, port: int) -> int:
        return sum(passed.port == port and passed.within for passed in self.kamailio.passed("BYE"))


def user(folder: Path, name: str, kamailio: Kamailio, **more: object) -> Baresip:
    return Baresip(folder, user=name, registrar=kamailio.target, password=PASSWORD, **more)  # pyright: ignore[reportArgumentType]


def start(
    stack: ExitStack,
    folder: Path,
    application: Application,
    kamailio: Kamailio,
    *,
    transport: str = "udp",
    more: str = "",
) -> TrunkWatch:
    """An engine whose trunk is Kamailio, once it is registered there."""
    engine = EngineProcess(
        folder,
        {number: application.url(f"/{number}/") for number in NUMBERS},
        legs=12,
        extra=TRUNK.format(target=kamailio.target, transport=transport, password=PASSWORD) + more,
    )
    engine.start()

    @stack.callback
    def stop() -> None:  # pyright: ignore[reportUnusedFunction]
        assert engine.stop() == 0, engine.log()[-4000:]
        assert tracebacks(engine.log()) == []

    trunks = TrunkWatch(engine)
    trunks.until("pbx", lambda trunk: trunk["registered_until"] is not None)
    return trunks


@pytest.fixture(scope="module")
def place(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    needed()
    folder = tmp_path_factory.mktemp("kamailio")
    with ExitStack() as stack:
        kamailio = stack.enter_context(Kamailio(folder / "kamailio"))
        ann = stack.enter_context(user(folder / "ann", ANN, kamailio, answers=True))
        bob = stack.enter_context(user(folder / "bob", BOB, kamailio))
        trunks = start(stack, folder / "engine", application, kamailio)
        for name in (ANN, BOB):
            kamailio.wait_for_contacts(name)
        yield Place(kamailio, trunks, ann, bob)


def needed() -> None:
    for tool in ("baresip", "sipp"):
        need(tool)
    if executable() is None:
        pytest.skip("kamailio is not installed")


@pytest.fixture(scope="module")
def numbers() -> Iterator[str]:
    return iter(NUMBERS)


@pytest.fixture
def line(application: Application, numbers: Iterator[str]) -> Line:
    line = Line(next(numbers), application)
    application.serve(line.path("status"), Answer(status=204))
    return line


def eventually(happened: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_engine_is_registered(place: Place) -> None:
    until = place.trunks.trunk("pbx")["registered_until"]
    row = place.trunks.shown().splitlines()[1]
    assert row.split()[:2] == ["pbx", f"sip:{place.kamailio.target};transport=udp"]
    assert time.strftime("%Y-%m-%d %H:%M", time.gmtime(until)) in row


def test_a_user_reaches_the_engine_at_its_registration_and_everything_goes_by_the_proxy(
    place: Place, line: Line
) -> None:
    kamailio, ann = place.kamailio, place.ann
    line.serve("<Play>/sounds/tone-600-1000.wav</Play><Redirect>played</Redirect>")
    line.serve('<Gather numDigits="1" timeout="10" action="pressed"/>', at="played")
    line.serve("<Hangup/>", at="pressed")

    def reinvites() -> int:
        return sum(passed.within and passed.port == ann.sip_port for passed in kamailio.passed("INVITE"))

    def acks() -> int:
        return sum(passed.within and passed.port == ann.sip_port for passed in kamailio.passed("ACK"))

    before, byes = (reinvites(), acks()), place.byes_from(place.engine.sip_port)
    ann.dial(f"sip:{line.number}@{kamailio.target}")
    ann.wait_for("CALL_ESTABLISHED")
    line.wait_for("played")
    ann.hold()
    eventually(lambda: (reinvites(), acks()) == (before[0] + 1, before[1] + 2))
    ann.resume()
    eventually(lambda: (reinvites(), acks()) == (before[0] + 2, before[1] + 3))
    ann.press("1")
    ann.wait_for("CALL_CLOSED")
    assert share_at(loud_part(ann.audio()), 600) > 0.8
    (pressed,) = line.wait_for("pressed")
    assert {name: pressed.data[name] for name in ("To", "OriginalTo", "From", "Digits")} == {
        "To": line.number, "OriginalTo": line.number, "From": ANN, "Digits": "1",
    }  # fmt: skip
    line.final_status()
    directions = [details["direction"] for what, details in place.engine.timeline() if what == "media agreed"]
    assert directions == ["sendrecv", "recvonly", "sendrecv"]
    assert place.byes_from(place.engine.sip_port) == byes + 1


def test_a_user_who_called_by_the_proxy_hangs_up(place: Place, line: Line) -> None:
    line.serve("<Play>/sounds/tone-600-8000.wav</Play>")
    byes = place.byes_from(place.ann.sip_port)
    place.ann.dial(f"sip:{line.number}@{place.kamailio.target}")
    place.ann.wait_for("CALL_ESTABLISHED")
    place.ann.hang_up()
    assert line.final_status().data["CallStatus"] == "completed"
    assert place.byes_from(place.ann.sip_port) == byes + 1


def test_a_user_is_called_by_uri_and_hangs_up(place: Place, line: Line) -> None:
    line.serve(f'<Dial action="dialled">sip:{ANN}@{place.kamailio.target}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    byes = place.byes_from(place.ann.sip_port)
    with Phone(place.engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        talk = Talk(phone.call)
        talk.start()
        place.ann.wait_for("CALL_ESTABLISHED")
        phone.rtp.wait_for(75)
        place.ann.hang_up()
        assert talk.result().by == "them"
        assert [span.hz for span in tones(phone.rtp.heard())] == [700]
    assert share_at(loud_part(place.ann.audio()), 1000) > 0.8
    assert line.wait_for("dialled")[0].data["CallStatus"] == "completed"
    assert place.byes_from(place.ann.sip_port) == byes + 1


def test_a_number_goes_by_the_trunk_whose_challenge_is_answered_and_the_caller_hangs_up(
    place: Place, line: Line
) -> None:
    line.serve(f"<Dial>{ANN}</Dial>")
    byes, asked = place.byes_from(place.engine.sip_port), len(place.kamailio.passed("INVITE"))
    with Phone(place.engine.target, line.number) as phone:
        phone.rtp.speak(tone(1000, 20.0))
        phone.call(hang_up_at=1.5)
        assert [span.hz for span in tones(phone.rtp.heard())] == [700]
    place.ann.wait_for("CALL_CLOSED")
    assert share_at(loud_part(place.ann.audio()), 1000) > 0.8
    assert line.final_status().data["CallStatus"] == "completed"
    assert place.byes_from(place.engine.sip_port) == byes + 1
    uris = [passed.uri for passed in place.kamailio.passed("INVITE")[asked:]]
    assert uris == [f"sip:{ANN}@{place.kamailio.target};transport=udp"] * 2, "once without credentials, once with them"


def test_a_user_who_is_not_registered_is_a_failed_dial_that_no_other_trunk_would_better(
    place: Place, line: Line
) -> None:
    line.serve(f'<Dial action="dialled">{NOBODY}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    with Phone(place.engine.target, line.number) as phone:
        phone.call()
    assert line.wait_for("dialled")[0].data["CallStatus"] == "failed"
    line.final_status()
    (ended,) = (details for what, details in place.engine.timeline() if what == "party ended")
    assert (ended["status"], ended["reason"], ended["by"]) == (404, "Not Registered", "remote")
    assert place.trunks.trunk("pbx")["failure"] == ""


EARLY = receive("INVITE") + respond(183, "Session Progress", sdp=True) + receive("CANCEL") + respond_within(200, "OK")


def test_of_all_that_the_proxy_rings_at_once_the_caller_talks_with_the_one_that_answers(
    place: Place, line: Line, tmp_path: Path
) -> None:
    """One answers by early media, which is an echo; one only rings; one is taken."""
    line.serve(f'<Dial action="dialled" ringing="false" timeLimit="2">{SHARED}</Dial>')
    line.serve("<Hangup/>", at="dialled")
    kamailio = place.kamailio
    with (
        Uas(tmp_path / "early", EARLY) as early,
        user(tmp_path / "rings", SHARED, kamailio) as rings,
        user(tmp_path / "taken", SHARED, kamailio, tone_hz=900) as taken,
        Phone(place.engine.target, line.number) as phone,
    ):
        kamailio.register(SHARED, early.uri)
        kamailio.wait_for_contacts(SHARED, 3)
        phone.rtp.speak(tone(1000, 20.0))
        talk = Talk(phone.call)
        talk.start()
        rings.wait_for("CALL_INCOMING")
        taken.wait_for("CALL_INCOMING")
        phone.rtp.wait_for(75)
        taken.accept()
        rings.wait_for("CALL_CLOSED")
        taken.wait_for("CALL_CLOSED")
        talk.result()
        early.done()
        assert [span.hz for span in tones(phone.rtp.heard())] == [1000, 900]
        assert share_at(loud_part(taken.audio()), 1000) > 0.8
    dialled = line.wait_for("dialled")[0].data
    assert (dialled["CallStatus"], dialled["DialCallDuration"]) == ("completed", 2)


SPARE = """
[[trunk]]
name = "spare"
uri = "sip:127.0.0.1:{port}"
"""


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_registrar_that_dies_is_passed_over_and_knows_the_engine_again_when_it_is_back(
    application: Application, tmp_path: Path, line: Line, transport: str
) -> None:
    needed()
    line.serve(f'<Dial action="dialled" timeLimit="1">{BOB}</Dial>', "<Hangup/>")
    line.serve("<Hangup/>", at="dialled")
    kamailio = Kamailio(tmp_path / "kamailio")
    with ExitStack() as stack:
        stack.enter_context(kamailio)
        spare = stack.enter_context(Uas(tmp_path / "spare", TALK))
        spare_trunk = SPARE.format(port=spare.port)
        trunks = start(stack, tmp_path / "engine", application, kamailio, transport=transport, more=spare_trunk)
        kamailio.kill()
        with Phone(trunks.process.target, line.number) as phone:
            phone.call()
        spare.done()
        assert line.wait_for("dialled")[0].data["CallStatus"] == "completed"
        trunks.until("pbx", lambda trunk: not trunk["reachable"])
        assert " no " in trunks.shown().splitlines()[1]
        stack.enter_context(kamailio)
        kamailio.wait_for_contacts("engine")
        ann = stack.enter_context(user(tmp_path / "ann", ANN, kamailio))
        ann.dial(f"sip:{line.number}@{kamailio.target}")
        ann.wait_for("CALL_ESTABLISHED")
        ann.wait_for("CALL_CLOSED")
        assert trunks.trunk("pbx")["reachable"]
