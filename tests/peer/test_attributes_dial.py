"""Dial's and Number's attributes on the wire: who is called and as whom, what both hear meanwhile, what ends it."""

import re

import pytest
from attribute_table import Call, Scenario, on_call, shows
from callee import Conduct
from g711 import Samples
from hearing import between, level_at, level_dbov, share_at, tones
from sounds import join, tone

CALLER_HZ, PARTY_HZ, EARLY_HZ = 500, 900, 700
CALLER = ((0.0, tone(CALLER_HZ, 30.0)),)
PARTY = ((0.0, tone(PARTY_HZ, 30.0)),)
ANSWERS = Conduct(speech=PARTY)
RINGS_ON = Conduct(after=None)
BUSY = Conduct(status="486 Busy Here")


def lengths(audio: Samples, hz: int) -> list[float]:
    """For how long each tone of that frequency was heard."""
    return [span.length for span in tones(audio) if span.hz == hz]


# ---- where control goes -------------------------------------------------------------------------------------------


@shows("Dial.action", "Dial.method", "Dial.timeLimit")
@on_call('<Dial action="next" timeLimit="1">{bob}</Dial><Dtmf>1</Dtmf>', parties={"bob": ANSWERS})
def test_the_action_is_told_of_a_conversation(call: Call) -> None:
    asked, bob = call.asked(), call.party("bob")
    assert (asked.method, asked.data["CallStatus"], asked.data["DialCallDuration"]) == ("POST", "completed", 1)
    assert asked.data["DialedNumber"] == bob.uri
    assert (bob.ending, call.keys) == ("them", "")


@shows("Dial.action", "Dial.method")
@on_call('<Dial action="next" method="GET">{bob}</Dial><Dtmf>1</Dtmf>', parties={"bob": BUSY})
def test_the_action_is_told_that_nobody_was_reached(call: Call) -> None:
    assert (call.asked().method, call.asked().data["CallStatus"]) == ("GET", "busy")
    assert (call.party("bob").ending, call.keys) == ("refused", "")


@shows("Dial.action")
@on_call('<Dial timeLimit="1">{bob}</Dial><Dtmf>1</Dtmf>', parties={"bob": ANSWERS})
def test_without_an_action_the_next_verb_runs(call: Call) -> None:
    assert call.keys == "1"
    assert call.not_asked("next")


# ---- who calls ----------------------------------------------------------------------------------------------------

OTHER_NUMBER = "15550001399"
"""A DID of the same account."""


@shows("Dial.callerId", "Dial.callerName")
@pytest.mark.parametrize(
    ("call", "number", "name"),
    [
        (
            Scenario(document=f'<Dial {attributes} timeLimit="1">{{bob}}</Dial>', parties={"bob": ANSWERS}),
            number,
            name,
        )
        for attributes, number, name in (
            (f'callerId="+{OTHER_NUMBER}"', OTHER_NUMBER, None),
            ('callerId="+1 (555) 000-1399"', OTHER_NUMBER, None),
            ('callerName="Front desk"', "15162065338", "Front desk"),
            (f'callerId="{OTHER_NUMBER}" callerName="Sales"', OTHER_NUMBER, "Sales"),
            ("", "15162065338", None),
        )
    ],
    ids=["number", "number as written", "name", "both", "default"],
    indirect=["call"],
)
def test_the_party_is_shown_who_calls(call: Call, number: str, name: str | None) -> None:
    shown = re.match(r'(?:"(.*)" )?<?sip:(\d+)@', call.party("bob").invite.header("From"))
    assert shown is not None
    assert (shown[1], shown[2]) == (name, number)


@shows("Dial.callerId")
@on_call('<Dial callerId="12025550100" action="next">{bob}</Dial>', parties={"bob": ANSWERS})
def test_a_number_of_others_is_not_shown(call: Call) -> None:
    assert call.asked().data["CallStatus"] == "failed"
    assert not call.party("bob").invited


# ---- what the caller hears meanwhile ------------------------------------------------------------------------------

RINGS_S = 1.5


def heard_before(call: Call) -> str:
    """What the caller heard before the party."""
    start = next(span.start for span in call.tones if span.hz in (PARTY_HZ, EARLY_HZ))
    audio = between(call.heard, start - RINGS_S + 0.5, start - 0.1)
    if level_dbov(audio) < -60:
        return "nothing"
    ringback = share_at(audio, 440, 10) + share_at(audio, 480, 10)
    return "ringback" if ringback > 0.95 else "music"


