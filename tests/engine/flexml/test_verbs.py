"""Each verb on its own: what it does to the call, how long it takes, and where control goes."""

from __future__ import annotations

import asyncio

import pytest
from flexml.engine.dial import Dialled
from flexml.engine.errors import PromptError
from flexml.engine.flexml.document import parse
from flexml.engine.flexml.verb import Call, End, Failed, Goto, Outcome, Played, Prompt
from flexml.engine.flexml.verbs import BY_NAME
from flexml.engine.flexml.verbs.base import Verb
from flexml.engine.flexml.verbs.reject import quoted
from flexml.engine.growth import Growth
from flexml.engine.recording import Recorded, TranscriptionRequest

from ..virtual_time import run
from .fakes import BASE, RECORDED, FakeCall

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
            Failed(
                then=Goto(
                    url="http://app.example/sorry",
                    method="GET",
                    data={"PlaybackUrl": "http://app.example/missing.wav"},
                )
            ),
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
        (
            '<Amd action="/amd"/>',
            Goto(url="http://app.example/amd", data={"AMDStatus": "HUMAN", "AMDCause": "HUMAN-800-800"}),
            2,
        ),
        ("<Amd/>", None, 2),
        ("<Sms>Hi</Sms>", None, 1),
        (
            '<Sms action="/sms" method="GET">Hi</Sms>',
            Goto(url="http://app.example/sms", method="GET", data={"SmsStatus": "sent"}),
            1,
        ),
        ("<Sms>unsendable</Sms>", Failed(), 1),
        (
            '<Sms action="/sms">unsendable</Sms>',
            Failed(then=Goto(url="http://app.example/sms", data={"SmsStatus": "failed"})),
            1,
        ),
        ("<Dial>15550002001</Dial>", None, 7),
        ("<Dial>None</Dial>", Failed(), 0),
        ("<PreAnswer><Say>Hello</Say><Pause length='4'/></PreAnswer>", None, 7),
        ('<PreAnswer><Play stopOnKey="*" action="/done">a.wav</Play><Say>No</Say></PreAnswer>', played("*", 2), 2.5),
    ],
)
def test_where_a_verb_leads_and_how_long_it_takes(inside: str, outcome: Outcome, lasts: float) -> None:
    call = FakeCall(answered=True, audio=AUDIO, keys=[(1, "7"), (2.5, "*")])

    assert perform(inside, call) == (outcome, pytest.approx(lasts))


@pytest.mark.parametrize(
    ("inside", "sent"),
    [
        ("<Sms> Grüße,\n Ann 🎉 </Sms>", ("Grüße,\n Ann 🎉", "", "")),
        ('<Sms from=" 15550001000" to="+15162065317">Hi</Sms>', ("Hi", "15550001000", "+15162065317")),
        ("<Sms/>", ("", "", "")),
    ],
)
def test_what_a_message_says_and_between_whom(inside: str, sent: tuple[str, str, str]) -> None:
    call = FakeCall()

    perform(inside, call)

    assert call.sent == [sent]
    assert not call.answered


def test_a_dial_tells_its_action_how_it_went() -> None:
    inside = '<Dial action="/dialled"><Number>15550002001?X-Queue=gold</Number><Number>2</Number></Dial>'
    call = FakeCall()
    outcome, lasted = perform(inside, call)

    assert (outcome, lasted) == (
        Goto(
            url="http://app.example/dialled",
            data={
                "CallStatus": "completed",
                "DialCallSid": "party-1",
                "DialCallDuration": 7,
                "DialedNumber": "15550002001",
            },
        ),
        7,
    )
    (request,) = call.dialled
    assert [(each.target, each.headers) for each in request.destinations] == [
        ("15550002001", [("X-Queue", "gold")]),
        ("2", []),
    ]


