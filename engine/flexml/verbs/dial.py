"""Dial: call others, and let the first to answer talk with the caller (reference, section Dial)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final, cast
from urllib.parse import parse_qsl

from ...dial import Destination, Dialled, DialRequest, Ringing
from ...errors import StorageError
from ...recording import Direction, RecordingRequest
from ...sip.address import target_of
from ..attributes import KEYS, TONES, attr, audio_url, boolean, choice, http_method, keys, seconds, subset, text, url
from ..verb import Call, Failed, Method, Outcome
from .base import Noun, Verb, goto


@dataclass(frozen=True, kw_only=True)
class Number(Noun):
    """A number to dial, and the keys to send when it answers."""

    name: ClassVar[str] = "Number"

    send_digits: str = attr(
        keys(TONES),
        default="",
        says="Keys sent to the party that answers, before it is connected; `,` and `w` wait half a second, `W` a "
        "second.",
    )


@dataclass(frozen=True, kw_only=True)
class Dial(Verb):
    """Connect the caller with another party."""

    name: ClassVar[str] = "Dial"
    nests: ClassVar[tuple[str, ...]] = ("Number",)

    action: str | None = attr(
        url(),
        says="The document that follows when the conversation is over, or when nobody could be reached. Without "
        "it the next verb runs.",
    )
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    caller_id: str | None = attr(
        text(),
        says="The number shown to the called party: a DID of the account or one of its `caller_ids`, else the "
        "dial fails. Without it, the caller's.",
    )
    caller_name: str | None = attr(text(), says="The name shown; without it, the caller's.")
    confirm_key: str = attr(
        keys(KEYS, single=True),
        default="",
        says="The key that the called party must press, within `timeout` from its answer, to be connected. Another "
        "key, or none, ends its call, and the others go on ringing.",
    )
    confirm_sound: str | None = attr(audio_url(), says="What the called party hears meanwhile; it should name the key.")
    container_sid: str | None = attr(
        text(), says="The container that the recording is stored in; without it, the account's."
    )
    hangup_on_star: bool = attr(
        boolean(), default=False, says="The caller's `*` ends the conversation; earlier ones do not count."
    )
    record: str = attr(
        choice("do-not-record", "record-from-answer", "record-from-ringing"),
        default="do-not-record",
        says="Whether to record, and from when: from the answer, or from ringing on, early media included, which a "
        "caller who is not answered yet then hears, too (183).",
    )
    record_direction: str = attr(
        choice("any", "in", "out"),
        default="any",
        says="Whom to record: `in` is who calls, `out` who is called, `any` both.",
    )
    recording_status_callback: str | None = attr(
        url(), says="Gets a request for each of the events below; its answer is not looked at."
    )
    recording_status_callback_event: tuple[str, ...] = attr(
        subset("completed", "failed"),
        default=("completed", "failed"),
        says="When to send it: the recording is stored, or could not be.",
    )
    recording_status_callback_method: Method = attr(http_method(), default="POST", says="How it is sent.")
    ringing: str = attr(
        choice("true", "false", "music"),
        default="true",
        says="`true`: 180 to a caller who is not answered yet, who is answered when the called party does; the "
        "ringback tone to one who is, until the called party answers or is heard. `false`: answer at once and pass on "
        "what comes from the called party. `music`: answer, and play music until the called party answers. What a "
        "called party sends before it answers is heard only where a single number is dialled, without `confirmKey` and "
        "`sendDigits`.",
    )
    time_limit: int = attr(seconds(), default=0, says="The longest conversation; 0: no limit.")
    timeout: int = attr(
        seconds(),
        default=30,
        says="How long to wait for an answer; 0: nobody is called, which is `noanswer`. What follows the answer, "
        "`sendDigits` for one, takes its own time.",
    )
    trim: str = attr(
        choice("do-not-trim", "trim-silence"),
        default="do-not-trim",
        says="Whether silence at the recording's beginning and end is cut off.",
    )

    @property
    def answers(self) -> bool:
        """With ringing, the dialled party's answer is what answers the call."""
        return self.ringing != "true"

    async def run(self, call: Call) -> Outcome:
        """Dial; the action hears how it went, or else the next verb runs."""
        try:
            dialled = await self._dial(call)
        except StorageError as error:
            call.note("Dial: cannot be recorded", line=self.line, error=str(error))
            dialled = Dialled(status="failed")
        if not dialled.number:
            dialled = replace(dialled, number=self._written[0].partition("?")[0])
        following = goto(self.action, self.method, dialled.data())
        return following if dialled.status == "completed" else Failed(then=following, heard=dialled.heard)

    @property
    def _written(self) -> list[str]:
        return [child.text for child in self.children] or [self.text]

    async def _dial(self, call: Call) -> Dialled:
        """Dial whoever can be dialled; without anybody it has failed."""
        for written in self._written:
            if names := left_out(written):
                call.note("Dial: arguments that are no headers (X-Name=value)", line=self.line, names=names)
        if self.children and self.text:
            call.note("Dial: the text beside Number is ignored", line=self.line)
        digits = [child.send_digits if isinstance(child, Number) else "" for child in self.children] or [""]
        found = [destination(text, keys) for text, keys in zip(self._written, digits, strict=True)]
        for written, each in zip(self._written, found, strict=True):
            if each is None and written:
                call.note("Dial: neither a number nor a SIP URI", line=self.line, found=written)
        destinations = [each for each in found if each is not None]
        if not destinations:
            call.note("Dial: no number to dial", line=self.line)
            return Dialled(status="failed")
        return await call.dial(
            DialRequest(
                destinations=destinations,
                caller_id=self.caller_id or "",
                caller_name=self.caller_name or "",
                ringing=cast("Ringing", self.ringing),
                timeout_s=self.timeout,
                time_limit_s=self.time_limit,
                hangup_on_star=self.hangup_on_star,
                confirm_key=self.confirm_key,
                confirm_url=self.confirm_sound or "",
                recording=self._recording(),
                record_ringing=self.record == "record-from-ringing",
                action_url=self.action or "",
                action_method=self.method,
            )
        )

    def _recording(self) -> RecordingRequest | None:
        if self.record == "do-not-record":
            return None
        return RecordingRequest(
            direction=cast("Direction", self.record_direction),
            trim=self.trim == "trim-silence",
            container_sid=self.container_sid or "",
            status_callback_url=self.recording_status_callback or "",
            status_callback_method=self.recording_status_callback_method,
            status_callback_events=self.recording_status_callback_event,
        )


def destination(text: str, send_digits: str) -> Destination | None:
    """Whom `text` names: a number or SIP URI, and X- headers behind a question mark; None where it names nobody."""
    written, _, query = text.partition("?")
    target = target_of(" ".join(written.split()))
    if not target:
        return None
    headers = [(name, value) for name, value in _arguments(query) if value and _HEADER.fullmatch(name)]
    return Destination(target=target, headers=headers, send_digits=send_digits)


def left_out(text: str) -> list[str]:
    """The arguments behind the question mark that become no header: of another name than X-, or without a value."""
    arguments = _arguments(text.partition("?")[2])
    return [name for name, value in arguments if not (value and _HEADER.fullmatch(name))]


def _arguments(query: str) -> list[tuple[str, str]]:
    """Names and values. Whatever could start another line is white space in a value."""
    arguments = parse_qsl(query, keep_blank_values=True)
    return [(name, " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", value).split())) for name, value in arguments]


_HEADER: Final = re.compile(r"[Xx]-[A-Za-z0-9_.!%*+`'~-]+")
