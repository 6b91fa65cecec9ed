"""Driving the SIP stack from the event loop: nothing blocks, nothing polls in vain.

The loop watches the stack's epoll descriptor, and a timer drives the stack's own timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

IDLE_POLL_S: Final = 0.05
BUSY_POLL_S: Final = 0.02
BURST_S: Final = 0.01
"""How long rounds of events, of up to eight messages each, are handled before the event loop gets its turn."""


class Poller:
    """Calls `handle` for a round of events, of which it gives the number, and `after` behind each burst of rounds.

    `descriptor` can be read when there are some; how soon timers have to be looked after depends on `busy`.
    """

    def __init__(
        self, descriptor: int, handle: Callable[[], int], *, busy: Callable[[], bool], after: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._handle: Callable[[], int] | None = handle
        self._busy, self._after = busy, after
        self._timer: asyncio.TimerHandle | None = None
        self._polling = False
        self._emptied_at = self._loop.time()

    def start(self) -> None:
        """Begin."""
        self._loop.add_reader(self._descriptor, self._poll)
        self._tick()

    def stop(self) -> None:
        """Handle nothing more, and let go of what would."""
        self._handle = None
        self._loop.remove_reader(self._descriptor)
        if self._timer:
            self._timer.cancel()

    @property
    def behind_s(self) -> float:
        """For how long messages have been waiting without a moment in which all had been taken."""
        return self._loop.time() - self._emptied_at

    def _tick(self) -> None:
        self._poll()
        self._timer = self._loop.call_later(BUSY_POLL_S if self._busy() else IDLE_POLL_S, self._tick)

    def _poll(self) -> None:
        handle, clock = self._handle, self._loop.time
        if handle is None or self._polling:
            return
        self._polling = True
        try:
            until = clock() + BURST_S
            while handle() > 0:
                if clock() >= until:
                    break
            else:
                self._emptied_at = clock()
        finally:
            self._polling = False
        self._after()
