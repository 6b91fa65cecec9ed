"""Worker processes for work that blocks: decoding files, speaking text. Both ends of their pipe.

A worker is a fresh interpreter that runs one module, gets a JSON object a line on its standard input and
answers with one on its standard output. It inherits no other descriptor, so no socket of ours; it ends when
its input does, and the kernel ends it should we die while it works. One request at a time: a worker that
dies or takes too long is replaced before the next one. Before its answer a worker may tell how far it is, in
objects that hold `progress`; what it is told meanwhile it takes when it needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from .errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE: Final = 1024 * 1024
MEMORY: Final = 2 * 1024**3
"""Address space of a worker, in octets, unless it asks for another: what hostile input can take."""
NICENESS: Final = 10
"""Workers give way to the media tick."""
PROGRESS_S: Final = 0.02
"""Progress is looked at no more often than this."""
PR_SET_PDEATHSIG: Final = 1


class Workers:
    """A fixed number of workers running `module`; requests wait for a free one."""

    def __init__(self, module: str, *, size: int = 1, timeout_s: float = 60.0) -> None:
        self._module, self._size, self._timeout_s = module, size, timeout_s
        self._idle: asyncio.LifoQueue[WorkerProcess] = asyncio.LifoQueue()
        self._all: list[WorkerProcess] = []

    async def start(self) -> None:
        """Start the processes, so that the first request does not wait for imports."""
        self._all = [WorkerProcess(self._module) for _ in range(self._size)]
        for worker in self._all:
            await worker.start()
            self._idle.put_nowait(worker)

    async def close(self) -> None:
        """End the processes, at work or not."""
        for worker in self._all:
            await worker.kill()

    @property
    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        return [worker.pid for worker in self._all if worker.pid]

    async def run(self, progress: Callable[[dict[str, Any]], None] | None = None, **request: object) -> dict[str, Any]:
        """Have the request done and give the answer; `progress` gets what comes before it.

        Raises PromptError saying why it could not be done: `timeout_s` counts from the last progress.
        """
        if not self._all:
            raise PromptError("the worker processes are not started")
        worker = await self._idle.get()
        done = False
        try:
            answer = await self._ask(worker, request, progress or (lambda message: None))
            done = True
        except TimeoutError as error:
            raise PromptError(f"not done within {self._timeout_s:g} s") from error
        except (OSError, EOFError, ValueError) as error:
            raise PromptError(f"the worker process ended while at it ({error})") from error
        finally:
            try:
                if not done:
                    await worker.kill()
            finally:
                self._idle.put_nowait(worker)
        if "error" in answer:
            raise PromptError(str(answer["error"]))
        return answer

    async def _ask(
        self, worker: WorkerProcess, request: dict[str, object], progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Ask; once more, of a new process, when this one has ended: maybe it had before it was asked."""
        begun = False

        def began(message: dict[str, Any]) -> None:
            nonlocal begun
            begun = True
            progress(message)

        try:
            return await self._ask_once(worker, request, began)
        except (OSError, EOFError) as error:
            if begun or isinstance(error, TimeoutError):  # which is an OSError too
                raise
            await worker.kill()
            return await self._ask_once(worker, request, progress)

    async def _ask_once(
        self, worker: WorkerProcess, request: dict[str, object], progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        async with asyncio.timeout(self._timeout_s) as deadline:
            if not worker.alive:
                await worker.kill()
                await worker.start()
            worker.tell(**request)
            while True:
                message = await worker.hear()
                if "progress" not in message:
                    return message
                progress(message)
                deadline.reschedule(asyncio.get_running_loop().time() + self._timeout_s)


class WorkerProcess:
    """One process that runs `module`, as its parent sees it."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._rest = b""
        self._heard: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        """The process id; 0 where there is no process."""
        return self._process.pid if self._process is not None else 0

    @property
    def alive(self) -> bool:
        """True until it has ended, as far as is known."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process; its imports are under way then."""
        self._rest, self._heard = b"", []
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )

    def tell(self, **message: object) -> None:
        """Send a request, or more about the one under way. Nothing happens where the process has ended."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """The next message; of progress that is old already only the last. Raises EOFError, ValueError."""
        while not self._heard:
            await self._read()
        return self._heard.pop(0)

    async def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            raise EOFError("not started")
        octets = await process.stdout.read(MAX_LINE)
        if not octets:
            raise EOFError(f"exit status {await process.wait()}")
        *lines, self._rest = (self._rest + octets).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} octets")
        messages = [json.loads(line) for line in lines]
        self._heard = [
            message
            for message, following in zip(messages, [*messages[1:], None], strict=True)
            if following is None or not message.keys() == following.keys() == {"progress"}
        ]
        if messages and "progress" in messages[-1]:
            await asyncio.sleep(PROGRESS_S)

    async def kill(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


class Exchange:
    """The pipe as the worker sees it."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print must not answer

    def hear(self) -> dict[str, Any] | None:
        """The next message; None when no more come."""
        line = sys.stdin.buffer.readline()
        return json.loads(line) if line else None

    def tell(self, **message: object) -> None:
        """Send a message: the answer, or, with `progress` in it, something before the answer."""
        self._answers.write(json.dumps(message).encode() + b"\n")


def serve(handle: Callable[[dict[str, Any]], dict[str, Any]], *, memory: int = MEMORY) -> None:
    """Be a worker: answer requests until the input ends. A PromptError or any other failure is an answer too."""
    serve_exchange(lambda request, exchange: handle(request), memory=memory)


def serve_exchange(handle: Callable[[dict[str, Any], Exchange], dict[str, Any]], *, memory: int = MEMORY) -> None:
    """Be a worker that tells and is told more while it works; `memory` is its address space in octets."""
    _confine(memory)
    exchange = Exchange()
    while (request := exchange.hear()) is not None:
        try:
            answer = handle(request, exchange)
        except PromptError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        exchange.tell(**answer)


def _confine(memory: int) -> None:
    """Limit what the process can take, and tie its life to its parent's."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it died before the line above
        sys.exit("the parent has gone")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
