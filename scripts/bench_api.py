"""The REST API with much in the database: how long every kind of list takes, and how many reads a second one core does.

    scripts/bench_api.py [--database sqlite|postgresql|both] [--calls 100000] [--dids 10000] [--times 30] [--only TEXT]
                         [--slowest 40 --again 100]

The API is served by `bench_api_server.py` on one core, asked from another. Printed as JSON: how many lists are beyond
50 ms, the slowest of them with p50 and p99, reads per second over keep-alive connections, and whatever held the
server's loop for 50 ms. Beside how long an answer took is the time for which the server and its database ran: what it
costs, whoever else has the cores meanwhile. Of the slowest those answers are shown by themselves before and after
which a computation took no more than its usual time: how it is on a core of one's own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.client
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench_api_rows import LOGINS, PASSWORD, fill
from bench_api_shapes import Shape, shapes
from flexml.engine.api.call_collection import CALLS, STATES
from flexml.engine.api.dids import DIDS
from flexml.engine.db import Database

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from postgresql import PostgresqlServer, postgresql_missing

HERE: Final = Path(__file__).resolve().parent
SERVER_CORE: Final = 0
CLIENT_CORES: Final = {1}
TARGET_MS: Final = 50.0
TARGET_READS: Final = 500
CALM: Final = 1.15
"""So much more than the least a computation takes where nobody else uses the core."""
CONNECTIONS: Final = 4
HEADERS: Final = {"Authorization": "Basic " + base64.b64encode(f"{LOGINS[0]}:{PASSWORD}".encode()).decode()}


# ---- servers ------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a database is: its URL, what to do once it is filled, and the processes that answer beside the server's."""

    url: str
    settle: Callable[[], object]
    processes: Callable[[], list[int]]


@contextlib.contextmanager
def postgresql() -> Generator[Place]:
    """A database in a PostgreSQL server of our own."""
    if missing := postgresql_missing():
        raise SystemExit(missing)
    running = PostgresqlServer(shared_buffers="256MB", synchronous_commit="on", fsync="on", full_page_writes="on")
    try:
        running.start()
        name = running.create()
        yield Place(running.url(name), lambda: _vacuum(running, name), lambda: _children(running.pid))
    finally:
        running.close()


def _vacuum(running: PostgresqlServer, name: str) -> None:
    """What its autovacuum does within a minute."""
    running.execute("VACUUM ANALYZE", name)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def sqlite() -> Generator[Place]:
    """A SQLite file."""
    with tempfile.TemporaryDirectory(prefix="flexml-bench-") as folder:
        yield Place(f"sqlite:///{folder}/flexml.db", lambda: None, list)


DATABASES: Final = {"sqlite": sqlite, "postgresql": postgresql}


@contextlib.contextmanager
def server(url: str, slow: list[str], *, watch: bool = False) -> Generator[tuple[int, int]]:
    """The API server's port and process; what held its loop is added to `slow` at the end."""
    command = [sys.executable, str(HERE / "bench_api_server.py"), url, "--core", str(SERVER_CORE)]
    process = subprocess.Popen([*command, *(["--watch"] if watch else [])], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
        process.terminate()
        slow += json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(20)


# ---- measuring ----------------------------------------------------------------------------------------------


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, target: str) -> bytes:
        """The body of the answer, which has to be 200."""
        self._connection.request("GET", target, headers=HEADERS)
        reply = self._connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise SystemExit(f"{target}: {reply.status} {body[:300]!r}")
        return body


def cpu_ms(processes: list[int]) -> float:
    """The time for which all threads of some processes have run."""
    threads = itertools.chain.from_iterable(Path(f"/proc/{pid}/task").iterdir() for pid in processes)
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6


def samples(client: Client) -> dict[str, list[dict[str, Any]]]:
    """Objects of each list, with every field."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, collection in [("dids", DIDS), *((f"calls?state={state}", CALLS) for state in STATES)]:
        names = ",".join(field.name for field in collection.fields)
        joined = "&" if "?" in path else "?"
        found[path] = json.loads(client.get(f"/flexml/v1/{path}{joined}limit=200&include_fields={names}"))["items"]
    return found


class Answer(NamedTuple):
    """How long an answer took, and for how long server and database ran; and a computation before and after, in ms."""

    took_ms: float
    ran_ms: float
    pace_ms: float


class Meter:
    """Asks for lists over one connection; the processes are those that answer."""

    def __init__(self, port: int, processes: Callable[[], list[int]]) -> None:
        self.client = Client(port)
        self._processes = processes

    def answers(self, shape: Shape, times: int) -> list[Answer]:
        """A list so many times, once before."""
        self.client.get(shape.target)
        return [self._once(shape.target) for _ in range(times)]

    def _once(self, target: str) -> Answer:
        processes, pace_ms = self._processes(), _pace_ms()
        before, begun = cpu_ms(processes), time.perf_counter()
        self.client.get(target)
        took_ms = (time.perf_counter() - begun) * 1000
        return Answer(took_ms, cpu_ms(processes) - before, max(pace_ms, _pace_ms()))


def _pace_ms() -> float:
    """What a computation takes on the server's core, which is half as fast while others use the same silicon."""
    os.sched_setaffinity(0, {SERVER_CORE})
    begun = time.thread_time()
    sum(number * number for number in range(10_000))
    took_ms = (time.thread_time() - begun) * 1000
    os.sched_setaffinity(0, CLIENT_CORES)
    return took_ms


