"""Record: a message of the caller's, or the whole session, into a file (reference, section Record)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from ...errors import PromptError, StorageError
from ...recording import Channels, Direction, FileFormat, FileMode, Recorded, RecordingRequest
from ..attributes import (
    KEYS,
    attr,
    attributes,
    boolean,
    choice,
    http_method,
    integer,
    keys,
    number,
    seconds,
    subset,
    text,
    url,
)
from ..verb import Call, Failed, Goto, Method, Outcome
from .base import Verb, goto

BEEP_MS: Final = 500
FOREVER_S: Final = 366 * 86400.0


def _secret(says: str = "") -> Any:
    """An attribute that opens somebody's cloud storage: never shown, without effect before storage is external."""
    return attr(text(), effect=False, secret=True, says=says)


@dataclass(frozen=True, kw_only=True)
class Record(Verb):
    """Record until a key, silence, the longest time or the call's end; with `record_session`, beside what follows."""

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
    transcribe: bool = attr(boolean(), default=False, effect=False)
    transcribe_callback: str | None = attr(url(), effect=False)
    transcribe_low_confidence_word_replacement: str = attr(text(), default="_", effect=False)
    transcribe_low_confidence_word_threshold: float = attr(number(0, 1), default=0.01, effect=False)
    transcribe_timeout: int | None = attr(seconds(), effect=False)
    trim: str = attr(choice("trim-silence", "do-not-trim"), default="trim-silence")
    aws_access_key: str | None = _secret()
    aws_bucket_name: str | None = _secret()
    aws_secret_key: str | None = _secret()
    gcp_access_token: str | None = _secret()
    gcp_bucket_name: str | None = _secret()
    gcp_client_id: str | None = _secret()
    gcp_client_secret: str | None = _secret()
    gcp_project: str | None = _secret()
    gcp_refresh_token: str | None = _secret()
    azure_account_key: str | None = _secret()
    azure_account_name: str | None = _secret()
    azure_container_name: str | None = _secret()
    azure_sas_token: str | None = _secret()

    async def run(self, call: Call) -> Outcome:
        """Record. What cannot be stored, or was not, is a failure; nothing but silence is the next verb's turn."""
        try:
            if self.record_session:
                await call.record(self.request())
                return None
            recorded, key = await self._message(call)
        except StorageError as error:
            call.note("Record: nothing is recorded", line=self.line, error=str(error))
            return Failed(then=self._failure(Recorded(status="failed", error=str(error))))
        if recorded.status == "failed":
            return Failed(then=self._failure(recorded))
        if recorded.status == "absent":
            return None
        return goto(self.action, self.method, recorded.data() | {"Digits": key, "FinishKey": key or None})

    def request(self) -> RecordingRequest:
        """What is asked of the recordings service."""
        return RecordingRequest(
            direction=cast("Direction", self.direction),
            channels=cast("Channels", self.channels),
            trim=self.trim == "trim-silence",
            file_format=cast("FileFormat", self.file_format),
            file_mode=cast("FileMode", self.file_mode),
            file_sid=self.file_sid or "",
            container_sid=self.container_sid or "",
            lifecycle_action=self.lifecycle_action,
            lifecycle_ttl=self.lifecycle_ttl,
            string_key_1=self.string_key1,
            string_key_2=self.string_key2,
            integer_key_1=self.integer_key1,
            integer_key_2=self.integer_key2,
            callback_url=self.callback_url or "",
            status_callback_url=self.recording_status_callback or "",
            status_callback_method=self.recording_status_callback_method,
            status_callback_events=self.recording_status_callback_event,
            transcribe=self.transcribe,
            external=self._external(),
        )

    def _external(self) -> dict[str, str]:
        clouds = ("aws_", "gcp_", "azure_")
        given = {a.field: getattr(self, a.field) for a in attributes(Record) if a.field.startswith(clouds)}
        return {name: value for name, value in given.items() if value}

    async def _message(self, call: Call) -> tuple[Recorded, str]:
        """Record in the foreground; what became of it, and the key that ended it."""
        if self.play_beep:
            await call.start_tone("beep", duration_ms=BEEP_MS).finished()
        call.discard_digits()  # a key from before the beep was not meant to end the message
        background = asyncio.ensure_future(self._background(call))
        try:
            recording = await call.record(self.request())
            try:
                key = await self._end(call)
            finally:
                ending = asyncio.ensure_future(recording.finish())
        finally:
            background.cancel()
            await asyncio.gather(background, return_exceptions=True)
        return await ending, key

    async def _background(self, call: Call) -> None:
        """Let the background audio be heard, once it is there; it is not recorded. The recording does not wait."""
        if not self.background_audio_url:
            return
        try:
            audio = await call.fetch_audio(self.background_audio_url)
            playing = call.start(audio, loops=self.background_audio_loop, layer="aside")
            try:
                await playing.finished()
            finally:
                playing.stop()
        except PromptError as error:
            call.note("Record: background audio cannot be heard", line=self.line, error=str(error))

    async def _end(self, call: Call) -> str:
        """Wait for what ends the recording; the key if it was one."""
        silence = asyncio.ensure_future(call.heard(silence_ms=self.timeout * 1000))
        pressed = asyncio.ensure_future(call.digit_of(self.finish_on_key)) if self.finish_on_key else None
        waits: list[asyncio.Future[Any]] = [silence] if pressed is None else [silence, pressed]
        try:
            await asyncio.wait(waits, timeout=self.max_length or FOREVER_S, return_when=asyncio.FIRST_COMPLETED)
            if pressed is not None and pressed.done():
                return pressed.result()
            if silence.done():
                silence.result()
            return ""
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _failure(self, recorded: Recorded) -> Goto | None:
        return goto(self.error_action, self.error_method, recorded.data())
