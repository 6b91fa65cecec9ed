"""What verbs are made of, and the call as they see it.

A verb is a frozen, keyword-only dataclass; its attributes are declared with `attributes.attr`. `run`
carries it out and says where control goes. Verbs never fetch documents: they return a `Goto`, and the
interpreter, which owns the only loop, does. Their URLs are absolute, resolved when the document was read.
Hang-up cancels the verb's task; a verb stops what it started in `finally` (`Call.play` does so by itself).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from ...media.protocol import Layer
from ..dial import Dialled, DialRequest
from ..growth import Growth
from ..recording import Recorded, RecordingRequest

Method = Literal["POST", "GET"]
MessageStatus = Literal["sent", "failed"]


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
    """The verb could not do its work. Control passes to `then`, or to the next verb. It may have been `heard`."""

    then: Goto | None = None
    heard: bool = False


Outcome = Goto | End | Failed | None
"""None: the next verb."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """Audio ready to play: raw 16-bit mono PCM at `path`; `url` is what Play named, empty for speech.

    While `growth` is there and not complete, the file is still being made and `duration_ms` is not known (0).
    With `ring`, the file is a ring of so many samples and the stream in it has no end; playing begins at `entry_ms`,
    or as near to that as what is kept. With `beside` it is heard instead of what the verb plays: the call's
    `PlaybackUrl` stays that.
    """

    path: str
    rate_hz: int
    duration_ms: int
    url: str = ""
    growth: Growth | None = None
    ring: int = 0
    entry_ms: int = 0
    beside: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """How a play ended: where in its file, and how many repetitions were completed before."""

    position_ms: int
    loops: int = 0


AmdSettings = Mapping[str, int]
"""What answering machine detection goes by, by the names of Amd's attributes in snake_case; the rest is default."""


class Playing(Protocol):
    """A play under way."""

    def seek(self, by_ms: int, *, strict: bool = False) -> None:
        """Move within the file; past its end the play ends, or, if `strict`, stays where it is."""
        ...

    def stop(self) -> None:
        """Ask for the end. Harmless afterwards."""
        ...

    async def finished(self) -> Played:
        """Wait for the end. Raises PromptError where what was to be heard could not be, or not to its end."""
        ...


class Recording(Protocol):
    """A recording of the call under way. It belongs to the call, which finishes it if nobody else does."""

    async def finish(self) -> Recorded:
        """End it; returns when its file is stored. Whoever asks again is told the same."""
        ...


class Call(Protocol):
    """What a verb can do to the call that it runs on. Every coroutine may be cancelled by hang-up."""

    running: str
    """The URL of the document that runs; before any does, of the one that is asked for. Empty before that."""

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        ...

    async def answer(self) -> None:
        """Answer with 200 if that has not been done; returns when audio may flow (first RTP in, or ACK + 100 ms)."""
        ...

    async def early_media(self) -> bool:
        """Send 183 with SDP if nothing of the kind has been sent and the call is unanswered; False if nobody hears."""
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

    async def fetch_audio(self, url: str, *, streaming: bool = False, pre_buffer_s: float = 0.0) -> Prompt:
        """Fetch and decode what `url` names (cached); `pre_buffer_s` is to be there first. Raises PromptError."""
        ...

    async def fetch_file(self, sid: str) -> Prompt:
        """Decode a file of the account's storage (cached). Raises PromptError."""
        ...

    def start(
        self,
        prompt: Prompt,
        *,
        loops: int = 1,
        loop_pause_ms: int = 0,
        offset_ms: int = 0,
        layer: Layer = "foreground",
    ) -> Playing:
        """Begin to play; what played on the layer ends. `loops` 0 repeats for ever."""
        ...

    def start_tone(self, tone: str, *, duration_ms: int = 0) -> Playing:
        """Begin a named tone in the foreground; 0 ms is until it is stopped."""
        ...

    async def play(self, prompt: Prompt, *, loops: int = 1, loop_pause_ms: int = 0, offset_ms: int = 0) -> Played:
        """Play to the end; cancelling stops the play. Raises PromptError."""
        ...

    def in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Carry out `work`, a background play, beside the verbs; it ends with the call, or with the next one."""
        ...

    async def digit(self, timeout_s: float | None = None) -> str | None:
        """The next key pressed, typed-ahead ones first; None after `timeout_s` without one."""
        ...

    async def digit_of(self, keys: str) -> str:
        """The next of `keys` pressed; others stay for whoever asks next."""
        ...

    def discard_digits(self) -> None:
        """Forget keys that were typed ahead."""
        ...

    async def send_digits(self, digits: str) -> None:
        """Send DTMF; returns when the last digit has gone out."""
        ...

    async def heard(self, *, noise_ms: int | None = None, silence_ms: int | None = None) -> None:
        """Return once there has been so much noise, or silence, or noise and then silence."""
        ...

    async def detect_machine(self, settings: AmdSettings) -> tuple[str, str]:
        """Tell a human from a machine: status and cause, which later requests carry too."""
        ...

    async def record(self, request: RecordingRequest) -> Recording:
        """Begin to record. Raises StorageError where there is nowhere to put it."""
        ...

    async def dial(self, request: DialRequest) -> Dialled:
        """Call others, and let the first to answer talk with the caller.

        Raises StorageError where it is to be recorded into what does not exist; nobody is rung then.
        """
        ...

    def at_its_end(self, word: Callable[[], Awaitable[Goto | None]]) -> AbstractContextManager[None]:
        """Should the call end within this, have what `word` gives then requested as a callback, which nobody follows.

        `word` is asked once the call's recordings are stored; None is no request.
        """
        ...

    async def send_message(self, text: str, *, sender: str = "", recipient: str = "") -> MessageStatus:
        """Send a text message, from who calls and to who was called unless said otherwise.

        What came of it is in later requests too, as `SmsStatus`. One that is under way is not taken back.
        """
        ...

    def store(self, name: str, value: str) -> None:
        """Remember `Storage_<name>` for later requests of this call; an empty value forgets it."""
        ...

    def override_status_callback(self, url: str, method: Method | None = None) -> None:
        """Send the status callback there; an empty `url` or a `method` of None keeps what was set before."""
        ...

    def override_login(self, username: str, password: str) -> None:
        """Answer challenges of calls that this one places with these credentials; what is empty stays as it was."""
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

    @property
    def audible(self) -> bool:
        """True if the parties may notice that it runs."""
        ...

    async def run(self, call: Call) -> Outcome:
        """Carry the verb out and say where control goes."""
        ...
