"""The way of events to calls, and of INVITEs that get none."""

from __future__ import annotations

import asyncio

import pytest
from flexml.engine.errors import MediaError, NotAcceptable
from flexml.engine.registry import LiveCall, Refusal, Registry
from flexml.engine.sip.events import Invited

from .fakes_sip import FakeAgent, run, settle

INVITE = Invited(
    dialog=1, request_uri="sip:1@127.0.0.1", from_uri="sip:2@127.0.0.1", to_uri="sip:1@127.0.0.1",
    call_id="id", headers=(), offer=None, source="127.0.0.1:5060", transport="udp",
)  # fmt: skip


def unknown(_: Invited) -> LiveCall | Refusal:
    return Refusal(status=404, why="no DID")


def full(_: Invited) -> LiveCall | Refusal:
    raise MediaError("no media worker can take another leg")


@pytest.mark.parametrize(
    ("admit", "draining", "status"), [(unknown, False, "404"), (full, False, "503"), (unknown, True, "503")]
)
def test_an_invite_that_gets_no_call_is_refused_from_the_loop(admit: object, draining: bool, status: str) -> None:
    async def main() -> None:
        registry, agent = Registry(), FakeAgent()
        registry.agent, registry.admit, registry.draining = agent, admit, draining  # type: ignore[assignment]
        registry.on_event(INVITE)
        assert agent.said == [], "a listener tells the agent nothing from within an event"
        with pytest.raises(NotAcceptable):
            registry.on_offer(1, None)
        await settle()
        assert agent.said == [status]
        assert len(registry) == 0
        await asyncio.sleep(0)

    run(main())
