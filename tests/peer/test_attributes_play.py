"""Play's attributes on the wire: what is heard, how often, from where, and what the application is told."""

import pytest
from attribute_table import Call, Scenario, on_call, shows
from flexml_app import Answer, Received
from g711 import Samples, encode
from hearing import level_at
from sounds import stairs, tone, wav

TONE = "/sounds/tone-600-500.wav"
STAIRS = "/sounds/stairs-6.wav"


@shows("Play.loop", "Play.loopPause")
@on_call(f'<Play loop="3" loopPause="2">{TONE}</Play>')
def test_a_file_is_repeated_with_pauses(call: Call) -> None:
    assert call.steps == [(600, pytest.approx(0.5, abs=0.04))] * 3
    first, second, third = (span.start for span in call.tones)
    assert (second - first, third - second) == (pytest.approx(2.5, abs=0.1), pytest.approx(2.5, abs=0.1))


@shows("Play.loopPause", "Play.stopOnKey", "Play.action")
@on_call('<Play loop="3" loopPause="20" stopOnKey="1" action="next">/sounds/stairs-2.wav</Play>', keys=((3.5, "1"),))
def test_a_play_stopped_between_two_repetitions_ended_at_the_end_of_the_first(call: Call) -> None:
    asked = call.asked()
    assert (asked.data["Digits"], asked.data["PlayOffset"]) == ("1", 2)


@shows("Play.loop")
@on_call(f'<Play loop="0">{STAIRS}</Play>', hang_up_at=13.5)
def test_loop_0_goes_on_until_the_call_ends(call: Call) -> None:
    assert call.ending.by == "us"
    assert [hz for hz, _ in call.steps][:13] == [400, 500, 600, 700, 800, 900] * 2 + [400]


@shows("Play.skip")
@on_call(f'<Play skip="4">{STAIRS}</Play>')
def test_skip_begins_within_the_file(call: Call) -> None:
    assert call.steps == [(800, pytest.approx(1, abs=0.06)), (900, pytest.approx(1, abs=0.06))]


@shows("Play.action", "Play.method", "Play.stopOnKey")
@on_call(f'<Play stopOnKey="3*" action="next" method="GET">{STAIRS}</Play>', keys=((1.5, "4"), (2.5, "*")))
def test_a_stop_key_leads_to_the_action(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["Digits"], asked.data["PlayOffset"]) == ("GET", "*", "2")
    assert asked.data["PlaybackUrl"] == call.line.application.url(STAIRS)
    assert [hz for hz, _ in call.steps] == [400, 500, 600]


@shows("Play.action", "Play.method")
@on_call('<Play action="next">/sounds/stairs-2.wav</Play><Say>Never heard</Say>')
def test_the_end_of_a_file_leads_to_the_action(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["Digits"], asked.data["PlayOffset"]) == ("POST", "", 2)
    assert call.line.final_status().data["PlayOffset"] == 2


@shows("Play.digits")
@on_call('<Play digits="5,,9"/>')
def test_digits_are_sent_instead(call: Call) -> None:
    assert call.keys == "59"
    five, nine = call.marks
    assert nine - five == pytest.approx(1.2, abs=0.1)


@shows("Play.errorAction", "Play.errorMethod")
@on_call('<Play action="next" errorAction="failed" errorMethod="GET">gone.wav</Play>', serve={"failed": "<Hangup/>"})
def test_a_file_that_is_not_there_leads_to_the_error_action(call: Call) -> None:
    assert call.asked("failed").method == "GET"
    assert call.not_asked("next")


@shows("Play.errorAction", "Play.errorMethod")
@on_call(
    '<Play errorAction="failed">page.wav</Play>',
    serve={"failed": f"<Play>{TONE}</Play>", "page.wav": Answer(body="<html/>", content_type="text/html")},
)
def test_a_page_instead_of_audio_leads_to_the_error_action(call: Call) -> None:
    assert call.asked("failed").method == "POST"
    assert [hz for hz, _ in call.steps] == [600]


@shows("Play.errorAction", "File")
@on_call(
    '<Play errorAction="failed"><File>00000000-0000-4000-8000-000000000000</File></Play>', serve={"failed": "<Hangup/>"}
)
def test_the_error_action_is_told_which_file_failed(call: Call) -> None:
    assert str(call.asked("failed").data["PlaybackUrl"]).endswith("/f/00000000-0000-4000-8000-000000000000")


@shows("Play.background")
@on_call(
    '<Play background="true" loop="0">/sounds/tone-500-1000.wav</Play>'
    '<Pause length="1"/><Play>/sounds/tone-900-1000.wav</Play><Pause length="1"/>'
)
def test_background_goes_on_under_what_follows(call: Call) -> None:
    above = [span for span in call.tones if span.hz in (0, 900)]
    start, end = above[0].start, above[-1].end
    assert end - start == pytest.approx(1.0, abs=0.1)
    during, after = call.between(start + 0.1, end - 0.1), call.between(end + 0.1, end + 0.9)
    assert level_at(during, 900) > -25
    assert level_at(during, 500) > -35
    assert level_at(after, 500) > -35
    assert level_at(after, 900) < -60


@shows("Play.background", "Play.streaming", "Play.timeLimit")
@on_call(
    '<Play background="true" streaming="true" timeLimit="2">late.wav</Play><Dtmf>1</Dtmf><Pause length="6"/>',
    serve={"late.wav": Answer(body=wav(tone(600, 9.0)), content_type="audio/wav", delay_s=2)},
)
def test_the_next_verb_does_not_wait_for_background_audio(call: Call) -> None:
    (background,) = [span for span in call.tones if span.hz == 600]
    assert background.start - call.marks[0] > 1.0
    assert background.length == pytest.approx(2.0, abs=0.3)


