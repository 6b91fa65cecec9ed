"""Amazon Polly's voices: whether there is one of that name, and by which engine it speaks.

Polly is asked for its voices once: at the start where a region is configured for it, else when the first text is to
be said by one of them. Until then nothing goes to AWS, and no process runs for it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final

from ..errors import PromptError
from .synthesizer import Synthesizer
from .voices import BACKENDS, Voice

PREFIX: Final = "polly."
ENGINES: Final = ("neural", "standard")
"""By which a voice speaks, the better one first. What others (long-form, generative) cost is not spent unasked."""

RETRY_S: Final = 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PollySettings:
    """How Amazon Polly is reached; what is empty comes from where AWS tools look."""

    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    endpoint: str = ""
    engine: str = "auto"


class Polly:
    """Amazon Polly through worker processes of its own."""

    def __init__(self, settings: PollySettings, *, size: int, timeout_s: float) -> None:
        self._engine, self._region = settings.engine, settings.region
        extra = {
            "region": settings.region,
            "access_key_id": settings.access_key_id,
            "secret_access_key": settings.secret_access_key,
            "endpoint": settings.endpoint,
        }
        self.synthesizer = Synthesizer(BACKENDS["polly"], size=size, timeout_s=timeout_s, extra=extra)
        self._voices: dict[str, tuple[str, Any]] = {}
        self._asking = asyncio.Lock()
        self._retry_at, self._error = 0.0, ""
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask for the voices, where a region is configured."""
        if self._region:
            self._starting = asyncio.create_task(self._start())

    async def close(self) -> None:
        """End the processes."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self.synthesizer.close()

    async def _start(self) -> None:
        try:
            await self._load()
        except PromptError as error:
            log.warning("no voice of Amazon Polly can be had: %s", error)

    async def voice(self, name: str) -> Voice:
        """The voice called `name`, in any case. Raises PromptError saying why it cannot be had."""
        await self._load()
        found = self._voices.get(name.lower())
        if found is None:
            raise PromptError(f'Amazon Polly has no voice "{name}"')
        name, facts = found
        engines = [self._engine] if self._engine != "auto" else ENGINES
        engine = next((engine for engine in engines if engine in facts["engines"]), "")
        if not engine:
            raise PromptError(f"Amazon Polly's {name} has no {' or '.join(engines)} engine")
        return Voice(backend="polly", voice=name, engine=engine, english=facts["language"].startswith("en-"))

    async def _load(self) -> None:
        """Ask for the voices, unless they are known; after a failure not again before RETRY_S have passed."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._voices:
                return
            if now < self._retry_at:
                raise PromptError(self._error)
            try:
                await self.synthesizer.start()
                self._voices = await self._ask()
            except PromptError as error:
                self._retry_at, self._error = now + RETRY_S, f"Amazon Polly: {error}"
                await self.synthesizer.close()
                raise PromptError(self._error) from error

    async def _ask(self) -> dict[str, tuple[str, Any]]:
        voices: dict[str, Any] = (await self.synthesizer.ask())["voices"]
        if not voices:
            raise PromptError("it has no voices")
        log.info("Amazon Polly has %d voices", len(voices))
        return {name.lower(): (name, facts) for name, facts in voices.items()}
