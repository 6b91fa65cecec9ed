"""Pause, also called Wait: let time pass (reference, sections Pause and Wait)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, boolean, milliseconds, seconds
from ..verb import Call, Outcome
from .base import Verb


@dataclass(frozen=True, kw_only=True)
class Pause(Verb):
    """Wait `length` seconds."""

    name: ClassVar[str] = "Pause"

    length: int = attr(seconds(1), default=1)
    noise: bool = attr(boolean(), default=False, effect=False)
    min_noise: int = attr(milliseconds(), default=500, effect=False)
    silence: bool = attr(boolean(), default=False, effect=False)
    min_silence: int = attr(milliseconds(), default=2000, effect=False)

    async def run(self, call: Call) -> Outcome:
        """Wait; keys pressed meanwhile stay for whoever asks next."""
        del call
        await asyncio.sleep(self.length)
        return None


@dataclass(frozen=True, kw_only=True)
class Wait(Pause):
    """The same under its other name."""

    name: ClassVar[str] = "Wait"