@shows("Dial.ringing")
@pytest.mark.parametrize(
    ("call", "rings", "meanwhile"),
    [
        (
            Scenario(
                document=f'{before}<Dial {ringing} timeLimit="1">{{bob}}</Dial>',
                parties={"bob": Conduct(after=RINGS_S, speech=PARTY)},
            ),
            rings,
            meanwhile,
        )
        for before, ringing, rings, meanwhile in (
            ("", "", True, "nothing"),
            ("", 'ringing="true"', True, "nothing"),
            ("", 'ringing="false"', False, "nothing"),
            ("", 'ringing="music"', False, "music"),
            ("<Dtmf>1</Dtmf>", 'ringing="true"', False, "ringback"),
            ("<Dtmf>1</Dtmf>", 'ringing="false"', False, "nothing"),
            ("<Dtmf>1</Dtmf>", 'ringing="music"', False, "music"),
        )
    ],
    ids=["default", "true", "false", "music", "answered true", "answered false", "answered music"],
    indirect=["call"],
)
def test_the_caller_is_let_know_that_it_rings(call: Call, rings: bool, meanwhile: str) -> None:
    bob = call.party("bob")
    assert ("SIP/2.0 180 Ringing" in call.phone.starts) == rings
    answered_after = call.phone.at("SIP/2.0 200") - bob.at("INVITE")
    assert answered_after == pytest.approx(RINGS_S, abs=0.2) if rings else answered_after < 0.5
    assert lengths(call.heard, PARTY_HZ) == [pytest.approx(1.0, abs=0.1)]
    start = next(span.start for span in call.tones if span.hz == PARTY_HZ)
    if rings:
        assert start < 0.3
    else:
        assert heard_before(call) == meanwhile
    assert share_at(between(call.heard, start + 0.1, start + 0.9), PARTY_HZ) > 0.95, "the rest has ended"
    assert "PlaybackUrl" not in call.line.final_status().data, "music is nothing that the application has played"


EARLY = Conduct(
    after=2.4, early_media=True, speech=((0.0, join(tone(EARLY_HZ, 1.9), tone(0, 0.5), tone(PARTY_HZ, 20.0))),)
)


@shows("Dial.ringing")
@pytest.mark.parametrize(
    ("call", "rings", "early_s"),
    [
        (
            Scenario(document=f'{before}<Dial {ringing} timeLimit="1">{{bob}}</Dial>', parties={"bob": EARLY}),
            rings,
            early_s,
        )
        for before, ringing, rings, early_s in (
            ("", "", True, 0.0),
            ("", 'ringing="false"', False, 1.9),
            ("", 'ringing="music"', False, 0.0),
            ("<Dtmf>1</Dtmf>", "", False, 1.9),
            ("<Dtmf>1</Dtmf>", 'ringing="music"', False, 0.0),
        )
    ],
    ids=["true", "false", "music", "answered true", "answered music"],
    indirect=["call"],
)
def test_early_media_of_the_party(call: Call, rings: bool, early_s: float) -> None:
    """It takes the place of the ringback tone, but not that of music."""
    assert ("SIP/2.0 180 Ringing" in call.phone.starts) == rings
    assert sum(lengths(call.heard, EARLY_HZ)) == pytest.approx(early_s, abs=0.2)
    assert sum(lengths(call.heard, PARTY_HZ)) == pytest.approx(0.9, abs=0.3)


# ---- who may talk -------------------------------------------------------------------------------------------------

CONFIRM = '<Dial confirmKey="5" confirmSound="/sounds/tone-600-500.wav" timeout="4" timeLimit="2" action="next">'


@shows("Dial.confirmKey", "Dial.confirmSound")
@on_call(CONFIRM + "{bob}</Dial>", speech=CALLER, parties={"bob": Conduct(speech=PARTY, keys=((2.0, "5"),))})
def test_the_party_that_presses_the_key_is_connected(call: Call) -> None:
    bob = call.party("bob")
    assert call.phone.at("SIP/2.0 200") - bob.at("ACK") == pytest.approx(2.1, abs=0.3)
    asked_for, talk = ([span for span in bob.tones if span.hz == hz] for hz in (600, CALLER_HZ))
    assert sum(span.length for span in asked_for) == pytest.approx(2.1, abs=0.3), "over and over until the key"
    assert [span.length for span in talk] == [pytest.approx(2.0, abs=0.1)]
    assert asked_for[-1].end <= talk[0].start
    assert [span.hz for span in call.tones] == [PARTY_HZ], "the caller does not hear what the party is asked"
    assert call.keys == ""
    assert call.asked().data["CallStatus"] == "completed"


