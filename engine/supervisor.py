"""Media worker processes: started, watched by their beats, replaced when they die or hang."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final

from ..media import channel
from .errors import MediaError
from .media_client import MediaClient, WorkerLink

log = logging.getLogger("flexml.supervisor")

BEAT_TIMEOUT_S: Final = 5.0
"""A worker that has been silent for that long hangs, and is replaced."""
SILENT_S: Final = 2.0
"""A worker that has been silent for that long, which is two beats, gets no new calls."""
WATCH_S: Final = 0.5
RESTART_PAUSE_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0)
START_TIMEOUT_S: Final = 15.0
STOP_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """What every worker is started with."""

    capacity: int
    jitter_ms: int = 40
    silent_after_s: float = 10.0
    report_s: float = 10.0
    io_uring: bool = True

    def arguments(self) -> list[str]:
        """The worker's command line."""
        return [
            "--capacity", str(self.capacity), "--jitter-ms", str(self.jitter_ms),
            "--silent-after", str(self.silent_after_s), "--report", str(self.report_s),
            *([] if self.io_uring else ["--no-io-uring"]),
        ]  # fmt: skip


class Supervisor:
    """Keeps `count` workers running for `client`."""

    def __init__(self, client: MediaClient, *, count: int, settings: WorkerSettings) -> None:
        self._client = client
        self._count = count
        self._settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[str, int] = {}

    @property
    def restarts(self) -> int:
        """How many workers have been replaced."""
        return sum(link.restarts for link in self._client.workers)

    def start(self) -> None:
        """Start the workers."""
        for number in range(1, self._count + 1):
            link = WorkerLink(f"worker {number}", self._settings.capacity)
            self._client.workers.append(link)
            self._spawn(link)
        self._later(self._watch())

    async def ready(self) -> None:
        """Return once every worker has given a sign. Raises MediaError where one has not in time."""
        end = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while silent := [link.name for link in self._client.workers if link.beat is None]:
            if asyncio.get_running_loop().time() > end:
                raise MediaError(f"no sign of {', '.join(silent)} within {START_TIMEOUT_S:g} s of its start")
            await asyncio.sleep(0.02)

    def wind_down(self) -> None:
        """Replace no more workers: a service manager may be ending them together with us."""
        self._stopping = True

    def _spawn(self, link: WorkerLink) -> None:
        """Start the process behind `link`. Raises OSError."""
        control, worker = channel.pair()
        try:
            self._processes[link.name] = self._process(link.name, worker.fileno())
        except OSError:
            control.close()
            raise
        finally:
            worker.close()
        link.connect(control, lambda: self._lost(link))

    def _process(self, name: str, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable, "-m", "flexml.media.worker",
                "--fd", str(descriptor), "--name", name, *self._settings.arguments(),
            ],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # its threads would only stand in each other's way
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _lost(self, link: WorkerLink) -> None:
        if self._stopping:
            return
        process = self._processes.pop(link.name)
        if process.poll() is None:
            process.kill()
        code = process.wait()
        self._failures[link.name] = failures = self._failures.get(link.name, 0) + 1
        link.restarts += 1
        pause = RESTART_PAUSE_S[min(failures, len(RESTART_PAUSE_S)) - 1]
        log.error("%s ended with code %d with %d legs; replacing it in %g s", link.name, code, len(link.legs), pause)
        self._later(self._respawn(link, pause))

    async def _respawn(self, link: WorkerLink, pause: float) -> None:
        while not self._stopping:
            await asyncio.sleep(pause)
            try:
                self._spawn(link)
                return
            except OSError as error:
                pause = RESTART_PAUSE_S[-1]
                log.error("%s cannot be started, trying again in %g s: %s", link.name, pause, error)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + WATCH_S
            await asyncio.sleep(WATCH_S)
            stood_still = loop.time() - due  # control itself, or all of the machine: beats may wait to be read
            for link in self._client.workers:
                link.beat_at += stood_still
                silent = link.loop.time() - link.beat_at
                link.silent = silent > SILENT_S
                if link.connected and silent > BEAT_TIMEOUT_S:
                    log.error("%s has given no sign for %.0f s", link.name, silent)
                    self._processes[link.name].kill()
                    link.beat_at = link.loop.time()
                elif link.connected and link.beat is not None and silent < BEAT_TIMEOUT_S / 2:
                    self._failures[link.name] = 0

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End the workers, waiting for them a little."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        for link in self._client.workers:
            link.disconnect()
        end = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        for process in self._processes.values():
            while process.poll() is None and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


def spare_cores() -> int:
    """How many workers to start by default: one for each core but the one that control runs on, at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
