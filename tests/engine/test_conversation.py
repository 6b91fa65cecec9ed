"""A conversation in which one sends the other on, and hangs up meanwhile, at whatever moment."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from flexml.engine.conversation import Conversation, Switchboard
from flexml.engine.dial import Destination
from flexml.engine.party import Party, refuse_transfer
from flexml.engine.reach import Unreached


class Sound:
    def __init__(self) -> None:
        self.playing = True

    def stop(self) -> None:
        self.playing = False


class FakeLeg:
    """A leg, its media, and what is played on it."""

    def __init__(self) -> None:
        self.media = self
        self.silent = False
        self.sounds: list[Sound] = []

    def fall_silent(self) -> None:
        self.silent = True

    def start(self, _job: object) -> Sound:
        self.sounds.append(Sound())
        return self.sounds[-1]


class FakeTalker:
    def __init__(self) -> None:
        self.leg = FakeLeg()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transfer = refuse_transfer

    async def pressed(self) -> None:
        await asyncio.get_running_loop().create_future()

    def notify(self, status: int, reason: str) -> None: ...

    def outlive(self, yes: bool) -> None: ...


@pytest.mark.parametrize("steps", range(10))
def test_who_stays_hears_ringing_whenever_who_sent_it_on_hangs_up(steps: int) -> None:
    async def run() -> None:
        reached: asyncio.Future[Party | Unreached] = asyncio.get_running_loop().create_future()

        async def reach(_destination: Destination) -> Party | Unreached:
            return await reached

        caller, party = FakeTalker(), FakeTalker()
        board = Switchboard(
            follow=lambda _target: cast("Destination", object()),
            reach=reach,
            join=lambda _party: None,
            replaced=lambda _talker: None,
            note=lambda *_what, **_details: None,
            ringback="us",
        )
        talk = Conversation(cast("Any", caller), cast("Any", party), board, star=False)
        running = asyncio.create_task(talk.run())
        await asyncio.sleep(0.001)
        assert party.transfer("sip:carol@127.0.0.1") == 202
        for _ in range(steps):
            await asyncio.sleep(0)
        party.ended.set_result(None)
        await asyncio.sleep(0.001)
        assert party.leg.silent
        assert [sound.playing for sound in caller.leg.sounds] == [True]
        assert not running.done()
        caller.ended.set_result(None)
        await running
        assert [sound.playing for sound in caller.leg.sounds] == [False]

    asyncio.run(run())