def test_a_dial_that_nobody_answered_is_a_failure_that_its_action_hears_of() -> None:
    call = FakeCall()
    call.dial_result = Dialled(status="noanswer", number="15550002001")
    outcome, _ = perform('<Dial action="/dialled" method="GET">+1 555-000-2001</Dial>', call)

    assert isinstance(outcome, Failed)
    assert outcome.then is not None
    assert (outcome.then.method, outcome.then.data["CallStatus"]) == ("GET", "noanswer")
    assert call.dialled[0].destinations[0].target == "+15550002001"


def test_text_beside_numbers_is_noted() -> None:
    call = FakeCall()
    perform("<Dial>1<Number>2</Number></Dial>", call)

    assert [each.target for each in call.dialled[0].destinations] == ["2"]
    assert call.notes == ["Dial: the text beside Number is ignored line=1"]


@pytest.mark.parametrize(
    ("text", "target", "headers", "left_out"),
    [
        ("15550002001?X-A=1&amp;x-B=two%20words", "15550002001", [("X-A", "1"), ("x-B", "two words")], ""),
        ("15550002001?X-A=1&amp;From=evil&amp;X-B=", "15550002001", [("X-A", "1")], "['From', 'X-B']"),
        ("sip:bob@127.0.0.1:5070", "sip:bob@127.0.0.1:5070", [], ""),
        ("tel:+1-555-000-2001", "+15550002001", [], ""),
        ("\n+44 (0)20 7946\n0018 ", "+4402079460018", [], ""),
        ("*98", "*98", [], ""),
        ("1?X-A=a%0d%0aX-Evil:%201", "1", [("X-A", "a X-Evil: 1")], ""),
        ("1?X-A%0d%0aB=1", "1", [], "['X-A\\r\\nB']"),
    ],
)
def test_what_a_number_may_say(text: str, target: str, headers: list[tuple[str, str]], left_out: str) -> None:
    call = FakeCall()
    perform(f"<Dial><Number>{text}</Number></Dial>", call)

    (asked,) = call.dialled[0].destinations
    assert (asked.target, asked.headers) == (target, headers)
    assert call.notes == (
        [f"Dial: arguments that are no headers (X-Name=value) line=1 names={left_out}"] if left_out else []
    )


@pytest.mark.parametrize(
    "text",
    ["alice2@example.com", "tel:15162065340;ext=5", "15162065340,,12", "15162065340 ext. 5", "1-800-FLOWERS",
     "&lt;sip:bob1@127.0.0.1&gt;", "sip:bob 1@127.0.0.1", "sip:", "١٢٣٤"],
)  # fmt: skip
def test_what_is_neither_a_number_nor_a_uri_calls_nobody(text: str) -> None:
    call = FakeCall()
    outcome, _ = perform(f'<Dial action="/dialled"><Number>{text}</Number></Dial>', call)

    assert isinstance(outcome, Failed)
    assert (call.dialled, len(call.notes)) == ([], 2)
    assert call.notes[0].startswith("Dial: neither a number nor a SIP URI")


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


def test_a_play_that_fails_before_the_answer_passes_control_too() -> None:
    inside = '<PreAnswer><Play errorAction="/sorry">none.wav</Play><Say>Not this</Say></PreAnswer>'
    call = FakeCall(audio=AUDIO)

    outcome, _ = perform(inside, call)

    assert isinstance(outcome, Failed)
    assert outcome.then is not None
    assert outcome.then.url == "http://app.example/sorry"
    assert call.done == ["early media"]


def test_a_play_that_fails_before_the_answer_is_passed_over_without_error_action() -> None:
    call = FakeCall(audio=AUDIO)

    assert perform("<PreAnswer><Play>none.wav</Play><Say>This</Say></PreAnswer>", call)[0] is None
    assert call.done == ["early media", "play man: This", "silence"]


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


CONTROLS = (
    'forwardOnKey="6" rewindOnKey="4" minorForwardOnKey="9" minorRewindOnKey="7" controlSkip="3" minorControlSkip="1"'
)


