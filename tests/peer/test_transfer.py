"""Blind transfer by REFER (RFC 3515): refused by default, followed where the configuration says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from answering import Answering
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from hearing import between, share_at, tones
from phone import Ending, Phone, Talk
from sounds import tone
from test_signalling import idle

NUMBER = "15550001000"


@pytest.fixture(scope="module")
def follows(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine that follows REFER."""
    folder = tmp_path_factory.mktemp("follows")
    engine = EngineProcess(folder, {NUMBER: application.url("/transfer/")}, sip='refer = "follow"')
    engine.start()
    yield engine
    assert engine.stop() == 0
    assert tracebacks(engine.log()) == []


@pytest.fixture
def transfer(application: Application) -> Line:
    line = Line("transfer", application)
    line.serve(Answer(status=204), at="status")
    return line


@pytest.fixture
def parties() -> Iterator[tuple[Answering, Answering]]:
    with Answering() as bob, Answering() as carol:
        bob.rtp.speak(tone(600, 30.0))
        carol.rtp.speak(tone(1500, 30.0))
        yield bob, carol


class Caller:
    """Ann, who calls and talks with whoever answers."""

    def __init__(self, engine: EngineProcess, number: str) -> None:
        self.phone = Phone(engine.target, number, longest_s=25.0)
        self.phone.rtp.speak(tone(1000, 30.0))

    def __enter__(self) -> Caller:
        self.phone.__enter__()
        self._talk = Talk(self.phone.call)
        self._talk.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._talk.join()
        self.phone.__exit__(None, None, None)

    def done(self) -> Ending:
        return self._talk.result()

    def hears(self) -> list[int]:
        return [span.hz for span in tones(self.phone.rtp.heard()) if span.length > 0.3]


def told(message: object, status: str) -> None:
    """Check that a NOTIFY says so."""
    text = str(getattr(message, "text", ""))
    assert "Event: refer" in text
    assert "message/sipfrag" in text
    assert f"SIP/2.0 {status}" in text


def test_a_refer_is_refused_by_default_and_the_conversation_goes_on(
    engine: EngineProcess, line: Line, parties: tuple[Answering, Answering]
) -> None:
    bob, carol = parties
    line.serve(f"<Dial>{bob.uri}</Dial><Hangup/>")
    with Caller(engine, line.number) as ann:
        bob.pick_up()
        bob.rtp.wait_for(50)
        bob.request("REFER", f"Refer-To: <{carol.uri}>")
        bob.expect("SIP/2.0 603 ")
        bob.rtp.wait_for(150)
        bob.hang_up()
        assert ann.done().by == "them"
        assert ann.hears() == [600]


def test_the_caller_talks_with_whom_the_party_has_sent_it_to(
    follows: EngineProcess, transfer: Line, parties: tuple[Answering, Answering]
) -> None:
    bob, carol = parties
    transfer.serve(f'<Dial action="dialled">{bob.uri}</Dial>')
    transfer.serve("<Hangup/>", at="dialled")
    with Caller(follows, NUMBER) as ann:
        bob.pick_up()
        bob.rtp.wait_for(50)
        bob.request("REFER", f"Refer-To: <{carol.uri}>")
        bob.expect("SIP/2.0 202 ")
        told(bob.expect("NOTIFY "), "100 Trying")
        carol.ring()
        carol.pick_up()
        told(bob.expect("NOTIFY "), "200 OK")
        bob.expect("BYE ")
        carol.rtp.wait_for(100)
        carol.hang_up()
        ann.done()
        assert ann.hears() == [600, 1500]
    assert share_at(between(carol.rtp.heard(), 0.5, 1.5), 1000) > 0.9
    (asked,) = transfer.requests("dialled")[-1:]
    assert asked.data["CallStatus"] == "completed"


