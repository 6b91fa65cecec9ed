"""What processes cost, from /proc (see proc(5)): CPU time, and memory by their proportional share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_UTIME, _STIME, _PARENT = 11, 12, 1
"""Places in /proc/PID/stat after the name, counted from 0."""
_STEAL: Final = 8


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process at one moment: `cpu_s` of it so far."""

    pid: int
    name: str
    cpu_s: float


def family(pids: Iterable[int], proc: Path = _PROC) -> list[Process]:
    """Return the processes `pids` and all their descendants, as far as they still live."""
    stats = {pid: fields for entry in proc.iterdir() if entry.name.isdigit() and (fields := _stat(entry))
             for pid in [int(entry.name)]}  # fmt: skip
    wanted = set(pids)
    while more := {pid for pid, (_, fields) in stats.items() if int(fields[_PARENT]) in wanted} - wanted:
        wanted |= more
    return [
        Process(pid=pid, name=_name(proc / str(pid)) or stats[pid][0], cpu_s=_cpu_s(stats[pid][1]))
        for pid in sorted(wanted & stats.keys())
    ]


def cpu_s(pid: int, proc: Path = _PROC) -> float:
    """Return the CPU time that one process has used, 0 where there is none."""
    found = _stat(proc / str(pid))
    return _cpu_s(found[1]) if found else 0.0


def steal_s(proc: Path = _PROC) -> float:
    """Return the CPU time that the hypervisor gave to others, over all cores."""
    fields = (proc / "stat").read_text().split("\n", 1)[0].split()
    return int(fields[_STEAL]) / TICKS_A_SECOND if len(fields) > _STEAL else 0.0


def memory_kb(pids: Iterable[int], proc: Path = _PROC) -> int | None:
    """Return what `pids` hold, memory they share with others by their part of it; None where we may not know."""
    total = 0
    for pid in pids:
        try:
            text = (proc / str(pid) / "smaps_rollup").read_text()
        except PermissionError:
            return None
        except OSError:  # gone
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def _stat(entry: Path) -> tuple[str, list[str]] | None:
    """Return a process's name and what follows it in its stat."""
    try:
        head, _, rest = (entry / "stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    return head.partition("(")[2], fields


def _cpu_s(fields: list[str]) -> float:
    return (int(fields[_UTIME]) + int(fields[_STIME])) / TICKS_A_SECOND


def _name(entry: Path) -> str:
    """Return what a process calls itself: its title where it has set one, else the name of its program."""
    try:
        title = (entry / "cmdline").read_text(errors="replace").rstrip("\0")
    except OSError:
        return ""
    first = title.partition("\0")[0]
    return first if " " in first else Path(first).name
