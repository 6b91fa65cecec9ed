"""Registration and keep-alive of trunks, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from flexml.engine.config import Trunk
from flexml.engine.errors import SipError
from flexml.engine.sip.events import OptionsAnswered, RegistrationAnswered, TrunkEvent, TrunkLine
from flexml.engine.sip.trunks import Trunks
from flexml.engine.trunk_upkeep import TrunkUpkeep, retry_after_s

from . import virtual_time

RETRIES = [
    (503, 1, 0, 2),
    (503, 2, 0, 4),
    (503, 4, 0, 16),
    (503, 8, 0, 256),
    (503, 9, 0, 300),
    (503, 10_000, 0, 300),
    (408, 1, 0, 2),
    (0, 1, 0, 2),
    (403, 1, 0, 300),
    (401, 1, 0, 300),
    (503, 1, 20, 20),
    (503, 5, 1, 2),
    (503, 1, 10**12, 300),
]


@pytest.mark.parametrize(("status", "failures", "asked", "seconds"), RETRIES)
def test_a_retry_comes_later_each_time_or_as_the_registrar_asks(
    status: int, failures: int, asked: int, seconds: float
) -> None:
    assert retry_after_s(status, failures, asked) == seconds


class Carrier:
    """Implements `TrunkAgent`: keeps when it was asked what, and answers what a test has prepared, else nothing."""

    def __init__(self) -> None:
        self.said: list[tuple[float, str]] = []
        self.lines: list[TrunkLine] = []
        self.registrations: list[RegistrationAnswered | SipError] = []
        self.options: Callable[[], OptionsAnswered | SipError | None] = lambda: None
        self._told: Callable[[TrunkEvent], None] = lambda _: None

    def add_trunk(self, line: TrunkLine, told: Callable[[TrunkEvent], None]) -> None:
        self.lines.append(line)
        self._told = told

    def register(self, trunk: str) -> None:
        self._say("REGISTER")
        self._answer(self.registrations.pop(0) if self.registrations else None)

    def ask(self, trunk: str) -> None:
        self._say("OPTIONS")
        self._answer(self.options())

    def tell(self, event: TrunkEvent) -> None:
        self._told(event)

    def at(self, what: str) -> list[float]:
        return [when for when, said in self.said if said == what]

    def _say(self, what: str) -> None:
        self.said.append((asyncio.get_running_loop().time(), what))

    def _answer(self, answer: TrunkEvent | SipError | None) -> None:
        if isinstance(answer, SipError):
            raise answer
        if answer is not None:
            asyncio.get_running_loop().call_later(0.1, self._told, answer)


def registration(status: int, expires_s: int = 0, retry_after_s: int = 0) -> RegistrationAnswered:
    return RegistrationAnswered(
        trunk="t", status=status, reason="Why", expires_s=expires_s, retry_after_s=retry_after_s
    )


def options(status: int, *, received: bool = True) -> OptionsAnswered:
    return OptionsAnswered(trunk="t", status=status, reason="Why", received=received)


def run(carrier: Carrier, scenario: Callable[[Trunks], Coroutine[None, None, None]], **settings: object) -> Trunks:
    trunks = Trunks([Trunk(name="t", uri="sip:c", username="me", **settings)])  # pyright: ignore[reportArgumentType]

    async def main() -> None:
        upkeep = TrunkUpkeep(trunks, carrier, clock=lambda: 1000 + asyncio.get_running_loop().time(), spread=float)
        await upkeep.start()
        await scenario(trunks)
        await upkeep.close()
        before = len(carrier.said)
        await asyncio.sleep(1000)
        assert len(carrier.said) == before

    virtual_time.run(main())
    return trunks


def test_a_trunk_that_needs_neither_is_added_and_left_alone() -> None:
    carrier = Carrier()

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(100)
        assert trunks.route("1") != []

    run(carrier, scenario)
    assert (carrier.said, [line.name for line in carrier.lines]) == ([], ["t"])


def test_a_registration_stands_until_the_time_granted() -> None:
    carrier = Carrier()
    carrier.registrations = [registration(200, 60)]

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(1)
        assert trunks.state("t").registered_until == pytest.approx(1060.1)
        carrier.tell(registration(200, 60))  # the stack has renewed it
        assert trunks.state("t").registered_until == pytest.approx(1061.0)

    run(carrier, scenario, register=True)
    assert carrier.at("REGISTER") == [0]


def test_a_registration_for_no_time_is_none_and_is_tried_again() -> None:
    carrier = Carrier()
    carrier.registrations = [registration(200, 0), registration(200, 60)]

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(1)
        assert (trunks.route("1"), trunks.state("t").failure) == ([], "REGISTER: 200, but for no time at all")
        await asyncio.sleep(5)
        assert len(trunks.route("1")) == 1

    run(carrier, scenario, register=True)
    assert carrier.at("REGISTER") == pytest.approx([0, 2.1])


def test_a_registration_is_tried_again_with_growing_pauses_until_it_succeeds() -> None:
    carrier = Carrier()
    carrier.registrations = [registration(503), SipError("no route"), registration(408), registration(200, 300)]

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(7)
        assert trunks.route("1") == []
        await asyncio.sleep(60)
        assert len(trunks.route("1")) == 1

    trunks = run(carrier, scenario, register=True)
    assert carrier.at("REGISTER") == pytest.approx([0, 2.1, 6.1, 14.2])
    assert trunks.state("t").failure == "REGISTER: 408 Why"
    assert trunks.state("t").failed == pytest.approx(1006.2)


def test_a_success_makes_the_next_pause_short_again() -> None:
    carrier = Carrier()
    carrier.registrations = [registration(503), registration(503), registration(200, 300), registration(200, 300)]

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(100)
        carrier.tell(registration(503))  # a renewal by the stack
        assert trunks.route("1") == []
        await asyncio.sleep(10)
        assert len(trunks.route("1")) == 1

    run(carrier, scenario, register=True)
    assert carrier.at("REGISTER") == pytest.approx([0, 2.1, 6.2, 102])


def test_the_registrar_is_obeyed_when_it_says_how_long_to_wait() -> None:
    carrier = Carrier()
    carrier.registrations = [registration(503, retry_after_s=30)]

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(40)
        assert trunks.route("1") == []

    run(carrier, scenario, register=True)
    assert carrier.at("REGISTER") == pytest.approx([0, 30.1])


def test_a_trunk_is_asked_regularly_and_dead_after_silence_until_it_answers() -> None:
    carrier = Carrier()
    silent = False
    carrier.options = lambda: None if silent else options(200)

    async def scenario(trunks: Trunks) -> None:
        nonlocal silent
        await asyncio.sleep(25)
        assert trunks.state("t").reachable
        silent = True
        await asyncio.sleep(9)  # asked at 30
        assert trunks.state("t").reachable
        await asyncio.sleep(2)
        assert (trunks.state("t").reachable, trunks.route("1")) == (False, [])
        assert trunks.state("t").failure == "OPTIONS: no answer within 5 s"
        silent = False
        await asyncio.sleep(10)
        assert trunks.state("t").reachable

    run(carrier, scenario, options_s=10)
    assert carrier.at("OPTIONS") == pytest.approx([0, 10, 20, 30, 40])


ANSWERS = [
    (options(200), True),
    (options(404), True),
    (options(405), True),
    (options(486), True),
    (options(500), True),
    (options(503), False),
    (options(408), False),
    (options(503, received=False), False),
    (SipError("no transport"), False),
]


@pytest.mark.parametrize(("answer", "lives"), ANSWERS, ids=str)
def test_any_answer_is_a_sign_of_life_but_those_that_tell_of_death(
    answer: OptionsAnswered | SipError, lives: bool
) -> None:
    carrier = Carrier()
    carrier.options = lambda: answer

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(1)
        assert trunks.state("t").reachable is lives

    run(carrier, scenario, options_s=30)


def test_a_timeout_of_the_stack_does_not_bury_who_has_answered_since() -> None:
    carrier = Carrier()

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(6)
        assert not trunks.state("t").reachable
        carrier.options = lambda: options(200)
        await asyncio.sleep(10)
        carrier.tell(options(408, received=False))
        carrier.tell(options(503, received=False))
        assert trunks.state("t").reachable

    run(carrier, scenario, options_s=10)


def test_silence_is_counted_from_the_first_request_that_went_unanswered() -> None:
    carrier = Carrier()

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(5.5)
        assert not trunks.state("t").reachable

    run(carrier, scenario, options_s=1)


def test_a_trunk_that_lives_again_is_registered_anew_as_it_may_have_forgotten_us() -> None:
    carrier = Carrier()
    carrier.registrations = [registration(200, 300), registration(200, 300)]
    silent = False
    carrier.options = lambda: None if silent else options(200)

    async def scenario(trunks: Trunks) -> None:
        nonlocal silent
        await asyncio.sleep(15)
        silent = True
        await asyncio.sleep(20)
        assert not trunks.state("t").reachable
        silent = False
        await asyncio.sleep(10)
        assert trunks.state("t").registered_until == pytest.approx(1340.2)

    run(carrier, scenario, register=True, options_s=10)
    assert carrier.at("REGISTER") == pytest.approx([0, 40.1])


def test_a_trunk_that_lives_again_is_registered_at_once() -> None:
    carrier = Carrier()
    carrier.registrations = [*[registration(408)] * 4, registration(200, 300)]

    async def scenario(trunks: Trunks) -> None:
        await asyncio.sleep(25)
        carrier.options = lambda: options(200)
        await asyncio.sleep(1)
        carrier.tell(options(200))
        await asyncio.sleep(1)
        assert len(trunks.route("1")) == 1

    run(carrier, scenario, register=True, options_s=100)
    assert carrier.at("REGISTER") == pytest.approx([0, 2.1, 6.2, 14.3, 26])
