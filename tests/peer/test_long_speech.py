"""A text of many sentences on a real call: heard from the first on, and whole."""

import pytest
from attribute_table import Call, on_call
from hearing import utterances

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
SENTENCES = [f"Sentence number {number}." for number in NUMBERS]
GAP_S = 0.28
"""Less than between sentences, more than within one of these."""


@on_call(f"<Say>{' '.join(SENTENCES)}</Say><Dtmf>1</Dtmf>", longest_s=60)
def test_every_sentence_is_heard_once_in_order_before_the_next_verb(call: Call) -> None:
    (mark,) = call.marks
    said = [(start, end) for start, end in utterances(call.heard, GAP_S) if start < mark]
    assert len(said) == len(SENTENCES)
    assert said[-1][1] < mark
    lengths = [end - start for start, end in said]
    assert lengths[6] > lengths[0]  # seven is longer than one
    assert all(0.7 < length < 2.5 for length in lengths)


@on_call(f'<Say loop="2" loopPause="1">{" ".join(SENTENCES[:4])}</Say>', longest_s=60)
def test_a_text_that_was_growing_is_repeated_whole(call: Call) -> None:
    said = [end - start for start, end in utterances(call.heard, GAP_S)]
    assert len(said) == 8
    assert said[:4] == pytest.approx(said[4:], abs=0.05)
