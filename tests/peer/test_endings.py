"""Every way in which a call ends, each told of exactly once: with the receiver down for a minute, and over kill -9.

The endings are provoked all at once, on two engines at a time: one lives through it, and is stopped at last with a call
alive; the other is killed when all calls but one have ended, and started again. Their receivers listen only a minute
after the first call has ended.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from answering import Answering
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line, Received
from phone import Phone, Talk, cancel_of
from ports import free_port
from raw_peer import RawPeer, plain_sdp
from sounds import tone

DOWN_S: Final = 60.0
ARRIVES_S: Final = 45.0
"""The last attempt before the receiver is back is followed by the next one within 32 s."""
LONG: Final = "<Play>/sounds/tone-500-30000.wav</Play>"
CALLS: Final = "/flexml/v1/calls"
TRUNK: Final = """
[[trunk]]
name = "{name}"
uri = "sip:127.0.0.1:{port}"
prefixes = ["{prefix}"]
answer_s = 1
"""
QUIET: Final = """
[[account]]
login = "quiet"
password = "quiet"
error_handler = "none"

[[did]]
phonenumber = "{number}"
account = "quiet"
url = "{url}"
status_callback_url = "{told}"
"""


@dataclass
class Stage:
    """Where one ending is played: an engine, a number of its own, its part of the application, trunks' far ends."""

    engine: EngineProcess
    line: Line
    told: str
    """Where its status callback goes."""
    carriers: dict[str, Answering] = field(default_factory=dict[str, Answering])

    def phone(self, longest_s: float = 45.0) -> Phone:
        return Phone(self.engine.target, self.line.number, longest_s=longest_s)

    def order(self, called: str) -> str:
        """Have the engine call somebody; the call's sid."""
        order = {"called_did": called, "calling_did": self.line.number, "status_callback_url": self.told}
        return self.engine.post(CALLS, order)["call_sid"]


def bye_by_the_caller(stage: Stage) -> None:
    stage.line.serve(LONG)
    with stage.phone() as phone:
        assert phone.call(hang_up_at=0.5).by == "us"


def bye_by_the_engine(stage: Stage) -> None:
    stage.line.serve("<Hangup/>")
    with stage.phone() as phone:
        assert phone.call().by == "them"


def cancel_while_it_rings(stage: Stage) -> None:
    with Answering() as bob, RawPeer(stage.engine.target) as caller:
        stage.line.serve(f"<Dial>{bob.uri}</Dial>")
        give_up(caller, stage, "SIP/2.0 180 ", bob.ring)
        bob.expect("CANCEL ")


def cancel_in_early_media(stage: Stage) -> None:
    stage.line.serve(f"<PreAnswer>{LONG}</PreAnswer>")
    with RawPeer(stage.engine.target) as caller:
        give_up(caller, stage, "SIP/2.0 183 ")


