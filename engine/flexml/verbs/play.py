"""Play: an audio file, or DTMF in its other spelling (reference, section Play)."""

# ruff: noqa: RUF009 (`attr` declares a field, as `dataclasses.field` does)

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...errors import PromptError
from ..attributes import KEYS, TONES, attr, boolean, http_method, integer, keys, seconds, url
from ..verb import Call, Failed, Method, Outcome, Played, Prompt
from .base import Noun, Verb, goto


@dataclass(frozen=True, kw_only=True)
class File(Noun):
    """A file of the storage, by its SID."""

    name: ClassVar[str] = "File"


@dataclass(frozen=True, kw_only=True)
class Play(Verb):
    """Play what the text names, then pass control to `action`; to `error_action` if there is nothing to be heard."""

    name: ClassVar[str] = "Play"
    content = url()
    nests: ClassVar[tuple[str, ...]] = ("File",)

    action: str | None = attr(url())
    method: Method = attr(http_method(), default="POST")
    error_action: str | None = attr(url())
    error_method: Method = attr(http_method(), default="POST")
    digits: str | None = attr(keys(TONES))
    loop: int = attr(integer(0, 100), default=1)
    loop_pause: int = attr(seconds(0, 300), default=0)
    skip: int = attr(seconds(), default=0)
    stop_on_key: str = attr(keys(KEYS), default="")
    background: bool = attr(boolean(), default=False)
    control_skip: int = attr(seconds(1), default=60, effect=False)
    forward_on_key: str = attr(keys(KEYS), default="", effect=False)
    information_audio_url: str | None = attr(url(), effect=False)
    information_on_key: str = attr(keys(KEYS), default="", effect=False)
    minor_control_skip: int = attr(seconds(1), default=60, effect=False)
    minor_forward_on_key: str = attr(keys(KEYS), default="", effect=False)
    minor_rewind_on_key: str = attr(keys(KEYS), default="", effect=False)
    pause_audio_url: str | None = attr(url(), effect=False)
    pause_on_key: str = attr(keys(KEYS), default="", effect=False)
    pre_buffer: int = attr(seconds(), default=0, effect=False)
    restart_on_key: str = attr(keys(KEYS), default="", effect=False)
    rewind_on_key: str = attr(keys(KEYS), default="", effect=False)
    streaming: bool = attr(boolean(), default=False, effect=False)
    strict_forward_control: bool = attr(boolean(), default=False, effect=False)
    time_limit: int = attr(seconds(), default=0, effect=False)
    wait_initial: int | None = attr(seconds(), effect=False)
    wait_initial_url: str | None = attr(url(), effect=False)
    wait_repeat: int | None = attr(seconds(), effect=False)
    wait_repeat_url: str | None = attr(url(), effect=False)

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
            # In the foreground it would hold up the verbs that are to be heard over it, perhaps for ever.
            call.note("Play: this version plays nothing in the background", line=self.line)
            return None
        audio = await self._audio(call)
        if audio is None:
            return Failed(then=goto(self.error_action, self.error_method))
        played = await self._play(call, audio, self.stop_on_key)
        data: dict[str, object] = {
            "Digits": played.key,
            "PlaybackUrl": audio.url or self.text,
            "PlayOffset": played.position_ms // 1000,
        }
        return goto(self.action, self.method, data)

    async def prompt(self, call: Call) -> None:
        """Play within Gather: no stop keys, no action."""
        if self.digits:
            await call.send_digits(self.digits)
        elif audio := await self._audio(call):
            await self._play(call, audio, "")

    async def _audio(self, call: Call) -> Prompt | None:
        if not self.text:
            call.note("Play: this version plays URLs, not files by their SID", line=self.line)
            return None
        try:
            return await call.fetch_audio(self.text)
        except PromptError as error:
            call.note("Play: nothing to be heard", line=self.line, error=str(error))
            return None

    async def _play(self, call: Call, audio: Prompt, stop_keys: str) -> Played:
        return await call.play(
            audio,
            loops=self.loop,
            loop_pause_ms=self.loop_pause * 1000,
            offset_ms=self.skip * 1000,
            stop_keys=stop_keys,
        )
