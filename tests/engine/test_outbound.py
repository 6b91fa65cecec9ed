"""Calls that are due: placed once each, and not any more once the engine stops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from flexml.engine.db import Database
from flexml.engine.directory import Directory
from flexml.engine.lives import Lives
from flexml.engine.outbound import Outbound
from flexml.engine.outbox import Outbox
from flexml.engine.records import Account, CallRecord, Did
from flexml.engine.registry import Registry
from flexml.engine.timeline import Timeline

from .fakes_sip import FakeAgent, run, services, settle
from .flexml.fakes import FakeFetcher
from .stage_fakes import Books

ACCOUNT = Account(sid="a1", login="a", password_hash="")
NUMBER = "15162065319"


def due(sid: str) -> CallRecord:
    order = {"called_did": "sip:bob@host", "calling_did": NUMBER, "url": "http://app/start"}
    return CallRecord(
        sid=sid, account="a1", direction="outbound", from_number=NUMBER, to_number="bob", state="live", started=1.0,
        due=1.0, order=order,
    )  # fmt: skip


class Due(Books):
    """Two calls that are due at once; the engine is stopped while the first is begun."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry, self.placing = registry, list[str]()

    async def patiently(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    async def claim_due_calls(self, now: float) -> list[CallRecord]:
        return [due(f"00000000-0000-4000-8000-00000000000{number}") for number in (1, 2)]

    async def begin_placing(self, sid: str) -> bool:
        self.placing.append(sid[-1])
        self._registry.draining = True
        return True

    async def next_due(self) -> float | None:
        return None


def test_calls_that_are_due_as_the_engine_stops_wait_for_its_next_start() -> None:
    async def main() -> None:
        registry, directory, agent = Registry(), Directory("US"), FakeAgent()
        directory.load([ACCOUNT], [Did(sid="d1", phonenumber=NUMBER, account="a1")])
        books = Due(registry)
        lives = Lives(
            registry=registry, agent=agent, fetcher=FakeFetcher({}), outbox=cast("Outbox", books),
            database=cast("Database", books), timeline=cast("Timeline", books),
        )  # fmt: skip
        outbound = Outbound(
            lives=lives, directory=directory, services=services(agent), database=cast("Database", books),
            clock=lambda: 2.0,
        )  # fmt: skip
        await outbound.start()
        await settle()
        await lives.drain(10)
        assert (books.placing, agent.said, len(lives)) == (["1"], [], 0)
        await outbound.close()

    run(main())
