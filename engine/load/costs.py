"""Who took how much CPU time between two moments: the server where its processes are known, the generator, SIPp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import processes
from .figures import Share
from .processes import Process


@dataclass(frozen=True, kw_only=True)
class Moment:
    """CPU seconds so far, at `at_s` on the loop's clock."""

    at_s: float
    server: tuple[Process, ...]
    streams_s: float
    sipp_s: float
    steal_s: float


@dataclass(frozen=True, kw_only=True)
class Used:
    """What was used between two moments, in percent of one core."""

    seconds: float
    server: tuple[Share, ...]
    streams: float
    sipp: float
    steal: float  # of all cores together, divided among them

    @property
    def server_percent(self) -> float:
        """The server's processes together."""
        return sum(share.cpu_percent for share in self.server)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Whose costs are looked at; 0 for nobody."""

    server: Sequence[int]
    streams: int
    sipp: int
    cores: int

    def look(self, now_s: float) -> Moment:
        """Return this moment."""
        return Moment(
            at_s=now_s,
            server=tuple(processes.family(self.server)) if self.server else (),
            streams_s=processes.cpu_s(self.streams),
            sipp_s=processes.cpu_s(self.sipp),
            steal_s=processes.steal_s(),
        )

    def used(self, before: Moment, after: Moment) -> Used:
        """Return what was used between two moments. One that has ended in between is left out."""
        seconds = max(after.at_s - before.at_s, 1e-9)
        earlier = {process.pid: process.cpu_s for process in before.server}

        def percent(cpu_s: float) -> float:
            return round(100 * max(cpu_s, 0.0) / seconds, 3)

        return Used(
            seconds=seconds,
            server=tuple(
                Share(name=one.name, pid=one.pid, cpu_percent=percent(one.cpu_s - earlier.get(one.pid, 0.0)))
                for one in after.server
            ),
            streams=percent(after.streams_s - before.streams_s),
            sipp=percent(after.sipp_s - before.sipp_s),
            steal=percent((after.steal_s - before.steal_s) / self.cores),
        )

    def memory_kb(self) -> int | None:
        """Return what the server holds now; None where it is not known."""
        if not self.server:
            return None
        return processes.memory_kb(process.pid for process in processes.family(self.server))