@shows("Dial.confirmKey")
@pytest.mark.parametrize(
    ("call", "after"),
    [
        (Scenario(document=CONFIRM + "{bob}</Dial>", parties={"bob": Conduct(speech=PARTY, keys=keys)}), after)
        for keys, after in ((((1.0, "4"),), 1.1), ((), 4.0))
    ],
    ids=["another key", "no key"],
    indirect=["call"],
)
def test_the_party_that_does_not_press_the_key_is_not_connected(call: Call, after: float) -> None:
    bob = call.party("bob")
    assert bob.ending == "them"
    assert bob.at("BYE") - bob.at("ACK") == pytest.approx(after, abs=0.3)
    assert call.asked().data["CallStatus"] == "noanswer"
    assert level_dbov(call.heard) < -60


@shows("Dial.confirmKey", "Dial.timeout")
@on_call(
    '<Dial confirmKey="5" timeout="3" timeLimit="1" action="next">{bob}</Dial>',
    parties={"bob": Conduct(after=2.0, keys=((2.0, "5"),))},
)
def test_a_party_that_answers_late_has_the_whole_timeout_to_press_the_key(call: Call) -> None:
    assert call.asked().data["CallStatus"] == "completed"


@shows("Dial.confirmKey", "Dial.confirmSound")
@on_call(
    '<Dial confirmKey="#" timeLimit="2" action="next"><Number>{bob}</Number><Number>{eve}</Number></Dial>',
    speech=CALLER,
    parties={
        "bob": Conduct(after=0.2, speech=PARTY, keys=((0.5, "1"),)),
        "eve": Conduct(after=1.5, speech=PARTY, keys=((1.0, "#"),)),
    },
)
def test_others_go_on_ringing_until_somebody_presses_the_key(call: Call) -> None:
    bob, eve = call.party("bob"), call.party("eve")
    assert bob.at("BYE") < eve.at("BYE") - 2.5
    assert [span.hz for span in bob.tones] == []
    assert [(span.hz, span.length) for span in eve.tones] == [(CALLER_HZ, pytest.approx(2.0, abs=0.1))]
    assert call.asked().data["DialedNumber"] == eve.uri


# ---- what ends it -------------------------------------------------------------------------------------------------


@shows("Dial.hangupOnStar")
@on_call(
    '<Dial hangupOnStar="true">{bob}</Dial><Dtmf>1</Dtmf>',
    speech=CALLER,
    keys=((1.0, "4"), (2.0, "*")),
    parties={"bob": Conduct(speech=PARTY, keys=((0.5, "*"),))},
)
def test_the_caller_hangs_up_the_party_by_the_star(call: Call) -> None:
    """A star of the party's is passed on like any key."""
    bob = call.party("bob")
    assert (bob.ending, bob.keys, call.keys) == ("them", "4", "*1")
    assert bob.at("BYE") - bob.at("ACK") == pytest.approx(2.1, abs=0.3)


@shows("Dial.hangupOnStar")
@on_call("<Dial>{bob}</Dial>", keys=((1.0, "*"),), parties={"bob": Conduct(speech=PARTY, hang_up_after=3.0)})
def test_the_star_is_a_key_like_others_where_nothing_is_said(call: Call) -> None:
    bob = call.party("bob")
    assert (bob.ending, bob.keys) == ("us", "*")


@shows("Dial.hangupOnStar")
@on_call(
    '<Pause length="1"/><Dial hangupOnStar="true" timeLimit="2" action="next">{bob}</Dial>',
    keys=((0.3, "*"), (2.0, "*4")),
    parties={"bob": Conduct(after=2.0, speech=PARTY)},
)
def test_stars_pressed_before_the_conversation_do_not_end_it(call: Call) -> None:
    assert call.asked().data["DialCallDuration"] == 2
    assert call.party("bob").keys == "4"


@shows("Dial.timeLimit")
@pytest.mark.parametrize(
    ("call", "talk_s", "by"),
    [
        (
            Scenario(
                document=f'<Dial action="next" {limit}>{{bob}}</Dial>',
                speech=CALLER,
                parties={"bob": Conduct(after=1.5, speech=PARTY, hang_up_after=4.0)},
            ),
            talk_s,
            by,
        )
        for limit, talk_s, by in (('timeLimit="2"', 2, "them"), ('timeLimit="0"', 4, "us"), ("", 4, "us"))
    ],
    ids=["2 s", "0", "default"],
    indirect=["call"],
)
def test_the_time_of_a_conversation_is_limited(call: Call, talk_s: float, by: str) -> None:
    bob = call.party("bob")
    assert bob.ending == by
    assert lengths(bob.heard, CALLER_HZ) == [pytest.approx(talk_s, abs=0.15)]
    assert lengths(call.heard, PARTY_HZ) == [pytest.approx(talk_s, abs=0.15)]
    assert call.asked().data["DialCallDuration"] == talk_s


