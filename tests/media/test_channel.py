"""The channel keeps order and boundaries, never waits, and shows the end of the peer."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from itertools import chain

import pytest
from flexml.media import channel
from flexml.media.channel import TOGETHER, Channel
from flexml.media.events import Beat, DigitReceived, Event, PlayFinished, decode_events
from flexml.media.protocol import MAX_DATAGRAM, CloseLeg, Command, OpenLeg, StartPlay

Ends = tuple[Channel[Event], Channel[Command]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    control, worker = channel.pair()
    yield control, worker
    control.close()
    worker.close()


def test_messages_arrive_whole_and_in_order_both_ways(ends: Ends) -> None:
    control, worker = ends
    commands = [OpenLeg(leg=1, address="127.0.0.1", port=4000), StartPlay(leg=1, job=2, path="/a"), CloseLeg(leg=1)]
    events = [PlayFinished(leg=1, job=2, reason="closed"), DigitReceived(leg=1, digit="#")]
    for command in commands:
        control.send(command)
    for event in events:
        worker.send(event)
    assert worker.receive() == commands
    assert control.receive() == events
    assert worker.receive() == []


def test_receive_takes_no_more_than_it_is_told(ends: Ends) -> None:
    control, worker = ends
    for leg in range(5):
        control.send(CloseLeg(leg=leg))
    assert [message.leg for message in worker.receive(2)] == [0, 1]
    assert [message.leg for message in worker.receive()] == [2, 3, 4]


def datagrams(end: Channel[Command]) -> list[list[Command]]:
    """What has come, by the datagrams in which it came."""
    got: list[list[Command]] = []
    while messages := end.receive(1):
        got.append(messages)
    return got


def test_what_waits_is_flushed_together(ends: Ends) -> None:
    control, worker = ends
    commands = [CloseLeg(leg=leg) for leg in range(2 * TOGETHER + 3)]
    for command in commands:
        control.send(command, now=False)
    assert worker.receive() == []
    control.flush()
    assert control.pending == 0
    got = datagrams(worker)
    assert [len(messages) for messages in got] == [TOGETHER, TOGETHER, 3]
    assert list(chain.from_iterable(got)) == commands


def test_messages_that_are_too_long_for_a_datagram_together_go_one_by_one(ends: Ends) -> None:
    control, worker = ends
    plays = [StartPlay(leg=leg, path="/" + "a" * (MAX_DATAGRAM // 2)) for leg in range(3)]
    for play in plays:
        control.send(play, now=False)
    control.send(CloseLeg(leg=1), now=False)
    control.flush()
    got = datagrams(worker)
    assert [len(messages) for messages in got] == [1, 1, 2]
    assert list(chain.from_iterable(got)) == [*plays, CloseLeg(leg=1)]


def test_what_the_kernel_does_not_take_is_queued_and_flushed_in_order(ends: Ends) -> None:
    control, worker = ends
    sent = 0
    while worker.pending < 10:
        worker.send(DigitReceived(leg=sent, digit="1"))
        sent += 1
    got: list[int] = []
    while len(got) < sent:
        got += [event.leg for event in control.receive()]
        worker.flush()
    assert got == list(range(sent))
    assert (worker.pending, worker.dropped) == (0, 0)


def test_a_full_queue_drops_and_counts_instead_of_waiting() -> None:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader:
        end = Channel(writer, decode_events, limit=3)
        while not end.dropped:
            end.send(Beat(legs=0, ticks=50, work_p50_us=1, work_max_us=1, overruns=0, late_packets=0))
        assert end.pending == 3
        end.close()


def test_the_end_of_the_peer_shows_after_its_last_message(ends: Ends) -> None:
    control, worker = ends
    worker.send(DigitReceived(leg=1, digit="5"))
    worker.close()
    assert control.receive() == [DigitReceived(leg=1, digit="5")]
    assert control.ended
    assert control.receive() == []
    control.send(CloseLeg(leg=1))
    assert control.dropped == 1


def test_sending_to_a_peer_that_is_gone_ends_the_channel(ends: Ends) -> None:
    control, worker = ends
    control.close()
    worker.send(DigitReceived(leg=1, digit="5"))
    assert worker.ended
    assert worker.pending == 0


def test_a_datagram_that_is_no_message_is_counted_and_skipped(ends: Ends) -> None:
    control, worker = ends
    os.write(control.fileno(), b"\xc1 no MessagePack")
    os.write(control.fileno(), b"\x80")
    control.send(CloseLeg(leg=3))
    assert worker.receive() == [CloseLeg(leg=3)]
    assert worker.malformed == 2


def test_a_poll_sees_messages_and_the_end(ends: Ends) -> None:
    control, worker = ends
    poll = select.poll()
    poll.register(worker.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    control.send(CloseLeg(leg=3))
    assert poll.poll(0)
    worker.receive()
    control.close()
    assert poll.poll(0)
    assert worker.receive() == []
    assert worker.ended


def test_the_worker_takes_its_end_from_a_descriptor() -> None:
    control, worker = channel.pair()
    high = os.dup2(worker.fileno(), worker.fileno() + 100)
    other = channel.worker_end(high)
    assert other.fileno() < high  # select(2) takes none from 1024 on
    worker.close()
    control.send(CloseLeg(leg=9))
    assert other.receive() == [CloseLeg(leg=9)]
    other.close()
    assert control.receive() == []
    assert control.ended
    control.close()
