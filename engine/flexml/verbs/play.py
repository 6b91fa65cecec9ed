"""Play: a file, a stream, files of the storage, or DTMF in its other spelling (reference, section Play)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import PromptError
from ..attributes import KEYS, TONES, attr, audio_url, boolean, http_method, integer, keys, seconds, url
from ..verb import Call, Failed, Goto, Method, Outcome, Prompt
from .base import Noun, Verb, goto
from .play_controls import ControlledPlay, Controls, Ended, first_key


@dataclass(frozen=True, kw_only=True)
class File(Noun):
    """A file of the storage, by its SID."""

    name: ClassVar[str] = "File"

    @property
    def blank(self) -> bool:
        """No SID."""
        return not self.text


@dataclass(frozen=True, kw_only=True)
class Play(Verb):
    """Play what the text names, then pass control to `action`; to `error_action` if there is nothing to be heard."""

    name: ClassVar[str] = "Play"
    content = audio_url()
    nests: ClassVar[tuple[str, ...]] = ("File",)

    action: str | None = attr(
        url(), says="The document that follows when the play is over or was stopped. Without it the next verb runs."
    )
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    error_action: str | None = attr(
        url(),
        says="The document that follows when there is nothing to be heard: not found, not audio, broken off. "
        "Without it, and with `background`, the next verb runs.",
    )
    error_method: Method = attr(http_method(), default="POST", says="How `errorAction` is requested.")
    digits: str | None = attr(
        keys(TONES),
        says="Sends these keys and plays nothing; the same as `Dtmf`. All other attributes are without effect then.",
    )
    loop: int = attr(
        integer(0, 100), default=1, says="How often it is played, several files as a whole; 0: until the call ends."
    )
    loop_pause: int = attr(seconds(0, 300), default=0, says="The silence between two repetitions.")
    skip: int = attr(seconds(), default=0, says="Where in the file the first repetition begins.")
    stop_on_key: str = attr(keys(KEYS), default="", says="Each of these keys ends the play and is told as `Digits`.")
    background: bool = attr(
        boolean(),
        default=False,
        says="Play under what follows: the next verb runs at once, and the audio is heard as soon as it is there. Ends "
        "with the call, at its end, or with the next background play; keys, `action`, `errorAction`, what is for "
        "waiting, and all but the first file are ignored. Audio that cannot be had is noted on the timeline.",
    )
    control_skip: int = attr(seconds(1), default=60, says="How far `forwardOnKey` and `rewindOnKey` move.")
    forward_on_key: str = attr(
        keys(KEYS),
        default="",
        says="Moves forward by `controlSkip`; past the end the play is over, unless `strictForwardControl`.",
    )
    information_audio_url: str | None = attr(audio_url(), says="What `informationOnKey` lets be heard.")
    information_on_key: str = attr(
        keys(KEYS), default="", says="Interrupts the play for `informationAudioUrl`, once, then goes on where it was."
    )
    minor_control_skip: int = attr(
        seconds(1), default=60, says="How far `minorForwardOnKey` and `minorRewindOnKey` move."
    )
    minor_forward_on_key: str = attr(keys(KEYS), default="", says="Moves forward by `minorControlSkip`.")
    minor_rewind_on_key: str = attr(
        keys(KEYS), default="", says="Moves back by `minorControlSkip`, to the beginning at most."
    )
    pause_audio_url: str | None = attr(
        audio_url(), says="What is heard again and again during a pause; without it, comfort noise."
    )
    pause_on_key: str = attr(
        keys(KEYS), default="", says="Pauses the play. Where `restartOnKey` is not given, the same keys let it go on."
    )
    pre_buffer: int = attr(
        seconds(),
        default=0,
        says="How much has to be there before the play begins, of a file that is still coming in or of a stream; "
        "of a stream that others hear already, how far behind them it is heard.",
    )
    restart_on_key: str = attr(
        keys(KEYS), default="", says="Goes on where a pause stopped the play, not from the beginning."
    )
    rewind_on_key: str = attr(keys(KEYS), default="", says="Moves back by `controlSkip`, to the beginning at most.")
    streaming: bool = attr(
        boolean(),
        default=False,
        says="The URL is a live stream, heard from now on and not kept; keys cannot move in it, and it goes on during "
        "a pause. `false` is for files.",
    )
    strict_forward_control: bool = attr(boolean(), default=False, says="Ignore a move that would go past the end.")
    time_limit: int = attr(
        seconds(),
        default=0,
        says="Ends a play with `streaming` after so long, pauses included; 0: no limit. Without `streaming` it "
        "is not looked at.",
    )
    wait_initial: int | None = attr(seconds(), says="How long to wait for the audio before `waitInitialUrl` is played.")
    wait_initial_url: str | None = attr(
        audio_url(), says="What is heard once when the audio is slow to come; it stops as soon as the audio is there."
    )
    wait_repeat: int | None = attr(
        seconds(),
        says="How long to wait after that, and after each repetition, before `waitRepeatUrl` is played; at least "
        "1 second.",
    )
    wait_repeat_url: str | None = attr(
        audio_url(), says="What is heard again and again while the audio is still not there."
    )

    @property
    def blank(self) -> bool:
        """Neither audio nor digits."""
        return not (self.text or self.children or self.digits)

    async def run(self, call: Call) -> Outcome:
        """Play to the end or to a stop key; digits are sent instead where given."""
        if self.digits:
            await call.send_digits(self.digits)
            return None
        if self.background:
            call.in_background(lambda: self._background(call))
            return None
        if self.text and self.children:
            call.note("Play: the File beside a URL is ignored", line=self.line)
        try:
            ended, heard = await self._play(call, self.controls())
        except PromptError as error:
            self._note_failure(call, error)
            return Failed(then=self._failure(error))
        data: dict[str, object] = {
            "Digits": ended.key,
            "PlaybackUrl": heard.url or self.text,
            "PlayOffset": ended.position_ms // 1000,
        }
        return goto(self.action, self.method, data)

    async def prompt(self, call: Call) -> None:
        """Play within Gather: keys are Gather's, no action."""
        if self.digits:
            await call.send_digits(self.digits)
            return
        if self.background:
            call.in_background(lambda: self._background(call))
            return
        try:
            await self._play(call, Controls())
        except PromptError as error:
            self._note_failure(call, error)

    def controls(self) -> Controls:
        """The keys, and what each does."""
        large, minor = (0, 0) if self.streaming else (self.control_skip * 1000, self.minor_control_skip * 1000)
        moves = (
            (self.forward_on_key, large),
            (self.rewind_on_key, -large),
            (self.minor_forward_on_key, minor),
            (self.minor_rewind_on_key, -minor),
        )
        return Controls(
            skips=moves,
            stop=self.stop_on_key,
            pause=self.pause_on_key,
            resume=self.restart_on_key,
            information=self.information_on_key,
            information_url=self.information_audio_url or "",
            pause_url=self.pause_audio_url or "",
            strict=self.strict_forward_control,
        )

    def _failure(self, error: PromptError) -> Goto | None:
        return goto(self.error_action, self.error_method, {"PlaybackUrl": self.text or error.url})

    # ---- playing ------------------------------------------------------------------------------------------------

    async def _play(self, call: Call, controls: Controls) -> tuple[Ended, Prompt]:
        """Play everything that is to be heard; how the last of it ended."""
        prompts = await self._waited_for(call)
        if len(prompts) == 1:
            return await self._one(call, prompts[0], controls, loops=self.loop, skip_s=self.skip), prompts[0]
        return await self._several(call, prompts, controls)

    async def _several(self, call: Call, prompts: Sequence[Prompt], controls: Controls) -> tuple[Ended, Prompt]:
        """Files one after the other, the whole of them as often as asked for; 0 times is until the call ends.

        As with one file, `skip` is where the first repetition starts, and a stop key ends the pause between two.
        """
        repetition, ended, skip_s = 0, Ended(position_ms=0), self.skip
        while True:
            for prompt in prompts:
                ended = await self._one(call, prompt, controls, loops=1, skip_s=skip_s)
                skip_s = 0
                if ended.key:
                    return ended, prompt
            repetition += 1
            if repetition == self.loop:
                return ended, prompts[-1]
            pause = functools.partial(asyncio.sleep, self.loop_pause)
            if key := await first_key(call, controls.stop, pause, dropped=controls.keys):
                return Ended(position_ms=ended.position_ms, key=key), prompts[-1]

    async def _one(self, call: Call, prompt: Prompt, controls: Controls, *, loops: int, skip_s: int) -> Ended:
        play = ControlledPlay(call, prompt, controls, loops=loops, loop_pause_ms=self.loop_pause * 1000)
        return await play.run(skip_s * 1000, self._limit_s)

    @property
    def _limit_s(self) -> float | None:
        return float(self.time_limit) if self.streaming and self.time_limit else None

    async def _background(self, call: Call) -> None:
        """Be heard under what follows, as soon as the audio is there."""
        try:
            (prompt,) = await self._prompts(call, most=1)
            playing = call.start(
                prompt,
                loops=self.loop,
                loop_pause_ms=self.loop_pause * 1000,
                offset_ms=self.skip * 1000,
                layer="background",
            )
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limit_s):
                        await playing.finished()
            finally:
                playing.stop()
        except PromptError as error:
            self._note_failure(call, error)

    def _note_failure(self, call: Call, error: PromptError) -> None:
        call.note("Play: cannot be heard, or not to its end", line=self.line, error=str(error))

    async def _prompts(self, call: Call, most: int | None = None) -> list[Prompt]:
        """What is to be heard, of several files the first `most`. Raises PromptError."""
        if self.text:
            return [await call.fetch_audio(self.text, streaming=self.streaming, pre_buffer_s=self.pre_buffer)]
        return [await call.fetch_file(child.text) for child in self.children[:most]]

    # ---- waiting for what is slow -------------------------------------------------------------------------------

    async def _waited_for(self, call: Call) -> list[Prompt]:
        """What is to be heard, and meanwhile, if it takes long, what is to be heard instead."""
        if not (self.wait_initial_url or self.wait_repeat_url):
            return await self._prompts(call)
        prompts = asyncio.ensure_future(self._prompts(call))
        entertainment = asyncio.ensure_future(self._entertain(call))
        try:
            await asyncio.wait([prompts])
            return prompts.result()
        finally:
            prompts.cancel()
            entertainment.cancel()
            await asyncio.gather(prompts, entertainment, return_exceptions=True)

    async def _entertain(self, call: Call) -> None:
        """Play the audio of waiting: once after `wait_initial`, then again and again after each `wait_repeat`."""
        await asyncio.sleep(self.wait_initial or 0)
        if self.wait_initial_url:
            await self._entertain_once(call, self.wait_initial_url)
        while self.wait_repeat_url:
            await asyncio.sleep(max(1, self.wait_repeat or 0))
            await self._entertain_once(call, self.wait_repeat_url)

    async def _entertain_once(self, call: Call, url: str) -> None:
        try:
            await call.play(replace(await call.fetch_audio(url), beside=True))
        except PromptError as error:
            call.note("Play: audio of waiting cannot be heard", line=self.line, error=str(error))
