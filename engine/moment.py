"""A moment that comes once, and that many may wait for beside other things.

    arrived = Moment()
    await asyncio.wait({arrived, other}, return_when=asyncio.FIRST_COMPLETED)

An `asyncio.Event` does the same, but each wait for one of several is then a task.
"""

from __future__ import annotations

import asyncio


class Moment(asyncio.Future[None]):
    """`done()` once it has come. Belongs to the running event loop."""

    def come(self) -> None:
        """It is here; harmless when it has been."""
        if not self.done():
            self.set_result(None)
