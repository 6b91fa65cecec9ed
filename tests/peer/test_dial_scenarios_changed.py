"""Called parties and callers who change the session while they talk: hold, another port, another codec."""

from __future__ import annotations

from called import Called, Script
from dial_stories import Stories
from dial_story import CALLER_HZ, PARTY_HZ, Acts, Story, about, of, on_dial, steps
from phone import Phone
from sipp import Message
from sounds import tone

DIRECTIONS = {"sendrecv", "sendonly", "recvonly", "inactive"}
MOVED_HZ = 1500


# ---- the party changes the session ------------------------------------------------------------------------------


def answered_direction(message: Message) -> str:
    """The direction that a description says."""
    said = [
        line[2:] for line in message.body.splitlines() if line[2:] in {"sendrecv", "sendonly", "recvonly", "inactive"}
    ]
    return said[0] if said else ""


def heard_meanwhile(party: Called, seconds: float) -> int:
    """How many packets come in the last of so many seconds."""
    party.quiet(seconds - 0.5)
    before = len(party.rtp.packets)
    party.quiet(0.5)
    return len(party.rtp.packets) - before


def hold(*lines: str, answer: str, method: str = "INVITE", address: str = "127.0.0.1", late: bool = False) -> Script:
    """A party that puts the caller on hold after a second, for two seconds, and talks on for another.

    One that is `late` asks for our offer, and says so in the ACK.
    """

    def party(party: Called) -> None:
        party.accept()
        party.quiet(1.0)
        description = party.sdp(*lines, address=address)
        held = party.offer(answer=description) if late else party.offer(description, method=method)
        assert answered_direction(held) == answer
        assert heard_meanwhile(party, 2.0) == 0
        again = party.offer(party.sdp("a=sendrecv"), method=method)
        assert answered_direction(again) == "sendrecv"
        assert heard_meanwhile(party, 1.0) > 20
        party.hang_up()

    return party


HOLD_MUSIC = [
    hold("a=sendonly", answer="recvonly"),
    hold("a=sendonly", answer="recvonly", method="UPDATE"),
    hold(address="0.0.0.0", answer="recvonly"),
    hold("a=sendonly", answer="sendrecv", late=True),
]


@on_dial(HOLD_MUSIC[0])
def test_on_hold_the_caller_goes_on_hearing_the_party(story: Story) -> None:
    held(story)
    assert story.steps == [(PARTY_HZ, about(4.0))]


@on_dial(HOLD_MUSIC[1])
def test_on_hold_by_update(story: Story) -> None:
    held(story)
    assert story.steps == [(PARTY_HZ, about(4.0))]


@on_dial(HOLD_MUSIC[2])
def test_on_hold_as_rfc_2543_had_it(story: Story) -> None:
    held(story)
    assert of(PARTY_HZ, story.steps) == about(4.0)


@on_dial(HOLD_MUSIC[3])
def test_on_hold_by_the_answer_to_our_offer(story: Story) -> None:
    held(story)
    assert story.steps == [(PARTY_HZ, about(4.0))]


@on_dial(hold("a=inactive", answer="inactive"))
def test_on_hold_with_nothing_either_way(story: Story) -> None:
    held(story)
    assert story.steps == [(PARTY_HZ, about(1.0)), (PARTY_HZ, about(1.0))]


def held(story: Story) -> None:
    """What every hold comes to: the party hears nothing meanwhile, and the caller stays."""
    assert story.outcome == ("completed", 4, 0)
    assert story.party_steps() == [(CALLER_HZ, about(1.0)), (CALLER_HZ, about(1.0))]
    assert story.responses == [180, 200]


def moving(party: Called) -> None:
    """It goes on at another port and with another codec: it was transferred, behind its exchange."""
    party.accept()
    party.quiet(1.5)
    party.move(8, tone(MOVED_HZ, 10.0))
    answer = party.offer(party.sdp())
    assert " RTP/AVP 8 101" in answer.body
    party.quiet(1.5)
    party.hang_up()


@on_dial(moving)
def test_a_party_that_goes_on_elsewhere_with_another_codec(story: Story) -> None:
    assert story.outcome == ("completed", 3, 0)
    assert story.steps == [(PARTY_HZ, about(1.5)), (MOVED_HZ, about(1.5))]
    party = story.called()
    assert steps(party.before.heard()) == [(CALLER_HZ, about(1.5))]
    assert steps(party.rtp.heard()) == [(CALLER_HZ, about(1.5))]
    assert {packet.payload_type for packet in party.rtp.packets} == {8}


def asking_for_an_offer(party: Called) -> None:
    party.accept()
    party.quiet(1.0)
    offered = party.offer(answer=party.sdp())
    assert "m=audio" in offered.body
    party.quiet(1.0)
    party.hang_up()


