"""The REST API with much in the database: how long every kind of list takes, and how many reads a second one core does.

    scripts/bench_api.py [--database sqlite|postgresql|both] [--calls 100000] [--dids 10000] [--times 30] [--only TEXT]

The API is served by `bench_api_server.py` on one core, asked from another. Printed as JSON: p50 and p99 over all lists,
the slowest of them, reads per second over keep-alive connections, and whatever held the server's loop for 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from bench_api_rows import LOGINS, PASSWORD, fill
from bench_api_shapes import Shape, shapes
from flexml.engine.api.call_collection import CALLS, STATES
from flexml.engine.api.dids import DIDS
from flexml.engine.db import Database

HERE: Final = Path(__file__).resolve().parent
SERVER_CORE: Final = 0
CLIENT_CORES: Final = {1}
TARGET_MS: Final = 50.0
TARGET_READS: Final = 500
CONNECTIONS: Final = 4
HEADERS: Final = {"Authorization": "Basic " + base64.b64encode(f"{LOGINS[0]}:{PASSWORD}".encode()).decode()}


# ---- servers ------------------------------------------------------------------------------------------------


def _binaries() -> Path:
    found = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if found is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    return found


@contextlib.contextmanager
def postgresql() -> Generator[str]:
    """A PostgreSQL server of our own, on a free port, with its own settings and nothing of the system's."""
    binaries = _binaries()
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="flexml-bench-"))
    folder.chmod(0o777)
    data, port = folder / "data", _free_port()
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*as_nobody, binaries / "initdb", "-D", data, "-A", "trust", "-U", "flexml"], **quiet)
    options = [f"-p{port}", f"-k{folder}", "-hlocalhost", "-cshared_buffers=256MB"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*as_nobody, binaries / "postgres", "-D", data, *options], stdout=log, stderr=log)
    try:
        while subprocess.run([binaries / "pg_isready", "-q", "-hlocalhost", f"-p{port}"], check=False).returncode:
            if server.poll() is not None:
                raise SystemExit(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
            time.sleep(0.1)
        subprocess.run([binaries / "createdb", "-hlocalhost", f"-p{port}", "-Uflexml", "flexml"], **quiet)
        yield f"postgresql://flexml@localhost:{port}/flexml"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def sqlite() -> Generator[str]:
    """A SQLite file."""
    with tempfile.TemporaryDirectory(prefix="flexml-bench-") as folder:
        yield f"sqlite:///{folder}/flexml.db"


DATABASES: Final = {"sqlite": sqlite, "postgresql": postgresql}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextlib.contextmanager
def server(url: str, slow: list[str], *, watch: bool = False) -> Generator[int]:
    """The API server's port; what held its loop is added to `slow` at the end."""
    command = [sys.executable, str(HERE / "bench_api_server.py"), url, "--core", str(SERVER_CORE)]
    process = subprocess.Popen([*command, *(["--watch"] if watch else [])], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
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

    def timed_ms(self, target: str) -> float:
        """How long an answer takes."""
        begun = time.perf_counter()
        self.get(target)
        return (time.perf_counter() - begun) * 1000


def samples(client: Client) -> dict[str, list[dict[str, Any]]]:
    """Objects of each list, with every field."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, collection in [("dids", DIDS), *((f"calls?state={state}", CALLS) for state in STATES)]:
        names = ",".join(field.name for field in collection.fields)
        joined = "&" if "?" in path else "?"
        found[path] = json.loads(client.get(f"/flexml/v1/{path}{joined}limit=200&include_fields={names}"))["items"]
    return found


def measure(client: Client, wanted: list[Shape], times: int) -> list[dict[str, Any]]:
    """Each shape so many times; p99 is the longest of fewer than 100."""
    found: list[dict[str, Any]] = []
    for shape in wanted:
        client.get(shape.target)
        took = sorted(client.timed_ms(shape.target) for _ in range(times))
        found.append({"list": shape.name, "p50_ms": statistics.median(took), "p99_ms": took[int(len(took) * 0.99)]})
    return found


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


def report(url: str, given: Any) -> dict[str, Any]:
    """Fill the database, and ask."""

    async def filled() -> None:
        database = Database(url)
        await database.start()
        await fill(database, given.calls, given.dids)
        await database.close()

    begun = time.perf_counter()
    asyncio.run(filled())
    if url.startswith("postgresql"):  # as its autovacuum does within a minute
        subprocess.run([_binaries() / "vacuumdb", "--analyze", "--quiet", "--dbname", url], check=True)
    found: dict[str, Any] = {"fill_s": round(time.perf_counter() - begun, 1)}
    slow: list[str] = []
    with server(url, slow) as port:
        client = Client(port)
        some = samples(client)
        wanted = [shape for shape in shapes(some) if given.only in shape.name]
        lists = measure(client, wanted, given.times)
        lists.sort(key=lambda one: -one["p99_ms"])
        found |= {
            "lists": len(lists),
            "over_target": sum(one["p99_ms"] > TARGET_MS for one in lists),
            "median_p50_ms": round(statistics.median(one["p50_ms"] for one in lists), 1),
            "slowest": [{k: round(v, 1) if k != "list" else v for k, v in one.items()} for one in lists[: given.show]],
        }
        one = [f"/flexml/v1/calls/{call['call_sid']}" for call in some["calls?state=all"]]
        for name, targets in {"one call": one, "list of 10 calls": ["/flexml/v1/calls?state=all"],
                              "list of 10 numbers": ["/flexml/v1/dids"]}.items():  # fmt: skip
            found[f"{name}, reads/s"] = round(reads_per_second(port, targets, given.seconds))
    with server(url, slow, watch=True) as port:
        client = Client(port)
        for shape in wanted:
            client.get(shape.target)
    return found | {"held_the_loop": slow}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--dids", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default="", help="lists whose name has this in it")
    parser.add_argument("--show", type=int, default=25, help="how many of the slowest are named")
    given = parser.parse_args()
    os.sched_setaffinity(0, CLIENT_CORES)
    for name in DATABASES if given.database == "both" else [given.database]:
        with DATABASES[name]() as url:
            print(json.dumps({name: report(url, given)}, indent=2), flush=True)


if __name__ == "__main__":
    main()
