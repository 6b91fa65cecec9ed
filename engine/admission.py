"""Whether there is room for one more call: asked before anything is done for it, so that refusing costs little.

Calls that are under way come first. Beyond `[media] max_load` of every worker's time, or where control is so
far behind that peers begin to send again, new calls get 503 with Retry-After (RFC 3261 section 21.5.4), on which a
carrier goes elsewhere, and calls that the engine is to place wait.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import deque
from collections.abc import Callable
from typing import Final

from .media_client import MediaClient
from .registry import Refusal
from .sip.events import Invited, LiveCall

log = logging.getLogger("flexml.admission")

NO_ROOM: Final = 503
RETRY_AFTER_S: Final = 5
LAG_LIMIT_S: Final = 0.3
"""Peers send an INVITE again after 0.5 s without an answer (RFC 3261 section 17.1.1.1): being late makes more work."""
SAMPLE_S: Final = 0.1
SAMPLES: Final = 10

Admit = Callable[[Invited], LiveCall | Refusal]


class LoopLag:
    """How late the event loop was in the last second, asked ten times."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque([0.0] * SAMPLES, maxlen=SAMPLES)
        self._watching: asyncio.Task[None] | None = None
        self.usual_s: float = 0.0
        """By how much half of the timers came late at least: one hiccup is no overload."""

    @property
    def worst_s(self) -> float:
        """By how much a timer came late, at most."""
        return max(self._lags)

    def take(self, late_s: float) -> None:
        """Count a timer that came so late."""
        self._lags.append(late_s)
        self.usual_s = statistics.median(self._lags)

    async def start(self) -> None:
        """Begin to look."""
        self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_S
            await asyncio.sleep(SAMPLE_S)
            self.take(loop.time() - due)


class Admission:
    """`max_load` is the share of its time, 0 to 1, from which on a worker takes no calls; `lag` is how far the event
    loop, or the taking of SIP messages, is behind, in seconds.
    """

    def __init__(self, media: MediaClient, *, max_load: float, lag: Callable[[], float]) -> None:
        self._media, self._max_load, self._lag = media, max_load, lag
        self.refused: int = 0
        self._refusing: bool = False

    def why_not(self) -> str:
        """Why there is no room; nothing where there is."""
        if (lag_s := self._lag()) > LAG_LIMIT_S:
            return f"control is {lag_s * 1000:.0f} ms behind"
        workers = [worker for worker in self._media.workers if worker.connected]
        if not workers:
            return "no media worker is up"
        workers = [worker for worker in workers if worker.up]
        if not workers:
            return "no media worker gives signs of life"
        if all(len(worker.legs) >= worker.capacity for worker in workers):
            return f"all media workers have their {workers[0].capacity} legs"
        least = min(worker.load for worker in workers)
        if least >= self._max_load:
            return f"every media worker is at work for {least:.0%} of its time or more"
        return ""

    def has_room(self) -> bool:
        """Whether there is room; the log tells when that changes."""
        return not self._ask()

    def _ask(self) -> str:
        why = self.why_not()
        if bool(why) != self._refusing:
            self._refusing = bool(why)
            if why:
                log.warning("no room for new calls: %s", why)
            else:
                log.warning("there is room for new calls again; %d were refused up to now", self.refused)
        return why

    def before(self, admit: Admit) -> Admit:
        """Return what stands before `admit`."""

        def ask(invite: Invited) -> LiveCall | Refusal:
            why = self._ask()
            if not why:
                return admit(invite)
            self.refused += 1
            return Refusal(status=NO_ROOM, why=why, headers={"Retry-After": str(RETRY_AFTER_S)}, level=logging.DEBUG)

        return ask
