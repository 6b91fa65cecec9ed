"""A call's life: when it is answered, how it ends, and what it tells of itself then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from flexml.codecs.catalog import PCMU
from flexml.engine.call import Call
from flexml.engine.config import Dtmf, Trunk
from flexml.engine.flexml.verb import Goto, Prompt
from flexml.engine.leg import Leg, LegSettings
from flexml.engine.media_client import MediaClient
from flexml.engine.messages import Messages
from flexml.engine.outcome import Outcome
from flexml.engine.ports import PortPool
from flexml.engine.sip.events import Acknowledged, DigitInfo, Ended, MessageAnswered
from flexml.media.events import CommandFailed, LegHeard, LegSilent
from flexml.media.protocol import SendDigits, StopPlay

from .fakes_sip import OFFER, OFFER_WITHOUT_EVENTS, FakeAgent, FakeWorker, run, services, settle
from .flexml.fakes import FakeFetcher

PROMPT = Prompt(path="/tone", rate_hz=8000, duration_ms=9000, url="http://app/tone.wav")
BYE = Ended(dialog=1, status=200, reason="OK", by="remote")
Work = Callable[[], Awaitable[None]]


class Scene:
    """A call with its agent, its worker and its ports."""

    def __init__(self, offer: str | None = OFFER, *, dtmf: Dtmf = "auto") -> None:
        self.agent, client = FakeAgent(), MediaClient()
        self.worker = FakeWorker(client)
        self.ports = PortPool(20000, 20003)
        self.call = Call(sid="sid", dialog=1, services=services(self.agent))
        settings = LegSettings(address="127.0.0.1", advertised="127.0.0.1", codecs=(PCMU,), dtmf=dtmf)
        self.call.media.attach(Leg(settings, self.ports, client, self.call.media))
        self.call.on_offer(offer)

    async def live(self, work: Work) -> asyncio.Future[Outcome]:
        living = asyncio.ensure_future(self.call.live(work))
        await settle()
        return living

    async def answer(self) -> None:
        self.call.on_sip_event(Acknowledged(dialog=1, sdp=None))
        await self.call.answer()

    async def play(self, loops: int = 1) -> None:
        await self.answer()
        await self.call.play(PROMPT, loops=loops)

    async def end(self, living: asyncio.Future[Outcome], event: Ended = BYE) -> Outcome:
        self.call.on_sip_event(event)
        outcome = await living
        assert len(self.ports) == 2, "the port is back, once"
        return outcome


@pytest.mark.parametrize(("heard", "acknowledged", "ready_s"), [(True, False, 0.0), (False, True, 0.1)])
def test_audio_may_flow_at_the_first_packet_or_soon_after_ack(heard: bool, acknowledged: bool, ready_s: float) -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live(asyncio.Event().wait)  # type: ignore[arg-type]
        answering = asyncio.ensure_future(scene.call.answer())
        await asyncio.sleep(3)
        assert scene.agent.said == ["200"]
        assert not answering.done()
        if heard:
            scene.worker.send(LegHeard(leg=1, address="127.0.0.1", port=9000))
        if acknowledged:
            scene.call.on_sip_event(Acknowledged(dialog=1, sdp=None))
        await answering
        assert asyncio.get_running_loop().time() == pytest.approx(3 + ready_s)
        await scene.end(living)

    run(main())


@pytest.mark.parametrize(("lasts_s", "told"), [(0.9, []), (1.1, [True])])
def test_the_answer_of_a_call_that_lives_on_is_told_of_a_second_later(lasts_s: float, told: list[bool]) -> None:
    async def main() -> None:
        scene, changes = Scene(), list[bool]()
        scene.call.changed = lambda: changes.append(scene.call.outcome.answered is not None)
        living = await scene.live(scene.play)
        await asyncio.sleep(lasts_s)
        await scene.end(living)
        await asyncio.sleep(5)
        assert changes == told

    run(main())


def test_a_bye_during_a_play_stops_it_and_tells_how_far_it_came() -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live(scene.play)
        await asyncio.sleep(4.1)
        outcome = await scene.end(living)
        assert len(scene.worker.got(StopPlay)) == 1
        assert (outcome.status, outcome.duration_s, outcome.sip_status, outcome.by) == ("completed", 4, 200, "remote")
        assert outcome.played_url == PROMPT.url
        assert outcome.play_offset_ms == pytest.approx(4000, abs=50)
        assert scene.agent.said == ["200"], "nothing more is said in a dialog that is over"

    run(main())


def test_what_is_heard_while_a_play_is_paused_is_not_what_was_played() -> None:
    async def main() -> None:
        scene = Scene()

        async def work() -> None:
            await scene.answer()
            playing = scene.call.start(PROMPT)
            await asyncio.sleep(2)
            playing.stop()
            await scene.call.play(replace(PROMPT, url="http://app/pause.wav", beside=True))

        living = await scene.live(work)
        await asyncio.sleep(4.1)
        outcome = await scene.end(living)
        assert outcome.played_url == PROMPT.url
        assert outcome.play_offset_ms == pytest.approx(2000, abs=50)

    run(main())


def test_what_is_to_be_heard_in_the_background_ends_with_the_call() -> None:
    ended: list[str] = []

    async def main() -> None:
        scene = Scene()

        async def fetch() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("fetch")

        async def work() -> None:
            await scene.answer()
            scene.call.in_background(fetch)
            await asyncio.Event().wait()

        living = await scene.live(work)
        await asyncio.sleep(4.1)
        assert ended == []
        await scene.end(living)
        assert ended == ["fetch"]

    run(main())


@pytest.mark.parametrize(
    ("rejected", "by", "status"),
    [(None, "remote", "cancel"), (486, "local", "busy"), (600, "local", "busy"), (480, "local", "noanswer"),
     (403, "local", "failed"), (None, "stack", "failed")],
)  # fmt: skip
def test_how_an_unanswered_call_went(rejected: int | None, by: str, status: str) -> None:
    async def main() -> None:
        scene = Scene()

        async def work() -> None:
            if rejected:
                await scene.call.reject(rejected)
            await asyncio.Event().wait()

        living = await scene.live(work)
        outcome = await scene.end(living, Ended(dialog=1, status=rejected or 487, reason="", by=by))  # type: ignore[arg-type]
        assert (outcome.status, outcome.duration_s) == (status, 0)
        assert scene.agent.said == ([str(rejected)] if rejected else [])

    run(main())


@pytest.mark.parametrize(
    ("rejected", "reason", "status"), [(None, "", "cancel"), (None, "stopping", "failed"), (486, "", "busy")]
)
def test_how_an_unanswered_call_went_that_was_ended_from_our_side(
    rejected: int | None, reason: str, status: str
) -> None:
    async def main() -> None:
        scene = Scene()

        async def work() -> None:
            if rejected:
                await scene.call.reject(rejected)
            await asyncio.Event().wait()

        living = await scene.live(work)
        scene.call.end(reason)
        await settle()
        outcome = await scene.end(living, Ended(dialog=1, status=603, reason="", by="local"))
        assert (outcome.status, outcome.duration_s) == (status, 0)

    run(main())


@pytest.mark.parametrize(("answered", "said"), [(False, ["183"]), (True, ["183", "200", "BYE"])])
def test_a_caller_need_not_send_anything_before_the_answer(answered: bool, said: list[str]) -> None:
    async def main() -> None:
        scene = Scene()

        async def work() -> None:
            await scene.call.early_media()
            if answered:
                await scene.answer()
            await asyncio.Event().wait()

        living = await scene.live(work)
        await asyncio.sleep(1)
        scene.worker.send(LegSilent(leg=1, silent=60000))
        await settle()
        assert scene.agent.said == said
        await scene.end(living)

    run(main())


def test_a_second_end_changes_nothing() -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live(scene.play)
        scene.call.on_sip_event(BYE)
        outcome = await scene.end(living, Ended(dialog=1, status=503, reason="gone", by="stack"))
        scene.call.on_sip_event(Ended(dialog=1, status=503, reason="gone", by="stack"))
        assert (outcome.sip_status, outcome.by) == (200, "remote")

    run(main())


def test_a_port_that_cannot_be_bound_is_500() -> None:
    async def main() -> None:
        scene = Scene()
        scene.worker.opens = False
        living = await scene.live(scene.play)
        scene.worker.send(CommandFailed(leg=1, job=1, command="OpenLeg", error="in use"))
        await settle()
        assert scene.agent.said[0] == "500"
        outcome = await scene.end(living, Ended(dialog=1, status=500, reason="", by="local"))
        assert outcome.status == "failed"

    run(main())


@pytest.mark.parametrize(("answered", "said"), [(False, "500"), (True, "BYE")])
def test_an_error_of_a_verb_ends_the_call(answered: bool, said: str) -> None:
    async def main() -> None:
        scene = Scene()

        async def work() -> None:
            if answered:
                await scene.answer()
            raise ZeroDivisionError

        living = await scene.live(work)
        await asyncio.sleep(1)
        assert said in scene.agent.said
        await scene.end(living, Ended(dialog=1, status=200, reason="", by="local"))

    run(main())


@pytest.mark.parametrize("by", ["a hang-up", "DELETE", "a move", "nothing"])
def test_what_the_end_of_the_call_cuts_off_leaves_its_word_once_the_call_is_tidied_up(by: str) -> None:
    async def main() -> None:
        scene, left = Scene(), list[Goto]()
        scene.call.leave_word = left.append

        async def word() -> Goto | None:
            return Goto(url="http://app/next")

        async def verb() -> None:
            with scene.call.at_its_end(word):
                await asyncio.sleep(0 if by == "nothing" else 9)

        async def work() -> None:
            await scene.answer()
            running = asyncio.ensure_future(verb())
            if by == "a move":
                asyncio.get_running_loop().call_later(0.2, running.cancel)
            try:
                await asyncio.wait({running})
            finally:
                running.cancel()
                await asyncio.wait({running})

        living = await scene.live(work)
        await asyncio.sleep(0.5)
        if by == "DELETE":
            scene.call.end()
            await settle()
        if by in {"a hang-up", "DELETE"}:
            assert left == []
        await scene.end(living)
        assert left == ([Goto(url="http://app/next")] if by in {"a hang-up", "DELETE"} else [])

    run(main())


def test_a_dialog_that_the_stack_has_lost_is_concluded_all_the_same() -> None:
    async def main() -> None:
        scene = Scene()
        living = await scene.live(scene.answer)
        scene.agent.gone = True
        outcome = await living
        assert outcome.status == "completed"
        assert len(scene.ports) == 2

    run(main())


@pytest.mark.parametrize("offer", [OFFER, OFFER_WITHOUT_EVENTS])
def test_keys_by_info_count(offer: str) -> None:
    async def main() -> None:
        scene = Scene(offer)
        scene.call.on_sip_event(DigitInfo(dialog=1, digit="5"))
        assert await scene.call.digit(1) == "5"

    run(main())


def test_a_key_that_comes_in_every_way_counts_once() -> None:
    async def main() -> None:
        scene = Scene()
        for digit in "5577":
            scene.call.on_sip_event(DigitInfo(dialog=1, digit=digit))
            scene.call.media.on_digit(digit, "rfc4733")
            await asyncio.sleep(0.1)
            scene.call.media.on_digit(digit, "inband")
            await asyncio.sleep(0.1)
        assert [await scene.call.digit(1) for _ in range(5)] == ["5", "5", "7", "7", None]

    run(main())


def test_keys_are_sent_by_info_one_after_the_other_with_their_pauses() -> None:
    async def main() -> None:
        scene = Scene(dtmf="info")
        loop = asyncio.get_running_loop()

        async def work() -> None:
            await scene.answer()
            began = loop.time()
            await scene.call.send_digits("1,2#")
            assert loop.time() - began == pytest.approx(1.1)  # three keys of 200 ms and a pause of 500 ms

        living = await scene.live(work)
        await asyncio.sleep(2)
        assert [said for said in scene.agent.said if said.startswith("INFO")] == ["INFO 1", "INFO 2", "INFO #"]
        await scene.end(living, Ended(dialog=1, status=200, reason="", by="local"))

    run(main())


@pytest.mark.parametrize("dtmf", ["auto", "rfc4733", "inband"])
def test_keys_are_sent_by_the_worker_as_configured(dtmf: Dtmf) -> None:
    async def main() -> None:
        scene = Scene(dtmf=dtmf)
        living = await scene.live(lambda: scene.call.send_digits("1"))
        await asyncio.sleep(1)
        assert [sent.mode for sent in scene.worker.commands if isinstance(sent, SendDigits)] == [dtmf]
        await scene.end(living, Ended(dialog=1, status=200, reason="", by="local"))

    run(main())


@pytest.mark.parametrize("answer", [None, "v=0 broken", OFFER.replace("AVP 0", "AVP 18")])
def test_an_ack_without_a_usable_answer_ends_the_call_from_the_loop(answer: str | None) -> None:
    async def main() -> None:
        scene = Scene(offer=None)
        living = await scene.live(asyncio.Event().wait)  # type: ignore[arg-type]
        scene.call.on_sip_event(Acknowledged(dialog=1, sdp=answer))
        assert scene.agent.said == [], "a listener tells the agent nothing from within an event"
        await settle()
        assert scene.agent.said == ["BYE"]
        await scene.end(living)

    run(main())


class Carrier:
    """Implements `MessageAgent`; takes every message at once but the last that is allowed."""

    def __init__(self, most: int) -> None:
        self.sent: list[str] = []
        self._most = most

    def send_message(
        self,
        target: str,
        *,
        text: str,
        from_uri: str,
        headers: Sequence[tuple[str, str]] = (),
        trunk: str,
        told: Callable[[MessageAnswered], None],
    ) -> None:
        self.sent.append(f"{from_uri} {target} {text}")
        if len(self.sent) < self._most:
            told(MessageAnswered(status=200, reason="OK", received=True))


def texting(most: int = 10) -> tuple[Scene, Carrier]:
    """A call from 15162065338 to 15550001000, whose account may also show 15550002000."""
    scene, carrier = Scene(), Carrier(most)
    messages = Messages(
        agent=carrier,
        fetcher=FakeFetcher({}),
        trunks=[Trunk(name="t", uri="sip:c")],
        route_of={"a": "trunk:t"}.__getitem__,
        region="US",
        host="us",
    )
    scene.call = Call(sid="sid", dialog=1, services=replace(services(scene.agent), messages=messages), account="a")
    scene.call.told = lambda: {"From": "15162065338", "To": "15550001000"}
    scene.call.outward.may_show = lambda number: number == "15550002000"
    return scene, carrier


MESSAGES = [
    ("", "", "sent", "sip:15162065338@us sip:15550001000@c Hi"),
    ("15550002000", "", "sent", "sip:15550002000@us sip:15550001000@c Hi"),
    ("", "15162065317", "sent", "sip:15162065338@us sip:15162065317@c Hi"),
    ("15162065338", "15162065317", "failed", ""),
]


@pytest.mark.parametrize(("sender", "recipient", "status", "said"), MESSAGES)
def test_a_message_goes_from_who_calls_or_from_whom_the_account_may_show(
    sender: str, recipient: str, status: str, said: str
) -> None:
    async def main() -> None:
        scene, carrier = texting()
        assert await scene.call.send_message("Hi", sender=sender, recipient=recipient) == status
        assert scene.call.results == {"SmsStatus": status}
        assert carrier.sent == ([said] if said else [])

    run(main())


def test_the_result_of_one_message_is_not_told_as_that_of_the_next() -> None:
    async def main() -> None:
        scene, carrier = texting(most=2)
        await scene.call.send_message("one")
        sending = asyncio.create_task(scene.call.send_message("two"))
        await asyncio.sleep(1)
        sending.cancel()
        await asyncio.wait({sending})
        assert [said.split()[-1] for said in carrier.sent] == ["one", "two"]
        assert scene.call.results == {}

    run(main())


def test_without_a_sender_of_messages_they_have_failed() -> None:
    async def main() -> None:
        assert await Scene().call.send_message("Hi") == "failed"

    run(main())