@pytest.mark.parametrize(
    ("attributes", "keys", "offset", "digit", "lasts"),
    [
        (CONTROLS, [(1, "6")], 10, "", 7),
        (CONTROLS, [(4, "4")], 10, "", 13),
        (CONTROLS, [(1, "9"), (2, "7")], 10, "", 10),
        (CONTROLS, [(1, "6"), (2, "6"), (2.5, "6")], 10, "", 2.5),
        (CONTROLS + ' strictForwardControl="true"', [(9, "6")], 10, "", 10),
        (CONTROLS + ' stopOnKey="1"', [(1, "6"), (2, "1")], 5, "1", 2),
        (CONTROLS + ' streaming="true"', [(1, "6")], 10, "", 10),
        ('pauseOnKey="5" restartOnKey="0"', [(2, "5"), (6, "0")], 10, "", 14),
        ('pauseOnKey="5"', [(2, "5"), (6, "5")], 10, "", 14),
        ('pauseOnKey="5" restartOnKey="0" stopOnKey="1"', [(2, "5"), (6, "1")], 2, "1", 6),
        ('pauseOnKey="5" restartOnKey="0" loop="2"', [(12, "5"), (13, "0")], 10, "", 21),
        ('informationOnKey="3" informationAudioUrl="b.wav"', [(2, "3")], 10, "", 14),
        ('informationOnKey="3" informationAudioUrl="none.wav"', [(2, "3")], 10, "", 10),
        ('pauseOnKey="5" restartOnKey="0"', [(1, "0"), (2, "5"), (6, "0")], 10, "", 14),
        ('pauseOnKey="5" restartOnKey="0"', [(2, "5"), (3, "5"), (6, "0")], 10, "", 14),
        (CONTROLS + ' pauseOnKey="5" restartOnKey="0"', [(2, "5"), (3, "6"), (6, "0")], 10, "", 14),
        (CONTROLS + ' informationOnKey="3" informationAudioUrl="b.wav"', [(2, "3"), (3, "6"), (4, "3")], 10, "", 14),
        ('informationOnKey="3" informationAudioUrl="b.wav" stopOnKey="1"', [(2, "3"), (3, "1")], 2, "1", 3),
        ('informationOnKey="3" informationAudioUrl="slow.wav" stopOnKey="1"', [(2, "3"), (3, "1")], 2, "1", 3),
        ('streaming="true" timeLimit="4"', [], 4, "", 4),
        ('timeLimit="4"', [], 10, "", 10),
    ],
)
def test_keys_control_a_play(
    attributes: str, keys: list[tuple[float, str]], offset: int, digit: str, lasts: float
) -> None:
    audio, slow = AUDIO | {"http://app.example/b.wav": 4.0}, {"http://app.example/slow.wav": 8.0}
    call = FakeCall(answered=True, audio=audio, slow=slow, keys=keys)

    assert perform(f'<Play action="/done" {attributes}>a.wav</Play>', call) == (
        played(digit, offset),
        pytest.approx(lasts),
    )


@pytest.mark.parametrize(
    ("attributes", "keys", "lasts", "left"),
    [
        ('restartOnKey="0"', [(1, "0"), (2, "9")], 10, "9"),
        (CONTROLS + ' streaming="true"', [(1, "6"), (2, "8")], 10, "8"),
        ('pauseOnKey="5" restartOnKey="0"', [(1, "5"), (2, "5"), (3, "2"), (4, "0")], 13, "2"),
        ('informationOnKey="3" informationAudioUrl="b.wav"', [(1, "3"), (2, "3"), (3, "#")], 14, "#"),
    ],
)
def test_keys_that_a_play_names_are_not_left_for_the_next_verb(
    attributes: str, keys: list[tuple[float, str]], lasts: float, left: str
) -> None:
    call = FakeCall(answered=True, audio=AUDIO | {"http://app.example/b.wav": 4.0}, keys=keys)

    async def main() -> tuple[float, str | None, str | None]:
        await one(f"<Play {attributes}>a.wav</Play>").run(call)
        lasted = round(asyncio.get_running_loop().time(), 3)
        return lasted, await call.digit(0.1), await call.digit(0.1)

    assert run(main()) == (pytest.approx(lasts), left, None)


