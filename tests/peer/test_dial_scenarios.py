"""What a called party may do before it answers, and a caller meanwhile: on the wire, at both ends, to the end."""

from __future__ import annotations

import pytest
from called import Called, crossing, hung_up
from dial_story import ANSWERED, CALLER_HZ, PARTY_HZ, Plan, Stories, Story, on_dial
from phone import Phone
from raw_peer import plain_sdp
from rtp_endpoint import RtpEndpoint
from sounds import tone
from uas import RING, invited, pause, quiet, receive, respond, terminate

MOBILE_HZ = 1300


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


# ---- provisional responses --------------------------------------------------------------------------------------


def early(party: Called, *, first: str, then: str = "", silent_s: float = 1.5, sdp: bool = True) -> None:
    """Be called; say `first`, with a description; after a while speak, say `then`, and go on for two seconds."""
    invite = party.expect("INVITE")
    party.respond(invite, first, body=party.sdp() if sdp else "")
    party.quiet(silent_s)
    party.listen()
    party.quiet(1.0)
    if then:
        party.respond(invite, then)
    party.quiet(1.0)
    party.respond(invite, "486 Busy Here")
    party.expect("ACK")


@on_dial(lambda party: early(party, first="183 Session Progress"), before=ANSWERED)
def test_ringback_ends_when_early_media_comes(story: Story) -> None:
    """RFC 3960 section 3.2: not when it is announced."""
    assert story.outcome == ("busy", 0, 0)
    assert story.steps == [(PARTY_HZ, pytest.approx(2.0, abs=0.3))]
    assert story.ringback_s == pytest.approx(1.5, abs=0.3)


@on_dial(lambda party: early(party, first="180 Ringing"), before=ANSWERED)
def test_a_180_may_announce_early_media_too(story: Story) -> None:
    assert story.steps == [(PARTY_HZ, pytest.approx(2.0, abs=0.3))]
    assert story.ringback_s == pytest.approx(1.5, abs=0.3)


@on_dial(lambda party: early(party, first="183 Session Progress", then="180 Ringing"), before=ANSWERED)
def test_a_180_after_early_media_does_not_cut_it(story: Story) -> None:
    assert story.steps == [(PARTY_HZ, pytest.approx(2.0, abs=0.3))]
    assert story.ringback_s == pytest.approx(1.5, abs=0.3)


@on_dial(lambda party: early(party, first="183 Session Progress"), dial='ringing="false"')
def test_without_ringing_only_early_media_is_heard(story: Story) -> None:
    assert [hz for hz, _ in story.steps] == [PARTY_HZ]


def silent_183(party: Called) -> None:
    invite = party.expect("INVITE")
    party.respond(invite, "183 Session Progress", body=party.sdp())
    party.quiet(3.0)
    party.respond(invite, "486 Busy Here")
    party.expect("ACK")


@on_dial(silent_183, before=ANSWERED)
def test_early_media_that_is_only_announced_leaves_the_ringback(story: Story) -> None:
    assert (story.steps, story.ringback_s) == ([], pytest.approx(2.0, abs=0.2))  # and then its pause


@on_dial(receive("INVITE") + respond(183, "Session Progress") + pause(3000) + respond(486, "Busy Here")
         + receive("ACK") + quiet(), before=ANSWERED)  # fmt: skip
def test_a_183_without_a_description_is_no_early_media(story: Story) -> None:
    assert (story.steps, story.ringback_s) == ([], pytest.approx(2.0, abs=0.2))
    assert story.asked() == ["INVITE", "ACK"]


@on_dial(lambda party: early(party, first="183 Session Progress", then="180 Ringing"))
def test_a_caller_who_is_not_answered_gets_one_180_and_no_media(story: Story) -> None:
    assert story.responses == [180, 200]
    assert story.steps == []


def repeating(party: Called) -> None:
    invite = party.expect("INVITE")
    for status in ("180 Ringing", "183 Session Progress", "180 Ringing"):
        party.respond(invite, status)
        party.again()
    party.listen()
    party.respond(invite, "200 OK", body=party.sdp())
    party.expect("ACK")
    party.be_hung_up()


@on_dial(repeating, dial='timeLimit="1"')
def test_repeated_provisional_responses_change_nothing(story: Story) -> None:
    assert story.outcome == ("completed", 1, 0)
    assert story.responses == [180, 200]
    assert story.asked() == ["INVITE", "ACK", "BYE"]


def reliable(party: Called) -> None:
    """A 183 that must be acknowledged by PRACK and brings the description; the 200 brings none (RFC 3262)."""
    invite = party.expect("INVITE")
    assert "100rel" in invite.header("Supported")
    party.listen()
    party.respond(invite, "183 Session Progress", body=party.sdp(), headers="Require: 100rel\nRSeq: 1\n")
    prack = party.expect("PRACK")
    party.respond(prack, "200 OK")
    assert prack.header("RAck") == f"1 {invite.header('CSeq')}"
    party.quiet(1.0)
    party.respond(invite, "200 OK")
    party.expect("ACK")
    party.be_hung_up()


