"""What processes cost, read from a /proc made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from flexml.engine.load import processes
from flexml.engine.load.costs import Costs, Moment
from flexml.engine.load.processes import Process


def add(proc: Path, pid: int, *, parent: int, name: str = "some (odd) name", ticks: int = 0, title: str = "") -> None:
    entry = proc / str(pid)
    entry.mkdir()
    fields = ["S", str(parent), *["0"] * 9, str(ticks), str(ticks), *["0"] * 20]
    (entry / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    (entry / "cmdline").write_bytes(title.encode())
    (entry / "smaps_rollup").write_text("00400000-7ffd rollup\nRss:  900 kB\nPss:  500 kB\nPss_Anon: 400 kB\n")


def test_a_family_is_a_process_and_all_that_come_from_it(tmp_path: Path) -> None:
    add(tmp_path, 1, parent=0)
    add(tmp_path, 10, parent=1, ticks=50, title="flexml: control")
    add(tmp_path, 11, parent=10, ticks=100, title="/usr/bin/worker\0--fd\0" + "3")
    add(tmp_path, 12, parent=11, name="thread of (x)")
    add(tmp_path, 20, parent=1)
    (tmp_path / "meminfo").write_text("")
    second = processes.TICKS_A_SECOND
    assert processes.family([10], tmp_path) == [
        Process(pid=10, name="flexml: control", cpu_s=100 / second),
        Process(pid=11, name="worker", cpu_s=200 / second),
        Process(pid=12, name="thread of (x)", cpu_s=0.0),
    ]
    assert processes.cpu_s(11, tmp_path) == 200 / second
    assert processes.cpu_s(99, tmp_path) == 0.0
    assert processes.memory_kb([10, 11, 99], tmp_path) == 1000


def test_a_process_that_is_not_named_is_called_as_the_kernel_does(tmp_path: Path) -> None:
    add(tmp_path, 5, parent=1)
    assert processes.family([5, 6], tmp_path)[0].name == "some (odd) name"


def test_stolen_time(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 250 9 0\ncpu0 1 2 3 4 5 6 7 250\n")
    assert processes.steal_s(tmp_path) == 250 / processes.TICKS_A_SECOND


def test_use_is_what_lies_between_two_moments() -> None:
    costs = Costs(server=[10], streams=2, sipp=3, cores=2)
    before = Moment(at_s=10.0, server=(Process(pid=10, name="a", cpu_s=5.0),), streams_s=1.0, sipp_s=2.0, steal_s=0.0)
    after = Moment(
        at_s=14.0,
        server=(Process(pid=10, name="a", cpu_s=6.0), Process(pid=11, name="b", cpu_s=0.4)),
        streams_s=3.0,
        sipp_s=2.2,
        steal_s=0.8,
    )
    used = costs.used(before, after)
    assert [(share.name, share.cpu_percent) for share in used.server] == [("a", 25.0), ("b", pytest.approx(10.0))]
    assert (used.seconds, used.streams, used.sipp, used.steal) == (4.0, 50.0, pytest.approx(5.0), pytest.approx(10.0))
    assert used.server_percent == pytest.approx(35.0)