@on_dial(asking_for_an_offer)
def test_a_reinvite_without_a_description_gets_our_offer(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.steps == [(PARTY_HZ, about(2.0))]
    assert story.party_steps() == [(CALLER_HZ, about(2.0))]


def moving_late(party: Called) -> None:
    """The exchange behind which it is asks for our offer, to say where it goes on."""
    party.accept()
    party.quiet(1.5)
    party.move(0, tone(MOVED_HZ, 10.0))
    party.offer(answer=party.sdp())
    party.quiet(1.5)
    party.hang_up()


@on_dial(moving_late)
def test_a_party_that_says_in_the_ack_where_it_goes_on(story: Story) -> None:
    assert story.outcome == ("completed", 3, 0)
    assert story.steps == [(PARTY_HZ, about(1.5)), (MOVED_HZ, about(1.5))]
    assert steps(story.called().rtp.heard()) == [(CALLER_HZ, about(1.5))]


def demanding(party: Called) -> None:
    """It wants what we do not have, and stays with what there is."""
    party.accept()
    party.quiet(1.0)
    refusal = party.ask("INVITE", party.sdp().replace("RTP/AVP 0 101", "RTP/AVP 18 101"))
    assert refusal.start.startswith("SIP/2.0 488 ")
    party.acknowledge_refusal()
    party.quiet(1.0)
    party.hang_up()


@on_dial(demanding)
def test_a_reinvite_that_cannot_be_taken_leaves_the_conversation_as_it_is(story: Story) -> None:
    assert story.outcome == ("completed", 2, 0)
    assert story.steps == [(PARTY_HZ, about(2.0))]


# ---- the caller changes the session -----------------------------------------------------------------------------


def patient(party: Called) -> None:
    party.accept()
    party.quiet(4.0)
    party.hang_up()


def holding(*lines: str) -> Acts:
    """A caller who holds for about two seconds of the four."""
    return (
        (1.3, lambda phone: phone.offer(phone.sdp(*lines))),
        (3.3, lambda phone: phone.offer(phone.sdp("a=sendrecv"))),
    )


@on_dial(patient, caller=holding("a=inactive"))
def test_a_caller_who_holds_the_call(story: Story) -> None:
    assert story.outcome == ("completed", 4, 0)
    assert len(story.party_steps()) == len(story.steps) == 2
    assert of(CALLER_HZ, story.party_steps()) == about(2.0)
    assert of(PARTY_HZ, story.steps) == about(2.0)
    assert story.asked() == ["INVITE", "ACK"], "the party is not bothered"


@on_dial(patient, caller=holding("a=sendonly"))
def test_a_caller_who_plays_music_meanwhile(story: Story) -> None:
    assert story.party_steps() == [(CALLER_HZ, about(4.0))]
    assert of(PARTY_HZ, story.steps) == about(2.0)


def move(phone: Phone) -> None:
    phone.move(8, tone(MOVED_HZ, 10.0))
    phone.offer(phone.sdp())


@on_dial(patient, caller=((2.3, move),))
def test_a_caller_who_goes_on_elsewhere_with_another_codec(story: Story) -> None:
    assert story.outcome == ("completed", 4, 0)
    assert [hz for hz, _ in story.party_steps()] == [CALLER_HZ, MOVED_HZ]
    assert [hz for hz, _ in steps(story.phone.before.heard())] == [PARTY_HZ]
    assert [hz for hz, _ in story.steps] == [PARTY_HZ]
    assert {packet.payload_type for packet in story.phone.rtp.packets} == {8}


@on_dial(patient, caller=((2.3, lambda phone: phone.offer(answer=phone.sdp())),))
def test_a_caller_who_asks_for_our_offer(story: Story) -> None:
    assert story.outcome == ("completed", 4, 0)
    assert story.party_steps() == [(CALLER_HZ, about(4.0))]
    assert story.steps == [(PARTY_HZ, about(4.0))]


def hold_late(phone: Phone) -> None:
    phone.offer(answer=phone.sdp("a=sendonly"))


@on_dial(patient, caller=((2.3, hold_late),))
def test_a_caller_who_holds_by_the_answer_to_our_offer(story: Story) -> None:
    assert story.outcome == ("completed", 4, 0)
    assert story.party_steps() == [(CALLER_HZ, about(4.0))]
    assert [hz for hz, _ in story.steps] == [PARTY_HZ]
    assert of(PARTY_HZ, story.steps) < 3.5


# ---- in the end -------------------------------------------------------------------------------------------------


def test_nothing_is_left(stories: Stories) -> None:
    """No call, no dialog, no RTP port, and nobody was told twice."""
    assert stories.left() == ([], [])
