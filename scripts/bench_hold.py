"""What a call that is held costs the whole engine, beside a loop in C that gets and sends the same packets.

    scripts/bench hold [--calls 1200] [--seconds 10] [--times 3] [--core N]

In turn, several times: the floor (scripts/floor.c), then `flexml serve` with calls that play a prompt. Either is kept
on one core, and on another is the generator of `flexml load`, which speaks to both alike: packets come from streams
spread over the 20 ms, while those of `bench curve` come all at once. `floor` and `server` are in percent of a core a
call, of whatever the engine runs; what ends in `_percent` is of a core in all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench_curve import build, keep_off, middle
from bench_media import FIRST_PORT, HERE, SETTLE_S
from flexml.engine.load.processes import cpu_s
from flexml.engine.load.sound import samples
from flexml.engine.load.streams import Streams
from flexml.media.load.messages import Finish, Plan, Up

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "peer"))

from engine_process import EngineProcess
from flexml_app import Application, Line, tone_wav

NUMBER: Final = "15550001000"
GENERATOR_PORT: Final = 30_000
RATE: Final = 60
"""Calls placed a second."""
PROMPT_S: Final = 10.0
MAX_LOAD: Final = 95
"""Percent that the worker may be loaded with: here it is kept on a core with everything else."""


async def floor(program: Path, options: argparse.Namespace, speech: Path) -> float:
    """Return what a call costs the floor."""
    streams = Streams(lambda _: None)
    plan = Plan(
        address=HERE, first_port=GENERATOR_PORT, streams=options.calls, codec="PCMU", send="file", path=str(speech)
    )  # fmt: skip
    bound = await streams.start(plan)
    process = await asyncio.create_subprocess_exec(
        program, str(options.calls), str(FIRST_PORT), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        os.sched_setaffinity(process.pid, {options.core})
        process.stdin.write("".join(f"{port}\n" for port in bound.ports).encode())
        await process.stdout.readline()
        for stream in range(options.calls):
            streams.say(Up(stream=stream, host=HERE, port=FIRST_PORT + 2 * stream, at_ns=time.time_ns()))
        await asyncio.sleep(SETTLE_S)
        before, begun_s = cpu_s(process.pid), time.monotonic()
        await asyncio.sleep(options.seconds)
        used, took_s = cpu_s(process.pid) - before, time.monotonic() - begun_s
        streams.say(Finish())
        await streams.result()
    finally:
        process.terminate()
        await process.wait()
        await streams.close()
    return 100 * used / took_s / options.calls


def server(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the figures of `flexml load` for the whole engine."""
    with Application() as application:
        line = Line("hold", application)
        line.serve('<Play loop="0">tone.wav</Play>')
        line.serve(tone_wav(700, PROMPT_S), at="tone.wav")
        engine = EngineProcess(folder / "engine", {NUMBER: application.url(line.path())}, legs=options.calls)
        config = engine.config_path.read_text().replace("workers = 1", f"workers = 1\nmax_load = {MAX_LOAD}")
        engine.config_path.write_text(config)
        engine.start()
        try:
            for pid in engine.pids:
                keep_on(pid, options.core)
            return load(engine, options, folder / "figures.json")
        finally:
            engine.stop()


def keep_on(pid: int, core: int) -> None:
    """Keep a process on one core, with every thread that it has already."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def load(engine: EngineProcess, options: argparse.Namespace, figures: Path) -> dict[str, Any]:
    """Hold calls against the engine; return what `flexml load` found."""
    command = [
        Path(sys.executable).parent / "flexml", "load", f"sip:{NUMBER}@{engine.target}", "--calls", options.calls,
        "--rate", RATE, "--duration", options.seconds, "--send", "speech", "--server-pid", engine.pids[0],
        "--json", figures,
    ]  # fmt: skip
    subprocess.run([str(word) for word in command], cwd=figures.parent, check=False, capture_output=True)
    return json.loads(figures.read_text())


def row(floors: list[float], servers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is printed of all rounds."""
    costs = [each["server"]["cpu_percent_per_call"] for each in servers]
    parts = [{part["name"]: part["cpu_percent"] for part in each["server"]["processes"]} for each in servers]
    control = [part.get("flexml: control", 0.0) for part in parts]
    workers = [sum(used for name, used in part.items() if "worker" in name) for part in parts]
    media = [each["media"] for each in servers]
    return {
        "floor": middle(floors),
        "server": middle(costs),
        "times_the_floor": middle([cost / least for cost, least in zip(costs, floors, strict=True)]),
        "core_percent": middle([each["server"]["cpu_percent"] for each in servers]),
        "control_percent": middle(control),
        "workers_percent": middle(workers),
        "answered": min(each["calls"]["answered"] for each in servers),
        "deviation_p99_ms": middle([each["deviation"]["p99"] for each in media]),
        "deviation_max_ms": middle([each["deviation"]["max"] for each in media]),
        "lost_or_never_sent": max(each["lost"] + each["never_sent"] for each in media),
        "memory_kb_per_call": middle([each["server"]["memory_kb_per_call"] for each in servers]),
        "generator_percent": middle([each["generator"]["streams_cpu_percent"] for each in servers]),
        "generator_limits": [limit for each in servers for limit in each["generator_limits"]],
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="What a call costs the engine, beside a loop in C.")
    parser.add_argument("--calls", type=int, default=1200)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="of the engine; the generator takes the others")
    options = parser.parse_args()
    keep_off(options.core, parser)
    floors, servers = list[float](), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, speech = build(name), asyncio.run(samples("speech", folder))
        for turn in range(options.times):
            floors.append(asyncio.run(floor(program, options, speech)))
            (here := folder / str(turn)).mkdir()
            servers.append(server(options, here))
    about = {"date": datetime.now(UTC).date().isoformat(), "times": options.times, "calls": options.calls}
    print(json.dumps(about | row(floors, servers), indent=2))


if __name__ == "__main__":
    main()
