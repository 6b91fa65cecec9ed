"""Where a leg's RTP stream is by now, so that another worker can go on with it (RFC 3550 section 5.1).

Control never sees a packet. It knows what the stream began with, since when media flows, and every ten seconds how
many packets went out; the rest is time that has passed. An estimate that is a little ahead is a short loss to the
peer; one that is behind would make packets that it has seen already, so the estimate errs ahead.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..media.events import LegOpened, LegStats
from ..media.protocol import OpenLeg, SetRemote

WORKER_START_S: Final = 0.3
"""About what a new process needs until its first packet."""
_COUNTS: Final = (
    "packets_received", "packets_sent", "octets_received", "octets_sent",
    "lost", "late", "duplicates", "invalid", "concealed_ms", "digits_received",
)  # fmt: skip


class Stream:
    """One leg's stream, over all workers that carry it. Times are the loop's, in seconds."""

    def __init__(self) -> None:
        self._opened: LegOpened | None = None
        self._flowing_since: float | None = None
        self._counted_at = 0.0
        self._ptime_s = 0.02
        self._clock_hz = 8000
        self._stats = LegStats()
        self._earlier: LegStats | None = None  # counted by workers before this one

    @property
    def opened(self) -> bool:
        """True once a worker has opened the leg."""
        return self._opened is not None

    @property
    def stats(self) -> LegStats:
        """What was counted last, in all workers together."""
        earlier = self._earlier
        if earlier is None:
            return self._stats
        summed = {name: getattr(earlier, name) + getattr(self._stats, name) for name in _COUNTS}
        return msgspec.structs.replace(self._stats, **summed)

    def open(self, event: LegOpened) -> None:
        """Take what the stream begins with, or goes on with in another worker."""
        self._opened = event

    def flow(self, ptime_ms: int, clock_hz: int, now: float) -> None:
        """Media flows from now on, if it did not already, in packets of `ptime_ms`; timestamps count `clock_hz`."""
        if self._flowing_since is None:
            self._flowing_since = self._counted_at = now
        elif clock_hz != self._clock_hz and self._opened is not None:
            timestamp = self._opened.timestamp + self._elapsed(now)
            self._opened = msgspec.structs.replace(self._opened, timestamp=timestamp)
            self._flowing_since = now
        self._ptime_s, self._clock_hz = ptime_ms / 1000, clock_hz

    def count(self, stats: LegStats, now: float) -> None:
        """Take a count of the worker that carries the stream now."""
        self._stats, self._counted_at = stats, now

    def uncounted_s(self, now: float) -> float:
        """How long ago the worker told what it had counted, or media began to flow."""
        return 0.0 if self._flowing_since is None else now - self._counted_at

    def resume(self, command: OpenLeg, now: float, *, new_source: bool = False) -> OpenLeg:
        """Return `command` such that a worker starting now goes on with the stream.

        With `new_source` it is another SSRC, as SRTP needs it: what index the RTCP of the old one had come to is
        lost with its worker, and none may be used again under the same key (RFC 3711 section 9.1).
        """
        opened = self._opened
        if opened is None:
            return command
        sequence, timestamp = opened.sequence, opened.timestamp
        if self._flowing_since is not None:
            resumed = now + WORKER_START_S
            sequence += self._stats.packets_sent + int((resumed - self._counted_at) / self._ptime_s)
            timestamp += self._elapsed(resumed)
            self._flowing_since = self._counted_at = now
        self._earlier, self._stats = self.stats, LegStats()
        # In the command, zero means: at random.
        going_on = msgspec.structs.replace(
            command, ssrc=opened.ssrc, sequence=sequence % 65536 or 1, timestamp=timestamp % 2**32 or 1
        )
        if new_source:  # its numbers may begin at random, so that no packet is near the wrap
            going_on = msgspec.structs.replace(going_on, ssrc=0, sequence=0)
        self._opened = _as_opened(going_on)
        return going_on

    def listened_for(self, remote: SetRemote) -> SetRemote:
        """Return `remote` for a worker that hears an SRTP stream from its middle on: how often it may have wrapped."""
        if remote.srtp is None:
            return remote
        heard = self.stats.packets_received + self.stats.lost
        keys = msgspec.structs.replace(remote.srtp, rollovers=heard // 65536 + 2)
        return msgspec.structs.replace(remote, srtp=keys)

    def _elapsed(self, until: float) -> int:
        """How far the timestamps have gone since media flows at this clock, in whole ticks of 20 ms."""
        since = until if self._flowing_since is None else self._flowing_since
        return int((until - since) * 50) * (self._clock_hz // 50)


def _as_opened(command: OpenLeg) -> LegOpened:
    """What the worker will answer."""
    return LegOpened(port=command.port, ssrc=command.ssrc, sequence=command.sequence, timestamp=command.timestamp)
