"""What a dial is to be, and what became of it: the words that the verb, the call and the exchange share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .recording import RecordingRequest

Ringing = Literal["true", "false", "music"]
DialStatus = Literal["completed", "busy", "noanswer", "failed", "cancel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Whom to call: a number or a SIP URI, headers for the INVITE, keys to send after the answer."""

    target: str
    headers: Sequence[tuple[str, str]] = ()
    send_digits: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DialRequest:
    """A dial as the verb asks for it. Times in seconds; a `time_limit_s` of 0 is none.

    `action_url` is told by a callback what had become of it, should the call end meanwhile.
    """

    destinations: Sequence[Destination]
    caller_id: str = ""
    caller_name: str = ""
    ringing: Ringing = "true"
    timeout_s: float = 30.0
    time_limit_s: float = 0.0
    hangup_on_star: bool = False
    confirm_key: str = ""
    confirm_url: str = ""
    recording: RecordingRequest | None = None
    record_ringing: bool = False
    action_url: str = ""
    action_method: Literal["POST", "GET"] = "POST"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialled:
    """What became of it: of the party that answered, or of all that did not.

    `heard` says of one that failed that the caller had something to hear meanwhile.
    """

    status: DialStatus
    heard: bool = False
    number: str = ""
    sid: str = ""
    duration_s: int = 0

    def data(self) -> dict[str, object]:
        """What the action is told."""
        return {
            "CallStatus": self.status,
            "DialCallSid": self.sid,
            "DialCallDuration": self.duration_s,
            "DialedNumber": self.number,
        }
