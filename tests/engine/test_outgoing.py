"""An outbound call's life: from the INVITE to who answers, and how it ends where nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from flexml.codecs.catalog import PCMU
from flexml.engine.dial import Destination
from flexml.engine.exchange import Caller, Exchange
from flexml.engine.leg import LegSettings
from flexml.engine.media_client import MediaClient
from flexml.engine.outcome import Outcome
from flexml.engine.outgoing import OutboundCall
from flexml.engine.ports import PortPool
from flexml.engine.registry import Registry
from flexml.engine.sip.events import Accepted, DigitInfo, Ended, Progressed
from flexml.engine.sip.trunks import Trunks

from .fakes_sip import OFFER, FakeAgent, FakeWorker, run, services, settle

Work = Callable[[], Awaitable[None]]
TIMEOUT_S = 20.0


class Scene:
    """One call to a SIP URI, over a fake agent and a fake worker."""

    def __init__(self, *, too_late: bool = False) -> None:
        self.agent, client, self.registry = FakeAgent(), MediaClient(), Registry()
        self.worker, self.ports = FakeWorker(client), PortPool(20000, 20003)
        shared = services(self.agent)
        shared.exchange = Exchange(
            agent=self.agent,
            dialogs=self.registry,
            settings=LegSettings(address="127.0.0.1", advertised="127.0.0.1", codecs=(PCMU,)),
            ports=self.ports,
            media=client,
            trunks=Trunks(()),
            region="US",
            clock=lambda: 0.0,
        )
        self.ran = 0
        self.call = OutboundCall(
            destination=Destination(target="sip:bob@example.com"),
            timeout_s=TIMEOUT_S,
            too_late=too_late,
            sid="sid",
            services=shared,
        )
        self.call.outward.caller = Caller(number="15550001000")

    async def live(self, work: Work | None = None) -> asyncio.Future[Outcome]:
        async def carry_out() -> None:
            self.ran += 1
            await (work() if work else asyncio.Event().wait())

        living = asyncio.ensure_future(self.call.live(carry_out))
        await settle()
        return living

    def say(self, event: Progressed | Accepted | Ended | DigitInfo) -> None:
        self.registry.on_event(event)

    async def end(self, living: asyncio.Future[Outcome]) -> Outcome:
        outcome = await living
        await settle()
        assert len(self.ports) == 2, "every port is back"
        return outcome


def test_documents_run_once_somebody_has_answered_and_keys_are_the_calls() -> None:
    async def main() -> None:
        scene = Scene()
        heard: list[str | None] = []

        async def work() -> None:
            assert scene.call.answered
            heard.append(await scene.call.digit())

        living = await scene.live(work)
        assert scene.agent.said == ["INVITE sip:bob@example.com"]
        scene.say(Progressed(dialog=1, status=180, sdp=None))
        await settle()
        assert (scene.ran, scene.call.answered) == (0, False)
        scene.say(Accepted(dialog=1, sdp=OFFER))
        await settle()
        await asyncio.sleep(3)
        scene.say(DigitInfo(dialog=1, digit="7"))
        await settle()
        assert (heard, scene.agent.said[1:]) == (["7"], ["BYE"])
        scene.say(Ended(dialog=1, status=200, reason="OK", by="local"))
        outcome = await scene.end(living)
        assert (outcome.status, outcome.duration_s, outcome.answered is None) == ("completed", 3, False)

    run(main())


@pytest.mark.parametrize(
    ("status", "by", "word"),
    [(486, "remote", "busy"), (600, "remote", "busy"), (480, "remote", "noanswer"), (408, "remote", "noanswer"),
     (404, "remote", "failed"), (408, "stack", "failed"), (503, "stack", "failed")],
)  # fmt: skip
def test_how_a_call_went_that_nobody_answered(status: int, by: str, word: str) -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live()
        scene.say(Ended(dialog=1, status=status, reason="", by=by))  # type: ignore[arg-type]
        outcome = await scene.end(living)
        assert (outcome.status, outcome.duration_s, scene.ran) == (word, 0, 0)

    run(main())


def test_a_call_that_is_not_answered_in_time_is_cancelled() -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live()
        await asyncio.sleep(TIMEOUT_S + 0.1)
        assert scene.agent.said[1] == "BYE", "the agent makes a CANCEL of it"
        scene.say(Ended(dialog=1, status=487, reason="", by="local"))
        assert (await scene.end(living)).status == "noanswer"

    run(main())


def test_a_call_that_is_ended_while_it_rings_is_cancelled_and_a_late_answer_changes_nothing() -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live()
        scene.call.end()
        await settle()
        assert scene.agent.said[1] == "BYE"
        scene.say(Accepted(dialog=1, sdp=OFFER))
        await settle()
        scene.say(Ended(dialog=1, status=200, reason="", by="local"))
        outcome = await scene.end(living)
        assert (outcome.status, scene.ran) == ("cancel", 0)

    run(main())


def test_a_call_that_is_too_late_is_not_placed() -> None:
    async def main() -> None:
        scene = Scene(too_late=True)
        outcome = await scene.end(await scene.live())
        assert (outcome.status, scene.agent.said) == ("failed", [])

    run(main())
