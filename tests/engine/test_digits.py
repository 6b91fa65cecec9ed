"""Keys: each is counted once however it came, and given to exactly one asker, in order."""

import asyncio
from operator import itemgetter
from typing import Final

import pytest
from flexml.engine.digits import MAX_AHEAD, RANK, DigitMerge, DigitQueue, paced
from flexml.media.protocol import DigitSource
from hypothesis import given
from hypothesis import strategies as st


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


def test_of_keys_typed_ahead_some_may_be_forgotten():
    async def scenario() -> str:
        queue = DigitQueue()
        for key in "*1**2":
            queue.push(key)
        queue.clear("*#")
        return f"{await queue.get()}{await queue.get()}{await queue.get(1)}"

    assert asyncio.run(scenario()) == "12None"


def test_forgotten_and_excess_keys_are_gone():
    async def scenario() -> list[str | None]:
        queue = DigitQueue()
        queue.push("1")
        queue.clear()
        for number in range(MAX_AHEAD + 1):
            queue.push(str(number % 10))
        return [await queue.get()]

    assert asyncio.run(scenario()) == ["1"]


TONE: Final[DigitSource] = "inband"
INFO: Final[DigitSource] = "info"
EVENT: Final[DigitSource] = "rfc4733"

Heard = list[tuple[str, DigitSource, float]]
MERGED: Final[dict[str, tuple[Heard, str]]] = {
    "an event and its tone": ([("1", EVENT, 0), ("1", TONE, 0.1)], "1"),
    "an event and its INFO": ([("1", EVENT, 0), ("1", INFO, 0.01)], "1"),
    "INFO and its tone": ([("1", INFO, 0), ("1", TONE, 0.1)], "1"),
    "a tone leaked before its event": ([("1", TONE, 0), ("1", EVENT, 0.2)], "1"),
    "a tone leaked before its INFO": ([("1", TONE, 0), ("1", INFO, 0.2)], "1"),
    "INFO before its event": ([("1", INFO, 0), ("1", EVENT, 0.2)], "1"),
    "all three, the best last": ([("1", TONE, 0), ("1", INFO, 0.1), ("1", EVENT, 0.2)], "1"),
    "all three, the best first": ([("1", EVENT, 0), ("1", INFO, 0.1), ("1", TONE, 0.2)], "1"),
    "one key twice, tones before events": (
        [("1", TONE, 0), ("1", EVENT, 0.05), ("1", TONE, 0.2), ("1", EVENT, 0.25)],
        "11",
    ),
    "one key twice, both tones before both events": (
        [("1", TONE, 0), ("1", TONE, 0.2), ("1", EVENT, 0.3), ("1", EVENT, 0.5)],
        "11",
    ),
    "one key twice by tone": ([("1", TONE, 0), ("1", TONE, 0.1)], "11"),
    "one key twice by INFO": ([("1", INFO, 0), ("1", INFO, 0.1)], "11"),
    "one key twice by event": ([("1", EVENT, 0), ("1", EVENT, 0.1)], "11"),
    "different keys": ([("1", TONE, 0), ("2", EVENT, 0.1), ("3", EVENT, 0.2)], "123"),
    "a tone long before the same key's event": ([("1", TONE, 0), ("1", EVENT, 0.6)], "11"),
    "a tone long after events": ([("1", EVENT, 0), ("2", TONE, 60)], "1"),
    "a tone long after INFO": ([("1", INFO, 0), ("2", TONE, 60)], "1"),
    "INFO long after events": ([("1", EVENT, 0), ("2", INFO, 60)], "1"),
}


@pytest.mark.parametrize(("heard", "counted"), MERGED.values(), ids=MERGED)
def test_no_key_counts_twice_and_none_is_lost(heard: Heard, counted: str) -> None:
    merge = DigitMerge()
    assert "".join(digit for digit, source, at_s in heard if merge.accept(digit, source, at_s)) == counted


@given(
    presses=st.lists(st.sampled_from("12"), max_size=8),
    pauses=st.lists(st.floats(0.08, 2), min_size=8, max_size=8),
    delays=st.dictionaries(st.sampled_from(sorted(RANK)), st.floats(0, 0.49), min_size=1),
)
def test_a_peer_that_sends_each_key_in_several_ways_is_heard_right(
    presses: list[str], pauses: list[float], delays: dict[DigitSource, float]
) -> None:
    heard: Heard = []
    now_s = 0.0
    for digit, pause in zip(presses, pauses, strict=False):
        heard.extend((digit, source, now_s + delay) for source, delay in delays.items())
        now_s += pause
    merge = DigitMerge()
    counted = [digit for digit, source, at_s in sorted(heard, key=itemgetter(2)) if merge.accept(digit, source, at_s)]
    assert counted == presses


def test_any_source_counts_again_once_the_peer_may_be_another() -> None:
    merge = DigitMerge()
    assert merge.accept("1", EVENT, 0)
    merge.renew()
    assert merge.accept("2", TONE, 1)
    assert merge.accept("3", INFO, 2)
    assert not merge.accept("3", TONE, 2.1)


def test_keys_are_paced_and_pauses_are_honoured() -> None:
    assert paced("1,wW#") == [("1", 0.2), ("", 0.5), ("", 0.5), ("", 1.0), ("#", 0.2)]
