"""Play's keys: forward, back, pause, resume, information, stop, while a file plays (reference, section Play).

One loop follows the play from key to key. What has to be silent for a while, for a pause or for the information, is
stopped and later started again where it stood, with the repetitions that were left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from ...errors import PromptError
from ..verb import Call, Played, Playing, Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class Controls:
    """Which keys do what. A stream can be paused and stopped, but not moved in."""

    skips: tuple[tuple[str, int], ...] = ()
    """(keys, ms) for each kind of move, negative for back."""
    stop: str = ""
    pause: str = ""
    resume: str = ""
    information: str = ""
    information_url: str = ""
    pause_url: str = ""
    strict: bool = False

    @property
    def keys(self) -> str:
        """All that do something while the file plays."""
        return "".join(keys for keys, _ in self.skips) + self.stop + self.pause + self.information

    def move(self, key: str) -> int:
        """By how many ms `key` moves; 0 if it does not."""
        return next((by for keys, by in self.skips if key in keys), 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a controlled play ended: at its end, or by `key`."""

    position_ms: int
    key: str = ""


class ControlledPlay:
    """One file under its controls."""

    def __init__(self, call: Call, prompt: Prompt, controls: Controls, *, loops: int, loop_pause_ms: int) -> None:
        self._call, self._prompt, self._controls = call, prompt, controls
        self._loops, self._pause_ms = loops, loop_pause_ms
        self._position_ms = 0
        self._playing: Playing | None = None

    async def run(self, offset_ms: int, time_limit_s: float | None) -> Ended:
        """Play to the end, to a stop key, or for `time_limit_s`. Raises PromptError."""
        self._position_ms = offset_ms
        growth = self._prompt.growth
        # A stream ends when nobody listens; while it is paused, somebody does.
        with growth.listening() if growth is not None else contextlib.nullcontext():
            return await self._run(time_limit_s)

    async def _run(self, time_limit_s: float | None) -> Ended:
        try:
            async with asyncio.timeout(time_limit_s):
                while (ended := await self._stretch()) is None:
                    pass
                return ended
        except TimeoutError:
            if self._playing is not None:
                self._position_ms = (await self._playing.finished()).position_ms
            return Ended(position_ms=self._position_ms)

    async def _stretch(self) -> Ended | None:
        """Play on until something stops it: the end, a stop key, or a key after which it goes on."""
        playing = self._playing = self._call.start(
            self._prompt, loops=self._loops, loop_pause_ms=self._pause_ms, offset_ms=self._position_ms
        )
        try:
            key = await self._stopping_key(playing)
        finally:
            playing.stop()
        played = await playing.finished()
        self._playing = None
        self._position_ms = played.position_ms
        if not key:
            return Ended(position_ms=played.position_ms)
        if key in self._controls.stop:
            return Ended(position_ms=played.position_ms, key=key)
        self._loops = self._left(played)
        return await (self._paused() if key in self._controls.pause else self._informed())

    def _left(self, played: Played) -> int:
        return self._loops - played.loops if self._loops else 0

    async def _stopping_key(self, playing: Playing) -> str:
        """The key that stops the play; empty at its end. Keys that only move it are carried out on the way."""
        while key := await first_key(self._call, self._controls.keys, playing.finished):
            by_ms = self._controls.move(key)
            if not by_ms:
                return key
            self._call.note("play moved", by_ms=by_ms)
            playing.seek(by_ms, strict=self._controls.strict and by_ms > 0)
        return ""

    async def _paused(self) -> Ended | None:
        """Be heard otherwise until a key resumes the play, or stops it."""
        self._call.note("play paused", position_ms=self._position_ms)
        controls = self._controls
        keys = (controls.resume or controls.pause) + controls.stop
        meanwhile = await self._other(controls.pause_url)
        playing = self._call.start(meanwhile, loops=0) if meanwhile else self._call.start_tone("comfort-noise")
        try:
            key = await self._call.digit_of(keys)
        finally:
            playing.stop()
        if key in controls.stop:
            return Ended(position_ms=self._position_ms, key=key)
        self._call.note("play resumed", position_ms=self._position_ms)
        return None

    async def _informed(self) -> None:
        """Let the information be heard once, then go on."""
        information = await self._other(self._controls.information_url)
        if information is not None:
            await self._call.play(information)

    async def _other(self, url: str) -> Prompt | None:
        """The audio of a control; that it cannot be had is noted, and the play goes on without."""
        if not url:
            return None
        try:
            return replace(await self._call.fetch_audio(url), beside=True)
        except PromptError as error:
            self._call.note("Play: audio of a control cannot be heard", error=str(error))
            return None


async def first_key(call: Call, keys: str, end: Callable[[], Coroutine[Any, Any, object]]) -> str:
    """The first of `keys` that is pressed before `end` returns; empty where none is. What `end` raises is raised."""
    if not keys:
        await end()
        return ""
    ending, pressed = asyncio.ensure_future(end()), asyncio.ensure_future(call.digit_of(keys))
    try:
        await asyncio.wait({ending, pressed}, return_when=asyncio.FIRST_COMPLETED)
        if pressed.done():
            return pressed.result()
        ending.result()
        return ""
    finally:
        ending.cancel()
        pressed.cancel()
