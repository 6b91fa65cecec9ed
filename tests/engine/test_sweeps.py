"""Whatever ends a call, or moves it, at whatever moment: everything is given back, and everybody is told once.

Each story is played once for each turn of the loop that it takes, with the hang-up, or what else happens, at that turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from .fakes_sip import run
from .stage import SID, STATUS_URL, Stage, Story, sweep
from .stage_fakes import Script

ALICE, BOB, CAROL = "sip:alice@host", "sip:bob@host", "sip:carol@host"
TALKS: Final = ((1, "180"), (1, "200"), (3, "BYE"))
IS_BUSY: Final = ((1, "180"), (1, "486"))


def story(verbs: str, script: Mapping[str, Script] | None = None, **more: Any) -> Story:
    """A call with these verbs, whose actions and moves lead to a pause of a second."""
    pages = {"start": verbs, "next": "<Pause/>", "moved": "<Pause/>"}
    return Story(pages=pages, script=script or {}, **more)


STORIES: Final = {
    "Play": story(
        """<Play action="next" pauseOnKey="2" restartOnKey="3" stopOnKey="1">a.wav</Play>""",
        keys=((1, "2"), (1, "3"), (1, "1")),
    ),
    "Play, slow": story(
        """<Play waitInitial="0" waitInitialUrl="w.wav" informationOnKey="2" informationAudioUrl="i.wav">a.wav</Play>
        <Play background="true" loop="0">b.wav</Play><Play errorAction="next">missing.wav</Play>""",
        keys=((1, "2"),),
    ),
    "Say": story("<PreAnswer><Say>one</Say></PreAnswer><Say loop='2'>two</Say>"),
    "Gather": story(
        """<Gather action="next" numDigits="2"><Say>one</Say><Play>b.wav</Play></Gather>""",
        keys=((1, "1"), (1, "2")),
    ),
    "Record": story("""<Record action="next" playBeep="true" timeout="3" backgroundAudioUrl="b.wav"/>"""),
    "Record, a key": story("""<Record action="next"/>""", keys=((2, "1"),)),
    "the whole call recorded": story(
        """<Record recordSession="true"/><Play background="true" loop="0">b.wav</Play><Say>one</Say><Dtmf>12</Dtmf>
        <Redirect>next</Redirect>"""
    ),
    "Dial": story("""<Dial action="next">sip:alice@host</Dial>""", {ALICE: TALKS}),
    "Dial, busy": story("""<Dial action="next">sip:alice@host</Dial>""", {ALICE: IS_BUSY}),
    "Dial, early media": story(
        """<Dial action="next" record="record-from-ringing" timeLimit="2">sip:alice@host</Dial>""",
        {ALICE: ((1, "183"), (0.1, "heard"), (1, "200"), (1, "5"), (4, "BYE"))},
        keys=((3, "7"),),
    ),
    "Dial, not in time": story(
        """<Dial action="next" ringing="false" timeout="3">sip:alice@host</Dial>""",
        {ALICE: ((1, "183"), (0.3, "heard"), (9, "200"))},
    ),
    "Dial, star": story(
        """<Dial action="next" record="record-from-answer" hangupOnStar="true" ringing="music">sip:alice@host</Dial>""",
        {ALICE: TALKS},
        keys=((3, "*"),),
    ),
    "Dial, several": story(
        """<Dial action="next"><Number>sip:alice@host</Number><Number sendDigits="12">sip:bob@host</Number>
        <Number>sip:carol@host</Number></Dial>""",
        {ALICE: IS_BUSY, BOB: TALKS, CAROL: TALKS},
    ),
    "Dial, a key confirms": story(
        """<Dial action="next" confirmKey="1" confirmSound="c.wav"><Number>sip:alice@host</Number>
        <Number sendDigits="12">sip:bob@host</Number></Dial>""",
        {ALICE: ((1, "200"), (1, "2")), BOB: ((1, "180"), (0.5, "200"), (1.5, "1"), (3, "BYE"))},
    ),
    "Dial, the party transfers": story(
        """<Dial action="next" record="record-from-answer">sip:alice@host</Dial>""",
        {ALICE: ((1, "180"), (1, "200"), (1, f"REFER {BOB}"), (9, "BYE")), BOB: TALKS},
    ),
    "Dial, the caller transfers": story(
        """<Dial action="next" record="record-from-answer">sip:alice@host</Dial>""",
        {ALICE: ((1, "180"), (1, "200"), (9, "BYE")), BOB: TALKS},
        keys=((3, f"REFER {BOB}"),),
    ),
    "Amd": story("""<Amd action="next"/>"""),
    "Sms": story("""<Sms action="next">Hi</Sms>"""),
    "Redirect": story("<Redirect>next</Redirect>"),
    "Reject": story("""<Reject reason="busy"/>"""),
    "Pause": story("""<Store name="a">b</Store><Pause silence="true" length="9"/><Hangup/>"""),
    "a call of ours": story("""<Record action="next" timeout="3"/>""", {ALICE: TALKS[:2]}, called=ALICE),
    "a call of ours, busy": story("<Pause/>", {ALICE: IS_BUSY}, called=ALICE),
    "a call of ours that dials": story(
        """<Dial action="next">sip:bob@host</Dial>""", {ALICE: ((1, "183"), (1, "200")), BOB: TALKS}, called=ALICE
    ),
}
PAIRS: Final = (("delete", "hang_up"), ("move", "hang_up"), ("move", "delete"), ("others_hang_up", "hang_up"))
WORKED: Final = ("Play", "Gather", "Record", "Dial, star", "Amd", "a call of ours")


def events(name: str) -> list[str]:
    """What may happen to that story."""
    ends = ["hang_up", "move", *(["delete", "stop", "others_hang_up"] if STORIES[name].script else [])]
    return [*ends, "worker_dies"] if name in WORKED else ends


@pytest.mark.parametrize(("name", "event"), [(name, event) for name in STORIES for event in events(name)])
def test_whatever_happens_whenever_a_call_leaves_nothing_behind_and_all_are_told_once(name: str, event: str) -> None:
    assert sweep(STORIES[name], [event]) == []


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
@pytest.mark.parametrize("name", ["Record", "Dial, star", "Dial, several", "a call of ours"])
def test_two_things_at_once_are_no_more_than_one(name: str, pair: tuple[str, str]) -> None:
    assert sweep(STORIES[name], pair) == []


def on_stage(told: Story, main: Any) -> None:
    """Play a story once, with `main` looking on."""

    async def playing() -> None:
        stage = Stage(told)
        await main(stage)

    run(playing())


@pytest.mark.parametrize("by", ["star", "hang_up", "delete", "move"])
def test_the_party_of_a_dial_does_not_wait_for_its_recording_to_be_stored(by: str) -> None:
    async def main(stage: Stage) -> None:
        stage.recordings.takes_s = 60.0
        stage.begin()
        await asyncio.sleep(3)
        ends = asyncio.get_running_loop().time()
        if by == "star":
            stage.network.does(stage.call, "*")
        else:
            getattr(stage, by)()
        await asyncio.sleep(300)
        (party,) = {dialog for _, dialog, _ in stage.network.said} - {stage.call.dialog}
        assert [at for at, dialog, what in stage.network.said if (dialog, what) == (party, "BYE")] == [ends]
        assert stage.left() == []

    on_stage(replace(STORIES["Dial, star"], script={ALICE: TALKS[:2]}, keys=()), main)


def test_a_call_that_comes_while_the_engine_stops_rings_nobody_and_is_waited_for() -> None:
    async def main(stage: Stage) -> None:
        stage.begin()
        await asyncio.sleep(1)
        stopping = asyncio.ensure_future(stage.lives.drain(10))
        await asyncio.sleep(0.1)
        stage.place(BOB, sid=SID.replace("1", "2"))
        await stopping
        assert len(stage.lives) == 0
        assert [what for _, _, what in stage.network.said if what.startswith("INVITE")] == []
        assert [data["CallStatus"] for url, data in stage.books.callbacks if url == STATUS_URL] == [
            "completed",
            "cancel",
        ]

    on_stage(STORIES["Record"], main)


def test_a_call_that_is_ending_is_not_moved_any_more() -> None:
    async def main(stage: Stage) -> None:
        stage.begin()
        await asyncio.sleep(3)
        stage.delete()
        assert not await stage.lives.move(SID, url="http://app/moved", method="POST")
        await asyncio.sleep(60)
        assert stage.left() == []
        assert stage.told("moved") == []

    on_stage(STORIES["Dial"], main)
