"""What verbs are made of, and the call as they see it.

A verb is a frozen, keyword-only dataclass; its attributes are declared with `attributes.attr`. `run`
carries it out and says where control goes. Verbs never fetch documents: they return a `Goto`, and the
interpreter, which owns the only loop, does. Their URLs are absolute, resolved when the document was read.
Hang-up cancels the verb's task; a verb stops what it started in `finally` (`Call.play` does so by itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from ..growth import Growth

Method = Literal["POST", "GET"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Goto:
    """Control passes to the document at `url` (relative to the running document), with `data` added to the request."""

    url: str
    method: Method = "POST"
    data: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """The call is over; nothing after this verb runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The verb could not do its work. Control passes to `then`, or to the next verb."""

    then: Goto | None = None


Outcome = Goto | End | Failed | None
"""None: the next verb."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """Audio ready to play: raw 16-bit mono PCM at `path`; `url` is what Play named, empty for speech.

    While `growth` is there and not complete, the file is still being made and `duration_ms` is not known (0).
    With `ring`, the file is a ring of so many samples and the stream in it has no end; playing begins at what is
    available then.
    """

    path: str
    rate_hz: int
    duration_ms: int
    url: str = ""
    growth: Growth | None = None
    ring: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """How a play ended: `key` stopped it, or it came to its end. `position_ms` is within the file."""

    position_ms: int
    key: str = ""


class Call(Protocol):
    """What a verb can do to the call that it runs on. Every coroutine may be cancelled by hang-up."""

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        ...

    async def answer(self) -> None:
        """Answer with 200 if that has not been done; returns when audio may flow (first RTP in, or ACK + 100 ms)."""
        ...

    async def early_media(self) -> None:
        """Send 183 with SDP if nothing of the kind has been sent and the call is unanswered."""
        ...

    async def reject(self, status: int, *, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Refuse an unanswered call with that SIP status; hang up an answered one."""
        ...

    async def hang_up(self) -> None:
        """End the call from our side."""
        ...

    async def speech(self, text: str, voice: str) -> Prompt:
        """Synthesise `text` (cached). Raises PromptError."""
        ...

    async def fetch_audio(self, url: str) -> Prompt:
        """Fetch and decode what `url` (relative to the document) names (cached). Raises PromptError."""
        ...

    async def play(
        self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0, stop_keys: str = ""
    ) -> Played:
        """Play to the end, or until one of `stop_keys` is pressed; other keys stay for whoever asks next.

        `loops` 0 repeats for ever. Cancelling stops the play.
        """
        ...

    async def digit(self, timeout_s: float | None = None) -> str | None:
        """The next key pressed, typed-ahead ones first; None after `timeout_s` without one."""
        ...

    def discard_digits(self) -> None:
        """Forget keys that were typed ahead."""
        ...

    async def send_digits(self, digits: str) -> None:
        """Send DTMF; returns when the last digit has gone out."""
        ...

    def store(self, name: str, value: str) -> None:
        """Remember `Storage_<name>` for later requests of this call; an empty value forgets it."""
        ...

    def override_status_callback(self, url: str, method: Method | None = None) -> None:
        """Send the status callback there; an empty `url` or a `method` of None keeps what was set before."""
        ...

    async def play_error_message(self) -> None:
        """Tell the caller that the application failed; returns at the message's end."""
        ...

    def note(self, what: str, **details: object) -> None:
        """Put a line on the call's timeline (and the log)."""
        ...


class Verb(Protocol):
    """One verb of a document, checked and ready to run."""

    name: ClassVar[str]

    @property
    def line(self) -> int:
        """The line of the document that the verb stands on."""
        ...

    @property
    def answers(self) -> bool:
        """True if an unanswered call is answered before the verb runs (decisions, section 4)."""
        ...

    async def run(self, call: Call) -> Outcome:
        """Carry the verb out and say where control goes."""
        ...
