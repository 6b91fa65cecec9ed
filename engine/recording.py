"""What a recording is to be, and what became of it: the words that verbs, calls and the recordings service share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Channels = Literal["mono", "dual"]
Direction = Literal["any", "in", "out"]
FileFormat = Literal["wav", "mp3", "ul"]
FileMode = Literal["append", "overwrite"]
RecordingStatus = Literal["completed", "failed", "absent"]
TranscriptionStatus = Literal["pending", "completed", "failed", "timeout"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptionRequest:
    """A text of what was said, as Record asks for it: `callback_url` gets it, `timeout_s` after it was asked for.

    A word that is understood with less confidence than `threshold` (0 to 1) is replaced by `replacement`. Without
    `timeout_s` the engine's own limit holds.
    """

    callback_url: str
    replacement: str = "_"
    threshold: float = 0.01
    timeout_s: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingRequest:
    """A recording as Record (or Dial) asks for it. Reference: Record. URLs are absolute.

    `direction`: `in` is the calling party, `out` the called one. What is beyond `max_length_s` is cut off. An `append`
    without `file_sid` makes a new file. `external` holds the credentials of a cloud storage by the attributes' field
    names; they never show.
    """

    direction: Direction = "any"
    channels: Channels = "mono"
    trim: bool = True
    max_length_s: int | None = None
    file_format: FileFormat = "wav"
    file_mode: FileMode = "append"
    file_sid: str = ""
    container_sid: str = ""
    lifecycle_action: str = "delete"
    lifecycle_ttl: int | None = None
    string_key_1: str | None = None
    string_key_2: str | None = None
    integer_key_1: int | None = None
    integer_key_2: int | None = None
    callback_url: str = ""
    status_callback_url: str = ""
    status_callback_method: Literal["POST", "GET"] = "POST"
    status_callback_events: tuple[str, ...] = ("completed", "failed")
    transcription: TranscriptionRequest | None = None
    external: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What became of a recording: `sid` and `url` of its file; `duration_s` in whole seconds; `error` if it failed.

    `transcription` is the sid of the transcription that follows, where one was asked for.
    """

    status: RecordingStatus
    sid: str = ""
    url: str = ""
    duration_s: int = 0
    error: str = ""
    transcription: str = ""

    def data(self) -> dict[str, object]:
        """The fields that action requests and callbacks carry (reference: Record, Callback Returned Data)."""
        return {
            "RecordingDuration": self.duration_s,
            "RecordingSid": self.sid,
            "RecordingFileSid": self.sid,
            "RecordingStatus": self.status,
            "RecordingUrl": self.url,
            **(transcription_data(self.transcription, "pending") if self.transcription else {}),
        }


def transcription_data(sid: str, status: TranscriptionStatus, text: str = "") -> dict[str, object]:
    """The fields about a transcription (the same section); `TranscriptionUrl` is a placeholder there."""
    return {
        "TranscriptionSid": sid,
        "TranscriptionStatus": status,
        "TranscriptionText": text,
        "TranscriptionUrl": "",
    }
