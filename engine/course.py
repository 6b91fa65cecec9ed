"""The course of a call through its documents: from its first one on, or from wherever it is moved to meanwhile.

Moving cancels what runs, so that its verbs stop what they have started, and begins again with the other document. What
belongs to the call stays: its recordings, background audio, keys typed ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .flexml.interpreter import Application


class Course:
    """One call's course, which begins with the documents of `application`."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._running: asyncio.Future[None] | None = None
        self._moved = self._over = False

    async def run(self, carry_out: Callable[[Application], Awaitable[None]]) -> None:
        """Run documents until they have ended the call, wherever it was moved to.

        `carry_out` runs those of an application to the end of the call.
        """
        try:
            while True:
                self._moved = False
                self._running = asyncio.ensure_future(carry_out(self.application))
                await self._stopped(self._running)
                if not self._moved:
                    await self._running
                    return
        finally:
            self._over, self._running = True, None

    def move(self, application: Application) -> bool:
        """Go on with that application's document, at once; False where the documents have ended already.

        Before the call is answered it is where it will begin.
        """
        if self._over or (self._running is not None and self._running.done() and not self._moved):
            return False
        self.application = application
        if self._running is not None and not self._moved:  # what is stopping is not to be disturbed at it
            self._moved = True
            self._running.cancel()
        return True

    async def _stopped(self, running: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait({running})
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
