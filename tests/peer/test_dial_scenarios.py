"""Called parties that are not reached: on the wire, as caller and application see it, and what is left of them."""

from __future__ import annotations

import time

import pytest
from called import Called, crossing, hung_up
from dial_stories import Stories
from dial_story import ASKED_HZ, CALLER_HZ, TONE_AFTER, Plan, Story, about, of, on_dial
from phone import Phone
from uas import RING, invited, quiet, receive, respond, terminate


def refuse(status: int, *, headers: str = "") -> str:
    answer = respond(status, "No").replace("Content-Length", f"{headers}Content-Length")
    return receive("INVITE") + answer + receive("ACK") + quiet()


CHALLENGE = 'Authenticate: Digest realm="carrier", nonce="4cd7f2a1", qop="auth", algorithm=MD5\n'
REFUSALS = [
    (refuse(486), "busy"),
    (refuse(600), "busy"),
    (refuse(480), "noanswer"),
    (refuse(404), "failed"),
    (refuse(500), "failed"),
    (refuse(603), "failed"),
    (refuse(401, headers=f"WWW-{CHALLENGE}"), "failed"),
    (refuse(407, headers=f"Proxy-{CHALLENGE}"), "failed"),
]


@pytest.mark.parametrize(
    ("story", "status"), [(Plan(parties=(steps,)), status) for steps, status in REFUSALS], indirect=["story"]
)
def test_a_refusal_is_acknowledged_and_ends_the_dial(story: Story, status: str) -> None:
    assert story.outcome == (status, 0, 0)
    assert story.asked() == ["INVITE", "ACK"]
    assert story.responses == [180, 200]  # Hangup answers
    assert story.status == "completed"


# ---- nobody answers ---------------------------------------------------------------------------------------------

NO_ANSWER = 'timeout="2"'
CANCELLED = invited() + respond(180, "Ringing") + receive("CANCEL") + respond(200, "OK")


def took_s(story: Story) -> float:
    """From the ringing to the request for the action."""
    return story.told.at - story.phone.at("SIP/2.0 180")


