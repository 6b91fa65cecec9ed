"""Numbers that trunks take, each to a party of its own: documents 17 and 18 of the shared data, and keys by INFO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

import pytest
from callee import Callee, Conduct
from documents import DATA, where_there_are_documents
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, sound
from hearing import level_dbov, tones, utterances
from phone import Phone
from ports import free_port
from sounds import tone

NUMBER: Final = "15550001000"
"""Of the account, which document 17 shows to those whom it calls."""
FIRST, SECOND, THIRD = "15550002001", "15550002002", "15550002003"
BY_INFO: Final = "15550002004"
CALLER_HZ, PARTY_HZ, PROMPT_HZ = 500, 900, 600
SAYS: Final = ((0.0, tone(PARTY_HZ, 30.0)),)
TRUNK: Final = """
[[trunk]]
name = "to {number}"
uri = "sip:127.0.0.1:{port}"
prefixes = ["{number}"]
dtmf = "{dtmf}"
"""


class Numbers:
    """An engine with a trunk for each number, and one DID whose URL is the root of an application."""

    def __init__(self, engine: EngineProcess, application: Application, ports: Mapping[str, int]) -> None:
        self._engine, self._application, self._ports = engine, application, ports

    def call(
        self, document: str, parties: Mapping[str, Conduct], keys: tuple[tuple[float, str], ...] = ()
    ) -> tuple[Phone, Mapping[str, Callee]]:
        """Call the DID, which has that document, until the engine hangs up; `parties` are reached by their numbers."""
        self._application.serve("/", document)
        target = self._engine.target
        called = {number: Callee(number, one, target, port=self._ports[number]) for number, one in parties.items()}
        phone = Phone(target, NUMBER)
        phone.rtp.speak(tone(CALLER_HZ, 40.0))
        for at, pressed in keys:
            phone.rtp.press(pressed, at)
        with ExitStack() as ends:
            for each in (*called.values(), phone):
                ends.enter_context(each)
            assert phone.call().by == "them"
            assert all(party.ending for party in called.values() if party.invited)
        return phone, called


@pytest.fixture(scope="module")
def numbers(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Numbers]:
    del application
    ports = {number: free_port() for number in (FIRST, SECOND, THIRD, BY_INFO)}
    trunks = [
        TRUNK.format(number=number, port=port, dtmf="info" if number == BY_INFO else "auto")
        for number, port in ports.items()
    ]
    with Application() as own:
        own.serve("/status", Answer(status=204))
        own.serve("/audio/press-one.wav", sound(f"tone-{PROMPT_HZ}-500.wav"))
        engine = EngineProcess(tmp_path_factory.mktemp("numbers"), {NUMBER: own.url("/")}, extra="".join(trunks))
        engine.start()
        yield Numbers(engine, own, ports)
        assert engine.stop() == 0, engine.log()[-4000:]
        assert tracebacks(engine.log()) == []


def hz(audio_of: Phone | Callee) -> set[int]:
    """The tones that were heard."""
    return {span.hz for span in tones(audio_of.rtp.heard())}


@where_there_are_documents
@pytest.mark.parametrize("answering", [FIRST, SECOND, THIRD])
def test_17_the_first_to_answer_is_bridged_and_the_others_are_cancelled(numbers: Numbers, answering: str) -> None:
    talks, rings = Conduct(after=1.0, speech=SAYS, hang_up_after=3.5), Conduct(after=None)
    parties = {number: talks if number == answering else rings for number in (FIRST, SECOND, THIRD)}
    phone, called = numbers.call((DATA / "17_first_to_answer.xml").read_text(), parties)
    assert {number: party.ending for number, party in called.items()} == {
        number: "us" if number == answering else "cancelled" for number in called
    }
    assert (hz(phone), hz(called[answering])) == ({PARTY_HZ}, {CALLER_HZ})
    assert called[answering].keys == ("12" if answering == SECOND else "")
    for number, party in called.items():
        invite = party.invite
        assert invite.start.startswith(f"INVITE sip:{number}@")
        assert f"sip:{NUMBER}@" in invite.header("From")
        headers = [invite.header("X-Customer"), invite.header("X-Queue")]
        assert headers == (["42", "gold"] if number == SECOND else ["", ""])


@where_there_are_documents
def test_18_the_party_that_presses_1_talks_with_the_caller(numbers: Numbers) -> None:
    conduct = Conduct(speech=SAYS, keys=((2.0, "1"),), hang_up_after=4.0)
    phone, called = numbers.call((DATA / "18_confirm.xml").read_text(), {FIRST: conduct})
    bob, heard = called[FIRST], tones(phone.rtp.heard())
    prompt, talk = ([span for span in bob.tones if span.hz == hz] for hz in (PROMPT_HZ, CALLER_HZ))
    assert sum(span.length for span in prompt) > 1.0, "half a second, again and again"
    assert [span.length for span in talk] == [pytest.approx(1.9, abs=0.2)]
    assert prompt[-1].end <= talk[0].start == pytest.approx(2.1, abs=0.2)
    assert (heard[0].hz, heard[0].length) == (PARTY_HZ, pytest.approx(1.9, abs=0.2))
    assert phone.at("SIP/2.0 200") - bob.at("ACK") == pytest.approx(2.1, abs=0.3)


@where_there_are_documents
@pytest.mark.parametrize(("keys", "after"), [(((1.0, "2"),), 1.1), ((), 15.0)], ids=["another key", "no key"])
def test_18_the_next_verb_runs_where_1_is_not_pressed(
    numbers: Numbers, keys: tuple[tuple[float, str], ...], after: float
) -> None:
    phone, called = numbers.call((DATA / "18_confirm.xml").read_text(), {FIRST: Conduct(speech=SAYS, keys=keys)})
    bob = called[FIRST]
    assert (bob.ending, hz(bob)) == ("them", {PROMPT_HZ})
    assert bob.at("BYE") - bob.at("ACK") == pytest.approx(after, abs=0.4)
    assert PARTY_HZ not in hz(phone)
    assert sum(end - start for start, end in utterances(phone.rtp.heard())) > 0.8, "nobody took your call"


def test_keys_go_to_a_party_by_info_where_its_trunk_says_so(numbers: Numbers) -> None:
    document = f'<Response><Dial timeLimit="3"><Number sendDigits="1,2">{BY_INFO}</Number></Dial></Response>'
    _, called = numbers.call(document, {BY_INFO: Conduct(speech=SAYS)}, keys=((1.0, "#"),))
    bob = called[BY_INFO]
    assert "".join(bob.informed) == "12#"
    assert bob.keys == ""
    assert level_dbov(bob.heard) > -30
