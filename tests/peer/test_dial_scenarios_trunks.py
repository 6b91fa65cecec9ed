"""Carriers as called parties are met by them: challenges, and trunks that are down in every way; at both ends."""

from __future__ import annotations

import hashlib
import re

import pytest
from called import Called
from dial_stories import Stories
from dial_story import ANSWERED, CALLER_HZ, PARTY_HZ, Plan, Story, Trunk, about, on_dial
from sipp_server import take
from uas import BUSY, RING, TALK, pause, quiet, receive, respond, respond_within

LOGIN = ("engine", "secret")
CREDENTIALS = 'username = "engine"\npassword = "secret"'
CHALLENGE = 'Authenticate: Digest realm="carrier", nonce="4cd7f2a1", qop="auth", algorithm=MD5\n'
UNAVAILABLE = receive("INVITE") + respond(503, "Service Unavailable") + receive("ACK") + quiet()


def challenge(status: int) -> str:
    """Ask for credentials by 401 or 407, and take the ACK of that."""
    header = f"{'WWW' if status == 401 else 'Proxy'}-{CHALLENGE}"
    return respond(status, "Who").replace("Content-Length", f"{header}Content-Length") + receive("ACK")


def answered(invite: str) -> str:
    ok = respond(200, "OK", sdp=True, retransmit=True)
    return invite + ok + receive("ACK") + receive("BYE") + respond_within(200, "OK") + quiet()


def number_of(story: Story) -> tuple[str, int, str]:
    """What the action is told of a dial that lasted a second."""
    return "completed", 1, story.line.number


def in_time(story: Story, seconds: float) -> bool:
    """Whether the action was asked for within so many seconds of ringing."""
    return story.told.at - story.phone.at("SIP/2.0 180") < seconds


def is_right(authorization: str, method: str, uri: str) -> bool:
    """Whether a digest (RFC 2617 section 3.2.2) proves LOGIN; SIPp checks only those for 401."""

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    given = dict(re.findall(r'(\w+)="?([^",]+)"?', authorization))
    secret, asked = md5(LOGIN[0], given["realm"], LOGIN[1]), md5(method, uri)
    response = md5(secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], asked)
    return (given["username"], given["uri"], given["response"]) == (LOGIN[0], uri, response)


# ---- challenges -----------------------------------------------------------------------------------------------------


@on_dial(answered(receive("INVITE") + challenge(401) + take("INVITE", auth=LOGIN)),
         trunks=(Trunk(CREDENTIALS),), dial='timeLimit="1"')  # fmt: skip
def test_a_challenge_is_answered(story: Story) -> None:
    assert story.outcome == number_of(story)
    assert story.asked() == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
    assert story.steps == [(CALLER_HZ, about(1.0))]


@on_dial(answered(receive("INVITE") + challenge(407) + receive("INVITE")),
         trunks=(Trunk(CREDENTIALS),), dial='timeLimit="1"')  # fmt: skip
def test_a_challenge_of_a_proxy_is_answered(story: Story) -> None:
    assert story.outcome == number_of(story)
    first, _, second, *_ = (message for message in story.said() if not message.sent)
    assert first.header("Proxy-Authorization") == ""
    assert is_right(second.header("Proxy-Authorization"), "INVITE", second.start.split()[1])


REFUSED_TWICE = receive("INVITE") + challenge(401) + receive("INVITE") + challenge(401) + quiet()


@on_dial(REFUSED_TWICE, trunks=(Trunk(CREDENTIALS),))
def test_a_wrong_password_is_tried_once(story: Story) -> None:
    assert story.outcome == ("failed", 0, story.line.number)
    assert story.asked() == ["INVITE", "ACK", "INVITE", "ACK"]
    assert story.failure(0) == "401 Who"


@on_dial(REFUSED_TWICE, TALK + quiet(), trunks=(Trunk(CREDENTIALS), Trunk()), dial='timeLimit="1"')
def test_a_wrong_password_for_one_trunk_leaves_the_next(story: Story) -> None:
    assert story.outcome == number_of(story)
    assert story.asked(0) == ["INVITE", "ACK", "INVITE", "ACK"]
    assert story.asked(1) == ["INVITE", "ACK", "BYE"]