def give_up(caller: RawPeer, stage: Stage, after: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Call, and cancel once a response has come that begins so."""
    invite = caller.request("INVITE", stage.line.number, body=plain_sdp(9))
    caller.send(invite)
    meanwhile()
    caller.expect(after)
    caller.send(cancel_of(invite))
    caller.expect("SIP/2.0 487 ")


def bye_in_early_media(stage: Stage) -> None:
    """RFC 3261 section 15: the caller may say BYE on an early dialog."""
    stage.line.serve(f"<PreAnswer>{LONG}</PreAnswer>")
    with RawPeer(stage.engine.target) as caller:
        caller.send(caller.request("INVITE", stage.line.number, body=plain_sdp(9)))
        early = caller.expect("SIP/2.0 183 ")
        caller.send(caller.request("BYE", stage.line.number, cseq=2, answered=early))
        caller.expect("SIP/2.0 487 ")


def refused(document: str, status: int) -> Callable[[Stage], None]:
    def ending(stage: Stage) -> None:
        stage.line.serve(document)
        with stage.phone() as phone:
            assert phone.call().status == status

    return ending


def document(reply: Answer, *, status: int = 200) -> Callable[[Stage], None]:
    """The application answers with this instead of a document."""

    def ending(stage: Stage) -> None:
        stage.line.serve(reply)
        with stage.phone() as phone:
            assert phone.call().status == status

    return ending


def time_limit(stage: Stage) -> None:
    with Answering() as bob:
        stage.line.serve(f'<Dial timeLimit="1">{bob.uri}</Dial>')
        with ThreadPoolExecutor(1) as pool, stage.phone() as phone:
            call = pool.submit(phone.call)
            bob.pick_up()
            bob.expect("BYE ")
            assert call.result().by == "them"


def bye_by_the_called_party(stage: Stage) -> None:
    with Answering() as bob:
        stage.line.serve(f"<Dial>{bob.uri}</Dial>")
        with ThreadPoolExecutor(1) as pool, stage.phone() as phone:
            call = pool.submit(phone.call)
            bob.pick_up()
            bob.rtp.wait_for(20)
            bob.hang_up()
            assert call.result().by == "them"


def lost_peer(stage: Stage) -> None:
    """The caller's machine is switched off: neither audio nor an answer to BYE."""
    stage.line.serve(LONG)
    with RawPeer(stage.engine.target) as caller:
        caller.send(caller.request("INVITE", stage.line.number, body=plain_sdp(9)))
        answered = caller.expect("SIP/2.0 200 ")
        caller.send(caller.request("ACK", stage.line.number, answered=answered))


def trunk_that_is(name: str, refusal: str = "") -> Callable[[Stage], None]:
    """A call of the API's by a trunk that is busy, fails, is silent or gone."""

    def ending(stage: Stage) -> None:
        stage.order(PREFIXES[name] + "5550100")
        if refusal:
            stage.carriers[name].refuse(refusal)

    return ending


def not_answered(stage: Stage) -> None:
    with Answering() as bob:
        stage.order(bob.uri)
        bob.ring()
        bob.expect("CANCEL ", timeout_s=15)


def deleted_while_it_rings(stage: Stage) -> None:
    with Answering() as bob:
        sid = stage.order(bob.uri)
        bob.ring()
        stage.engine.post(f"{CALLS}/{sid}", {}, method="DELETE")
        bob.expect("CANCEL ")


def deleted_while_it_talks(stage: Stage) -> None:
    stage.line.serve(LONG)
    with Answering() as bob:
        sid = stage.order(bob.uri)
        bob.pick_up()
        bob.rtp.wait_for(20)
        stage.engine.post(f"{CALLS}/{sid}", {}, method="DELETE")
        bob.expect("BYE ")


def bye_by_who_was_called(stage: Stage) -> None:
    stage.line.serve(LONG)
    with Answering() as bob:
        stage.order(bob.uri)
        bob.pick_up()
        bob.rtp.wait_for(20)
        bob.hang_up()


LAST: Final = "the engine's end"
PREFIXES: Final = MappingProxyType({"busy": "1201", "failing": "1202", "silent": "1203", "gone": "1204"})
UNREADABLE: Final = Answer(body="<Response><Dail>1</Dail></Response>")
ENDINGS: Final = MappingProxyType(
    {
        "BYE by the caller": (bye_by_the_caller, "completed"),
        "BYE by the engine": (bye_by_the_engine, "completed"),
        "CANCEL while it rings": (cancel_while_it_rings, "cancel"),
        "CANCEL in early media": (cancel_in_early_media, "cancel"),
        "BYE in early media": (bye_in_early_media, "cancel"),
        "Reject": (refused("<Reject/>", 403), "failed"),
        "Reject, busy": (refused('<Reject reason="busy"/>', 600), "busy"),
        "Reject in early media": (
            refused('<PreAnswer><Pause/></PreAnswer><Reject reason="busy-here"/>', 486),
            "busy",
        ),
        "no document": (document(Answer(status=404)), "completed"),
        "no document, no error handler": (document(Answer(status=404), status=503), "failed"),
        "bad document": (document(UNREADABLE), "completed"),
        "time limit": (time_limit, "completed"),
        "BYE by the called party": (bye_by_the_called_party, "completed"),
        "lost peer": (lost_peer, "completed"),
        "trunk busy": (trunk_that_is("busy", "486 Busy Here"), "busy"),
        "trunk failing": (trunk_that_is("failing", "503 Service Unavailable"), "failed"),
        "trunk silent": (trunk_that_is("silent"), "failed"),
        "trunk gone": (trunk_that_is("gone"), "failed"),
        "not answered": (not_answered, "noanswer"),
        "deleted while it rings": (deleted_while_it_rings, "cancel"),
        "deleted while it talks": (deleted_while_it_talks, "completed"),
        "BYE by who was called": (bye_by_who_was_called, "completed"),
        LAST: (None, "completed"),
    }
)
"""How a call ends, and what is told of it. The last one lives until the engine ends; killed, it has failed."""


class Run:
    """All endings on one engine, and what was told of them."""

    def __init__(self, folder: Path, *, kill: bool) -> None:
        self.kill, self._folder = kill, folder
        self.told: dict[str, list[Received]] = {}
        self.errors: dict[str, str] = {}
        self.log = ""

    def play(self) -> None:
        port = free_port(1)
        with ExitStack() as stack:
            application = stack.enter_context(Application())
            engine, stages = self._set(stack, application, port)
            try:
                down = time.monotonic()
                self._end_all(stack, engine, stages)
                if self.kill:
                    engine.kill()
                    engine.start()
                time.sleep(max(0.0, down + DOWN_S - time.monotonic()))
                receiver = stack.enter_context(Application(port))
                for name in ENDINGS:
                    receiver.serve(f"/{path(name)}", Answer(status=204))
                self._collect(receiver, ENDINGS if self.kill else ENDINGS.keys() - {LAST})
                self.log += engine.log()
                assert engine.stop() == 0
                engine.start()
                self._collect(receiver, [LAST])
                time.sleep(2.0)  # what would be told twice is told now
                self.told = {name: receiver.requests(f"/{path(name)}") for name in ENDINGS}
            finally:
                engine.stop()
                self.log += engine.log()

    def _set(self, stack: ExitStack, application: Application, port: int) -> tuple[EngineProcess, dict[str, Stage]]:
        numbers = {name: f"1555000{6000 + at}" for at, name in enumerate(ENDINGS)}
        lines = {name: Line(number, application) for name, number in numbers.items()}
        carriers = {name: stack.enter_context(Answering()) for name in ("busy", "failing", "silent")}
        ports = {name: carrier.port for name, carrier in carriers.items()} | {"gone": free_port()}
        trunks = [TRUNK.format(name=name, port=ports[name], prefix=PREFIXES[name]) for name in PREFIXES]
        quiet = "no document, no error handler"
        told = {name: f"http://127.0.0.1:{port}/{path(name)}" for name in ENDINGS}
        trunks.append(QUIET.format(number=numbers[quiet], url=application.url(lines[quiet].path()), told=told[quiet]))
        engine = EngineProcess(
            self._folder,
            {number: application.url(lines[name].path()) for name, number in numbers.items() if name != quiet},
            extra="".join(trunks),
            sip="ring_timeout_s = 5",
            rtp="silence_timeout_s = 3",
            status_url={numbers[name]: url for name, url in told.items()},
        )
        engine.start()
        return engine, {name: Stage(engine, lines[name], told[name], carriers) for name in ENDINGS}

    def _end_all(self, stack: ExitStack, engine: EngineProcess, stages: dict[str, Stage]) -> None:
        """Provoke all endings at once; the last call lives on."""
        last = stages[LAST]
        last.line.serve(LONG * 10)
        phone = stack.enter_context(last.phone(longest_s=200.0))
        phone.rtp.speak(tone(700, 200.0))
        talk = Talk(phone.call)
        talk.start()
        with ThreadPoolExecutor(len(ENDINGS)) as pool:
            playing = {name: pool.submit(ending, stages[name]) for name, (ending, _) in ENDINGS.items() if ending}
            self.errors = {name: repr(error) for name, done in playing.items() if (error := done.exception())}
        wait_until(lambda: engine.live_calls() <= 1)

    def _collect(self, receiver: Application, names: Iterable[str]) -> None:
        """Wait until these have been told, or cannot be any more."""
        deadline = time.monotonic() + ARRIVES_S
        while time.monotonic() < deadline and not all(receiver.requests(f"/{path(name)}") for name in names):
            time.sleep(0.2)


def path(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, name).hex


def wait_until(fits: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not fits():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Both engines' runs, one beside the other."""
    made = {name: Run(tmp_path_factory.mktemp(name), kill=name == "killed") for name in ("stopped", "killed")}
    with ThreadPoolExecutor(2) as pool:
        playing = [pool.submit(run.play) for run in made.values()]
        for one in playing:
            one.result()
    return made


@pytest.mark.parametrize("run", ["stopped", "killed"])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_is_told_of_exactly_once_and_by_its_word(runs: dict[str, Run], run: str, name: str) -> None:
    found = runs[run]
    assert found.errors.get(name) is None
    word = "failed" if name == LAST and found.kill else ENDINGS[name][1]
    assert [told.data["CallStatus"] for told in found.told[name]] == [word]
    (told,) = found.told[name]
    assert isinstance(told.data["CallDuration"], int)
    assert told.headers["X-FlexML-Delivery"]
    assert len(told.headers["X-FlexML-Signature"]) == 64


@pytest.mark.parametrize("run", ["stopped", "killed"])
def test_no_delivery_came_twice_and_nothing_unforeseen_was_raised(runs: dict[str, Run], run: str) -> None:
    found = runs[run]
    deliveries = Counter(told.headers["X-FlexML-Delivery"] for all_told in found.told.values() for told in all_told)
    assert set(deliveries.values()) == {1}
    assert tracebacks(found.log) == []
