"""Parties that are called: when they are heard, what is no answer, and how they end without holding anybody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flexml.codecs.catalog import PCMA, PCMU
from flexml.engine.config import Trunk
from flexml.engine.dial import Destination
from flexml.engine.errors import MediaError
from flexml.engine.exchange import CLOSE_TIMEOUT_S, Caller, Exchange, Way
from flexml.engine.leg import LegSettings
from flexml.engine.media_client import MediaClient
from flexml.engine.party import Party
from flexml.engine.ports import PortPool
from flexml.engine.reach import Reach, Unreached
from flexml.engine.registry import Registry
from flexml.engine.sip.events import Accepted, Ended, Progressed
from flexml.engine.sip.trunks import Trunks
from flexml.media.events import LegHeard, LegSilent

from .fakes_sip import OFFER, FakeAgent, FakeWorker, run, settle

SETTINGS = LegSettings(address="127.0.0.1", advertised="127.0.0.1", codecs=(PCMU, PCMA))
URI = "sip:bob@127.0.0.1:9"


@dataclass
class Bed:
    """An exchange between a SIP agent and a media worker that a test plays."""

    agent: FakeAgent = field(default_factory=FakeAgent)
    client: MediaClient = field(default_factory=MediaClient)
    ports: PortPool = field(default_factory=lambda: PortPool(20000, 20009))
    registry: Registry = field(default_factory=Registry)
    trunks: Trunks = field(default_factory=lambda: Trunks([]))
    noted: list[tuple[str, dict[str, object]]] = field(default_factory=list[tuple[str, dict[str, object]]])

    def __post_init__(self) -> None:
        self.worker = FakeWorker(self.client)
        self.exchange = Exchange(
            agent=self.agent, dialogs=self.registry, settings=SETTINGS, ports=self.ports, media=self.client,
            trunks=self.trunks, region="US", clock=lambda: 0.0,
        )  # fmt: skip

    async def call(self) -> Party:
        return await self.exchange.call(Destination(target=URI), Way(target=URI), Caller(number="100"), None, self.note)

    def note(self, what: str, **details: object) -> None:
        self.noted.append((what, details))


def in_bed(test: Callable[[Bed], Any]) -> Callable[[], None]:
    """Run a test with a bed of its own, in virtual time."""

    async def main() -> None:
        await test(Bed())

    return lambda: run(main())


@in_bed
async def test_a_party_is_audible_when_it_is_heard(bed: Bed) -> None:
    party = await bed.call()
    heard: list[str] = []
    party.on_audible = lambda: heard.append("heard")
    bed.registry.on_event(Progressed(dialog=1, status=183, sdp=OFFER))
    await settle()
    assert heard == []
    bed.worker.send(LegHeard(leg=1, address="127.0.0.1", port=9000))
    await settle()
    assert heard == ["heard"]


@in_bed
async def test_a_party_that_has_answered_is_not_early_any_more(bed: Bed) -> None:
    party = await bed.call()
    heard: list[str] = []
    party.on_audible = lambda: heard.append("heard")
    bed.registry.on_event(Accepted(dialog=1, sdp=OFFER))
    bed.worker.send(LegHeard(leg=1, address="127.0.0.1", port=9000))
    await settle()
    assert (heard, party.answered.done()) == ([], True)


@in_bed
async def test_a_party_need_not_send_anything_before_its_answer(bed: Bed) -> None:
    party = await bed.call()
    bed.registry.on_event(Progressed(dialog=1, status=183, sdp=OFFER))
    bed.worker.send(LegSilent(leg=1, silent=60000))
    await settle()
    before = list(bed.agent.said)
    bed.registry.on_event(Accepted(dialog=1, sdp=OFFER))
    bed.worker.send(LegSilent(leg=1, silent=60000))
    await settle()
    assert (party.answered.done(), before, bed.agent.said) == (True, [f"INVITE {URI}"], [f"INVITE {URI}", "BYE"])


@in_bed
async def test_an_answer_without_a_description_is_hung_up(bed: Bed) -> None:
    party = await bed.call()
    bed.registry.on_event(Accepted(dialog=1, sdp=None))
    await settle()
    assert (bed.agent.said[-1], party.answered.done()) == ("BYE", False)
    assert bed.noted[-1][0] == "answer refused"


@in_bed
async def test_a_party_that_answers_and_hangs_up_in_one_moment_has_answered(bed: Bed) -> None:
    reach = Reach(exchange=bed.exchange, caller=Caller(number="100"), note=bed.note, made=lambda _: None, timeout_s=9)
    reaching = asyncio.ensure_future(reach.party(Destination(target=URI)))
    await settle()
    bed.registry.on_event(Accepted(dialog=1, sdp=OFFER))
    bed.registry.on_event(Ended(dialog=1, status=200, reason="OK", by="remote"))
    reached = await reaching
    assert isinstance(reached, Party)
    assert reached.ended.done()


@in_bed
async def test_who_has_no_number_is_anonymous(bed: Bed) -> None:
    for number in ("", "anonymous", "Anonymous", "+1 (516) 206-5338"):
        await bed.exchange.call(Destination(target=URI), Way(target=URI), Caller(number=number), None, bed.note)
    assert bed.agent.from_uris == ["sip:anonymous@anonymous.invalid"] * 3 + ["sip:15162065338@127.0.0.1"]


@pytest.mark.parametrize(("ports", "failure"), [(1, "0 no transport"), (0, "")])
def test_a_call_that_we_have_no_room_for_is_no_failure_of_the_trunk(ports: int, failure: str) -> None:
    async def main() -> None:
        carrier = Trunks([Trunk(name="carrier", uri="sip:192.0.2.1")])
        bed = Bed(ports=PortPool(20000, 20000 + ports), trunks=carrier)
        bed.agent.refuses = "no transport"
        reach = Reach(exchange=bed.exchange, caller=Caller(number="1"), note=bed.note, made=lambda _: None, timeout_s=9)
        assert isinstance(await reach.party(Destination(target="15162065338")), Unreached)
        assert carrier.state("carrier").failure == failure

    run(main())


@in_bed
async def test_a_description_in_an_earlier_response_is_enough(bed: Bed) -> None:
    await bed.call()
    bed.registry.on_event(Progressed(dialog=1, status=183, sdp=OFFER))
    bed.registry.on_event(Accepted(dialog=1, sdp=None))
    await settle()
    assert "BYE" not in bed.agent.said


@in_bed
async def test_where_a_redirection_leads_is_noted(bed: Bed) -> None:
    await bed.call()
    contact = "<sip:premium@elsewhere.example>"
    bed.registry.on_event(Ended(dialog=1, status=302, reason="Moved", by="remote", contact=contact))
    assert ("redirection not followed", {"party": URI, "contact": contact}) in bed.noted


def test_calls_placed_at_once_go_on_to_the_next_trunk_when_one_is_full() -> None:
    async def main() -> None:
        small = Trunk(name="small", uri="sip:127.0.0.1:1", max_calls=1)
        bed = Bed(trunks=Trunks([small, Trunk(name="large", uri="sip:127.0.0.1:2")]))
        reach = Reach(
            exchange=bed.exchange, caller=Caller(number="100"), note=bed.note, made=lambda _: None, timeout_s=5.0
        )
        reached = [asyncio.ensure_future(reach.party(Destination(target="15550002001"))) for _ in range(2)]
        await settle()
        assert [bed.trunks.state(name).calls for name in ("small", "large")] == [1, 1]
        assert sorted(one.partition("@")[2] for one in bed.agent.said) == ["127.0.0.1:1", "127.0.0.1:2"]
        assert bed.trunks.state("small").failure == ""
        for one in reached:
            one.cancel()

    run(main())


@in_bed
async def test_a_call_that_could_not_be_placed_takes_no_place(bed: Bed) -> None:
    trunk = Trunk(name="t", uri="sip:127.0.0.1:1", max_calls=1)
    bed.trunks = Trunks([trunk])
    bed = Bed(trunks=bed.trunks, ports=PortPool(20000, 19999))
    with pytest.raises(MediaError):
        await bed.exchange.call(
            Destination(target="100"), Way(target="100", trunk=trunk), Caller(number="1"), None, bed.note
        )
    assert bed.trunks.state("t").calls == 0


@in_bed
async def test_who_ends_a_party_does_not_wait_for_it(bed: Bed) -> None:
    free = len(bed.ports)
    party = await bed.call()
    bed.exchange.end(party)
    assert bed.agent.said[-1] == "BYE"
    await settle()
    assert (len(bed.ports), len(bed.registry)) == (free, 0)


@in_bed
async def test_ending_twice_is_harmless(bed: Bed) -> None:
    party = await bed.call()
    bed.exchange.end(party)
    bed.exchange.end(party)
    await bed.exchange.close()
    assert len(bed.registry) == 0


@in_bed
async def test_a_worker_that_does_not_answer_holds_the_exchange_up_for_a_while_only(bed: Bed) -> None:
    party = await bed.call()
    bed.worker.closes = False
    began = asyncio.get_running_loop().time()
    bed.exchange.end(party)
    await bed.exchange.close()
    assert asyncio.get_running_loop().time() - began <= CLOSE_TIMEOUT_S
    assert len(bed.registry) == 0
