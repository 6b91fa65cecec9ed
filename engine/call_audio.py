"""What verbs do with a call's audio: play, listen, take keys, send keys, tell a machine from a human.

The audible half of `Call`. A play's position is kept for the status callback however the play ended: at a hang-up it
is what the worker says when the leg closes.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final

from ..media.events import MachineDetected, PlayFinished
from ..media.protocol import Detector, DigitSource, Layer, StartAmd, StartPlay, StartTone, Watch
from .digits import DigitQueue
from .errors import CallEnded, MediaError, PromptError, SipError
from .flexml.verb import AmdSettings, Played, Prompt
from .leg import Leg
from .media_jobs import Listening, Playback

log = logging.getLogger("flexml.call")

ERROR_MESSAGE: Final = "We are sorry, an application error has occurred. Goodbye."


class Playing:
    """A play under way, as verbs see it."""

    def __init__(self, leg: Leg, playback: Playback, prompt: Prompt | None) -> None:
        self._leg, self._playback, self._prompt = leg, playback, prompt

    @property
    def over(self) -> bool:
        """True once it has ended."""
        return self._playback.finished.done()

    @property
    def position_ms(self) -> int | None:
        """Where it ended; None before that."""
        return self._playback.finished.result().position if self.over else None

    def seek(self, by_ms: int, *, strict: bool = False) -> None:
        """Move within the file; past its end the play ends, or, if `strict`, stays where it is."""
        self._leg.media.seek(self._playback.job, by_ms=by_ms, strict=strict)

    def stop(self) -> None:
        """Ask for the end. Harmless afterwards."""
        self._playback.stop()

    async def finished(self) -> Played:
        """Wait for the end. Raises PromptError where what was to be heard could not be, or not to its end."""
        await asyncio.wait([self._playback.finished])
        event: PlayFinished = self._playback.finished.result()
        growth, url = (self._prompt.growth, self._prompt.url) if self._prompt is not None else (None, "")
        if event.reason == "failed":
            raise PromptError(event.error, url=url)
        if event.reason == "ended" and growth is not None and growth.error:
            raise PromptError(growth.error, url=url)
        return Played(position_ms=event.position, loops=event.loops)


class CallAudio(ABC):
    """The audible half of a call: everything here needs a leg."""

    def __init__(self, *, detector: Detector = "energy") -> None:
        self.results: dict[str, object] = {}
        self._digits = DigitQueue()
        self._detector: Detector = detector
        self._url_played = ""
        self._url_playing: Playing | None = None
        self._background: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def leg(self) -> Leg:
        """The leg. Raises CallEnded where there is none any more."""

    @abstractmethod
    def note(self, what: str, **details: object) -> None:
        """Put a line on the call's timeline (and the log)."""

    @abstractmethod
    def is_end(self, why: BaseException) -> bool:
        """Whether the call's end is what cut a verb off: else it goes on with another document."""

    @property
    def rate_hz(self) -> int:
        """At how many samples a second the peer hears."""
        return self.leg.rate_hz

    @abstractmethod
    def send_info(self, key: str) -> None:
        """Send one key by SIP INFO. Raises SipError."""

    @abstractmethod
    async def speech(self, text: str, voice: str) -> Prompt:
        """Synthesise `text` (cached). Raises PromptError."""

    # ---- playing ------------------------------------------------------------------------------------------------

    def start(
        self,
        prompt: Prompt,
        *,
        loops: int = 1,
        loop_pause_ms: int = 0,
        offset_ms: int = 0,
        layer: Layer = "foreground",
    ) -> Playing:
        """Begin to play; what played on the layer ends. A stream begins where the prompt says."""
        command = StartPlay(
            path=prompt.path,
            rate_hz=prompt.rate_hz,
            offset=prompt.entry_ms if prompt.ring else offset_ms,
            loops=loops,
            loop_pause=loop_pause_ms,
            layer=layer,
            ring=prompt.ring,
        )
        playing = Playing(self.leg, self.leg.media.start(command, prompt.growth), prompt)
        self.note("playing", url=prompt.url or "speech", duration_ms=prompt.duration_ms, layer=layer)
        if prompt.url and layer == "foreground" and not prompt.beside:
            self._url_played, self._url_playing = prompt.url, playing
        return playing

    def start_tone(self, tone: str, *, duration_ms: int = 0) -> Playing:
        """Begin a named tone; 0 ms is until it is stopped."""
        return Playing(self.leg, self.leg.media.start(StartTone(tone=tone, duration=duration_ms)), None)

    async def play(self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0) -> Played:
        """Play to the end; cancelling stops the play. Raises PromptError."""
        playing = self.start(prompt, loops=loops, loop_pause_ms=loop_pause_ms, offset_ms=offset_ms)
        try:
            return await playing.finished()
        finally:
            playing.stop()

    def in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Carry out `work`, a background play, beside the verbs; it ends with the call, or with the next one."""
        if self._background is not None:
            self._background.cancel()
        self._background = asyncio.ensure_future(self._carry_out(work))

    async def _carry_out(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except CallEnded as error:
            log.debug("%s", error)
        except Exception:
            log.exception("a background play failed on an error of the engine's own")

    async def end_background(self) -> None:
        """End what is carried out beside the verbs."""
        task, self._background = self._background, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def play_error_message(self) -> None:
        """Tell the caller that the application failed."""
        await self.play(await self.speech(ERROR_MESSAGE, "woman"))

    @property
    def last_played(self) -> tuple[str, int | None]:
        """The URL played last, and where the play of it is or ended, in ms; None where nothing was played."""
        position = self._url_playing.position_ms if self._url_playing is not None else None
        return self._url_played, position if self._url_played else None

    # ---- keys ---------------------------------------------------------------------------------------------------

    async def digit(self, timeout_s: float | None = None) -> str | None:
        """The next key pressed, typed-ahead ones first; None after `timeout_s` without one."""
        return await self._digits.get(timeout_s)

    async def pressed(self) -> tuple[str, DigitSource]:
        """The next key pressed, and how it came."""
        return await self._digits.pressed()

    async def digit_of(self, keys: str) -> str:
        """The next of `keys` pressed; others stay for whoever asks next."""
        return await self._digits.get_one_of(keys)

    def discard_digits(self, keys: str = "") -> None:
        """Forget which of these keys were typed ahead; all, where none are named."""
        self._digits.clear(keys)

    async def send_digits(self, digits: str) -> None:
        """Send DTMF; returns when the last digit has gone out."""
        self.note("sending digits", digits=digits)
        try:
            await self.leg.send_digits(digits, self.send_info)
        except (MediaError, SipError) as error:
            self.note("digits not sent", error=str(error))

    # ---- listening ----------------------------------------------------------------------------------------------

    async def heard(self, *, noise_ms: int | None = None, silence_ms: int | None = None) -> None:
        """Return once there has been so much noise, or silence, or noise and then silence."""
        await self._listen(Watch(noise=noise_ms, silence=silence_ms, detector=self._detector))

    async def detect_machine(self, settings: AmdSettings) -> tuple[str, str]:
        """Tell a human from a machine: status and cause, which later requests carry too. A hang-up is HANGUP."""
        try:
            event = await self._listen(StartAmd(**settings))
        except (CallEnded, asyncio.CancelledError) as why:
            if self.is_end(why):
                self.results |= {"AMDStatus": "HANGUP", "AMDCause": ""}
            raise
        found = (event.status, event.cause) if isinstance(event, MachineDetected) else ("NOTSURE", "FAILED")
        self.results |= {"AMDStatus": found[0], "AMDCause": found[1]}
        return found

    async def _listen(self, command: Watch | StartAmd) -> object:
        """The last event of what is listened for. Raises CallEnded when the leg is closed before."""
        listening: Listening = self.leg.media.listen(command)
        try:
            await asyncio.wait([listening.finished])
        finally:
            listening.stop()
        event = listening.finished.result()
        if event is None and self.leg.media.closed:
            raise CallEnded("the leg was closed")
        return event
