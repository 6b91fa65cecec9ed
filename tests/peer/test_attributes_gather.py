"""Gather's attributes on the wire: which keys count, what ends them, and where they are taken."""

import pytest
from attribute_table import Call, on_call, shows

PROMPT = "<Play>/sounds/tone-600-8000.wav</Play>"
MARK = {"next": "<Dtmf>1</Dtmf>"}


@shows("Gather.action", "Gather.method", "Gather.numDigits")
@on_call(f'<Gather numDigits="3" action="next" method="GET">{PROMPT}</Gather>', keys=((1.0, "1*234"),))
def test_the_number_of_digits_leads_to_the_action(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["Digits"]) == ("GET", "1*2")


@shows("Gather.action", "Gather.method")
@on_call(f'<Gather action="next">{PROMPT}</Gather><Say>Never heard</Say>', keys=((1.0, "12#"),))
def test_the_pound_key_ends_digits_where_nothing_else_is_said(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["Digits"], asked.data["FinishKey"]) == ("POST", "12", "#")


@shows("Gather.finishOnKey")
@on_call(f'<Gather finishOnKey="9*" action="next">{PROMPT}</Gather>', keys=((1.0, "1#2*3"),))
def test_any_finish_key_ends_the_digits(call: Call) -> None:
    asked = call.asked()
    assert (asked.data["Digits"], asked.data["FinishKey"]) == ("1#2", "*")


@shows("Gather.finishOnKey", "Gather.timeout")
@on_call(f'<Gather finishOnKey="_" timeout="2" action="next">{PROMPT}</Gather>', serve=MARK, keys=((1.0, "1#2*"),))
def test_no_key_ends_the_digits_but_the_time_after_the_last(call: Call) -> None:
    asked = call.asked()
    assert (asked.data["Digits"], asked.data["FinishKey"]) == ("1#2*", None)
    assert call.marks[0] - 1.6 == pytest.approx(2.0, abs=0.25)  # the last key began 0.6 s after the first


@shows("Gather.timeout")
@on_call('<Gather timeout="3" action="next"><Play>/sounds/tone-600-1000.wav</Play></Gather><Dtmf>1</Dtmf>')
def test_without_a_key_the_next_verb_comes_the_timeout_after_the_prompt(call: Call) -> None:
    (prompt,) = call.tones
    assert call.marks[0] - prompt.end == pytest.approx(3.0, abs=0.15)
    assert call.not_asked("next")


@shows("Gather.startDigits", "Gather.numDigits", "Gather.validDigits")
@on_call(
    f'<Gather startDigits="*#" validDigits="0123456789" numDigits="4" finishOnKey="_" action="next">{PROMPT}</Gather>',
    keys=((1.0, "12"), (3.0, "*"), (4.0, "3*456")),
)
def test_nothing_counts_before_a_start_digit(call: Call) -> None:
    assert call.asked().data["Digits"] == "*345"
    (prompt,) = call.tones
    assert prompt.end == pytest.approx(3.1, abs=0.2)


@shows("Gather.validDigits")
@on_call(
    f'<Gather validDigits="13579" finishOnKey="#" action="next">{PROMPT}</Gather>', keys=((1.0, "2"), (2.0, "1234#"))
)
def test_keys_that_are_not_valid_change_nothing(call: Call) -> None:
    assert call.asked().data["Digits"] == "13"
    (prompt,) = call.tones
    assert prompt.end == pytest.approx(2.1, abs=0.2)