def test_a_pause_is_filled_with_comfort_noise_or_with_the_audio_that_was_named() -> None:
    keys = [(2.0, "5"), (3.0, "0")]
    noise = FakeCall(answered=True, audio=AUDIO, keys=keys)
    music = FakeCall(answered=True, audio=AUDIO | {"http://app.example/b.wav": 0.3}, keys=keys)

    perform('<Play pauseOnKey="5" restartOnKey="0">a.wav</Play>', noise)
    perform('<Play pauseOnKey="5" restartOnKey="0" pauseAudioUrl="b.wav">a.wav</Play>', music)

    assert noise.done == ["play http://app.example/a.wav", "silence", "tone comfort-noise",
                          "play http://app.example/a.wav at 2000", "silence"]  # fmt: skip
    assert music.done[2:4] == ["play http://app.example/b.wav", "silence"]
    assert music.done[4] == "play http://app.example/a.wav at 2000"


def test_information_that_breaks_off_does_not_end_the_play() -> None:
    class Broken(FakeCall):
        async def play(self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0) -> Played:
            await asyncio.sleep(1)
            raise PromptError("cannot be decoded further")

    call = Broken(answered=True, audio=AUDIO | {"http://app.example/b.wav": 4.0}, keys=[(2, "3")])

    attributes = 'informationOnKey="3" informationAudioUrl="b.wav" errorAction="/sorry" action="/done"'
    assert perform(f"<Play {attributes}>a.wav</Play>", call) == (played("", 10), pytest.approx(11))
    assert call.notes[-1] == "Play: audio of a control cannot be heard error=cannot be decoded further"


class Radio(FakeCall):
    """Whatever it fetches is a stream, which began three seconds before the call, heard from its first second on."""

    async def fetch_audio(self, url: str, *, streaming: bool = False, pre_buffer_s: float = 0.0) -> Prompt:
        growth, loop = Growth(), asyncio.get_running_loop()
        for second in range(60):
            loop.call_later(second, growth.grow, (3 + second) * 8000)
        return Prompt(path=url, rate_hz=8000, duration_ms=90_000, url=url, growth=growth, ring=480_000, entry_ms=1000)


def test_a_stream_goes_on_while_it_is_paused_and_is_heard_as_far_behind_its_newest_as_before() -> None:
    call = Radio(answered=True, keys=[(2.5, "5"), (7.5, "0"), (9.5, "1")])

    outcome, _ = perform(
        '<Play streaming="true" pauseOnKey="5" restartOnKey="0" stopOnKey="1" action="/done">a.wav</Play>', call
    )

    assert [what for what in call.done if what.startswith("play")] == [
        "play http://app.example/a.wav at 1000", "play http://app.example/a.wav at 8500",
    ]  # fmt: skip
    assert outcome == played("1", 10)


def test_files_follow_each_other_as_often_as_asked() -> None:
    call = FakeCall(answered=True, audio={"one": 2.0, "two": 3.0})

    outcome, lasted = perform(
        '<Play loop="2" loopPause="1" action="/done"><File>one</File><File>two</File></Play>', call
    )

    assert [what for what in call.done if what != "silence"] == ["play one", "play two", "play one", "play two"]
    assert lasted == pytest.approx(11)
    assert outcome == Goto(
        url="http://app.example/done",
        data={"Digits": "", "PlaybackUrl": "http://store.example/two", "PlayOffset": 3},
    )


def test_the_error_action_is_told_which_of_several_files_failed() -> None:
    call = FakeCall(answered=True, audio={"one": 2.0})

    outcome, _ = perform('<Play errorAction="/sorry"><File>one</File><File>two</File></Play>', call)

    assert isinstance(outcome, Failed)
    assert outcome.then is not None
    assert outcome.then.data == {"PlaybackUrl": "http://store.example/two"}


