"""Say's attributes on the wire: whose voice, how often, how far apart."""

import numpy as np
import pytest
from attribute_table import Call, Scenario, on_call, shows
from hearing import between, level_dbov, pitch_hz

TEXT = "Once upon a midnight dreary, while I pondered, weak and weary."


@shows("Say.voice")
@pytest.mark.parametrize(
    ("call", "lowest", "highest"),
    [
        (Scenario(document=f"<Say>{TEXT}</Say>"), 70, 155),
        (Scenario(document=f'<Say voice="man">{TEXT}</Say>'), 70, 155),
        (Scenario(document=f'<Say voice="WOMAN">{TEXT}</Say>'), 165, 300),
    ],
    ids=["default", "man", "woman"],
    indirect=["call"],
)
def test_a_voice_has_the_pitch_of_a_man_or_a_woman(call: Call, lowest: float, highest: float) -> None:
    assert lowest < pitch_hz(call.heard) < highest


@shows("Say.loop", "Say.loopPause")
@on_call('<Say loop="3" loopPause="2">One two three four.</Say>')
def test_a_text_is_repeated_with_pauses(call: Call) -> None:
    spoken = call.utterances
    assert len(spoken) == 3
    (a, a_end), (b, _), (c, _) = spoken
    assert b - a == pytest.approx(c - b, abs=0.05)
    assert 2.0 <= b - a_end < 3.2
    first, second = between(call.heard, a, a_end), between(call.heard, b, b + a_end - a)
    assert level_dbov(first) == pytest.approx(level_dbov(second), abs=1)


@shows("Say.loop")
@on_call('<Say loop="0">One two three four.</Say>', hang_up_at=16.0)
def test_loop_0_speaks_until_the_call_ends(call: Call) -> None:
    """The voice may be a while in coming where many wait for it; once there, it does not stop."""
    assert call.ending.by == "us"
    begun = call.utterances[0][0]
    assert begun < 10
    assert [at for at in np.arange(begun, 14.0) if level_dbov(between(call.heard, at, at + 2)) < -40] == []


@shows("Say")
@on_call("<Say>123</Say><Dtmf>1</Dtmf><Say>1 2 3</Say>")
def test_numbers_are_read_as_they_are_written(call: Call) -> None:
    """`One hundred twenty-three` has more syllables than `one two three`."""
    (mark,) = call.marks
    (number,) = [end - start for start, end in call.utterances if start < mark]
    digits = [end - start for start, end in call.utterances if start > mark]
    assert number > 1.15 * sum(digits)


@shows("Say")
@on_call('<Say>One two three.<break time="2s"/>One two three.</Say>')
def test_a_break_is_silent_for_as_long_as_it_says(call: Call) -> None:
    (_, first_end), (second, _) = call.utterances
    assert second - first_end == pytest.approx(2.0, abs=0.4)
