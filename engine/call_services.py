"""What calls use of the rest of the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .call_recordings import RecordingService
from .exchange import Exchange
from .flexml.verb import Prompt
from .messages import Messages
from .sip.events import SipAgent
from .timeline import Note, nowhere


class AudioSource(Protocol):
    """Where Play's audio comes from. Both raise PromptError."""

    async def fetch(
        self, url: str, rate_hz: int = 8000, *, streaming: bool = False, pre_buffer_s: float = 0.0
    ) -> Prompt:
        """What a URL names."""
        ...

    async def fetch_file(self, account: str, sid: str, rate_hz: int = 8000) -> Prompt:
        """A file of the account's storage."""
        ...


@dataclass(kw_only=True)
class Services:
    """What calls use of the rest of the engine."""

    agent: SipAgent
    speak: Callable[[str, str, int], Awaitable[Prompt]]
    audio: AudioSource
    recordings: RecordingService[Any]
    fallback_reason: Callable[[str], str] = lambda _: ""
    """Why another voice speaks than the one named; empty where that one does."""
    note: Note = nowhere
    exchange: Exchange | None = None
    """Where calls out are placed; None where none are."""
    messages: Messages | None = None
    """What sends Sms; None where none are sent."""
    ringback: str = "ringback-us"
    """The tone of `media.tones` that callers hear while it rings."""
    music_url: str = ""
    """What callers hear while it rings, where the document asks for music."""