def test_of_several_files_only_the_first_repetition_skips() -> None:
    call = FakeCall(answered=True, audio={"one": 2.0, "two": 3.0})

    _, lasted = perform('<Play loop="2" skip="1"><File>one</File><File>two</File></Play>', call)

    assert [what for what in call.done if what != "silence"] == [
        "play one at 1000", "play two", "play one", "play two",
    ]  # fmt: skip
    assert lasted == pytest.approx(9)


def test_a_stop_key_ends_the_pause_between_repetitions_of_several_files() -> None:
    call = FakeCall(answered=True, audio={"one": 2.0, "two": 3.0}, keys=[(7, "#")])

    outcome, lasted = perform(
        '<Play loop="2" loopPause="60" stopOnKey="#" action="/done"><File>one</File><File>two</File></Play>', call
    )

    assert lasted == pytest.approx(7)
    assert outcome == Goto(
        url="http://app.example/done",
        data={"Digits": "#", "PlaybackUrl": "http://store.example/two", "PlayOffset": 3},
    )


def test_repeated_waiting_begins_after_the_initial_wait_even_if_that_is_silent() -> None:
    call = FakeCall(
        answered=True, audio=AUDIO | {"http://app.example/r.wav": 1.0}, slow={"http://app.example/a.wav": 8.5}
    )

    perform('<Play waitInitial="4" waitRepeat="2" waitRepeatUrl="r.wav">a.wav</Play>', call)

    assert [(at, what[24:]) for at, what in call.did if what.startswith("play")] == [(6, "r.wav"), (8.5, "a.wav")]


def test_what_is_slow_to_come_is_waited_for_with_other_audio() -> None:
    audio = {"http://app.example/w.wav": 1.0, "http://app.example/r.wav": 1.0}
    call = FakeCall(answered=True, audio=AUDIO | audio, slow={"http://app.example/a.wav": 7.5})
    waits = 'waitInitial="2" waitInitialUrl="w.wav" waitRepeat="1" waitRepeatUrl="r.wav"'

    _, lasted = perform(f"<Play {waits}>a.wav</Play>", call)

    started = [(at, what[24:]) for at, what in call.did if what.startswith("play")]
    assert started == [(2, "w.wav"), (4, "r.wav"), (6, "r.wav"), (7.5, "a.wav")]
    assert lasted == pytest.approx(17.5)


def test_background_audio_goes_on_while_control_passes() -> None:
    call = FakeCall(answered=True, audio=AUDIO, slow={"http://app.example/a.wav": 2})

    assert perform('<PreAnswer><Play background="true">a.wav</Play><Pause length="20"/></PreAnswer>', call) == (
        None,
        20,
    )
    assert call.did == [
        (2, "play background http://app.example/a.wav"),
        (12, "silence background"),
    ]


def test_a_background_stream_ends_at_its_time_limit() -> None:
    call = FakeCall(answered=True, audio=AUDIO)

    inside = (
        '<PreAnswer><Play background="true" streaming="true" timeLimit="4">a.wav</Play><Pause length="20"/></PreAnswer>'
    )
    perform(inside, call)

    assert call.did[-1] == (4, "silence background")


def test_background_audio_that_cannot_be_had_is_noted_and_no_more() -> None:
    call = FakeCall(answered=True)

    inside = '<PreAnswer><Play background="true" errorAction="/sorry">none.wav</Play><Pause/></PreAnswer>'
    assert perform(inside, call) == (None, 1)
    assert call.done == []
    assert call.notes == [
        "Play: cannot be heard, or not to its end line=1 error=http://app.example/none.wav: status 404"
    ]


def test_a_background_play_ends_the_one_before_even_if_that_is_still_to_come() -> None:
    audio = {f"http://app.example/{name}.wav": 10.0 for name in "ab"}
    call = FakeCall(answered=True, audio=audio, slow={"http://app.example/a.wav": 4})

    async def main() -> None:
        for name, wait_s in (("a", 1), ("b", 6), ("a", 5)):
            await one(f'<Play background="true">{name}.wav</Play>').run(call)
            await asyncio.sleep(wait_s)

    run(main())
    assert call.did[:3] == [
        (1, "play background http://app.example/b.wav"),
        (7, "silence background"),
        (11, "play background http://app.example/a.wav"),
    ]