# ---- what comes slowly, or without end ---------------------------------------------------------------------------


def slowly(samples: Samples, *, endless: bool = False) -> Answer:
    """A sound as it is made: each second of it takes a second to come. Headerless, to be played from anywhere on."""
    return Answer(body=encode(samples, 0), content_type="audio/basic", pace_s=0.1, pieces=800, endless=endless)


@shows("Play.streaming", "Play.timeLimit")
@on_call(
    '<Dtmf>1</Dtmf><Play streaming="true" timeLimit="3" action="next">live.ul</Play>',
    serve={"live.ul": slowly(tone(700, 2.0), endless=True)},
)
def test_a_stream_without_end_is_played_until_its_time_limit(call: Call) -> None:
    assert call.asked().data["PlaybackUrl"] == call.line.application.url(call.line.path("live.ul"))
    (stream,) = [span for span in call.tones if span.hz == 700]
    assert stream.length == pytest.approx(3.0, abs=0.25)


@shows("Play.streaming", "Play.timeLimit", "Play.preBuffer")
@on_call(
    '<Play streaming="true" timeLimit="3">/sounds/stairs-16.wav</Play><Dtmf>1</Dtmf>'
    '<Play streaming="true" preBuffer="2" action="next">/sounds/stairs-2.wav</Play>',
)
def test_who_opens_a_stream_hears_its_first_second(call: Call) -> None:
    assert call.asked().data["PlayOffset"] == 2
    heard = [(span.hz, span.length) for span in call.tones if span.hz in range(400, 800, 100) and span.length > 0.5]
    assert heard == [(hz, pytest.approx(1, abs=0.2)) for hz in (400, 500, 600, 400, 500)]


@shows("Play.timeLimit", "Play.streaming")
@on_call('<Play timeLimit="1">/sounds/stairs-3.wav</Play>')
def test_the_time_limit_is_only_for_streams(call: Call) -> None:
    assert [hz for hz, _ in call.steps] == [400, 500, 600]


@shows("Play.streaming", "Play.forwardOnKey")
@on_call(
    '<Play streaming="true" forwardOnKey="6" controlSkip="2">stairs.ul</Play>',
    serve={"stairs.ul": slowly(stairs(6))},
    keys=((2.5, "6"),),
)
def test_a_stream_cannot_be_moved_in(call: Call) -> None:
    assert [hz for hz, _ in call.steps] == [400, 500, 600, 700, 800, 900]


@shows("Play.preBuffer")
@pytest.mark.parametrize(
    ("call", "earliest", "latest"),
    [
        (Scenario(document="<Dtmf>1</Dtmf><Play>slow.ul</Play>", serve={"slow.ul": slowly(tone(700, 5.0))}), 0.0, 2.0),
        (
            Scenario(
                document='<Dtmf>1</Dtmf><Play preBuffer="3">slow.ul</Play>', serve={"slow.ul": slowly(tone(700, 5.0))}
            ),
            2.6,
            4.5,
        ),
    ],
    ids=["at once", "3 s first"],
    indirect=["call"],
)
def test_so_much_is_fetched_before_the_first_sample_is_heard(call: Call, earliest: float, latest: float) -> None:
    spans = [span for span in call.tones if span.hz == 700]
    assert earliest < spans[0].start - call.marks[0] < latest
    assert sum(span.length for span in spans) == pytest.approx(5.0, abs=0.1)


@shows("Play.waitInitial", "Play.waitInitialUrl", "Play.waitRepeat", "Play.waitRepeatUrl")
@on_call(
    '<Dtmf>1</Dtmf><Play waitInitial="2" waitInitialUrl="/sounds/tone-1500-600.wav"'
    ' waitRepeat="2" waitRepeatUrl="/sounds/tone-1800-400.wav">late.wav</Play>',
    serve={"late.wav": Answer(body=wav(tone(600, 1.0)), content_type="audio/wav", delay_s=8.5)},
)
def test_other_audio_is_heard_while_a_file_is_late(call: Call) -> None:
    begun = call.marks[0] + 0.1
    waits = [(span.hz, span.start - begun) for span in call.tones if span.hz in (1500, 1800)]
    assert waits[0] == (1500, pytest.approx(2.1, abs=0.4))
    assert waits[1] == (1800, pytest.approx(waits[0][1] + 2.6, abs=0.4))
    assert waits[2] == (1800, pytest.approx(waits[1][1] + 2.4, abs=0.4))
    assert call.tones[-1].hz == 600
    assert call.tones[-1].length == pytest.approx(1.0, abs=0.06)
    assert call.tones[-1].start - begun == pytest.approx(8.7, abs=0.6)


def play_recording(asked: Received) -> str:
    return f'<Play loop="2"><File>{asked.data["RecordingSid"]}</File></Play>'


@shows("File", "Play.loop")
@on_call(
    '<Record trim="do-not-trim" maxLength="2" action="play"/>',
    serve={"play": play_recording},
    speech=((0.0, tone(1200, 8.0)),),
)
def test_a_file_of_the_storage_is_played_by_its_sid(call: Call) -> None:
    assert sum(length for hz, length in call.steps if hz == 1200) == pytest.approx(4.0, abs=0.3)