@on_dial(CANCELLED + terminate(487, "Request Terminated") + receive("ACK") + quiet(), dial=NO_ANSWER)
def test_a_party_that_rings_too_long_is_cancelled(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert story.asked() == ["INVITE", "CANCEL", "ACK"]


@on_dial(RING + receive("CANCEL") + respond(200, "OK") + quiet(4000), dial=NO_ANSWER)
def test_a_dial_does_not_wait_for_the_487(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert took_s(story) < 3
    assert story.asked() == ["INVITE", "CANCEL"]


def deaf_to_cancel(party: Called) -> None:
    party.respond(party.expect("INVITE"), "180 Ringing")
    cancels = party.collect(5.0)
    assert {message.start for message in cancels} == {cancels[0].start}
    assert cancels[0].start.startswith("CANCEL ")


@on_dial(deaf_to_cancel, dial=NO_ANSWER)
def test_a_dial_does_not_wait_for_the_answer_to_cancel(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert took_s(story) < 3
    assert story.asked()[:2] == ["INVITE", "CANCEL"]


def ringing_late(party: Called) -> None:
    invite = party.expect("INVITE")
    party.collect(3.2)
    party.respond(invite, "180 Ringing")
    party.respond(party.expect("CANCEL"), "200 OK")
    party.respond(invite, "487 Request Terminated")
    party.expect("ACK")
    party.quiet(1.0)


@on_dial(ringing_late, dial=NO_ANSWER)
def test_a_party_is_not_cancelled_before_it_has_responded(story: Story) -> None:
    """RFC 3261 section 9.1. It has said nothing when the dial gives up."""
    assert story.outcome == ("noanswer", 0, 0)
    assert took_s(story) < 3
    assert story.asked()[-2:] == ["CANCEL", "ACK"]


@on_dial(None, dial=NO_ANSWER)
def test_nobody_there(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert took_s(story) < 3


# ---- parties that have hung up, but do not say so ---------------------------------------------------------------


def deaf_to_bye(party: Called) -> None:
    """It answers nothing any more; its audio is not taken any more either."""
    party.accept()
    party.expect("BYE")
    time.sleep(0.3)
    heard = len(party.rtp.packets)
    party.collect(5.0)
    assert len(party.rtp.packets) == heard


@on_dial(deaf_to_bye, dial='timeLimit="2"', serve=TONE_AFTER)
def test_a_dial_does_not_wait_for_the_answer_to_bye(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.told.at - story.phone.at("SIP/2.0 200") < 3.0
    assert of(ASKED_HZ, story.steps) == about(0.5)
    assert set(story.asked()) == {"INVITE", "ACK", "BYE"}


@on_dial(deaf_to_bye, caller=((3.0, Phone.leave),))
def test_a_status_callback_does_not_wait_for_the_answer_to_bye(story: Story) -> None:
    assert story.status == "completed"
    assert story.line.final_status().at - story.ended_at < 1.5
    assert story.outcome == ("completed", 3, 0)


# ---- 200 after CANCEL -------------------------------------------------------------------------------------------


@on_dial(crossing, dial=NO_ANSWER, serve={"dialled": '<Pause length="2"/><Hangup/>'})
def test_an_answer_that_crosses_the_cancel_is_hung_up(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert story.asked() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert story.steps == []


@on_dial(crossing, hung_up, dial='timeLimit="2"')
def test_the_loser_of_a_simultaneous_ring_answers_too_late(story: Story) -> None:
    assert story.outcome == ("completed", 2, 1)
    assert story.asked(0) == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert story.asked(1) == ["INVITE", "ACK", "BYE"]
    assert story.party_steps(0) == []
    assert [hz for hz, _ in story.party_steps(1)] == [CALLER_HZ]


def late(party: Called) -> None:
    """Its 200 comes when everything is over: the CANCEL did not reach it."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing")
    party.collect(5.0)
    party.respond(invite, "200 OK", body=party.sdp())
    while not (message := party.take()).start.startswith("BYE "):
        pass  # the CANCEL may come again
    party.respond(message, "200 OK")


@on_dial(late, dial=NO_ANSWER)
def test_an_answer_long_after_the_dial_is_hung_up(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, 0)
    assert [asked for asked in story.asked() if asked != "CANCEL"] == ["INVITE", "ACK", "BYE"]


# ---- the caller leaves ------------------------------------------------------------------------------------------

LEAVES_RINGING = CANCELLED + terminate(487, "Request Terminated") + receive("ACK") + quiet()


@on_dial(LEAVES_RINGING, caller=((2.0, Phone.cancel),))
def test_a_caller_who_cancels_while_it_rings(story: Story) -> None:
    assert (story.ending.status, story.responses) == (487, [180, 487])
    assert story.asked() == ["INVITE", "CANCEL", "ACK"]
    assert story.status == "cancel"
    assert story.outcome == ("cancel", 0, 0)


@on_dial(LEAVES_RINGING, dial='ringing="music"', caller=((2.0, Phone.leave),))
def test_a_caller_who_hangs_up_while_it_rings(story: Story) -> None:
    assert story.asked() == ["INVITE", "CANCEL", "ACK"]
    assert story.status == "completed"
    assert story.outcome == ("cancel", 0, 0)


# ---- redirection ------------------------------------------------------------------------------------------------

ELSEWHERE = "sip:elsewhere@127.0.0.99:5999"
REDIRECTED = refuse(302).replace("Contact: <", f"Contact: <{ELSEWHERE}>\nX-Own: <")


@on_dial(REDIRECTED)
def test_a_redirection_is_not_followed(story: Story) -> None:
    """Whoever is called could have calls placed at our cost."""
    assert story.outcome == ("failed", 0, 0)
    assert story.asked() == ["INVITE", "ACK"]
    assert any(ELSEWHERE in str(details) for what, details in story.timeline if what == "redirection not followed")


def busy_later(party: Called) -> None:
    """It wants sessions to be refreshed less often (RFC 4028 section 6), and is busy then."""
    invite = party.expect("INVITE")
    party.respond(invite, "422 Session Interval Too Small", headers="Min-SE: 3600")
    party.expect("ACK")
    again = party.expect("INVITE")
    assert again.header("Session-Expires").startswith("3600")
    party.respond(again, "486 Busy Here")
    party.expect("ACK")
    party.quiet(1.0)


@on_dial(busy_later)
def test_who_is_busy_once_the_session_timer_suits_it_is_busy(story: Story) -> None:
    assert story.outcome == ("busy", 0, 0)


# ---- in the end -------------------------------------------------------------------------------------------------


def test_nothing_is_left(stories: Stories) -> None:
    """No call, no dialog, no RTP port, and nobody was told twice; not even of parties that answer nothing."""
    assert stories.left() == ([], [])
