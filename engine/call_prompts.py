"""What a call may play: speech, what URLs name, files of its account, music. What was waited for is noted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .call_notes import waiting
from .call_services import Services
from .errors import PromptError
from .flexml.verb import Prompt


class CallPrompts:
    """The prompts of one call. `rate_hz`, in Hz, is what the peer hears; everything here raises PromptError."""

    def __init__(self, services: Services, account: str, note: Callable[..., None]) -> None:
        self._services, self._account, self._note = services, account, note

    async def speech(self, text: str, voice: str, rate_hz: int) -> Prompt:
        """Synthesise `text` (cached)."""
        with waiting(self._note, "speech", voice=voice, characters=len(text)):
            speech = await self._services.speak(text, voice, rate_hz)
        if reason := self._services.fallback_reason(voice):
            self._note("another voice speaks", asked=voice, reason=reason)
        return speech

    async def at(self, url: str, rate_hz: int, *, streaming: bool = False, pre_buffer_s: float = 0.0) -> Prompt:
        """Fetch and decode what `url` names (cached)."""
        fetch = self._services.audio.fetch
        with waiting(self._note, "audio", url=url):
            return await fetch(url, rate_hz, streaming=streaming, pre_buffer_s=pre_buffer_s)

    async def file(self, sid: str, rate_hz: int) -> Prompt:
        """Decode a file of the account's storage (cached)."""
        with waiting(self._note, "audio", file=sid):
            return await self._services.audio.fetch_file(self._account, sid, rate_hz)

    async def music(self, rate_hz: int) -> Prompt:
        """The default music, which is not what the call has played."""
        if not self._services.music_url:
            raise PromptError("no music is configured")
        return replace(await self.at(self._services.music_url, rate_hz), beside=True)
