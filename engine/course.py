"""The course of a call through its documents: from its first one on, or from wherever it is moved to meanwhile.

Moving cancels what runs, so that its verbs stop what they have started, and begins again with the other document. What
belongs to the call stays: its recordings, background audio, keys typed ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .flexml.interpreter import Application


class Course:
    """One call's course, which begins with the documents of `application`."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._running: asyncio.Task[Any] | None = None
        self._moved = self._over = False

    async def run(self, carry_out: Callable[[Application], Awaitable[None]]) -> None:
        """Run documents until they have ended the call, wherever it was moved to.

        `carry_out` runs those of an application to the end of the call.
        """
        self._running = asyncio.current_task()  # in no local: a cancelled task keeps the frames of its traceback
        try:
            while True:
                try:
                    await carry_out(self.application)
                except (Exception, asyncio.CancelledError):
                    if not self._moved:
                        raise
                if not self._moved:
                    return
                self._moved = False
                if self._running is not None and self._running.uncancel():
                    raise asyncio.CancelledError  # whoever moved the call is not the only one who stopped it
        finally:
            self._over, self._running = True, None

    def move(self, application: Application) -> bool:
        """Go on with that application's document, at once; False where the documents have ended already.

        Before the call is answered it is where it will begin. It is for tasks other than the one that runs.
        """
        if self._over:
            return False
        self.application = application
        if self._running is not None and not self._moved:  # what is stopping is not to be disturbed at it
            self._moved = True
            self._running.cancel()
        return True
