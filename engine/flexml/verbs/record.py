"""Record: read and checked, not carried out in this version (reference, section Record)."""

# ruff: noqa: RUF009 (`attr` declares a field, as `dataclasses.field` does)

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import KEYS, attr, boolean, choice, http_method, integer, keys, number, seconds, subset, text, url
from ..verb import Method
from .base import Later


@dataclass(frozen=True, kw_only=True)
class Record(Later):
    """Record the call or a message into the storage."""

    name: ClassVar[str] = "Record"

    action: str | None = attr(url())
    method: Method = attr(http_method(), default="POST")
    background_audio_loop: int = attr(integer(), default=1)
    background_audio_url: str | None = attr(url())
    callback_url: str | None = attr(url())
    container_sid: str | None = attr(text())
    direction: str = attr(choice("any", "in", "out"), default="any")
    error_action: str | None = attr(url())
    error_method: Method = attr(http_method(), default="POST")
    file_format: str = attr(choice("wav", "mp3", "ul"), default="wav")
    file_mode: str = attr(choice("append", "overwrite"), default="append")
    file_sid: str | None = attr(text())
    channels: str = attr(choice("mono", "dual"), default="mono")
    finish_on_key: str = attr(keys(KEYS, off="none"), default=KEYS)
    integer_key1: int | None = attr(integer(-(2**31)))
    integer_key2: int | None = attr(integer(-(2**31)))
    lifecycle_action: str = attr(text(), default="delete")
    lifecycle_ttl: int | None = attr(seconds())
    max_length: int | None = attr(seconds(1))
    play_beep: bool = attr(boolean(), default=False)
    recording_status_callback: str | None = attr(url())
    recording_status_callback_event: tuple[str, ...] = attr(
        subset("completed", "failed", "absent"), default=("completed", "failed")
    )
    recording_status_callback_method: Method = attr(http_method(), default="POST")
    record_session: bool = attr(boolean(), default=False)
    string_key1: str | None = attr(text())
    string_key2: str | None = attr(text())
    timeout: int = attr(seconds(1), default=5)
    transcribe: bool = attr(boolean(), default=False)
    transcribe_callback: str | None = attr(url())
    transcribe_low_confidence_word_replacement: str = attr(text(), default="_")
    transcribe_low_confidence_word_threshold: float = attr(number(0, 1), default=0.01)
    transcribe_timeout: int | None = attr(seconds())
    trim: str = attr(choice("trim-silence", "do-not-trim"), default="trim-silence")
    aws_access_key: str | None = attr(text())
    aws_bucket_name: str | None = attr(text())
    aws_secret_key: str | None = attr(text())
    gcp_access_token: str | None = attr(text())
    gcp_bucket_name: str | None = attr(text())
    gcp_client_id: str | None = attr(text())
    gcp_client_secret: str | None = attr(text())
    gcp_project: str | None = attr(text())
    gcp_refresh_token: str | None = attr(text())
    azure_account_key: str | None = attr(text())
    azure_account_name: str | None = attr(text())
    azure_container_name: str | None = attr(text())
    azure_sas_token: str | None = attr(text())
