"""Gather: which keys count, what stops the prompt, when it ends, and what the action hears."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import pytest
from flexml.engine.errors import MediaError
from flexml.engine.flexml.document import parse
from flexml.engine.flexml.verb import Goto, Outcome, Played, Prompt
from flexml.engine.flexml.verbs.gather import Gather

from ..virtual_time import run
from .fakes import BASE, FakeCall

HASH, STAR, NONE = "#", "*", None


def gather(attributes: str = "", prompt: str = "<Say>Press keys</Say>") -> Gather:
    body = f'<Response><Gather action="/digits" {attributes}>{prompt}</Gather></Response>'
    (verb,) = parse(body.encode(), url=BASE).verbs
    assert isinstance(verb, Gather)
    return verb


def presses(script: str) -> list[tuple[float, str]]:
    """`1@0.5 2@4` as the fake call's keys."""
    return [(float(at), key) for key, _, at in (press.partition("@") for press in script.split())]


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    ended: float


def perform(verb: Gather, call: FakeCall) -> Result:
    async def main() -> Result:
        outcome = await verb.run(call)
        return Result(outcome, round(asyncio.get_running_loop().time(), 3))

    return run(main())


# The prompt lasts 3 s; the timeout is 5 s unless it is set.
@pytest.mark.parametrize(
    ("attributes", "keys", "digits", "finish", "ended"),
    [
        ('numDigits="2"', "1@1 2@2", "12", NONE, 2),
        ('numDigits="2"', "1@4 2@5", "12", NONE, 5),
        ('numDigits="1"', "1@1 2@1", "1", NONE, 1),
        ("", "1@1 #@2", "1", HASH, 2),
        ("", "1@1", "1", NONE, 6),
        ("", "1@1 2@5.9", "12", NONE, 10.9),
        ("", "1@1 2@6.1", "1", NONE, 6),
        ("", "1@7.9", "1", NONE, 12.9),
        ("", "1@8.1", None, NONE, 8),
        ("", "", None, NONE, 8),
        ("", "#@1", None, NONE, 1),
        ('timeout="0"', "", None, NONE, 3),
        ('timeout="0"', "1@1 2@2", "1", NONE, 1),
        ('finishOnKey="_" numDigits="1"', "*@1", "*", NONE, 1),
        ('finishOnKey="_" numDigits="3"', "#@1 *@1 #@1", "#*#", NONE, 1),
        ('finishOnKey="#*"', "1@1 *@2", "1", STAR, 2),
        ('finishOnKey="9"', "#@1 9@2", "#", "9", 2),
        ('validDigits="12"', "3@1 1@2 3@6 #@6.5", "1", HASH, 6.5),
        ('validDigits="12"', "3@1", None, NONE, 8),
        ('validDigits="12"', "3@4 3@7", None, NONE, 8),
        ('validDigits="12"', "1@4 3@8", "1", NONE, 9),
        ('validDigits="ab" numDigits="2"', "A@1 B@1 C@1", "AB", NONE, 1),
        ('startDigits="*" validDigits="0123456789" numDigits="5"', "1@1 2@1.2 *@1.4 3@1.6 4@1.8 #@2", "*34", HASH, 2),
        ('startDigits="*" validDigits="0123456789" numDigits="5"', "*@1 1@2 2@3 3@4 4@5 5@6", "*1234", NONE, 5),
        ('startDigits="*"', "1@1 #@2 3@4", None, NONE, 8),
        ('startDigits="#" finishOnKey="#"', "#@1 1@2 #@3", "#1", HASH, 3),
        ('startDigits="*#" numDigits="1"', "5@1 #@2", "#", NONE, 2),
    ],
)
def test_what_counts_and_when_it_ends(
    attributes: str, keys: str, digits: str | None, finish: str | None, ended: float
) -> None:
    result = perform(gather(attributes), FakeCall(keys=presses(keys)))

    expected = None if digits is None else {"Digits": digits, "FinishKey": finish}
    assert (result.outcome.data if isinstance(result.outcome, Goto) else None) == expected
    assert result.ended == pytest.approx(ended)


