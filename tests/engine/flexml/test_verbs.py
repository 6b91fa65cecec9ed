"""Each verb on its own: what it does to the call, how long it takes, and where control goes."""

from __future__ import annotations

import asyncio

import pytest
from flexml.engine.flexml.document import parse
from flexml.engine.flexml.verb import Call, End, Failed, Goto, Outcome
from flexml.engine.flexml.verbs import BY_NAME
from flexml.engine.flexml.verbs.base import Verb
from flexml.engine.flexml.verbs.reject import quoted

from ..virtual_time import run
from .fakes import BASE, FakeCall

AUDIO = {"http://app.example/a.wav": 10.0}


def one(inside: str) -> Verb:
    (verb,) = parse(f"<Response>{inside}</Response>".encode(), url=BASE).verbs
    return verb


def perform(inside: str, call: Call) -> tuple[Outcome, float]:
    async def main() -> tuple[Outcome, float]:
        outcome = await one(inside).run(call)
        return outcome, round(asyncio.get_running_loop().time(), 3)

    return run(main())


def played(digits: str, offset: int, url: str = "http://app.example/done") -> Goto:
    data = {"Digits": digits, "PlaybackUrl": "http://app.example/a.wav", "PlayOffset": offset}
    return Goto(url=url, data=data)


@pytest.mark.parametrize(
    ("inside", "outcome", "lasts"),
    [
        ("<Say>Hello</Say>", None, 3),
        ('<Say loop="2" loopPause="5">Hello</Say>', None, 11),
        ("<Say>unspeakable</Say>", Failed(), 0),
        ("<Play>a.wav</Play>", None, 10),
        ('<Play loop="3" loopPause="1">a.wav</Play>', None, 32),
        ('<Play skip="4" action="/done">a.wav</Play>', played("", 10), 6),
        ('<Play action="/done" stopOnKey="3*">a.wav</Play>', played("*", 2), 2.5),
        ('<Play skip="4" action="/done" stopOnKey="3*">a.wav</Play>', played("*", 6), 2.5),
        ('<Play stopOnKey="3*">a.wav</Play>', None, 2.5),
        ("<Play>missing.wav</Play>", Failed(), 0),
        (
            '<Play errorAction="/sorry" errorMethod="GET" action="/done">missing.wav</Play>',
            Failed(then=Goto(url="http://app.example/sorry", method="GET")),
            0,
        ),
        ('<Play digits="1,2"/>', None, 0),
        ('<Play background="true" loop="0">a.wav</Play>', None, 0),
        ("<Play><File>sid</File></Play>", Failed(), 0),
        ('<Pause length="15"/>', None, 15),
        ("<Wait/>", None, 1),
        ("<Dtmf>,,1#</Dtmf>", None, 0),
        ("<Hangup/>", End(), 0),
        ("<Reject/>", End(), 0),
        ('<Redirect method="GET">next</Redirect>', Goto(url="http://app.example/next", method="GET"), 0),
        ('<Store name="a">b</Store>', None, 0),
        ('<Amd action="/amd"/>', None, 0),
        ('<Record action="/recorded"/>', None, 0),
        ('<Sms action="/sent">Hi</Sms>', None, 0),
        ("<Dial>15550002001</Dial>", Failed(), 0),
        ("<PreAnswer><Say>Hello</Say><Pause length='4'/></PreAnswer>", None, 7),
        ('<PreAnswer><Play stopOnKey="*" action="/done">a.wav</Play><Say>No</Say></PreAnswer>', played("*", 2), 2.5),
    ],
)
def test_where_a_verb_leads_and_how_long_it_takes(inside: str, outcome: Outcome, lasts: float) -> None:
    call = FakeCall(answered=True, audio=AUDIO, keys=[(1, "7"), (2.5, "*")])

    assert perform(inside, call) == (outcome, pytest.approx(lasts))


@pytest.mark.parametrize("inside", ['<Amd action="/a"/>', "<Record/>", "<Sms>Hi</Sms>", "<Dial>1</Dial>"])
def test_verbs_of_later_versions_say_so(inside: str) -> None:
    call = FakeCall(answered=True)

    perform(inside, call)

    assert call.done == []
    (note,) = call.notes
    assert "this version does not carry the verb out line=1" in note


