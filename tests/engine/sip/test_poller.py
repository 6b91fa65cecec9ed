"""Driving the SIP stack, in virtual time."""

from __future__ import annotations

import asyncio
import socket

from flexml.engine.sip.poller import BURST_S, BUSY_POLL_S, IDLE_POLL_S, Poller

from .. import virtual_time


class Stack:
    """Has `waiting` rounds of events, each of which takes `round_s` by the loop's clock."""

    def __init__(self, waiting: int = 0, round_s: float = 0.0) -> None:
        self.waiting, self.round_s = waiting, round_s
        self.handled: list[float] = []
        self.swept = 0
        self.busy = False
        self.passed_s = 0.0
        self.readable, self.peer = socket.socketpair()
        self.readable.setblocking(False)

    def poller(self) -> Poller:
        loop = asyncio.get_running_loop()
        clock = loop.time
        loop.time = lambda: clock() + self.passed_s
        return Poller(self.readable.fileno(), self.handle, busy=lambda: self.busy, after=self.sweep)

    def handle(self) -> int:
        self.handled.append(asyncio.get_running_loop().time())
        if not self.waiting:
            return 0
        self.waiting -= 1
        self.passed_s += self.round_s
        return 1

    def sweep(self) -> None:
        self.swept += 1

    def close(self) -> None:
        self.readable.close()
        self.peer.close()


def test_timers_are_looked_after_more_often_with_calls() -> None:
    async def main() -> list[float]:
        stack = Stack()
        poller = stack.poller()
        poller.start()
        await asyncio.sleep(IDLE_POLL_S / 2)
        stack.busy = True
        await asyncio.sleep(IDLE_POLL_S / 2 + BUSY_POLL_S * 1.5)
        poller.stop()
        await asyncio.sleep(1)
        stack.close()
        return stack.handled

    assert virtual_time.run(main()) == [0, IDLE_POLL_S, IDLE_POLL_S + BUSY_POLL_S]


def test_a_burst_ends_when_its_time_is_up_and_what_waits_is_counted() -> None:
    async def main() -> None:
        stack = Stack(waiting=5, round_s=BURST_S / 2)
        poller = stack.poller()
        poller.start()
        assert (stack.waiting, stack.swept) == (3, 1)
        assert poller.behind_s == BURST_S
        poller.stop()
        stack.close()

    virtual_time.run(main())


def test_a_message_is_handled_at_once_and_none_after_the_stop() -> None:
    async def main() -> None:
        stack = Stack()
        poller = stack.poller()
        poller.start()
        stack.peer.send(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(stack.handled) > 1
        assert asyncio.get_running_loop().time() == 0
        poller.stop()
        handled = len(stack.handled)
        await asyncio.sleep(1)
        assert len(stack.handled) == handled
        stack.close()

    virtual_time.run(main())
