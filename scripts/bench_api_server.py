"""The REST API alone, over the engine's own server, pinned to one core: what `bench_api.py` asks.

    scripts/bench_api_server.py URL [--core 0] [--watch]

Prints the port once it listens, and when it is ended the callbacks that held the loop for longer than 50 ms, as JSON.
These are asyncio's own finding, in its debug mode (`--watch`), which makes everything slower: not for figures.
Only reads are asked of it, so there is nobody to place calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from typing import Any, Final, cast

from bench_api_rows import NOW
from flexml.engine.api.accounts import accounts_router
from flexml.engine.api.authentication import Authentication
from flexml.engine.api.calls import calls_router
from flexml.engine.api.collection import Reader
from flexml.engine.api.dids import dids_router
from flexml.engine.api.server import Health, create_app, run
from flexml.engine.app import settle_memory
from flexml.engine.changes import Changes
from flexml.engine.db import Database
from flexml.engine.directory import Directory
from flexml.engine.outbound import Outbound

SLOW_S: Final = 0.05


class Slow(logging.Handler):
    """Keeps what asyncio says of slow callbacks."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


async def serve(url: str, *, watch: bool) -> None:
    """Serve until SIGTERM."""
    loop, stop, slow = asyncio.get_running_loop(), asyncio.Event(), Slow()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    logging.getLogger("asyncio").addHandler(slow)
    loop.slow_callback_duration = SLOW_S
    loop.set_debug(watch)
    database, directory = Database(url), Directory("US")
    await database.start()
    directory.load(await database.load_accounts(), await database.load_dids())
    reader, changes, who = Reader(database, lambda: NOW), Changes(database, directory), Authentication(directory)
    nobody = cast("Outbound", None)
    routers = [
        accounts_router(reader, changes, who),
        calls_router(nobody, database, reader, who),
        dids_router(reader, changes, who),
    ]
    app = create_app(health=lambda: Health(version="0", uptime_s=0, live_calls=0, workers=1), routers=routers)

    def listening(_host: str, port: int) -> None:
        print(port, flush=True)

    server = asyncio.create_task(run(app, "127.0.0.1", 0, on_listening=listening))
    settle_memory()
    await asyncio.sleep(0)
    slow.found.clear()  # while it started, nobody was waiting
    await stop.wait()
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    await database.close()
    print(json.dumps(slow.found), flush=True)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--watch", action="store_true")
    given: Any = parser.parse_args()
    os.sched_setaffinity(0, {given.core})
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(serve(given.url, watch=given.watch))


if __name__ == "__main__":
    main()