@on_dial(reliable, dial='timeLimit="2"')
def test_a_party_that_wants_its_provisional_responses_acknowledged(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "PRACK", "ACK", "BYE"]
    assert [hz for hz, _ in story.steps] == [PARTY_HZ]
    assert [hz for hz, _ in story.party_steps()] == [CALLER_HZ]


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
    assert story.line.requests("dialled") == []


@on_dial(LEAVES_RINGING, dial='ringing="music"', caller=((2.0, Phone.leave),))
def test_a_caller_who_hangs_up_while_it_rings(story: Story) -> None:
    assert story.asked() == ["INVITE", "CANCEL", "ACK"]
    assert story.status == "completed"
    assert story.line.requests("dialled") == []


def early_and_cancelled(party: Called) -> None:
    invite = party.expect("INVITE")
    party.respond(invite, "183 Session Progress", body=party.sdp())
    party.listen()
    party.respond(party.expect("CANCEL"), "200 OK")
    party.respond(invite, "487 Request Terminated")
    party.expect("ACK")
    party.quiet(1.0)


@on_dial(early_and_cancelled, dial='ringing="false"', caller=((2.5, Phone.leave),))
def test_a_caller_who_hangs_up_in_early_media(story: Story) -> None:
    assert [hz for hz, _ in story.steps] == [PARTY_HZ]
    assert story.asked() == ["INVITE", "CANCEL", "ACK"]
    assert story.status == "completed"


# ---- redirection and forks --------------------------------------------------------------------------------------

ELSEWHERE = "sip:elsewhere@127.0.0.99:5999"
REDIRECTED = refuse(302).replace("Contact: <", f"Contact: <{ELSEWHERE}>\nX-Own: <")


@on_dial(REDIRECTED)
def test_a_redirection_is_not_followed(story: Story) -> None:
    """Whoever is called could have calls placed at our cost."""
    assert story.outcome == ("failed", 0, 0)
    assert story.asked() == ["INVITE", "ACK"]
    assert any(ELSEWHERE in details for what, details in story.timeline if what == "redirection not followed")


def forking(party: Called, *, reliably: bool = False) -> None:
    """A proxy rings two telephones: the mobile one is heard, the one on the desk is answered.

    Where they do it `reliably` (RFC 3262), the description is in the 183 only.
    """
    invite = party.expect("INVITE")
    with RtpEndpoint() as mobile:
        mobile.speak(tone(MOBILE_HZ, 3.0))
        for number, (tag, body) in enumerate({"desk": party.sdp(), "mobile": plain_sdp(mobile.port)}.items(), 1):
            headers = f"Require: 100rel\nRSeq: {number}" if reliably else ""
            party.respond(invite, "183 Session Progress", body=body, tag=tag, headers=headers)
            if reliably:
                party.respond(party.expect("PRACK"), "200 OK", tag=tag)
        party.quiet(1.5)
    party.listen()
    party.respond(invite, "200 OK", body="" if reliably else party.sdp(), tag="desk")
    party.expect("ACK")
    party.be_hung_up()


@on_dial(forking, dial='timeLimit="2"', before=ANSWERED)
def test_the_media_of_the_fork_that_answers_is_used(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "ACK", "BYE"]
    assert story.steps == [(MOBILE_HZ, pytest.approx(1.5, abs=0.3)), (PARTY_HZ, pytest.approx(2.0, abs=0.3))]


@on_dial(lambda party: forking(party, reliably=True), dial='timeLimit="2"', before=ANSWERED)
def test_so_it_is_where_only_its_183_has_described_it(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "PRACK", "PRACK", "ACK", "BYE"]
    assert story.steps == [(MOBILE_HZ, pytest.approx(1.5, abs=0.3)), (PARTY_HZ, pytest.approx(2.0, abs=0.3))]


def both_forks(party: Called) -> None:
    """Both telephones are answered at once."""
    invite = party.expect("INVITE")
    party.respond(invite, "180 Ringing", tag="desk")
    party.respond(invite, "180 Ringing", tag="mobile")
    party.listen()
    party.respond(invite, "200 OK", body=party.sdp(), tag="desk")
    party.respond(invite, "200 OK", body=party.sdp().replace(str(party.rtp.port), "9"), tag="mobile")
    told = [party.take() for _ in range(3)]
    bye = next(message for message in told if message.start.startswith("BYE "))
    assert sorted(message.start.split()[0] for message in told) == ["ACK", "ACK", "BYE"]
    assert "tag=mobile" in bye.header("To")
    party.respond(bye, "200 OK", tag="mobile")
    party.be_hung_up()


@on_dial(both_forks, dial='timeLimit="2"')
def test_the_second_fork_to_answer_is_hung_up(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert [hz for hz, _ in story.steps] == [PARTY_HZ]
    assert story.said()


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


# ---- ACK --------------------------------------------------------------------------------------------------------


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


# ---- in the end ----------------------------------------------------------------------------------------------------


def test_nothing_is_left(stories: Stories) -> None:
    """No call, no dialog, no RTP port, and nobody was told twice; not even of parties that answer nothing."""
    assert stories.left() == ([], [])