def test_a_pause_ends_when_what_is_listened_for_is_heard() -> None:
    call = FakeCall(answered=True, heard_after=11.5)

    inside = '<Pause noise="true" minNoise="2000" silence="true" minSilence="2500" length="15"/>'
    assert perform(inside, call) == (None, pytest.approx(11.5))
    assert call.done == ["listen noise=2000 silence=2500"]
    assert perform('<Wait silence="true" length="4"/>', FakeCall(answered=True)) == (None, pytest.approx(4))


def test_amd_goes_by_its_attributes() -> None:
    call = FakeCall(answered=True)

    perform('<Amd initialSilence="5000" greeting="2000" maximumNumberOfWords="3"/>', call)

    assert call.done == [
        "amd after_greeting_silence=800 between_word_silence=50 greeting=2000 initial_silence=5000 "
        "maximum_number_of_words=3 maximum_word_length=5000 "
        "minimum_word_length=100 silence_threshold=256 total_analysis_time=5000"
    ]


RECORDED_DATA = {
    "RecordingDuration": 4, "RecordingSid": "file-1", "RecordingFileSid": "file-1", "RecordingStatus": "completed",
    "RecordingUrl": "http://store.example/file-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("attributes", "keys", "key", "lasts"),
    [
        ("", [(3, "7")], "7", 3.5),
        ('finishOnKey="#"', [(3, "7"), (4, "#")], "#", 4.5),
        ('finishOnKey="none" maxLength="9"', [(3, "7")], "", 9.5),
        ('timeout="3"', [], "", 20.5),
        ('playBeep="true"', [(3, "7")], "7", 3.5),
    ],
)
def test_what_ends_a_recording(attributes: str, keys: list[tuple[float, str]], key: str, lasts: float) -> None:
    call = FakeCall(answered=True, keys=keys, heard_after=20.0)

    outcome, lasted = perform(f'<Record action="/done" {attributes}/>', call)
    assert outcome == Goto(
        url="http://app.example/done", data=RECORDED_DATA | {"Digits": key, "FinishKey": key or None}
    )
    assert lasted == pytest.approx(lasts)


def test_a_key_from_before_the_beep_does_not_end_the_recording() -> None:
    call = FakeCall(answered=True)

    async def main() -> float:
        call.type_ahead("7")
        await one('<Record maxLength="9"/>').run(call)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(9.5)


@pytest.mark.parametrize(
    ("recorded", "inside", "outcome"),
    [
        (Recorded(status="absent"), '<Record action="/done" errorAction="/sorry"/>', None),
        (Recorded(status="failed", error="disk full"), '<Record action="/done"/>', Failed()),
    ],
)
def test_no_recording_is_no_action(recorded: Recorded, inside: str, outcome: Outcome) -> None:
    call = FakeCall(answered=True, keys=[(1, "#")], recorded=recorded)

    assert perform(inside, call)[0] == outcome


def last_word(inside: str, call: FakeCall) -> Goto | None:
    """What is told of a verb that the call's end cuts off after a second."""

    async def main() -> Goto | None:
        running = asyncio.ensure_future(one(inside).run(call))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        assert call.last_word is not None
        return await call.last_word()

    return run(main())


@pytest.mark.parametrize(
    ("recorded", "url"),
    [
        (RECORDED, "http://app.example/done"),
        (Recorded(status="failed", error="disk full"), "http://app.example/sorry"),
        (Recorded(status="absent"), None),
    ],
)
def test_a_recording_that_the_end_of_the_call_ends_tells_where_it_would_have_led(
    recorded: Recorded, url: str | None
) -> None:
    call = FakeCall(answered=True, recorded=recorded)

    told = last_word('<Record action="/done" errorAction="/sorry"/>', call)

    assert (told and told.url) == url
    if recorded is RECORDED:
        assert told == Goto(url=str(url), data=RECORDED_DATA | {"Digits": "", "FinishKey": None})


