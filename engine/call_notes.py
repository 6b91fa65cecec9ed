"""What the timeline says of a call, and how: of its media what was agreed, waited for, how audio arrives (RFC 3550
section 6.4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from ..media.events import LegStats
from .errors import PromptError
from .log import Noted
from .redact import presentable, presentable_text
from .sip.negotiation import Agreed
from .timeline import Note

log = logging.getLogger("flexml.call")

LEAST_S: Final = 1.0
"""Reports come by the worker's clock: the first one after the answer may be of a moment only."""
_WARNINGS: Final = ("application error",)
"""How lines begin that whoever runs the engine has to see, also where the log has no others."""
_GROWING: Final = ("packets_received", "packets_sent", "lost", "late", "concealed_ms")


class Noting:
    """Puts lines on the timeline of the call of that sid, and into the log, by being called."""

    def __init__(self, sid: str, note: Note) -> None:
        self._sid, self._put = sid, note

    def __call__(self, what: str, **details: object) -> None:
        """Note `what`, with details by name; secrets in either are not shown."""
        at, what, shown = datetime.now(UTC).timestamp(), presentable_text(what), presentable(details)
        self._put(self._sid, at, what, shown)
        level = logging.WARNING if what.startswith(_WARNINGS) else logging.INFO
        if log.isEnabledFor(level):
            log.handle(Noted(log.name, level, self._sid, at, what, shown))


def media(agreed: Agreed) -> dict[str, object]:
    """What offer and answer came to; `direction` is our view."""
    return {
        "codec": f"{agreed.codec.name}/{agreed.codec.clock_hz}",
        "payload_type": agreed.payload_type,
        "telephone_event": agreed.telephone_event,
        "ptime_ms": agreed.ptime,
        "direction": agreed.direction,
        "remote": f"{agreed.address}:{agreed.port}",
        **({"srtp": agreed.srtp.suite} if agreed.srtp else {}),
    }


class Quality:
    """How audio arrives, from one report to the next. Times are the loop's, in seconds."""

    def __init__(self) -> None:
        self._reported = LegStats()
        self._reported_at: float | None = None

    def begin(self, now: float) -> None:
        """Media flows from now on, if it did not already."""
        if self._reported_at is None:
            self._reported_at = now

    def since_last(self, stats: LegStats, now: float) -> dict[str, object] | None:
        """What has come since the last report; None where that is too short a time to tell."""
        if self._reported_at is None or now - self._reported_at < LEAST_S:
            return None
        since = {name: getattr(stats, name) - getattr(self._reported, name) for name in _GROWING}
        over: dict[str, object] = {"over_s": round(now - self._reported_at, 1)}
        self._reported, self._reported_at = stats, now
        return over | _named(since, stats)


def total(stats: LegStats) -> dict[str, object]:
    """The same of the whole call, with what came in that was no use."""
    whole = {name: getattr(stats, name) for name in _GROWING}
    return _named(whole, stats) | {"duplicates": stats.duplicates, "invalid": stats.invalid}


def _named(counts: dict[str, int], stats: LegStats) -> dict[str, object]:
    """Counts and jitter; and what the peer reports by RTCP (its loss is since the start), if it does."""
    named: dict[str, object] = {name.removeprefix("packets_"): count for name, count in counts.items()}
    named["jitter_ms"] = round(stats.jitter_ms, 1)
    if stats.round_trip_ms is not None:
        named["round_trip_ms"] = round(stats.round_trip_ms, 1)
    if stats.round_trip_ms is not None or stats.peer_lost or stats.peer_jitter_ms:
        named |= {"peer_lost": stats.peer_lost, "peer_jitter_ms": round(stats.peer_jitter_ms, 1)}
    return named


@contextmanager
def waiting(note: Callable[..., None], what: str, **details: object) -> Generator[None]:
    """Note how long audio was waited for inside, and why it did not come."""
    clock = asyncio.get_running_loop().time
    began = clock()
    how: dict[str, object] = {"abandoned": True}
    try:
        yield
        how = {}
    except PromptError as error:
        how = {"error": str(error)}
        raise
    finally:
        note(what, **details, **how, took_ms=round((clock() - began) * 1000, 1))
