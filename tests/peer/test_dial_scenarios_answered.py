"""Called parties that answer: well, badly or twice, and who hangs up when; on the wire, at both ends."""

from __future__ import annotations

import threading

import pytest
from called import Called, hung_up
from dial_stories import Stories
from dial_story import ANSWERED, ASKED_HZ, CALLER_HZ, PARTY_HZ, TONE_AFTER, Story, about, of, on_dial
from phone import Phone
from sounds import tone
from uas import TALK, quiet

CONFIRM = f'confirmKey="1" confirmSound="/sounds/tone-{ASKED_HZ}-500.wav"'


# ---- who hangs up -----------------------------------------------------------------------------------------------


def gone_at_once(party: Called) -> None:
    party.accept()
    party.hang_up()


@on_dial(gone_at_once, serve=TONE_AFTER)
def test_a_party_that_hangs_up_right_after_the_ack(story: Story) -> None:
    assert story.outcome == ("completed", 0, 0)
    assert story.asked() == ["INVITE", "ACK"]
    assert of(ASKED_HZ, story.steps) == about(0.5)
    assert (story.responses, story.ending.by, story.status) == ([180, 200], "them", "completed")


def talking(party: Called) -> None:
    party.accept()
    party.quiet(2.0)
    party.hang_up()


@on_dial(talking, serve=TONE_AFTER)
def test_a_party_that_hangs_up_while_they_talk(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "ACK"]
    assert story.steps == [(PARTY_HZ, about(2.0)), (ASKED_HZ, about(0.5))]
    assert story.party_steps() == [(CALLER_HZ, about(2.0))]


@on_dial(talking, dial=f'{CONFIRM} timeout="10"', serve=TONE_AFTER)
def test_a_party_that_hangs_up_instead_of_confirming(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert story.asked() == ["INVITE", "ACK"]
    assert {hz for hz, _ in story.party_steps()} == {ASKED_HZ}
    assert story.steps == [(ASKED_HZ, about(0.5))]


@on_dial(hung_up, caller=((3.0, Phone.leave),))
def test_a_caller_who_hangs_up_while_they_talk(story: Story) -> None:
    assert story.asked() == ["INVITE", "ACK", "BYE"]
    assert story.status == "completed"
    assert story.outcome == ("completed", 3, 0)


@on_dial(hung_up, before=ANSWERED, dial=CONFIRM, caller=((3.0, Phone.leave),))
def test_a_caller_who_hangs_up_while_the_party_is_asked(story: Story) -> None:
    assert story.asked() == ["INVITE", "ACK", "BYE"]
    assert {hz for hz, _ in story.party_steps()} == {ASKED_HZ}
    assert story.steps == []
    assert story.outcome == ("cancel", 0, 0)


@on_dial(hung_up, dial=CONFIRM, caller=((3.0, Phone.cancel),))
def test_a_caller_who_cancels_while_the_party_is_asked(story: Story) -> None:
    assert (story.ending.status, story.status) == (487, "cancel")
    assert story.asked() == ["INVITE", "ACK", "BYE"]


@on_dial(TALK + quiet(), dial='timeLimit="2"', serve=TONE_AFTER)
def test_the_time_limit(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "ACK", "BYE"]
    assert story.steps == [(CALLER_HZ, about(2.0)), (ASKED_HZ, about(0.5))]  # SIPp echoes


@on_dial(
    TALK + quiet(), dial='hangupOnStar="true"', caller=((3.0, lambda phone: phone.rtp.press("*")),), serve=TONE_AFTER
)
def test_the_star_hangs_up_the_party_only(story: Story) -> None:
    assert story.outcome[0] == "completed"
    assert story.asked() == ["INVITE", "ACK", "BYE"]
    assert of(ASKED_HZ, story.steps) == about(0.5)


def crossing_bye(party: Called) -> None:
    """It hangs up at the moment when it is hung up."""
    party.accept()
    bye = party.expect("BYE")
    answer = party.ask("BYE")
    assert answer.start.startswith(("SIP/2.0 200", "SIP/2.0 481")), answer.start
    party.respond(bye, "200 OK")
    party.quiet(1.0)


@on_dial(crossing_bye, dial='timeLimit="2"')
def test_both_hang_up_at_once(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "ACK", "BYE"]


# ---- answers ----------------------------------------------------------------------------------------------------


def unforthcoming(party: Called) -> None:
    """It answers an offer with nothing (RFC 3261 section 13.2.1 has it describe itself)."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing")
    party.respond(invite, "200 OK")
    party.expect("ACK")
    party.be_hung_up(2.0)


@on_dial(unforthcoming)
def test_an_answer_without_a_description_is_hung_up(story: Story) -> None:
    assert story.outcome == ("failed", 0, 0)
    assert story.asked() == ["INVITE", "ACK", "BYE"]


def misunderstanding(party: Called) -> None:
    """It answers with a codec that nobody has offered."""
    invite = party.expect("INVITE")
    party.respond(invite, "200 OK", body=party.sdp().replace("RTP/AVP 0 101", "RTP/AVP 18 101"))
    party.respond(next(one for one in (party.take(), party.take()) if one.start.startswith("BYE ")), "200 OK")
    party.quiet(1.0)


@on_dial(misunderstanding)
def test_an_answer_that_cannot_be_used_is_hung_up(story: Story) -> None:
    """The stack does so by itself, and happens to send the ACK behind the BYE."""
    assert story.outcome == ("failed", 0, 0)
    assert sorted(story.asked()) == ["ACK", "BYE", "INVITE"]


TOGETHER = threading.Barrier(2)


def numbering_otherwise(party: Called) -> None:
    """It has a number of its own for telephone events, and sends them by ours (RFC 3264 section 5.1)."""
    invite = party.expect("INVITE")
    party.listen()
    body = party.sdp().replace(" 0 101", " 0 119").replace(":101 ", ":119 ")
    party.respond(invite, "200 OK", body=body)
    party.expect("ACK")
    party.quiet(1.0)
    party.rtp.press("5")
    party.quiet(1.0)
    party.hang_up()


@on_dial(numbering_otherwise)
def test_keys_are_heard_of_a_party_that_numbers_them_otherwise_than_it_was_offered(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert [key.key for key in story.phone.rtp.heard_keys()] == ["5"]
    assert story.called()


def undecided(party: Called) -> None:
    """It answers with two codecs, which lets it send either (RFC 3264 section 7), and sends the second."""
    invite = party.expect("INVITE")
    party.rtp.codec = 8
    party.rtp.speak(tone(PARTY_HZ, 5.0))
    party.listen()
    party.respond(invite, "200 OK", body=party.sdp().replace(" 8 101", " 0 8 101"))
    party.expect("ACK")
    party.quiet(2.0)
    party.hang_up()


@on_dial(undecided)
def test_a_party_that_answers_with_several_codecs_may_send_any_of_them(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.steps == [(PARTY_HZ, about(2.0))]
    assert of(CALLER_HZ, story.party_steps()) == about(2.0)
    assert {"codec": "PCMA"}.items() <= dict(story.timeline)["codec changed"].items()


def together(party: Called) -> None:
    """It answers at the same moment as the other one, so that a CANCEL may cross that."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing")
    party.listen()
    TOGETHER.wait(10.0)
    party.respond(invite, "200 OK", body=party.sdp())
    while not (message := party.take()).start.startswith("BYE "):
        if message.start.startswith("CANCEL "):
            party.respond(message, "200 OK")
    party.respond(message, "200 OK")
    party.quiet(1.0)