@shows("Dial.timeout")
@on_call(
    '<Dial timeout="2" action="next"><Number>{bob}</Number><Number>{eve}</Number></Dial>',
    parties={"bob": RINGS_ON, "eve": RINGS_ON},
)
def test_parties_that_do_not_answer_in_time_are_cancelled(call: Call) -> None:
    for party in (call.party("bob"), call.party("eve")):
        assert party.ending == "cancelled"
        assert party.at("CANCEL") - party.at("INVITE") == pytest.approx(2.0, abs=0.2)
    assert call.asked().data["CallStatus"] == "noanswer"


# ---- Number -------------------------------------------------------------------------------------------------------


@shows("Number.sendDigits")
@pytest.mark.parametrize(
    "call",
    [
        Scenario(
            document=f'{before}<Dial timeLimit="2"><Number sendDigits=",,12w#">{{bob}}</Number></Dial>',
            speech=CALLER,
            parties={"bob": ANSWERS},
        )
        for before in ("", '<Pause length="1"/>')
    ],
    ids=["before the caller is answered", "afterwards"],
    indirect=True,
)
def test_keys_are_sent_to_the_party_before_it_is_connected(call: Call) -> None:
    bob = call.party("bob")
    assert bob.keys == "12#"
    one, two, pound = (key.start for key in bob.rtp.heard_keys())
    assert (one, two - one, pound - two) == (
        pytest.approx(1.0, abs=0.15),
        pytest.approx(0.2, abs=0.03),
        pytest.approx(0.7, abs=0.03),
    )
    (talk,) = [span for span in bob.tones if span.hz == CALLER_HZ]
    assert talk.start >= pound + 0.1
    assert lengths(call.heard, PARTY_HZ) == [pytest.approx(2.0, abs=0.1)]


@shows("Number.sendDigits", "Dial.timeout")
@on_call(
    '<Dial timeout="2" timeLimit="1" action="next"><Number sendDigits=",,,,,,1">{bob}</Number></Dial>',
    parties={"bob": ANSWERS},
)
def test_keys_are_sent_to_their_end_whatever_the_timeout(call: Call) -> None:
    assert (call.asked().data["CallStatus"], call.party("bob").keys) == ("completed", "1")


@shows("Number.sendDigits")
@on_call(
    '<Dial timeLimit="1" action="next"><Number sendDigits=",,,,1">{bob}</Number><Number>{eve}</Number></Dial>',
    parties={"bob": Conduct(after=0.2, speech=PARTY), "eve": Conduct(after=1.2, speech=PARTY)},
)
def test_the_first_to_answer_is_connected_even_where_keys_are_sent_to_it_first(call: Call) -> None:
    bob, eve = call.party("bob"), call.party("eve")
    assert (call.asked().data["DialedNumber"], bob.keys, eve.ending) == (bob.uri, "1", "cancelled")


@shows("Number.sendDigits")
@on_call(
    '<Dial action="next"><Number sendDigits=",,,,,,1">{bob}</Number></Dial>',
    parties={"bob": Conduct(speech=PARTY, hang_up_after=1.0)},
)
def test_a_party_that_hangs_up_while_keys_are_sent_was_not_reached(call: Call) -> None:
    assert (call.asked().data["CallStatus"], call.asked().data["DialCallDuration"]) == ("noanswer", 0)
    assert call.party("bob").ending == "us"


@shows("Number")
@on_call(
    '<Dial timeLimit="1">'
    "<Number>{bob}?X-Customer=42&amp;X-Queue=gold%20level&amp;Priority=urgent&amp;x-lower=1</Number></Dial>",
    parties={"bob": ANSWERS},
)
def test_arguments_of_a_number_become_headers(call: Call) -> None:
    """But only those whose names begin with X-."""
    invite = call.party("bob").invite
    names = ("X-Customer", "X-Queue", "x-lower", "Priority")
    assert [invite.header(name) for name in names] == ["42", "gold level", "1", ""]
    assert "Priority" not in invite.text
    (note,) = [details for what, details in call.timeline if what.startswith("Dial:")]
    assert note["names"] == '["Priority"]'


@shows("Number")
@on_call(
    '<Dial timeLimit="1" action="next"><Number>{bob}</Number><Number>{eve}</Number><Number>{joe}</Number></Dial>',
    speech=CALLER,
    parties={"bob": RINGS_ON, "eve": Conduct(after=1.0, speech=PARTY), "joe": BUSY},
)
def test_the_first_to_answer_is_connected_and_the_others_are_let_go(call: Call) -> None:
    assert [call.party(name).ending for name in ("bob", "eve", "joe")] == ["cancelled", "them", "refused"]
    assert level_at(call.party("eve").heard, CALLER_HZ) > -25
    assert call.asked().data["DialedNumber"] == call.party("eve").uri