class Figures(NamedTuple):
    """How long a list takes, and of that the time for which the server and its database ran, in ms."""

    shape: Shape
    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    cpu_p99_ms: float
    times: int

    @classmethod
    def of(cls, shape: Shape, answers: Sequence[Answer]) -> Figures:
        """The figures of some answers, at least one."""
        took, ran = [one.took_ms for one in answers], [one.ran_ms for one in answers]
        return cls(shape, statistics.median(took), _p99(took), statistics.median(ran), _p99(ran), len(answers))

    def shown(self) -> dict[str, Any]:
        """One of the report."""
        return {"list": self.shape.name, **{k: round(v, 1) for k, v in self._asdict().items() if k != "shape"}}


def _p99(took: Sequence[float]) -> float:
    """What 99 % do not exceed: of fewer than 100 the longest."""
    return sorted(took)[math.ceil(len(took) * 0.99) - 1]


def measure(meter: Meter, wanted: list[Shape], given: Any) -> dict[str, Any]:
    """Each list some times, and the slowest of them again, more often."""
    lists = [Figures.of(shape, meter.answers(shape, given.times)) for shape in wanted]
    lists.sort(key=lambda one: -one.cpu_p50_ms)
    answers = {one.shape: meter.answers(one.shape, given.again) for one in lists[: given.slowest]}
    found: dict[str, Any] = {
        "lists": len(lists),
        "median_p50_ms": round(statistics.median(one.p50_ms for one in lists), 1),
        f"of {given.times} each": _over(lists),
        "slowest": [one.shown() for one in sorted(lists, key=lambda one: -one.p99_ms)[: given.show]],
    }
    if answers:
        found["again"] = _again(answers)
        paces = sorted(one.pace_ms for some in answers.values() for one in some)
        found["pace_ms"] = {"least": round(paces[0], 2), "p50": round(statistics.median(paces), 2)}
        calm = {shape: [one for one in some if one.pace_ms < paces[0] * CALM] for shape, some in answers.items()}
        found["again, calm"] = _again({shape: some for shape, some in calm.items() if some})
    return found


def _again(answers: dict[Shape, list[Answer]]) -> dict[str, Any]:
    lists = sorted((Figures.of(*one) for one in answers.items()), key=lambda one: -one.p99_ms)
    return {"lists": len(lists), **_over(lists), "slowest": [one.shown() for one in lists]}


def _over(lists: list[Figures]) -> dict[str, int]:
    """How many lists are beyond the target, by each figure."""
    names = ("p50_ms", "p99_ms", "cpu_p50_ms", "cpu_p99_ms")
    return {f"{name} > {TARGET_MS:.0f}": sum(getattr(one, name) > TARGET_MS for one in lists) for name in names}


def reads_per_second(port: int, targets: list[str], seconds: float) -> float:
    """How many answers come back over some connections at once."""
    until, counts = time.perf_counter() + seconds, [0] * CONNECTIONS

    def ask(index: int) -> None:
        client = Client(port)
        while time.perf_counter() < until:
            client.get(targets[(counts[index] + index) % len(targets)])
            counts[index] += 1

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def report(place: Place, given: Any) -> dict[str, Any]:
    """Fill the database, and ask."""

    async def filled() -> None:
        database = Database(place.url)
        await database.start()
        await fill(database, given.calls, given.dids)
        await database.close()

    begun = time.perf_counter()
    asyncio.run(filled())
    found: dict[str, Any] = {"fill_s": round(time.perf_counter() - begun, 1)}
    place.settle()
    slow: list[str] = []
    with server(place.url, slow) as (port, pid):
        meter = Meter(port, lambda: [pid, *place.processes()])
        some = samples(meter.client)
        wanted = [shape for shape in shapes(some) if given.only in shape.name]
        found |= measure(meter, wanted, given)
        one = [f"/flexml/v1/calls/{call['call_sid']}" for call in some["calls?state=all"]]
        for name, targets in {"one call": one, "list of 10 calls": ["/flexml/v1/calls?state=all"],
                              "list of 10 numbers": ["/flexml/v1/dids"]}.items():  # fmt: skip
            found[f"{name}, reads/s"] = round(reads_per_second(port, targets, given.seconds))
    if not given.no_watch:
        with server(place.url, slow, watch=True) as (port, _):
            client = Client(port)
            for shape in wanted:
                client.get(shape.target)
        found["held_the_loop"] = slow
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--dids", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=30, help="how often each list is asked for")
    parser.add_argument("--slowest", type=int, default=0, help="how many of the slowest are asked for again")
    parser.add_argument("--again", type=int, default=100, help="how often those are")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default="", help="lists whose name has this in it")
    parser.add_argument("--no-watch", action="store_true", help="do not look for what holds the loop")
    parser.add_argument("--show", type=int, default=25, help="how many of the slowest are named")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and leave nothing behind
    os.sched_setaffinity(0, CLIENT_CORES)
    for name in DATABASES if given.database == "both" else [given.database]:
        with DATABASES[name]() as place:
            print(json.dumps({name: report(place, given)}, indent=2), flush=True)


if __name__ == "__main__":
    main()
