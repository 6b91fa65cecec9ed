"""A moment comes once, whoever waits for it."""

from __future__ import annotations

import asyncio

from flexml.engine.moment import Moment


def test_everybody_who_waits_goes_on_once_it_comes_and_who_comes_later_need_not_wait() -> None:
    async def run() -> None:
        moment, never = Moment(), Moment()
        waits = [
            asyncio.ensure_future(asyncio.wait({moment, never}, return_when=asyncio.FIRST_COMPLETED)) for _ in range(3)
        ]
        await asyncio.sleep(0)
        assert not moment.done()
        moment.come()
        moment.come()
        for done, pending in await asyncio.gather(*waits):
            assert (done, pending) == ({moment}, {never})
        await moment

    asyncio.run(run())


def test_who_stops_waiting_beside_something_else_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        moment = Moment()
        impatient = asyncio.ensure_future(asyncio.wait({moment}))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        moment.come()
        assert moment.done()
        assert not moment.cancelled()

    asyncio.run(run())