# ---- trunks that are down -------------------------------------------------------------------------------------------


def mute(party: Called) -> None:
    """It takes what comes, and says nothing."""
    party.collect(5.0)


SHORT = Trunk("answer_s = 1")
TCP = Trunk(transport="tcp")


ANSWERS = TALK + quiet()
SECOND = 'timeLimit="1"'
DOWN = [
    (Plan(parties=(None, ANSWERS), trunks=(SHORT, Trunk()), dial=SECOND), "408 No response"),
    (Plan(parties=(mute, ANSWERS), trunks=(SHORT, Trunk()), dial=SECOND), "408 No response"),
    (Plan(parties=(None, ANSWERS), trunks=(TCP, Trunk()), dial=SECOND), "503 Connection refused"),
    (Plan(parties=(UNAVAILABLE, ANSWERS), trunks=(Trunk(), Trunk()), dial=SECOND), "503 Service Unavailable"),
]


@pytest.mark.parametrize(("story", "failure"), DOWN, indirect=["story"])
def test_a_trunk_that_is_down_is_passed_over(story: Story, failure: str) -> None:
    assert story.outcome == number_of(story)
    assert in_time(story, 1 + 2.5)
    assert (story.failure(0), story.failure(1)) == (failure, "")
    assert story.asked(1) == ["INVITE", "ACK", "BYE"]
    assert story.steps == [(CALLER_HZ, about(1.0))]


ALL_DOWN = [
    (Plan(parties=(None, None), trunks=(SHORT, TCP)), "failed", ["408", "503"]),
    (Plan(parties=(None, mute), trunks=(TCP, SHORT)), "failed", ["503", "408"]),
    (Plan(parties=(UNAVAILABLE, UNAVAILABLE), trunks=(Trunk(), Trunk())), "failed", ["503", "503"]),
]


@pytest.mark.parametrize(("story", "status", "failures"), ALL_DOWN, indirect=["story"])
def test_a_dial_fails_soon_where_all_trunks_are_down(story: Story, status: str, failures: list[str]) -> None:
    assert story.outcome == (status, 0, story.line.number)
    assert in_time(story, 3.0)
    assert [story.failure(index).split()[0] for index in (0, 1)] == failures
    ends = [details["status"] for what, details in story.timeline if what == "party ended"]
    assert ends == [int(failure) for failure in failures]


@on_dial(mute, trunks=(Trunk(),), dial='timeout="2"')
def test_the_dial_may_end_before_a_silent_trunk_is_given_up(story: Story) -> None:
    assert story.outcome == ("noanswer", 0, story.line.number)
    assert in_time(story, 3.0)


def untouched(party: Called) -> None:
    party.quiet(4.0)


@on_dial(BUSY + quiet(), untouched, trunks=(Trunk(), Trunk()))
def test_who_is_busy_is_not_called_by_another_trunk(story: Story) -> None:
    assert story.outcome == ("busy", 0, story.line.number)
    assert story.asked(0) == ["INVITE", "ACK"]
    assert story.asked(1) == []


def announcing(party: Called) -> None:
    """It says why it will not do, and then does not do."""
    invite = party.expect("INVITE")
    party.listen()
    party.respond(invite, "183 Session Progress", body=party.sdp())
    party.quiet(1.0)
    party.respond(invite, "503 Service Unavailable")
    party.expect("ACK")
    party.quiet(1.0)


RINGS_FIRST = RING + pause(1500) + respond(200, "OK", sdp=True, retransmit=True) + receive("ACK") + receive("BYE")


@on_dial(announcing, RINGS_FIRST + respond_within(200, "OK") + quiet(),
         trunks=(Trunk(), Trunk()), before=ANSWERED, dial=SECOND)  # fmt: skip
def test_it_rings_again_after_the_announcement_of_a_trunk_that_fails(story: Story) -> None:
    assert story.outcome == number_of(story)
    assert story.steps == [(PARTY_HZ, about(1.0)), (CALLER_HZ, about(1.0))]
    assert story.ringback_s == about(1.5)


# ---- in the end -----------------------------------------------------------------------------------------------------


def test_nothing_is_left(stories: Stories) -> None:
    """No call, no dialog, no RTP port, no trunk with a call, and nobody was told twice."""
    assert stories.left() == ([], [])
