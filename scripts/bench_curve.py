"""What a call costs a media worker, from few calls to many, beside a loop in C that only receives and sends.

    scripts/bench curve [--calls 50,100,200,400,800,1200] [--seconds 8] [--times 3] [--core N]

For each number of calls the floor (scripts/floor.c) and the worker carry the same packets in turn, kept on one core
while this process is kept on another; then the next number, and all that several times, so that what slows the machine
slows all alike. Printed is the median, with the spread. CPU is in percent of a core a call, deviation in ms of packet
intervals from 20 ms; `times_the_first` is the cost beside that of the first row in the same round. `record` and
`inband` come at one number of calls only: each call recorded, and keys listened for in the audio of each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench_media import FIRST_PORT, SETTLE_S, Load, Meter, measure, run
from flexml.engine.load.processes import cpu_s
from flexml.media import channel

HERE: Final = Path(__file__).parent
VARIANTS: Final = {"record": {"record": True}, "inband": {"inband": True}}


def build(folder: str) -> Path:
    """Compile the floor. Raises CalledProcessError where that fails."""
    program = Path(folder) / "floor"
    subprocess.run(["cc", "-O2", "-o", program, HERE / "floor.c"], check=True)
    return program


def floor(program: Path, calls: int, seconds: float, core: int) -> float:
    """Return what a call costs the floor."""
    meter = Meter(calls)
    process = subprocess.Popen(
        [program, str(calls), str(FIRST_PORT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        os.sched_setaffinity(process.pid, {core})
        process.stdin.write("".join(f"{meter.port(call)}\n" for call in range(calls)))
        process.stdin.flush()
        process.stdout.readline()
        control, end = channel.pair()  # of nobody's: `run` wants one
        run(control, meter, SETTLE_S)
        before = cpu_s(process.pid)
        run(control, meter, seconds)
        used = cpu_s(process.pid) - before
        control.close()
        end.close()
    finally:
        process.terminate()
        process.wait(5)
        for socket in meter.sockets:
            socket.close()
    return 100 * used / seconds / calls


def middle(values: list[float]) -> dict[str, float]:
    """Return the median of `values`, and the least and the greatest."""
    return {name: round(of(values), 4) for name, of in (("median", statistics.median), ("least", min), ("most", max))}


class Pair(NamedTuple):
    """What a call cost the bare loop, and right after it all that was seen of the worker."""

    floor: float
    worker: dict[str, Any]

    @property
    def cost(self) -> float:
        """What a call cost the worker."""
        return float(self.worker["cpu_percent_per_call"])


def rows(program: Path, loads: Sequence[Load], times: int) -> list[dict[str, Any]]:
    """Measure all of `loads` in turn, `times`; return a row of each. What slows the machine slows all alike."""

    def pair(load: Load) -> Pair:
        assert load.core is not None
        return Pair(floor(program, load.calls, load.seconds, load.core), measure(load))

    rounds = [[pair(load) for load in loads] for _ in range(times)]
    seen = [*zip(*rounds, strict=True)]
    return [row(load, pairs, seen[0]) for load, pairs in zip(loads, seen, strict=True)]


def row(load: Load, pairs: Sequence[Pair], first: Sequence[Pair]) -> dict[str, Any]:
    """Return what is printed of a load, beside what was seen of the `first` one in the same rounds."""
    workers = [pair.worker for pair in pairs]
    return {
        "calls": load.calls,
        "floor": middle([pair.floor for pair in pairs]),
        "worker": middle([pair.cost for pair in pairs]),
        "times_the_floor": middle([pair.cost / pair.floor for pair in pairs]),
        "times_the_first": middle([pair.cost / other.cost for pair, other in zip(pairs, first, strict=True)]),
        "core_percent": middle([worker["cpu_percent"] for worker in workers]),
        "deviation_p99_ms": middle([worker["deviation_ms"]["p99"] for worker in workers]),
        "deviation_max_ms": middle([worker["deviation_ms"]["max"] for worker in workers]),
        "missing": max(worker["missing"] for worker in workers),
        "late_packets": middle([worker["late_packets"] for worker in workers]),
        "resident_mb": middle([worker["resident_mb"] for worker in workers]),
    }


def processor() -> str:
    """Return what the kernel calls this machine's processor."""
    rows = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return rows[0].partition(":")[2].strip() if rows else platform.machine()


def keep_off(core: int, parser: argparse.ArgumentParser) -> int:
    """Keep this process, and what it will start, off `core`; return how many cores there are."""
    others = os.sched_getaffinity(0) - {core}
    if not others:
        parser.error("two cores are needed, one for what is measured and one for what measures")
    os.sched_setaffinity(0, others)
    return len(others) + 1


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="What a call costs a media worker, beside a loop in C.")
    parser.add_argument("--calls", default="50,100,200,400,800,1200")
    parser.add_argument(
        "--variants", type=int, default=400, help="calls of the rows with recording and in-band keys; 0: none"
    )
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="of the worker; this process takes the others")
    options = parser.parse_args()
    cores = keep_off(options.core, parser)
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        fixed: dict[str, Any] = {"seconds": options.seconds, "core": options.core}
        curve = [Load(calls=int(calls), **fixed) for calls in options.calls.split(",")]
        ways = {"plain": {}} | VARIANTS if options.variants else {}
        variants = [Load(calls=options.variants, **fixed, **more) for more in ways.values()]
        figures = {
            "curve": rows(program, curve, options.times),
            "variants": dict(zip(ways, rows(program, variants, options.times), strict=True)),
        }
    about = {
        "machine": f"{cores} cores, {processor()}, Linux {platform.release()}",
        "date": datetime.now(UTC).date().isoformat(),
        "times": options.times,
    }
    print(json.dumps(about | figures, indent=2))


if __name__ == "__main__":
    main()
