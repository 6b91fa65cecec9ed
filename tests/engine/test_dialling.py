"""A dial without a network: how long it rings, and whether the caller had something to hear meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flexml.engine.dial import Destination, Dialled, DialRequest
from flexml.engine.dialling import Dialling
from flexml.engine.exchange import Caller
from flexml.engine.sip.events import Ended

from .fakes_sip import run, settle
from .test_exchange import URI, Bed


class FakeCaller:
    """A caller who has been answered, and whom a tone is played to."""

    answered = True
    leg = SimpleNamespace(media=None)

    def start_tone(self, tone: str) -> object:
        del tone
        return SimpleNamespace(stop=lambda: None)

    def outlive(self, yes: bool) -> None: ...

    def note(self, what: str, **details: object) -> None: ...


def dialled(busy_after_s: float, **request: Any) -> tuple[Dialled, list[str], float]:
    """What became of a dial to a party that is busy after so long, what it was sent, and how long that took."""
    made: list[tuple[Dialled, list[str], float]] = []

    async def main() -> None:
        bed, clock = Bed(), asyncio.get_running_loop().time
        began = clock()
        wanted = DialRequest(destinations=[Destination(target=URI)], **request)
        dialling = Dialling(cast("Any", FakeCaller()), bed.exchange, wanted, Caller(number="100"), "us")
        running = asyncio.ensure_future(dialling.run())
        await asyncio.wait({running}, timeout=busy_after_s)
        bed.registry.on_event(Ended(dialog=1, status=486, reason="Busy Here", by="remote"))
        made.append((await running, bed.agent.said, clock() - began))
        await settle()

    run(main())
    return made[0]


@pytest.mark.parametrize(
    ("after_s", "ringing", "heard"), [(2, "true", True), (0.1, "true", False), (2, "false", False)]
)
def test_a_dial_that_failed_was_heard_where_something_was_to_be_heard_for_a_while(
    after_s: float, ringing: Any, heard: bool
) -> None:
    found, _, _ = dialled(after_s, ringing=ringing)
    assert found == Dialled(status="busy", number=URI, heard=heard)


def test_who_has_not_answered_in_time_is_cancelled() -> None:
    found, said, took_s = dialled(9, timeout_s=3)
    assert (found.status, took_s) == ("noanswer", 3)
    assert said[:2] == [f"INVITE {URI}", "BYE"]


def test_a_timeout_of_nothing_calls_nobody() -> None:
    found, said, _ = dialled(1, timeout_s=0)
    assert (found, said) == (Dialled(status="noanswer", number=URI), [])
