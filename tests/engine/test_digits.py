"""Keys typed ahead: each is given to exactly one asker, in order."""

import asyncio

from flexml.engine.digits import MAX_AHEAD, DigitQueue


def test_keys_come_in_the_order_pressed():
    async def scenario() -> list[str | None]:
        queue = DigitQueue()
        for key in "12#":
            queue.push(key)
        return [await queue.get(), await queue.get(), await queue.get(), await queue.get(0)]

    assert asyncio.run(scenario()) == ["1", "2", "#", None]


def test_a_key_pressed_later_wakes_who_waits():
    async def scenario() -> str | None:
        queue = DigitQueue()
        asyncio.get_running_loop().call_soon(queue.push, "7")
        return await queue.get(1)

    assert asyncio.run(scenario()) == "7"


def test_only_the_wanted_key_is_taken():
    async def scenario() -> tuple[str, str | None]:
        queue = DigitQueue()
        queue.push("1")
        asyncio.get_running_loop().call_soon(queue.push, "*")
        return await queue.get_one_of("*#"), await queue.get(0)

    assert asyncio.run(scenario()) == ("*", "1")


def test_forgotten_and_excess_keys_are_gone():
    async def scenario() -> list[str | None]:
        queue = DigitQueue()
        queue.push("1")
        queue.clear()
        for number in range(MAX_AHEAD + 1):
            queue.push(str(number % 10))
        return [await queue.get()]

    assert asyncio.run(scenario()) == ["1"]