def test_the_first_key_that_counts_stops_the_prompt() -> None:
    call = FakeCall(keys=presses("5@1 *@2"))

    perform(gather('startDigits="*" numDigits="3"'), call)

    assert call.did == [(0, "play man: Press keys"), (2, "silence")]


def test_a_key_in_a_pause_between_prompts_stops_what_follows() -> None:
    prompt = '<Say>First</Say><Pause length="5"/><Say>Second</Say>'
    call = FakeCall(keys=presses("5@4"))

    result = perform(gather('numDigits="1" timeout="3"', prompt), call)

    assert result.outcome == Goto(url="http://app.example/digits", data={"Digits": "5", "FinishKey": None})
    assert call.did == [(0, "play man: First"), (3, "silence")]


def test_the_timer_starts_when_all_prompts_are_over() -> None:
    prompt = '<Say>First</Say><Pause length="5"/><Play stopOnKey="1" action="/no">a.wav</Play>'
    call = FakeCall(audio={"http://app.example/a.wav": 4})

    assert perform(gather('timeout="3"', prompt), call) == Result(None, 15)


def test_a_prompt_that_cannot_be_heard_is_left_out() -> None:
    call = FakeCall()

    result = perform(gather("", "<Play>missing.wav</Play><Say>unspeakable</Say><Say>Hello</Say>"), call)

    assert result.ended == 8
    assert [what for what in call.done if what.startswith("play")] == ["play man: Hello"]
    assert len(call.notes) == 2


def test_background_audio_of_a_prompt_is_no_prompt() -> None:
    call = FakeCall(audio={"http://app.example/a.wav": 60})

    result = perform(gather('timeout="3"', '<Play background="true">a.wav</Play><Say>Hello</Say>'), call)

    assert result.ended == 6
    assert call.done[:3] == ["play man: Hello", "play background http://app.example/a.wav", "silence"]


def test_keys_typed_ahead_count_and_nothing_is_played() -> None:
    call = FakeCall()

    async def main() -> Outcome:
        call.type_ahead("42#")
        return await gather().run(call)

    assert run(main()) == Goto(url="http://app.example/digits", data={"Digits": "42", "FinishKey": "#"})
    assert "play man: Press keys" not in call.done[1:]


def test_a_finish_key_too_many_can_be_ignored_by_the_next_gather() -> None:
    call = FakeCall()

    async def main() -> tuple[Outcome, Outcome]:
        call.type_ahead("1234#5")
        first = await gather('numDigits="4"').run(call)
        return first, await gather('finishOnKey="_" validDigits="0123456789" numDigits="1"').run(call)

    first, second = run(main())
    assert isinstance(first, Goto)
    assert isinstance(second, Goto)
    assert (first.data["Digits"], second.data["Digits"]) == ("1234", "5")


def test_keys_after_the_last_one_are_left_for_the_next_verb() -> None:
    call = FakeCall()

    async def main() -> str | None:
        call.type_ahead("1234")
        await gather('numDigits="2"').run(call)
        return await call.digit(0)

    assert run(main()) == "3"


def test_without_action_the_next_verb_follows() -> None:
    (verb,) = parse(b"<Response><Gather numDigits='1'><Say>Hi</Say></Gather></Response>", url=BASE).verbs
    call = FakeCall(keys=[(1, "1")])

    assert run(verb.run(call)) is None


def test_the_action_is_asked_by_its_method() -> None:
    outcome = perform(gather('method="get" numDigits="1"'), FakeCall(keys=[(1, "1")])).outcome

    assert isinstance(outcome, Goto)
    assert outcome.method == "GET"


def test_hang_up_stops_the_prompt() -> None:
    call = FakeCall()

    async def main() -> None:
        task = asyncio.create_task(gather().run(call))
        await asyncio.sleep(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(main())

    assert call.did == [(0, "play man: Press keys"), (1, "silence")]


class DeafCall(FakeCall):
    """The media worker is gone."""

    async def play(
        self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0, stop_keys: str = ""
    ) -> Played:
        raise MediaError("the worker is gone")


def test_an_error_of_the_media_is_not_swallowed() -> None:
    with pytest.raises(MediaError, match="gone"):
        perform(gather(), DeafCall())
