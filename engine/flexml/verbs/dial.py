"""Dial: read and checked, not carried out in this version (reference, section Dial)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import KEYS, attr, boolean, choice, http_method, keys, seconds, subset, text, url
from ..verb import Call, Failed, Method, Outcome
from .base import Later, Noun, goto


@dataclass(frozen=True, kw_only=True)
class Number(Noun):
    """A number to dial, and the keys to send when it answers."""

    name: ClassVar[str] = "Number"

    send_digits: str = attr(keys(KEYS + ",wW"), default="")


@dataclass(frozen=True, kw_only=True)
class Dial(Later):
    """Connect the caller with another party."""

    name: ClassVar[str] = "Dial"
    nests: ClassVar[tuple[str, ...]] = ("Number",)

    action: str | None = attr(url())
    method: Method = attr(http_method(), default="POST")
    caller_id: str | None = attr(text())
    caller_name: str | None = attr(text())
    confirm_key: str = attr(keys(KEYS, single=True), default="")
    confirm_sound: str | None = attr(url())
    container_sid: str | None = attr(text())
    hangup_on_star: bool = attr(boolean(), default=False)
    record: str = attr(choice("do-not-record", "record-from-answer", "record-from-ringing"), default="do-not-record")
    record_direction: str = attr(choice("any", "in", "out"), default="any")
    recording_status_callback: str | None = attr(url())
    recording_status_callback_event: tuple[str, ...] = attr(
        subset("completed", "failed"), default=("completed", "failed")
    )
    recording_status_callback_method: Method = attr(http_method(), default="POST")
    ringing: str = attr(choice("true", "false", "music"), default="true")
    time_limit: int = attr(seconds(), default=0)
    timeout: int = attr(seconds(), default=30)
    trim: str = attr(choice("do-not-trim", "trim-silence"), default="do-not-trim")

    @property
    def answers(self) -> bool:
        """With ringing, the dialled party's answer is what answers the call."""
        return self.ringing != "true"

    async def run(self, call: Call) -> Outcome:
        """Behave as a dial that failed: its action hears so."""
        await super().run(call)
        numbers = [child.text for child in self.children] or [self.text]
        data: dict[str, object] = {
            "CallStatus": "failed",
            "DialCallSid": "",
            "DialCallDuration": 0,
            "DialedNumber": numbers[0].partition("?")[0],
        }
        return Failed(then=goto(self.action, self.method, data))
