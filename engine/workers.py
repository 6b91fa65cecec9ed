"""Worker processes for work that blocks: decoding files, speaking text. Both ends of their pipe.

A worker is a fresh interpreter that runs one module, gets a JSON object a line on its standard input and
answers with one on its standard output. It inherits no other descriptor, so no socket of ours; it ends when
its input does, and the kernel ends it should we die while it works. One request at a time: a worker that
dies or takes too long is replaced before the next one.
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
"""Address space of a worker, in octets: what hostile input can take."""
NICENESS: Final = 10
"""Workers give way to the media tick."""
PR_SET_PDEATHSIG: Final = 1


class Workers:
    """A fixed number of workers running `module`; requests wait for a free one."""

    def __init__(self, module: str, *, size: int = 1, timeout_s: float = 60.0) -> None:
        self._module, self._size, self._timeout_s = module, size, timeout_s
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._all: list[_Worker] = []

    async def start(self) -> None:
        """Start the processes, so that the first request does not wait for imports."""
        self._all = [_Worker(self._module) for _ in range(self._size)]
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
        return [worker.process.pid for worker in self._all if worker.process is not None]

    async def run(self, **request: object) -> dict[str, Any]:
        """Have the request done and give the answer. Raises PromptError saying why it could not be."""
        if not self._all:
            raise PromptError("the worker processes are not started")
        worker = await self._idle.get()
        done = False
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await worker.ask_again(request)
            done = True
        except TimeoutError as error:
            raise PromptError(f"not done within {self._timeout_s:g} s") from error
        except (OSError, EOFError, ValueError) as error:
            raise PromptError(f"the worker process ended while at it ({error})") from error
        finally:
            if not done:
                await worker.kill()
            self._idle.put_nowait(worker)
        if "error" in answer:
            raise PromptError(str(answer["error"]))
        return answer


class _Worker:
    """One process, started again when it is needed and not there."""

    def __init__(self, module: str) -> None:
        self._module = module
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )

    async def ask_again(self, request: dict[str, object]) -> dict[str, Any]:
        """Ask; once more, of a new process, when this one has ended: maybe it had before it was asked."""
        try:
            return await self.ask(request)
        except (OSError, EOFError):
            await self.kill()
            return await self.ask(request)

    async def ask(self, request: dict[str, object]) -> dict[str, Any]:
        if self.process is None or self.process.returncode is not None:
            await self.kill()
            await self.start()
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        await self.process.stdin.drain()
        line = await self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError(f"exit status {await self.process.wait()}")
        return json.loads(line)

    async def kill(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def serve(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Be a worker: answer requests until the input ends. A PromptError or any other failure is an answer too."""
    _confine()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print must not answer
    for line in sys.stdin.buffer:
        try:
            answer = handle(json.loads(line))
        except PromptError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer).encode() + b"\n")


def _confine() -> None:
    """Limit what the process can take, and tie its life to its parent's."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it died before the line above
        sys.exit("the parent has gone")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
