"""Play's keys: forward, back, pause, resume, information, stop, while a file plays (reference, section Play).

One loop follows the play from key to key. What has to be silent for a while, for a pause or for the information, is
stopped and later started again where it stood, with the repetitions that were left; a stream goes on meanwhile. All
keys that the play names are taken whenever they are pressed, and those without effect just then are dropped: they were
not meant for what comes later.
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
    """Which keys do what."""

    skips: tuple[tuple[str, int], ...] = ()
    """(keys, ms) for each kind of move, negative for back; 0 in a stream, which cannot be moved in."""
    stop: str = ""
    pause: str = ""
    resume: str = ""
    information: str = ""
    information_url: str = ""
    pause_url: str = ""
    strict: bool = False

    @property
    def keys(self) -> str:
        """All that do something, now or in another state of the play."""
        moving = "".join(keys for keys, _ in self.skips)
        return moving + self.stop + self.pause + self.resume + self.information

    def move(self, key: str) -> int:
        """By how many ms `key` moves; 0 if it does not."""
        return next((by for keys, by in self.skips if by and key in keys), 0)


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
        self._position_ms = self._prompt.entry_ms if self._prompt.ring else offset_ms
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
        prompt = replace(self._prompt, entry_ms=self._position_ms)
        playing = self._playing = self._call.start(
            prompt, loops=self._loops, loop_pause_ms=self._pause_ms, offset_ms=self._position_ms
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
        newest_ms = self._newest_ms()
        ended = await (self._paused() if key in self._controls.pause else self._informed())
        self._position_ms += self._newest_ms() - newest_ms
        return ended

    def _newest_ms(self) -> int:
        """How far a stream has come, which is listened to as far behind that as before; 0 for a file."""
        growth = self._prompt.growth if self._prompt.ring else None
        return growth.available * 1000 // self._prompt.rate_hz if growth is not None else 0

    def _left(self, played: Played) -> int:
        return self._loops - played.loops if self._loops else 0

    async def _stopping_key(self, playing: Playing) -> str:
        """The key that stops the play; empty at its end. Keys that only move it are carried out on the way."""
        controls = self._controls
        while key := await first_key(self._call, controls.keys, playing.finished):
            if by_ms := controls.move(key):
                self._call.note("play moved", by_ms=by_ms)
                playing.seek(by_ms, strict=controls.strict and by_ms > 0)
            elif key in controls.stop + controls.pause + controls.information:
                return key
        return ""

    async def _paused(self) -> Ended | None:
        """Be heard otherwise until a key resumes the play, or stops it."""
        self._call.note("play paused", position_ms=self._position_ms)
        controls = self._controls
        acting = (controls.resume or controls.pause) + controls.stop
        key = await first_key(self._call, acting, self._fill_pause, dropped=controls.keys)
        if key in controls.stop:
            return Ended(position_ms=self._position_ms, key=key)
        self._call.note("play resumed", position_ms=self._position_ms)
        return None

    async def _fill_pause(self) -> None:
        """Be heard otherwise, until cancelled."""
        meanwhile = await self._other(self._controls.pause_url)
        playing = self._call.start(meanwhile, loops=0) if meanwhile else self._call.start_tone("comfort-noise")
        try:
            await asyncio.get_running_loop().create_future()  # a pause is as long as who paused wants
        finally:
            playing.stop()

    async def _informed(self) -> Ended | None:
        """Let the information be heard once, then go on; a stop key ends it, and the play."""
        key = await first_key(self._call, self._controls.stop, self._inform, dropped=self._controls.keys)
        return Ended(position_ms=self._position_ms, key=key) if key else None

    async def _inform(self) -> None:
        information = await self._other(self._controls.information_url)
        if information is not None:
            try:
                await self._call.play(information)
            except PromptError as error:
                self._note_failure(error)

    async def _other(self, url: str) -> Prompt | None:
        """The audio of a control; that it cannot be had is noted, and the play goes on without."""
        if not url:
            return None
        try:
            return replace(await self._call.fetch_audio(url), beside=True)
        except PromptError as error:
            self._note_failure(error)
            return None

    def _note_failure(self, error: PromptError) -> None:
        self._call.note("Play: audio of a control cannot be heard", error=str(error))


async def first_key(call: Call, keys: str, end: Callable[[], Coroutine[Any, Any, object]], *, dropped: str = "") -> str:
    """The first of `keys` that is pressed before `end` returns; empty where none is. What `end` raises is raised.

    Those of `dropped` that are none of `keys` are taken meanwhile, and have no effect.
    """
    if not keys + dropped:
        await end()
        return ""
    ending, pressed = asyncio.ensure_future(end()), asyncio.ensure_future(_pressed(call, keys, dropped))
    try:
        await asyncio.wait({ending, pressed}, return_when=asyncio.FIRST_COMPLETED)
        if pressed.done():
            return pressed.result()
        ending.result()
        return ""
    finally:
        ending.cancel()
        pressed.cancel()
        await asyncio.gather(ending, pressed, return_exceptions=True)


async def _pressed(call: Call, keys: str, dropped: str) -> str:
    while (key := await call.digit_of(keys + dropped)) not in keys:
        pass
    return key
