"""The attributes of Pause, Wait and Amd on the wire: for how long the engine listens, and what it makes of it."""

import re

import pytest
from attribute_table import Call, Scenario, on_call, shows
from sounds import join, noise, silence, tone

NAMES = ("Pause", "Wait")


def pauses(attributes: str, speech: tuple[float, float], *, length: int = 15) -> list[Scenario]:
    """Between two keys a Pause and, in another call, a Wait. The caller makes noise from and for so many seconds."""
    begin, duration = speech
    return [
        Scenario(
            document=f'<Dtmf>1</Dtmf><{name} length="{length}" {attributes}/><Dtmf>2</Dtmf>',
            speech=((begin, noise(duration)),),
        )
        for name in NAMES
    ]


def waited(call: Call) -> tuple[float, float]:
    """When the wait began, at the end of the first key and the 100 ms after it, and when it ended."""
    first, second = call.marks
    return first + 0.2, second


def both(*names: str) -> list[str]:
    return [f"{verb}.{name}" for verb in NAMES for name in names]


@shows(*both("length"))
@pytest.mark.parametrize("call", pauses("", (1.0, 1.5), length=3), ids=NAMES, indirect=True)
def test_a_pause_lasts_its_length(call: Call) -> None:
    begun, ended = waited(call)
    assert ended - begun == pytest.approx(3.0, abs=0.1)


@shows(*both("noise", "minNoise", "silence", "minSilence"))
@pytest.mark.parametrize(
    "call",
    pauses('noise="true" minNoise="2000" silence="true" minSilence="2500"', (5.3, 4.0)),
    ids=NAMES,
    indirect=True,
)
def test_the_example_of_the_reference_takes_eleven_and_a_half_seconds(call: Call) -> None:
    """Five seconds of silence, four of noise, two and a half of silence."""
    begun, ended = waited(call)
    talk = 5.3  # where the caller begins: 5 s after the pause began, give or take what `begun` says
    assert begun == pytest.approx(0.3, abs=0.1)
    assert ended - talk == pytest.approx(6.5, abs=0.1)
    assert ended - begun == pytest.approx(11.5, abs=0.1 + abs(begun - 0.3))


@shows(*both("noise", "minNoise"))
@pytest.mark.parametrize("call", pauses('noise="true" minNoise="1500"', (2.0, 6.0)), ids=NAMES, indirect=True)
def test_noise_of_the_least_length_ends_the_pause(call: Call) -> None:
    assert waited(call)[1] == pytest.approx(3.5, abs=0.15)


@shows(*both("minNoise"))
@pytest.mark.parametrize("call", pauses('noise="true" minNoise="1500"', (2.0, 1.0), length=5), ids=NAMES, indirect=True)
def test_shorter_noise_does_not_end_the_pause(call: Call) -> None:
    begun, ended = waited(call)
    assert ended - begun == pytest.approx(5.0, abs=0.1)


@shows(*both("silence", "minSilence"))
@pytest.mark.parametrize("call", pauses('silence="true" minSilence="3000"', (0.0, 2.0)), ids=NAMES, indirect=True)
def test_silence_of_the_least_length_ends_the_pause(call: Call) -> None:
    assert waited(call)[1] == pytest.approx(5.0, abs=0.15)


# ---- Amd --------------------------------------------------------------------------------------------------------

WORD = join(noise(0.2), silence(0.1))
WORDS = join(*[WORD] * 4, silence(4.0))
AMD = {
    "initialSilence": ('initialSilence="1000"', silence(5.0), "MACHINE", "INITIALSILENCE-1000-1000"),
    "afterGreetingSilence": (
        'afterGreetingSilence="400"', join(silence(0.5), noise(0.5), silence(5.0)), "HUMAN", "HUMAN-400-400",
    ),
    "greeting": ('greeting="700"', join(silence(0.5), noise(3.0)), "MACHINE", "LONGGREETING-700-700"),
    "maximumNumberOfWords": ('maximumNumberOfWords="1"', join(silence(0.5), WORDS), "MACHINE", "MAXWORDS-2-1"),
    "betweenWordSilence": ('betweenWordSilence="300"', join(silence(0.5), WORDS), "HUMAN", "HUMAN-800-800"),
    "minimumWordLength": (
        'minimumWordLength="400" initialSilence="2000"', join(silence(0.5), WORDS), "MACHINE",
        "INITIALSILENCE-2000-2000",
    ),
    "maximumWordLength": (
        'maximumWordLength="1200" greeting="4000"', join(silence(0.5), noise(3.0)), "MACHINE", "MAXWORDLENGTH-1200",
    ),
    "silenceThreshold": (
        'silenceThreshold="3000" initialSilence="1500"', join(silence(0.5), tone(500, 4.0, 0.05)), "MACHINE",
        "INITIALSILENCE-1500-1500",
    ),
    "totalAnalysisTime": ('totalAnalysisTime="1400"', silence(5.0), "NOTSURE", r"TOOLONG-\d+"),
    "none": ("", join(silence(0.5), tone(500, 1.0, 0.05), silence(5.0)), "HUMAN", "HUMAN-800-800"),
}  # fmt: skip


@shows(*[f"Amd.{name}" for name in AMD if name != "none"])
@pytest.mark.parametrize(
    ("call", "status", "cause"),
    [
        (Scenario(document=f'<Amd action="next" {attributes}/>', speech=((0.0, said),)), status, cause)
        for attributes, said, status, cause in AMD.values()
    ],
    ids=list(AMD),
    indirect=["call"],
)
def test_each_parameter_decides(call: Call, status: str, cause: str) -> None:
    asked = call.asked()
    assert asked.data["AMDStatus"] == status
    assert re.fullmatch(cause, str(asked.data["AMDCause"])), asked.data["AMDCause"]


@shows("Amd.action", "Amd.method")
@on_call('<Amd initialSilence="500" action="next" method="GET"/><Dtmf>1</Dtmf>')
def test_the_result_is_asked_for_by_get(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["AMDStatus"]) == ("GET", "MACHINE")
    assert call.keys == ""


@shows("Amd.action", "Amd.method")
@on_call('<Amd initialSilence="500" action="next"/>')
def test_the_result_is_asked_for_by_post_where_nothing_is_said(call: Call) -> None:
    assert call.asked().method == "POST"


@shows("Amd")
@on_call('<Amd initialSilence="500"/><Dtmf>1</Dtmf><Redirect>next</Redirect>')
def test_without_an_action_the_next_verb_runs_and_later_requests_carry_the_result(call: Call) -> None:
    assert call.keys == "1"
    assert call.asked().data["AMDStatus"] == "MACHINE"
