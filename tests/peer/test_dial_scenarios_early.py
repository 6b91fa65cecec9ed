"""What a called party says and does before it answers, once or on several telephones: at both ends of the wire."""

from __future__ import annotations

import pytest
from called import Called
from dial_stories import Stories
from dial_story import ANSWERED, CALLER_HZ, PARTY_HZ, Story, about, on_dial
from phone import Phone
from raw_peer import plain_sdp
from rtp_endpoint import RtpEndpoint
from sounds import tone
from uas import pause, quiet, receive, respond

MOBILE_HZ = 1300

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
    assert story.steps == [(PARTY_HZ, about(2.0))]
    assert story.ringback_s == about(1.5)


@on_dial(lambda party: early(party, first="180 Ringing"), before=ANSWERED)
def test_a_180_may_announce_early_media_too(story: Story) -> None:
    assert story.steps == [(PARTY_HZ, about(2.0))]
    assert story.ringback_s == about(1.5)


@on_dial(lambda party: early(party, first="183 Session Progress", then="180 Ringing"), before=ANSWERED)
def test_a_180_after_early_media_does_not_cut_it(story: Story) -> None:
    assert story.steps == [(PARTY_HZ, about(2.0))]
    assert story.ringback_s == about(1.5)


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


# ---- forks ------------------------------------------------------------------------------------------------------


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
    assert story.steps == [(MOBILE_HZ, about(1.5)), (PARTY_HZ, about(2.0))]


@on_dial(lambda party: forking(party, reliably=True), dial='timeLimit="2"', before=ANSWERED)
def test_so_it_is_where_only_its_183_has_described_it(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.asked() == ["INVITE", "PRACK", "PRACK", "ACK", "BYE"]
    assert story.steps == [(MOBILE_HZ, about(1.5)), (PARTY_HZ, about(2.0))]


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


# ---- in the end -------------------------------------------------------------------------------------------------


def test_nothing_is_left(stories: Stories) -> None:
    """No call, no dialog, no RTP port, and nobody was told twice."""
    assert stories.left() == ([], [])
