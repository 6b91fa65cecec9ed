"""Keeps trunks registered and asks whether they live, for as long as the engine runs.

A registration that fails is tried again, later each time; one that stands is renewed by the SIP stack. A trunk
that leaves OPTIONS unanswered is dead until it answers again. Runs on the event loop's thread by its timers;
what it finds out goes into `sip.trunks.Trunks`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from .config import Trunk
from .errors import SipError
from .sip.events import OptionsAnswered, RegistrationAnswered, TrunkAgent, TrunkEvent
from .sip.trunks import DEAD, NO_ANSWER, Trunks, line_of

log = logging.getLogger("flexml.trunks")

ANSWER_S: Final = 5.0
"""How long OPTIONS may go without an answer; by UDP it has been sent four times by then."""
FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 300.0
REFUSED: Final = frozenset({400, 401, 403, 404, 405, 407, 420, 606})
"""Answers to REGISTER that asking again will hardly change: mistakes of a configuration, here or there."""


def retry_after_s(status: int, failures: int, asked_s: int = 0) -> float:
    """How long to wait after failure number `failures` (from 1) in a row: doubling, or as the registrar asked."""
    if asked_s:
        return min(max(float(asked_s), FIRST_RETRY_S), LONGEST_RETRY_S)
    if status in REFUSED:
        return LONGEST_RETRY_S
    return float(min(FIRST_RETRY_S * 2 ** min(failures - 1, 16), LONGEST_RETRY_S))


class TrunkUpkeep:
    """`clock` gives seconds since the epoch; `spread` gives 0 to 1, so that engines do not retry in step."""

    def __init__(
        self, trunks: Trunks, agent: TrunkAgent, *, clock: Callable[[], float], spread: Callable[[], float]
    ) -> None:
        self._trunks, self._agent, self._clock, self._spread = trunks, agent, clock, spread
        self._failures: dict[str, int] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Add every trunk to the agent, which runs by now. Raises SipError for one that it does not take."""
        for trunk in self._trunks.all:
            self._agent.add_trunk(line_of(trunk), self.on_event)
            if trunk.register:
                self._register(trunk.name)
            if trunk.options_s:
                self._ask(trunk)

    async def close(self) -> None:
        """Do nothing more. The agent takes registrations back when it closes."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def on_event(self, event: TrunkEvent) -> None:
        """Take what came of a REGISTER or an OPTIONS."""
        match event:
            case RegistrationAnswered():
                self._registration(event)
            case OptionsAnswered():
                self._options(event)

    # ---- registration -----------------------------------------------------------------------------------------

    def _register(self, name: str) -> None:
        try:
            self._agent.register(name)
        except SipError as error:
            self._retry(name, NO_ANSWER, str(error))

    def _registration(self, event: RegistrationAnswered) -> None:
        name = event.trunk
        if 200 <= event.status < 300 and event.expires_s:
            if self._trunks.state(name).registered_until is None:
                log.info("trunk %s: registered for %d s", name, event.expires_s)
            self._failures[name] = 0
            self._trunks.registered(name, self._clock() + event.expires_s)
        else:
            said = (
                f"{event.status} {event.reason}" if event.status >= 300 else f"{event.status}, but for no time at all"
            )
            self._retry(name, event.status, f"REGISTER: {said}", event.retry_after_s)

    def _retry(self, name: str, status: int, failure: str, asked_s: int = 0) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        delay = retry_after_s(status, failures, asked_s) * (1 + 0.25 * self._spread())
        log.warning("trunk %s: not registered: %s; again in %.1f s", name, failure, delay)
        self._trunks.unregistered(name)
        self._trunks.failed(name, failure, self._clock())
        self._later("register", name, delay, lambda: self._register(name))

    # ---- keep-alive -------------------------------------------------------------------------------------------

    def _ask(self, trunk: Trunk) -> None:
        name = trunk.name
        self._later("ask", name, trunk.options_s, lambda: self._ask(trunk))
        failure = f"OPTIONS: no answer within {ANSWER_S:.0f} s"
        if ("silence", name) not in self._timers:
            self._later("silence", name, ANSWER_S, lambda: self._dead(name, failure))
        try:
            self._agent.ask(name)
        except SipError as error:
            self._dead(name, str(error))

    def _options(self, event: OptionsAnswered) -> None:
        if not event.received and (event.status == 408 or ("silence", event.trunk) not in self._timers):
            return  # the stack gives up long after we have, maybe after a later request was answered
        if event.received and event.status not in DEAD:
            self._alive(event.trunk)
        else:
            self._dead(event.trunk, f"OPTIONS: {event.status} {event.reason}")

    def _alive(self, name: str) -> None:
        self._stop("silence", name)
        if not self._trunks.set_reachable(name, True):
            return
        log.info("trunk %s: answers again", name)
        if self._trunks.state(name).register:  # if it was started anew, it knows nothing of us any more
            self._later("register", name, 0, lambda: self._register(name))

    def _dead(self, name: str, failure: str) -> None:
        self._stop("silence", name)
        if self._trunks.set_reachable(name, False):
            log.warning("trunk %s: out of routing: %s", name, failure)
        self._trunks.failed(name, failure, self._clock())

    # ---- timers -----------------------------------------------------------------------------------------------

    def _later(self, what: str, name: str, delay_s: float, do: Callable[[], None]) -> None:
        self._stop(what, name)

        def run() -> None:
            self._timers.pop((what, name), None)
            do()

        self._timers[what, name] = asyncio.get_running_loop().call_later(delay_s, run)

    def _stop(self, what: str, name: str) -> None:
        if timer := self._timers.pop((what, name), None):
            timer.cancel()
