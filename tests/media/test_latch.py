"""A leg takes media from where it first comes, then from nowhere else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from flexml.media.latch import CERTAIN_S, Accepted, Latch
from flexml.media.transport import Address

SIGNALLED: Address = ("10.0.0.1", 4000)
PUBLIC: Address = ("198.51.100.7", 40_000)
STRANGER: Address = ("203.0.113.9", 4000)
AUDIO, EVENT, OTHER = 0, 101, 13


class Packet(NamedTuple):
    row: int
    payload_type: int
    source: Address


def latch_for(*rows: int, latch: bool = True, now_s: float = 0.0) -> Latch:
    made = Latch(8)
    for row in rows:
        made.audio_type[row], made.event_type[row] = AUDIO, EVENT
        made.set_remote(row, SIGNALLED, latch=latch, now_s=now_s)
    return made


def push(latch: Latch, *packets: Packet, now_s: float = 1.0) -> Accepted:
    return latch.step(
        np.array([packet.row for packet in packets], np.intp),
        np.array([packet.payload_type for packet in packets], np.int64),
        [packet.source for packet in packets],
        now_s,
    )


BATCHES: list[tuple[bool, list[tuple[int, Address]], list[bool], Address | None]] = [
    # latch, (payload type, source) in order -> taken, heard from
    (True, [(AUDIO, PUBLIC), (AUDIO, PUBLIC), (AUDIO, STRANGER)], [True, True, False], PUBLIC),
    (True, [(EVENT, PUBLIC), (AUDIO, STRANGER)], [True, False], PUBLIC),
    (True, [(OTHER, STRANGER), (AUDIO, PUBLIC)], [False, True], PUBLIC),
    (True, [(AUDIO, SIGNALLED), (AUDIO, PUBLIC)], [True, False], SIGNALLED),
    (True, [(OTHER, STRANGER)], [False], None),
    (True, [(AUDIO, STRANGER), (AUDIO, SIGNALLED), (AUDIO, STRANGER)], [False, True, False], SIGNALLED),
    (False, [(AUDIO, PUBLIC), (AUDIO, SIGNALLED)], [False, True], SIGNALLED),
    (False, [(AUDIO, ("10.0.0.1", 4002))], [False], None),
]


@pytest.mark.parametrize(("may_latch", "packets", "taken", "heard"), BATCHES)
def test_the_first_valid_source_is_the_only_one(
    may_latch: bool, packets: list[tuple[int, Address]], taken: list[bool], heard: Address | None
) -> None:
    latch = latch_for(2, latch=may_latch)
    accepted = push(latch, *(Packet(2, kind, source) for kind, source in packets))
    assert accepted.mask.tolist() == taken
    assert accepted.foreign.tolist() == [not each for each in taken]
    assert accepted.heard == ([(2, heard)] if heard else [])
    assert push(latch, Packet(2, AUDIO, heard or STRANGER)).heard == ([] if heard or not may_latch else [(2, STRANGER)])


def test_rows_latch_each_on_their_own() -> None:
    latch = latch_for(0, 1)
    accepted = push(latch, Packet(0, AUDIO, PUBLIC), Packet(1, AUDIO, STRANGER), Packet(0, AUDIO, STRANGER))
    assert accepted.mask.tolist() == [True, True, False]
    assert accepted.heard == [(0, PUBLIC), (1, STRANGER)]


def test_nothing_is_taken_or_counted_before_the_remote_is_known_or_after_closing() -> None:
    latch = latch_for(0)
    latch.close(0)
    for row in (0, 1):
        accepted = push(latch, Packet(row, AUDIO, PUBLIC))
        assert (accepted.mask.tolist(), accepted.foreign.tolist(), accepted.heard) == ([False], [False], [])


def test_the_same_address_signalled_again_keeps_the_source() -> None:
    latch = latch_for(0)
    push(latch, Packet(0, AUDIO, PUBLIC))
    assert not latch.set_remote(0, SIGNALLED, latch=True, now_s=2.0)
    accepted = push(latch, Packet(0, AUDIO, STRANGER), Packet(0, AUDIO, PUBLIC), now_s=9.0)
    assert accepted.mask.tolist() == [False, True]
    assert accepted.heard == []


def test_after_a_change_the_old_source_counts_until_the_new_one_is_heard_but_does_not_latch() -> None:
    latch = latch_for(0)
    push(latch, Packet(0, AUDIO, PUBLIC))
    assert latch.set_remote(0, ("10.0.0.2", 5000), latch=True, now_s=10.0)
    accepted = push(latch, Packet(0, AUDIO, PUBLIC), now_s=10.1)
    assert (accepted.mask.tolist(), accepted.heard) == ([True], [])
    accepted = push(latch, Packet(0, AUDIO, STRANGER), Packet(0, AUDIO, PUBLIC), now_s=10.2)
    assert (accepted.mask.tolist(), accepted.heard) == ([True, True], [(0, STRANGER)])
    assert push(latch, Packet(0, AUDIO, PUBLIC), now_s=10.3).mask.tolist() == [False]


def test_after_a_change_the_old_source_counts_no_longer_than_the_grace() -> None:
    latch = latch_for(0, latch=False)
    push(latch, Packet(0, AUDIO, SIGNALLED))
    latch.set_remote(0, ("10.0.0.2", 5000), latch=False, now_s=10.0)
    assert [push(latch, Packet(0, AUDIO, SIGNALLED), now_s=now).mask.tolist() for now in (10.4, 10.6)] == [
        [True],
        [False],
    ]


def test_a_peer_that_keeps_its_source_over_a_change_is_latched_again_after_the_grace() -> None:
    latch = latch_for(0)
    push(latch, Packet(0, AUDIO, PUBLIC))
    latch.set_remote(0, ("10.0.0.2", 5000), latch=True, now_s=10.0)
    assert push(latch, Packet(0, AUDIO, PUBLIC), now_s=10.6).heard == [(0, PUBLIC)]


def test_a_payload_type_nobody_negotiated_counts_as_foreign_even_from_the_right_source() -> None:
    latch = latch_for(0)
    push(latch, Packet(0, AUDIO, PUBLIC))
    accepted = push(latch, Packet(0, OTHER, PUBLIC))
    assert (accepted.mask.tolist(), accepted.foreign.tolist()) == ([True], [True])


def test_an_empty_batch_is_no_trouble() -> None:
    accepted = push(latch_for(0))
    assert (accepted.mask.size, accepted.heard) == (0, [])


def test_whom_signalling_named_takes_the_place_of_whoever_was_heard_before() -> None:
    latch = latch_for(0)
    assert push(latch, Packet(0, AUDIO, STRANGER)).certain == []
    assert push(latch, Packet(0, OTHER, SIGNALLED)).heard == []
    accepted = push(latch, Packet(0, AUDIO, SIGNALLED), Packet(0, AUDIO, STRANGER), now_s=1.0 + CERTAIN_S / 2)
    assert (accepted.mask.tolist(), accepted.heard, accepted.certain) == (
        [True, False],
        [(0, SIGNALLED)],
        [(0, SIGNALLED)],
    )
    assert push(latch, Packet(0, AUDIO, STRANGER), now_s=2.0 + CERTAIN_S).mask.tolist() == [False]


def test_a_source_that_nobody_named_is_certain_after_a_while() -> None:
    latch = latch_for(0)
    push(latch, Packet(0, AUDIO, PUBLIC))
    assert push(latch, Packet(0, AUDIO, PUBLIC), now_s=0.9 + CERTAIN_S).certain == []
    assert push(latch, Packet(0, AUDIO, PUBLIC), now_s=1.0 + CERTAIN_S).certain == [(0, PUBLIC)]
    accepted = push(latch, Packet(0, AUDIO, SIGNALLED), Packet(0, AUDIO, PUBLIC), now_s=1.1 + CERTAIN_S)
    assert (accepted.mask.tolist(), accepted.heard, accepted.certain) == ([False, True], [], [])


def test_packets_by_the_numbers_that_we_offered_become_those_of_the_peer() -> None:
    latch = latch_for(0, 1)
    latch.number(0, 96, 97, own=(97, 101))
    latch.number(1, AUDIO, EVENT)
    came = np.array([96, 97, 101, 97, AUDIO])
    accepted = latch.step(np.array([0, 0, 0, 1, 1]), came, [SIGNALLED] * 5, 1.0)
    assert came.tolist() == [96, 96, 97, 97, AUDIO]
    assert accepted.foreign.tolist() == [False, False, False, True, False]
    latch.number(0, 96, 97)
    assert latch.step(np.array([0]), np.array([101]), [SIGNALLED], 1.0).foreign.tolist() == [True]


def test_packets_of_a_codec_that_the_peer_may_change_to_are_its_own_and_told_of() -> None:
    latch = latch_for(0, 1)
    latch.number(0, AUDIO, EVENT, others=(8, 9))
    accepted = push(latch, Packet(0, 8, PUBLIC), Packet(0, 9, STRANGER), Packet(0, OTHER, PUBLIC), Packet(1, 8, PUBLIC))
    assert (accepted.mask.tolist(), accepted.foreign.tolist()) == (
        [True, False, True, False],
        [False, True, True, True],
    )
    assert (accepted.heard, accepted.changed) == ([(0, PUBLIC)], [(0, 8)])
    latch.number(0, 8, EVENT, others=(AUDIO, 9))
    assert push(latch, Packet(0, 8, PUBLIC)).changed == []
    assert push(latch, Packet(0, AUDIO, PUBLIC)).changed == [(0, AUDIO)]
    latch.number(0, 8, EVENT)
    assert push(latch, Packet(0, AUDIO, PUBLIC)).changed == []


def connected(latch: Latch, *kinds: int) -> Accepted:
    """Let packets of these types come on row 2, whose socket takes them from the right source only."""
    return latch.step(np.full(len(kinds), 2), np.array(kinds), [], 1.0)


def test_packets_of_a_connected_socket_are_taken_and_only_their_type_may_be_foreign() -> None:
    latch = latch_for(2)
    push(latch, Packet(2, AUDIO, SIGNALLED))
    for kinds in ([AUDIO, AUDIO], [AUDIO, EVENT], [AUDIO, OTHER, AUDIO]):
        accepted = connected(latch, *kinds)
        assert accepted.mask.all()
        assert accepted.foreign.tolist() == [kind == OTHER for kind in kinds]
        assert (accepted.heard, accepted.certain, accepted.changed) == ([], [], [])


def test_packets_of_a_connected_socket_whose_leg_is_closed_are_neither_taken_nor_foreign() -> None:
    latch = latch_for(2)
    push(latch, Packet(2, AUDIO, SIGNALLED))
    latch.close(2)
    for kinds in ([AUDIO], [AUDIO, OTHER]):
        accepted = connected(latch, *kinds)
        assert not accepted.mask.any()
        assert not accepted.foreign.any()


def test_the_host_is_that_of_what_was_heard_since_the_remote_was_set() -> None:
    latch = latch_for(2)
    assert latch.host(2) is None
    push(latch, Packet(2, AUDIO, PUBLIC))
    assert latch.host(2) == PUBLIC[0]
    latch.set_remote(2, STRANGER, latch=True, now_s=2.0)
    assert latch.host(2) is None
    push(latch, Packet(2, AUDIO, STRANGER), now_s=2.1)
    assert latch.host(2) == STRANGER[0]
    latch.close(2)
    assert latch.host(2) is None


def test_a_row_used_again_expects_the_same_address_anew() -> None:
    latch = latch_for(2)
    push(latch, Packet(2, AUDIO, PUBLIC))
    latch.close(2)
    latch.number(2, AUDIO, EVENT)
    assert latch.set_remote(2, SIGNALLED, latch=True, now_s=1.2)
    accepted = push(latch, Packet(2, AUDIO, STRANGER), Packet(2, AUDIO, PUBLIC), now_s=1.3)
    assert accepted.mask.tolist() == [True, False]
    assert accepted.heard == [(2, STRANGER)]