def test_the_end_of_the_call_is_a_result_of_amd() -> None:
    told = last_word('<Amd action="/answered" method="GET"/>', FakeCall(answered=True))

    assert told == Goto(url="http://app.example/answered", method="GET", data={"AMDStatus": "HANGUP", "AMDCause": ""})


def test_a_recording_that_has_nowhere_to_go_is_a_failure() -> None:
    call = FakeCall(answered=True)

    outcome, lasted = perform(
        '<Record containerSid="full" action="/done" errorAction="/sorry" errorMethod="GET"/>', call
    )

    assert isinstance(outcome, Failed)
    assert outcome.then is not None
    assert (outcome.then.url, outcome.then.method) == ("http://app.example/sorry", "GET")
    assert outcome.then.data["RecordingStatus"] == "failed"
    assert lasted == 0


def test_background_audio_of_a_recording_is_heard_aside_and_ends_with_it() -> None:
    call = FakeCall(answered=True, audio=AUDIO, keys=[(3, "#")])

    perform('<Record backgroundAudioUrl="a.wav" backgroundAudioLoop="0"/>', call)

    assert call.done == ["record", "play aside http://app.example/a.wav", "listen noise=None silence=5000",
                         "recorded", "silence aside"]  # fmt: skip


def test_a_recording_does_not_wait_for_its_background_audio() -> None:
    call = FakeCall(answered=True, audio=AUDIO, slow={"http://app.example/a.wav": 2.0}, keys=[(6, "#")])
    late = FakeCall(answered=True, audio=AUDIO, slow={"http://app.example/a.wav": 9.0}, keys=[(6, "#")])

    perform('<Record backgroundAudioUrl="a.wav"/>', call)
    perform('<Record backgroundAudioUrl="a.wav"/>', late)

    assert call.did == [(0, "record"), (0, "listen noise=None silence=5000"), (2, "play aside http://app.example/a.wav"),
                        (6, "recorded"), (6, "silence aside")]  # fmt: skip
    assert late.did == [(0, "record"), (0, "listen noise=None silence=5000"), (6, "recorded")]


def test_a_session_is_recorded_beside_what_follows() -> None:
    call = FakeCall(answered=True)

    assert perform('<Record recordSession="true" direction="in" trim="do-not-trim" fileFormat="mp3"/>', call) == (
        None,
        0,
    )
    (request,) = call.requested
    assert (request.direction, request.trim, request.file_format) == ("in", False, "mp3")


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ('transcribe="true" transcribeCallback="text"', TranscriptionRequest(callback_url="http://app.example/text")),
        (
            'transcribe="true" transcribeCallback="/t" transcribeLowConfidenceWordReplacement="?"'
            ' transcribeLowConfidenceWordThreshold="0.5" transcribeTimeout="60"',
            TranscriptionRequest(callback_url="http://app.example/t", replacement="?", threshold=0.5, timeout_s=60),
        ),
        (
            'transcribe="true" transcribeCallback="/t" transcribeTimeout="0"',
            TranscriptionRequest(callback_url="http://app.example/t"),
        ),
        ('transcribeCallback="/t"', None),
    ],
)
def test_a_transcription_is_asked_for(attributes: str, wanted: TranscriptionRequest | None) -> None:
    call = FakeCall(answered=True)

    perform(f'<Record recordSession="true" {attributes}/>', call)

    (request,) = call.requested
    assert request.transcription == wanted
    assert call.notes == []


def test_a_text_that_nobody_would_get_is_not_asked_for() -> None:
    call = FakeCall(answered=True)

    perform('<Record recordSession="true" transcribe="true"/>', call)

    (request,) = call.requested
    assert request.transcription is None
    assert call.notes == ["Record: nothing is transcribed, transcribeCallback is missing line=1"]


def test_credentials_do_not_show() -> None:
    verb = one('<Record awsAccessKey="AKIA" awsSecretKey="hidden" awsBucketName="bucket"/>')

    assert "hidden" not in repr(verb)
