"""One backend's worker processes, as speech sees them: a piece of text in, a file of audio out.

Requests are served in the order in which they are due (`turns`). A backend that fails several times in a row is
not asked for a while, so that calls do not wait for what will not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ..errors import PromptError
from ..workers import Workers
from .turns import Turns
from .voices import Backend, Voice

MAX_FAILURES: Final = 3
REST_S: Final = 30.0


class Synthesizer:
    """`size` worker processes of `backend`, each request done within `timeout_s`; `extra` goes with every request."""

    def __init__(
        self, backend: Backend, *, size: int, timeout_s: float, extra: Mapping[str, str] | None = None
    ) -> None:
        self.label, self.lengths = backend.label, backend.lengths
        self._extra: dict[str, Any] = dict(extra or {})
        self._workers = Workers(backend.module, size=size, timeout_s=timeout_s)
        self._turns = Turns(size)
        self._failures, self._rests_until, self._error = 0, 0.0, ""

    async def start(self) -> None:
        """Start the processes."""
        await self._workers.start()

    async def close(self) -> None:
        """End the processes."""
        await self._workers.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return self._workers.pids

    async def speak(self, voice: Voice, text: str, target: Path, rate_hz: int, due: float) -> None:
        """Make the file `target`, in the order of `due` (on the loop's clock). Raises PromptError."""
        async with self._turns.turn(due):
            request = asdict(voice) | {"text": text, "target": str(target), "rate_hz": rate_hz}
            await self.ask(**request)

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Have a request done by a worker. Raises PromptError."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            raise PromptError(self._error)
        try:
            answer = await self._workers.run(**request, **self._extra)
        except PromptError as error:
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                self._rests_until, self._error, self._failures = now + REST_S, str(error), 0
            raise
        self._failures = 0
        return answer