def test_who_is_transferred_hears_ringing_when_the_other_has_hung_up(
    follows: EngineProcess, transfer: Line, parties: tuple[Answering, Answering]
) -> None:
    bob, carol = parties
    transfer.serve(f"<Dial>{bob.uri}</Dial><Hangup/>")
    with Caller(follows, NUMBER) as ann:
        bob.pick_up()
        bob.rtp.wait_for(50)
        bob.request("REFER", f"Refer-To: <{carol.uri}>")
        bob.expect("SIP/2.0 202 ")
        bob.hang_up()
        carol.ring()
        with pytest.raises(AssertionError):
            carol.expect("CANCEL ", timeout_s=2.5)
        carol.pick_up()
        carol.rtp.wait_for(100)
        carol.hang_up()
        ann.done()
        heard = ann.phone.rtp.heard()
        spans = [span for span in tones(heard) if span.length > 0.3]
        assert (spans[0].hz, spans[-1].hz) == (600, 1500)
        left = max(span.end for span in spans if span.hz == 600)
        ringing = between(heard, left + 0.2, left + 1.2)
        assert share_at(ringing, 440) + share_at(ringing, 480) > 0.8


def test_a_target_that_is_busy_changes_nothing(
    follows: EngineProcess, transfer: Line, parties: tuple[Answering, Answering]
) -> None:
    bob, carol = parties
    transfer.serve(f"<Dial>{bob.uri}</Dial><Hangup/>")
    with Caller(follows, NUMBER) as ann:
        bob.pick_up()
        bob.rtp.wait_for(50)
        bob.request("REFER", f"Refer-To: <{carol.uri}>")
        bob.expect("SIP/2.0 202 ")
        told(bob.expect("NOTIFY "), "100 Trying")
        carol.refuse("486 Busy Here")
        busy = bob.expect("NOTIFY ")
        told(busy, "486 Busy Here")
        assert "terminated" in busy.header("Subscription-State")
        bob.rtp.wait_for(150)
        bob.hang_up()
        ann.done()
        assert ann.hears() == [600]


def test_a_caller_may_send_the_party_elsewhere(
    follows: EngineProcess, transfer: Line, parties: tuple[Answering, Answering]
) -> None:
    """Here Ann is an `Answering` as well: the engine has called her."""
    bob, carol = parties
    before = len(transfer.requests("status"))
    with Answering() as ann:
        transfer.serve(f'<Dial action="dialled">{bob.uri}</Dial>')
        place(follows, ann.uri)
        ann.pick_up()
        bob.pick_up()
        bob.rtp.wait_for(50)
        ann.request("REFER", f"Refer-To: <{carol.uri}>")
        ann.expect("SIP/2.0 202 ")
        told(ann.expect("NOTIFY "), "100 Trying")
        carol.pick_up()
        told(ann.expect("NOTIFY "), "200 OK")
        ann.expect("BYE ")
        carol.rtp.wait_for(100)
        assert share_at(between(carol.rtp.heard(), 0.5, 1.5), 600) > 0.9
        assert len(transfer.requests("status")) == before
        carol.hang_up()
        bob.expect("BYE ")
    transfer.wait_for("status", before + 1)
    assert transfer.requests("status")[-1].data["CallStatus"] == "completed"
    assert idle(follows)


@pytest.mark.parametrize("target", ["<sip:carol@127.0.0.1:{port}?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>", "rubbish"])
def test_what_cannot_be_followed_is_refused(
    follows: EngineProcess, transfer: Line, parties: tuple[Answering, Answering], target: str
) -> None:
    bob, carol = parties
    transfer.serve(f"<Dial>{bob.uri}</Dial><Hangup/>")
    with Caller(follows, NUMBER) as ann:
        bob.pick_up()
        bob.request("REFER", "Refer-To: " + target.format(port=carol.uri.rpartition(":")[2]))
        bob.expect("SIP/2.0 603 ")
        bob.hang_up()
        ann.done()


def place(engine: EngineProcess, uri: str) -> None:
    """Have the engine call `uri`."""
    engine.post("/flexml/v1/calls", {"called_did": uri, "calling_did": NUMBER})
