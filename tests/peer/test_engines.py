"""Real engines on one real PostgreSQL: a call as on SQLite, a database that goes away, an engine that is killed."""

from __future__ import annotations

import signal
import socket
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest
from answering import Answering
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from sipp import Message
from sounds import tone

if TYPE_CHECKING:
    from ..postgresql import PostgresqlServer

NUMBER = "15550001000"
CALLS = "/flexml/v1/calls"
RECORDED = '<Record maxLength="1" timeout="9" playBeep="false" action="done" recordingStatusCallback="recorded"/>'
SCHEDULED = 100


class Busy:
    """Refuses every INVITE with 486, and counts for whom they came, each Call-ID once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._seen: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    @property
    def invited(self) -> Counter[str]:
        """How many calls came for each user."""
        return Counter(user for user, _ in set(self._seen))

    def _run(self) -> None:
        while data := self._socket.recvfrom(65536):
            octets, source = data
            if not octets:
                return
            message = Message(sent=False, text=octets.decode())
            if message.start.startswith("INVITE "):
                self._seen.add((message.start.split()[1].partition("@")[0], message.header("Call-ID")))
                self._socket.sendto(refusal(message), source)


def refusal(invite: Message) -> bytes:
    copied = "".join(f"{name}: {invite.header(name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
    return f"SIP/2.0 486 Busy Here\r\n{copied}To: {invite.header('To')};tag=b\r\nContent-Length: 0\r\n\r\n".encode()


def until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def shown(engine: EngineProcess, sid: str) -> dict[str, Any]:
    return engine.post(f"{CALLS}/{sid}?include_fields=state,status", {}, method="GET")


def steps(engine: EngineProcess, sid: str) -> list[str]:
    """What is on the call's timeline."""
    return [step["what"] for step in engine.post(f"{CALLS}/{sid}/timeline", {}, method="GET")["items"]]


@pytest.fixture
def line(application: Application, request: pytest.FixtureRequest) -> Line:
    line = Line(request.node.name, application)
    for at in ("status", "recorded"):
        line.serve(Answer(status=204), at=at)
    return line


@pytest.fixture
def engines(application: Application, line: Line, postgresql_url: str, tmp_path: Path) -> Iterator[list[EngineProcess]]:
    """Two engines, which have nothing in common but the database."""
    dids = {NUMBER: application.url(line.path())}
    with ExitStack() as stack:
        started: list[EngineProcess] = []
        for name in ("one", "two"):
            engine = EngineProcess(tmp_path / name, dids, database=postgresql_url)
            engine.start()
            stack.callback(engine.stop)
            started.append(engine)
        yield started
    assert [tracebacks(engine.log()) for engine in started] == [[], []]


def test_a_call_on_postgresql_is_told_of_recorded_and_listed(engines: list[EngineProcess], line: Line) -> None:
    line.serve(RECORDED)
    line.serve("<Hangup/>", at="done")
    with Answering() as bob:
        sid = engines[0].post(CALLS, {"called_did": bob.uri, "calling_did": NUMBER})["call_sid"]
        bob.rtp.speak(tone(1000, 10.0))
        bob.pick_up()
        bob.expect("BYE ", 15)
    assert line.wait_for("status")[0].data["CallStatus"] == "completed"
    (told,) = line.wait_for("recorded")
    assert told.data["CallSid"] == sid
    for engine in engines:
        until(
            lambda engine=engine: shown(engine, sid)["status"] == "completed", 10, "the row does not say how it ended"
        )
        assert shown(engine, sid)["state"] == "ended"
        assert "call over" in steps(engine, sid)


def test_a_live_call_is_moved_and_hung_up_through_another_engine(engines: list[EngineProcess], line: Line) -> None:
    line.serve('<Wait length="60"/>')
    line.serve('<Wait length="60"/>', at="next")
    one, two = engines
    with Answering() as bob:
        sid = one.post(CALLS, {"called_did": bob.uri, "calling_did": NUMBER})["call_sid"]
        bob.pick_up()
        line.wait_for()
        moved = two.post(f"{CALLS}/{sid}", {"url": line.application.url(line.path("next"))}, method="PATCH")
        assert moved["url"].endswith("next")
        line.wait_for("next")
        two.post(f"{CALLS}/{sid}", {}, method="DELETE")
        bob.expect("BYE ")
    line.wait_for("status")


