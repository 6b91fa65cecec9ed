"""Play's keys on the wire. The files are stairs of tones: what is heard tells where in the file it is."""

from __future__ import annotations

import pytest
from attribute_table import Call, on_call, shows
from hearing import between, level_dbov

STEPS: dict[int, int] = {400 + 100 * second: second for second in range(30)}


def path(call: Call) -> list[int]:
    """Which seconds of the file were heard, in order."""
    return [STEPS[span.hz] for span in call.tones]


@shows("Play.forwardOnKey", "Play.rewindOnKey", "Play.controlSkip")
@on_call(
    '<Play forwardOnKey="6" rewindOnKey="4" controlSkip="10">/sounds/stairs-16.wav</Play>',
    keys=((1.4, "6"), (3.4, "4"), (5.4, "6")),
)
def test_keys_move_by_control_skip(call: Call) -> None:
    assert path(call) == [0, 1, 11, 12, 13, 3, 4, 5, 15]


@shows("Play.minorForwardOnKey", "Play.minorRewindOnKey", "Play.minorControlSkip")
@on_call(
    '<Play minorForwardOnKey="3" minorRewindOnKey="1" minorControlSkip="4" forwardOnKey="6" controlSkip="8">'
    "/sounds/stairs-20.wav</Play>",
    keys=((1.4, "3"), (3.4, "1"), (5.4, "6"), (7.4, "6")),
)
def test_other_keys_move_by_minor_control_skip(call: Call) -> None:
    assert path(call) == [0, 1, 5, 6, 7, 3, 4, 5, 13, 14, 15]


@shows("Play.rewindOnKey", "Play.controlSkip")
@on_call('<Play rewindOnKey="4">/sounds/stairs-4.wav</Play>', keys=((2.4, "4"),))
def test_control_skip_is_60_seconds_where_nothing_is_said(call: Call) -> None:
    assert path(call) == [0, 1, 2, 0, 1, 2, 3]


@shows("Play.strictForwardControl", "Play.forwardOnKey")
@on_call(
    '<Play strictForwardControl="true" forwardOnKey="6" controlSkip="10">/sounds/stairs-4.wav</Play>'
    '<Dtmf>1</Dtmf><Play forwardOnKey="6" controlSkip="10">/sounds/stairs-4.wav</Play><Dtmf>2</Dtmf>',
    keys=((1.4, "6"), (6.4, "6")),
)
def test_past_the_end_is_the_end_unless_forward_is_strict(call: Call) -> None:
    one, two = call.marks
    strict = [span for span in call.tones if span.start < one]
    free = [span for span in call.tones if one < span.start < two]
    assert [STEPS[span.hz] for span in strict] == [0, 1, 2, 3]
    assert [STEPS[span.hz] for span in free] in ([0, 1], [0, 1, 2])


@shows("Play.informationOnKey", "Play.informationAudioUrl")
@on_call(
    '<Play informationOnKey="9" informationAudioUrl="/sounds/tone-3000-1000.wav">/sounds/stairs-4.wav</Play>',
    keys=((1.4, "9"),),
)
def test_the_information_is_heard_once_and_the_file_goes_on_where_it_was(call: Call) -> None:
    assert [span.hz for span in call.tones] == [400, 500, 3000, 500, 600, 700]
    assert sum(length for hz, length in call.steps if hz == 500) == pytest.approx(1.0, abs=0.1)
    assert call.tones[2].length == pytest.approx(1.0, abs=0.06)


@shows("Play.pauseOnKey", "Play.restartOnKey", "Play.pauseAudioUrl")
@on_call(
    '<Play pauseOnKey="5" restartOnKey="0" pauseAudioUrl="/sounds/tone-2800-700.wav">/sounds/stairs-3.wav</Play>',
    keys=((1.4, "5"), (4.4, "0")),
)
def test_a_paused_file_goes_on_where_it_stood(call: Call) -> None:
    heard = call.tones
    assert [span.hz for span in heard] == [400, 500, 2800, 500, 600]
    assert heard[2].length == pytest.approx(3.0, abs=0.25)
    assert heard[1].length + heard[3].length == pytest.approx(1.0, abs=0.1)


@shows("Play.pauseOnKey", "Play.stopOnKey", "Play.action")
@on_call('<Play pauseOnKey="5" stopOnKey="1" action="next">/sounds/stairs-3.wav</Play>', keys=((1.4, "5"), (3.4, "1")))
def test_a_pause_is_filled_with_comfort_noise(call: Call) -> None:
    asked = call.asked()
    assert (asked.data["Digits"], asked.data["PlayOffset"]) == ("1", 1)
    assert [span.hz for span in call.tones] == [400, 500]
    paused = between(call.heard, 2.0, 3.2)
    assert -75 < level_dbov(paused) < -45
