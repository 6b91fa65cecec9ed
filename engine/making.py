"""Audio that is being made: a file of samples that grows, and what those who wait for it are given.

The file keeps the name it has been handed out under for as long as somebody may begin to play it; what is worth
keeping gets a second name in the cache (a hard link). `follow`, `feed` and `pace` are the parent's side of the
decoder processes: they listen to how far the decoder is, tell it how far its source is, and how far it may go.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from typing import TYPE_CHECKING, Any, Final

from .errors import PromptError
from .flexml.verb import Prompt
from .growing_file import AHEAD_S, SAMPLE
from .growth import Growth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .download import Download
    from .workers import WorkerProcess

READY_S: Final = 0.3
"""Audio that is there when playing may begin."""
GRACE_S: Final = 0.05
"""How much longer is waited for the end of what is decoded in no time."""
PACE_S: Final = 0.2
BEHIND_S: Final = 1.0
"""How far before the newest sample of a stream whoever comes later begins, at least."""

Answer = dict[str, Any]


class Making:
    """One piece of audio under way. `result` is what it is once it is complete and kept."""

    def __init__(self, path: Path, *, rate_hz: int, url: str) -> None:
        self.path, self.rate_hz, self.url = path, rate_hz, url
        self.growth = Growth()
        self.ring = 0
        self.result: Prompt | None = None
        self.handed_out = False
        self.cause: PromptError | None = None
        self.begun: Callable[[], None] = lambda: None
        """Called with the first samples."""

    @property
    def wanted(self) -> bool:
        """True while somebody has its path, or will be given it because there is nothing better."""
        return self.handed_out or (self.result is None and self.growth.available > 0)

    def took(self, message: Answer) -> None:
        """Take a decoder's progress."""
        self.ring = int(message.get("ring", self.ring))
        self._grow(int(message["progress"]))

    def take(self, answer: Answer) -> None:
        """Take a decoder's answer. Raises PromptError where it says that something was wrong."""
        self._grow(int(answer.get("samples", 0)))
        if "error" in answer:
            raise PromptError(str(answer["error"]))

    def _grow(self, available: int) -> None:
        if available > self.growth.available:
            if not self.growth.available:
                self.begun()
            self.growth.grow(available)

    def end(self, result: Prompt | None = None, error: PromptError | None = None) -> None:
        """No more comes: all of it is in `result`, or `error` is why it ends here. Gives the file its true size."""
        self.result, self.cause = result, error
        if not self.ring and result is None:
            with contextlib.suppress(OSError):
                if self.path.stat().st_size > self.growth.available * SAMPLE:
                    os.truncate(self.path, self.growth.available * SAMPLE)
        self.growth.finish(str(error) if error is not None else "")

    async def ready(self, pre_buffer_s: float = 0.0) -> None:
        """Return once playing may begin, with `pre_buffer_s` there. Raises PromptError where nothing comes."""
        await self.growth.reach(max(READY_S, self._buffered_s(pre_buffer_s)) * self.rate_hz)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self.growth.reach(0 if self.ring else math.inf)
        if self.growth.complete and not self.growth.available and self.result is None:
            raise self.cause or PromptError("there is no sound in it")

    def _buffered_s(self, pre_buffer_s: float) -> float:
        """How much can be there first: of a stream no more than half of what is kept."""
        return min(pre_buffer_s, self.ring / self.rate_hz / 2) if self.ring else pre_buffer_s

    async def prompt(self, pre_buffer_s: float, *, first: bool) -> Prompt:
        """The audio once playing may begin; of a stream all of it for whoever is `first`, and has opened it.

        Whoever comes later hears what is new, from `pre_buffer_s` before its newest sample. Raises PromptError where
        nothing comes.
        """
        with self.growth.listening():  # a stream must not end while somebody waits to hear it
            await self.ready(pre_buffer_s)
        if self.result is not None:
            return self.result
        self.handed_out = True
        behind_s = math.inf if first else max(BEHIND_S, self._buffered_s(pre_buffer_s))
        return Prompt(
            path=str(self.path),
            rate_hz=self.rate_hz,
            duration_ms=0,
            url=self.url,
            growth=self.growth,
            ring=self.ring,
            entry_ms=int(1000 * max(0, self.growth.available / self.rate_hz - behind_s)) if self.ring else 0,
        )


async def follow(
    process: WorkerProcess, making: Making, timeout_s: float, waits: Callable[[], bool] = lambda: False
) -> None:
    """Take the decoder's progress until it answers. Raises PromptError.

    It may be silent for `timeout_s`, and for longer while it `waits` for somebody else.
    """
    try:
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    message = await process.hear()
            except TimeoutError:
                if waits():
                    continue
                raise PromptError(f"not decoded further within {timeout_s:g} s") from None
            if "progress" not in message:
                making.take(message)
                return
            making.took(message)
    except (OSError, EOFError, ValueError) as error:
        raise PromptError(f"the decoder ended while at it ({error})") from error


async def feed(
    process: WorkerProcess,
    making: Making,
    download: Download,
    saving: asyncio.Task[str],
    *,
    timeout_s: float,
    linger_s: float,
) -> None:
    """Let the process decode what is being downloaded; the request has been told. Raises PromptError.

    What cannot be decoded further is not downloaded further, nor is what may have no end once nobody has listened for
    `linger_s`. What has an end is worth some more time, in which all of it may get into the cache: `timeout_s`.
    """
    told = 0

    def tell() -> None:
        nonlocal told
        if download.size > told:
            told = download.size
            process.tell(octets=told)

    download.grown = tell
    tell()
    following = asyncio.create_task(follow(process, making, timeout_s, lambda: not saving.done()))
    deserted = asyncio.create_task(_deserted(making, timeout_s if download.announced else linger_s))
    try:
        await asyncio.wait({saving, following, deserted}, return_when=asyncio.FIRST_COMPLETED)
        if following.done() and following.exception() is None:
            await asyncio.wait({saving, deserted}, return_when=asyncio.FIRST_COMPLETED)
        if saving.done():
            process.tell(octets=download.size, complete=True)
        elif deserted.done():
            raise PromptError("nobody listens any more, and the end is not in sight")
        await following
    finally:
        following.cancel()
        deserted.cancel()


async def _deserted(making: Making, linger_s: float) -> None:
    """Return once there was something to be heard, and nobody has listened for `linger_s`."""
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while loop.time() - heard <= linger_s:
        await asyncio.sleep(PACE_S)
        if making.growth.listeners or not making.growth.available:
            heard = loop.time()


async def pace(process: WorkerProcess, making: Making, *, timeout_s: float, linger_s: float) -> None:
    """Let the process decode what it fetches itself; the request has been told. Raises PromptError.

    A stream is allowed AHEAD_S more than the time since it began. It ends when nobody has listened for `linger_s`.
    """
    loop, begun = asyncio.get_running_loop(), None
    heard = loop.time()
    following = asyncio.create_task(follow(process, making, timeout_s * 2))
    try:
        while not following.done():
            await asyncio.wait({following}, timeout=PACE_S)
            now = loop.time()
            if making.growth.available and begun is None:
                begun = now
            if making.growth.listeners or begun is None:
                heard = now
            if now - heard > linger_s:
                return
            if making.ring and begun is not None:
                process.tell(until=int((now - begun + AHEAD_S) * making.rate_hz))
        await following
    finally:
        following.cancel()