def test_a_call_on_an_engine_that_does_not_answer_is_a_conflict_that_names_it_and_then_over(
    engines: list[EngineProcess], line: Line
) -> None:
    line.serve('<Wait length="60"/>')
    one, two = engines
    with Answering() as bob:
        sid = one.post(CALLS, {"called_did": bob.uri, "calling_did": NUMBER})["call_sid"]
        bob.pick_up()
        line.wait_for()
        one.kill()
        with pytest.raises(urllib.error.HTTPError) as raised:
            two.post(f"{CALLS}/{sid}", {}, method="DELETE")
        assert raised.value.code == 409
        assert f"on the engine '{socket.gethostname()}:{one.http_port}'" in raised.value.read().decode()
        (told,) = line.wait_for("status", timeout_s=40)
    assert (told.data["CallSid"], told.data["CallStatus"]) == (sid, "failed")
    assert two.post(f"{CALLS}/{sid}?include_fields=state", {}, method="GET")["state"] == "ended"


def test_scheduled_calls_are_placed_once_though_an_engine_is_killed(engines: list[EngineProcess], line: Line) -> None:
    one, two = engines
    with Busy() as busy:
        sids = {
            str(one.post(CALLS, {"called_did": f"sip:u{n}@127.0.0.1:{busy.port}", "calling_did": NUMBER,
                                 "delay": 8})["call_sid"])
            for n in range(SCHEDULED)
        }  # fmt: skip
        until(lambda: len(busy.invited) >= SCHEDULED // 4, 20, "nobody places the calls")
        two.kill()
        until(lambda: {told.data["CallSid"] for told in line.requests("status")} == sids, 60, "not all are told of")
        invited = busy.invited
    assert max(invited.values()) == 1, "a call was placed twice"
    deliveries = {(told.data["CallSid"], told.headers["X-FlexML-Delivery"]) for told in line.requests("status")}
    assert len(deliveries) == SCHEDULED, "each has one callback, whoever sent it"
    statuses = Counter(told.data["CallStatus"] for told in line.requests("status"))
    assert len(invited) >= SCHEDULED - statuses["failed"], "who was not called is told of as failed"
    assert len(invited) >= SCHEDULED - 10, "what the dead engine had claimed is placed by the other"


def test_calls_outlive_a_postgresql_that_is_stopped_and_started(
    postgresql: PostgresqlServer, engines: list[EngineProcess], line: Line
) -> None:
    line.serve('<Wait length="4"/><Redirect>next</Redirect>')
    line.serve("<Hangup/>", at="next")
    one, two = engines
    with Answering() as bob:
        sid = one.post(CALLS, {"called_did": bob.uri, "calling_did": NUMBER})["call_sid"]
        bob.pick_up()
        line.wait_for()
        postgresql.stop(how=signal.SIGQUIT)
        try:
            with pytest.raises(urllib.error.HTTPError) as raised:
                two.post(CALLS, {}, method="GET")
            with raised.value as refused:
                assert refused.code == 503
            bob.expect("BYE ", 15)
            assert line.requests("status") == [], "nothing is sent that could be forgotten"
        finally:
            postgresql.start()
    (told,) = line.wait_for("status", timeout_s=30)
    assert (told.data["CallSid"], told.data["CallStatus"]) == (sid, "completed")
    until(lambda: shown(two, sid)["state"] == "ended", 10, "the row has not been saved")
    until(lambda: "call over" in steps(two, sid), 35, "the timeline has not been written")
    for engine in engines:
        assert engine.log().count("flexml.database the database does not answer: ") == 1
        assert engine.log().count("flexml.database the database answers again") == 1
