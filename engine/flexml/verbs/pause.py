"""Pause, also called Wait: let time pass, or wait for noise or silence (reference, sections Pause and Wait)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, boolean, milliseconds, seconds
from ..verb import Call, Outcome
from .base import Verb


@dataclass(frozen=True, kw_only=True)
class Pause(Verb):
    """Wait `length` seconds, less where what is listened for is heard before. Noise first, then silence."""

    name: ClassVar[str] = "Pause"
    reads_text: ClassVar[bool] = False

    length: int = attr(
        seconds(1), default=1, says="The longest time to wait, and without `noise` and `silence` the only one."
    )
    noise: bool = attr(boolean(), default=False, says="End as soon as something has been heard for `minNoise`.")
    min_noise: int = attr(milliseconds(), default=500, says="How long it has to be heard; used with `noise` only.")
    silence: bool = attr(
        boolean(),
        default=False,
        says="End as soon as nothing has been heard for `minSilence`; with `noise` as well, that silence comes "
        "after the noise.",
    )
    min_silence: int = attr(
        milliseconds(), default=2000, says="How long the silence has to be; used with `silence` only."
    )

    async def run(self, call: Call) -> Outcome:
        """Wait; keys pressed meanwhile stay for whoever asks next."""
        if not (self.noise or self.silence):
            await asyncio.sleep(self.length)
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(self.length):
                await call.heard(
                    noise_ms=self.min_noise if self.noise else None,
                    silence_ms=self.min_silence if self.silence else None,
                )
        return None


@dataclass(frozen=True, kw_only=True)
class Wait(Pause):
    """The same under its other name."""

    name: ClassVar[str] = "Wait"