@on_dial(together, together, dial='timeLimit="2"')
def test_of_two_that_answer_at_once_one_is_hung_up(story: Story) -> None:
    assert story.outcome[:2] == ("completed", 2)
    for index in (0, 1):
        assert [method for method in story.asked(index) if method != "CANCEL"] == ["INVITE", "ACK", "BYE"]
    assert sorted(len(story.party_steps(index)) for index in (0, 1)) == [0, 1]
    assert min(story.called(index).rtp.elapsed_s for index in (0, 1)) < 1.0, "not only when the other one hangs up"
    assert story.steps == [(PARTY_HZ, about(2.0))]


def deaf_to_ack(party: Called) -> None:
    """The ACK is lost three times, so that the 200 comes again (RFC 3261 section 13.3.1.4)."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing")
    party.listen()
    party.respond(invite, "200 OK", body=party.sdp())
    acks = [party.expect("ACK")]
    for wait_s in (0.5, 1.0, 2.0):
        party.quiet(wait_s)
        party.again()
        acks.append(party.expect("ACK"))
    assert len({ack.text for ack in acks}) == 1
    party.be_hung_up()


@on_dial(deaf_to_ack, dial='timeLimit="4"')
def test_a_lost_ack_is_sent_again_with_each_200(story: Story) -> None:
    assert story.outcome == ("completed", 4, 0)
    assert [what for what, _ in story.timeline].count("bridged") == 1
    assert [what for what, _ in story.timeline].count("< 200") == 1
    assert story.steps == [(PARTY_HZ, pytest.approx(4.0, abs=0.4))]


# ---- in the end -------------------------------------------------------------------------------------------------


def test_nothing_is_left(stories: Stories) -> None:
    """No call, no dialog, no RTP port, and nobody was told twice."""
    assert stories.left() == ([], [])