def test_a_dial_behaves_as_one_that_failed() -> None:
    inside = '<Dial action="/dialled"><Number>15550002001?X-Queue=gold</Number><Number>2</Number></Dial>'
    outcome, _ = perform(inside, FakeCall())

    assert isinstance(outcome, Failed)
    assert outcome.then == Goto(
        url="http://app.example/dialled",
        data={"CallStatus": "failed", "DialCallSid": "", "DialCallDuration": 0, "DialedNumber": "15550002001"},
    )


REASONS = {
    "redirect": "302 Moved Temporarily",
    "forbidden": "403 Forbidden",
    "rejected": "403 Forbidden",
    "not-found": "404 Not Found",
    "busy-here": "486 Busy Here",
    "bad-gateway": "502 Bad Gateway",
    "unavailable": "503 Service Unavailable",
    "busy": "600 Busy Everywhere",
    "decline": "603 Decline",
    "does-not-exist": "604 Does Not Exist Anywhere",
    "unwanted": "607 Unwanted",
    "intermediary-rejected": "608 Rejected",
}


@pytest.mark.parametrize(("reason", "status"), REASONS.items())
def test_each_reason_has_its_status(reason: str, status: str) -> None:
    call = FakeCall()

    perform(f'<Reject reason="{reason.upper()}"/>', call)

    assert call.done == [f"reject {status}"]
    assert call.headers == {}


@pytest.mark.parametrize(
    ("reason", "text", "headers"),
    [
        ("intermediary-rejected", "On a block list", {"Call-Info": '"On a block list"'}),
        ("intermediary-rejected", 'say "no" \\ bye', {"Call-Info": r'"say \"no\" \\ bye"'}),
        ("intermediary-rejected", "two\nlines&#13;X-Evil: 1", {"Call-Info": '"two lines X-Evil: 1"'}),
        ("redirect", "sip:bob@example.com", {"Contact": "<sip:bob@example.com>"}),
        ("redirect", "&lt;sip:bob@example.com&gt;;q=0.5", {"Contact": "<sip:bob@example.com>;q=0.5"}),
        ("redirect", "bob@example.com:5070", {"Contact": "<sip:bob@example.com:5070>"}),
        ("redirect", "example.com:5070", {"Contact": "<sip:example.com:5070>"}),
        ("redirect", "+15550001000", {"Contact": "<tel:+15550001000>"}),
        ("busy", "words", {}),
    ],
)  # fmt: skip
def test_the_text_of_reject_goes_into_a_header(reason: str, text: str, headers: dict[str, str]) -> None:
    call = FakeCall()

    perform(f'<Reject reason="{reason}">{text}</Reject>', call)

    assert call.headers == headers


def test_a_quoted_string_escapes_what_would_end_it() -> None:
    assert quoted('a"b\\') == '"a\\"b\\\\"'


def test_pre_answer_opens_early_media_only_before_the_answer() -> None:
    unanswered, answered = FakeCall(), FakeCall(answered=True)

    perform("<PreAnswer><Say>Hello</Say></PreAnswer>", unanswered)
    perform("<PreAnswer><Say>Hello</Say></PreAnswer>", answered)

    assert unanswered.done == ["early media", "play man: Hello", "silence"]
    assert answered.done == ["play man: Hello", "silence"]


def test_digits_are_sent() -> None:
    call = FakeCall(answered=True)

    perform("<Dtmf> ,,12#wW </Dtmf>", call)
    perform('<Play digits="9"/>', call)

    assert call.done == ["send ,,12#wW", "send 9"]


def test_store_and_override_tell_the_call() -> None:
    call = FakeCall()

    perform('<Store name=" campaign ">spring 24</Store>', call)
    perform('<Store name="old"/>', call)
    perform('<Override statusCallbackUrl="/status" statusCallbackMethod="get"/>', call)

    assert call.stored == {"campaign": "spring 24", "old": ""}
    assert call.callback == ("http://app.example/status", "GET")


def test_who_answers() -> None:
    silent = {name for name in BY_NAME if not BY_NAME[name]().answers}

    assert silent == {"preanswer", "reject", "redirect", "override", "store", "sms", "dial"}
    assert one('<Dial ringing="false">1</Dial>').answers
    assert one('<Dial ringing="music">1</Dial>').answers
