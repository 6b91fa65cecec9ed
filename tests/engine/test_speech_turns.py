"""Turns: the earliest due is served first."""

from __future__ import annotations

import asyncio

import pytest
from flexml.engine.speech.turns import Turns


def test_the_earliest_due_is_served_first() -> None:
    async def run() -> list[float]:
        turns, served = Turns(1), list[float]()

        async def take(due: float) -> None:
            async with turns.turn(due):
                served.append(due)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for due in (0, 7, 3, 5, 1, 3):
                group.create_task(take(due))
        return served

    assert asyncio.run(run()) == [0, 1, 3, 3, 5, 7]


@pytest.mark.parametrize("size", [1, 3])
def test_no_more_turns_at_a_time_than_there_are(size: int) -> None:
    async def run() -> int:
        turns, at_once, most = Turns(size), 0, 0

        async def take() -> None:
            nonlocal at_once, most
            async with turns.turn(0):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0)
                at_once -= 1

        await asyncio.gather(*(take() for _ in range(10)))
        return most

    assert asyncio.run(run()) == size


def test_who_leaves_while_waiting_takes_no_turn_along() -> None:
    async def run() -> None:
        turns = Turns(1)
        entered = asyncio.Event()

        async def take() -> None:
            async with turns.turn(0):
                entered.set()
                await asyncio.sleep(3600)

        first = asyncio.create_task(take())
        await entered.wait()
        waiting = [asyncio.create_task(take()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # while it waits
        await asyncio.sleep(0)
        first.cancel()
        entered.clear()
        await entered.wait()  # the second waiting one has it now
        waiting[1].cancel()
        await asyncio.gather(first, *waiting[:2], return_exceptions=True)
        waiting[2].cancel()  # in the moment when it is given the turn, or just after
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(5), turns.turn(0):
            pass

    asyncio.run(run())
