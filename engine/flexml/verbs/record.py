"""Record: a message of the caller's, or the whole session, into a file (reference, section Record)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from ...errors import PromptError, StorageError
from ...recording import (
    Channels,
    Direction,
    FileFormat,
    FileMode,
    Recorded,
    RecordingRequest,
    TranscriptionRequest,
)
from ..attributes import (
    KEYS,
    attr,
    attributes,
    audio_url,
    boolean,
    choice,
    http_method,
    integer,
    keys,
    number,
    seconds,
    secret,
    subset,
    text,
    url,
    xml_name,
)
from ..verb import Call, Failed, Goto, Method, Outcome
from . import clouds
from .base import Contradiction, Verb, goto

BEEP_MS: Final = 500
FOREVER_S: Final = 366 * 86400.0


def _secret(says: str, *kind: str) -> Any:
    """An attribute that opens somebody's cloud storage, which is never shown."""
    return attr(secret(*kind), secret=True, says=says)


BUCKET: Final = (r"[A-Za-z0-9._-]{3,222}", "3 to 222 letters, digits, dots, dashes and underscores")
ACCOUNT: Final = (r"[a-z0-9]{3,24}", "3 to 24 lower case letters and digits")
CONTAINER: Final = (r"\$?[a-z0-9-]{3,63}", "3 to 63 lower case letters, digits and dashes")
UNUSED_IN_CLOUDS: Final = (
    "container_sid", "file_sid", "lifecycle_ttl", "string_key1", "string_key2", "integer_key1", "integer_key2",
)  # fmt: skip
"""What says where and how a file of our own storage is kept."""


@dataclass(frozen=True, kw_only=True)
class Record(Verb):
    """Record until a key, silence, the longest time or the call's end; with `record_session`, beside what follows."""

    name: ClassVar[str] = "Record"
    reads_text: ClassVar[bool] = False

    action: str | None = attr(
        url(),
        says="The document that follows once the file is stored. Not asked when nothing but silence was "
        "recorded, when the recording failed, or with `recordSession`.",
    )
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    background_audio_loop: int = attr(
        integer(), default=1, says="How often `backgroundAudioUrl` is played; 0: until the recording ends."
    )
    background_audio_url: str | None = attr(
        audio_url(), says="What the caller hears during the recording; it is not recorded."
    )
    callback_url: str | None = attr(
        url(), says="Gets one POST when the recording is over, whatever became of it; its answer is not looked at."
    )
    container_sid: str | None = attr(
        text(),
        says="The container that the file is stored in; without it, the account's. Not looked at with `fileSid`.",
    )
    direction: str = attr(
        choice("any", "in", "out"),
        default="any",
        says="Whom to record: `in` is who calls, `out` who is called, `any` both. On an inbound call the caller "
        "is `in`.",
    )
    error_action: str | None = attr(
        url(), says="The document that follows when the recording failed. Without it the next verb runs."
    )
    error_method: Method = attr(http_method(), default="POST", says="How `errorAction` is requested.")
    file_format: str = attr(
        choice("wav", "mp3", "ul"),
        default="wav",
        says="`wav` is 16-bit PCM, `mp3` 32 kbit/s, `ul` headerless mu-law; all at 8 kHz.",
    )
    file_mode: str = attr(
        choice("append", "overwrite"),
        default="append",
        says="What happens to what `fileSid` holds already. Appending takes the same `fileFormat`.",
    )
    file_sid: str | None = attr(text(), says="Record into this file, which must exist, instead of into a new one.")
    channels: str = attr(
        choice("mono", "dual"),
        default="mono",
        says="`dual` puts the two parties into two channels, the calling one left; not for `ul`.",
    )
    finish_on_key: str = attr(
        keys(KEYS, off="none"),
        default=KEYS,
        says="Each of these keys ends the recording and is told; by default any key does, and with `none` no key.",
    )
    integer_key1: int | None = attr(integer(-(2**31)), says="A number of yours, kept with the file as `integer_key_1`.")
    integer_key2: int | None = attr(integer(-(2**31)), says="Another one, `integer_key_2`.")
    lifecycle_action: str = attr(
        text(),
        default="delete",
        says="What happens to the file after `lifecycleTtl`; `delete` is all that is carried out.",
    )
    lifecycle_ttl: int | None = attr(
        seconds(), says="How long after it was last changed the file is kept; without it, for ever."
    )
    max_length: int | None = attr(
        seconds(1), says="The longest recording. Without it there is no limit but `timeout` and the keys."
    )
    play_beep: bool = attr(boolean(), default=False, says="Let a beep be heard first; it is not recorded.")
    recording_status_callback: str | None = attr(
        url(), says="Gets a request for each of the events below; its answer is not looked at."
    )
    recording_status_callback_event: tuple[str, ...] = attr(
        subset("completed", "failed", "absent"),
        default=("completed", "failed"),
        says="When to send it: the file is stored, could not be, or there was nothing but silence.",
    )
    recording_status_callback_method: Method = attr(http_method(), default="POST", says="How it is sent.")
    record_session: bool = attr(
        boolean(),
        default=False,
        says="Record to the end of the call, beside the verbs that follow: the next one runs at once. "
        "`finishOnKey`, `timeout`, `maxLength`, `playBeep`, background audio and `action` are not looked "
        "at; callbacks are sent.",
    )
    string_key1: str | None = attr(text(), says="A text of yours, kept with the file as `string_key_1`.")
    string_key2: str | None = attr(text(), says="Another one, `string_key_2`.")
    timeout: int = attr(seconds(1), default=5, says="So long a silence ends the recording, one at its beginning too.")
    transcribe: bool = attr(
        boolean(), default=False, says="Make a text of what was said. Nothing comes of it without `transcribeCallback`."
    )
    transcribe_callback: str | None = attr(
        url(),
        says="Gets one POST with the text once it is ready, or with status `failed` or `timeout`; its answer is not "
        "looked at. Nothing is sent where the recording is not `completed`.",
    )
    transcribe_low_confidence_word_replacement: str = attr(
        text(), default="_", says="What stands in the text for a word that was not understood."
    )
    transcribe_low_confidence_word_threshold: float = attr(
        number(0, 1), default=0.01, says="Below this confidence a word counts as not understood."
    )
    transcribe_timeout: int | None = attr(
        seconds(),
        says="How long to wait for the text after the recording; then its status is `timeout`. Without it, with 0 and "
        "at most `[speech] transcription_timeout_s`.",
    )
    trim: str = attr(
        choice("trim-silence", "do-not-trim"),
        default="trim-silence",
        says="Whether silence at the beginning and the end is cut off; 100 ms of it stay.",
    )
    aws_access_key: str | None = _secret(
        "Amazon S3: the access key. A recording goes to Amazon S3, Google Cloud Storage or Azure Blob Storage where "
        "all of that store's attributes are given, and into no file of the account's then."
    )
    aws_bucket_name: str | None = _secret("Amazon S3: the bucket.", *BUCKET)
    aws_secret_key: str | None = _secret("Amazon S3: the secret key.")
    gcp_access_token: str | None = _secret(
        "Google Cloud Storage: an access token; or else the refresh token, the client and its secret, which are "
        "taken where both are given."
    )
    gcp_bucket_name: str | None = _secret("Google Cloud Storage: the bucket.", *BUCKET)
    gcp_client_id: str | None = _secret("Google Cloud Storage: the client that the refresh token is for.")
    gcp_client_secret: str | None = _secret("Google Cloud Storage: the client's secret.")
    gcp_project: str | None = _secret("Google Cloud Storage: the project, named in each request.")
    gcp_refresh_token: str | None = _secret("Google Cloud Storage: gets a new access token for each attempt to upload.")
    azure_account_key: str | None = _secret("Azure Blob Storage: the account's key, or else a SAS token.")
    azure_account_name: str | None = _secret("Azure Blob Storage: the account.", *ACCOUNT)
    azure_container_name: str | None = _secret("Azure Blob Storage: the container of blobs.", *CONTAINER)
    azure_sas_token: str | None = _secret(
        "Azure Blob Storage: a shared access signature that may create and write blobs, where there is no key."
    )

    @property
    def contradiction(self) -> Contradiction | None:
        """Two stores, or one that lacks something."""
        return clouds.contradiction(self._external())

    async def run(self, call: Call) -> Outcome:
        """Record. What cannot be stored, or was not, is a failure; nothing but silence is the next verb's turn."""
        self._tell_unused(call)
        if self.transcribe and not self.transcribe_callback:
            call.note("Record: nothing is transcribed, transcribeCallback is missing", line=self.line)
        try:
            if self.record_session:
                await call.record(self.request())
                return None
            return await self._message(call)
        except StorageError as error:
            call.note("Record: nothing is recorded", line=self.line, error=str(error))
            return Failed(then=self._failure(Recorded(status="failed", error=str(error))))

    def request(self) -> RecordingRequest:
        """What is asked of the recordings service."""
        return RecordingRequest(
            direction=cast("Direction", self.direction),
            channels=cast("Channels", self.channels),
            trim=self.trim == "trim-silence",
            max_length_s=None if self.record_session else self.max_length,
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
            transcription=self._transcription(),
            external=self._external(),
        )

    def _transcription(self) -> TranscriptionRequest | None:
        if not self.transcribe or not self.transcribe_callback:
            return None
        return TranscriptionRequest(
            callback_url=self.transcribe_callback,
            replacement=self.transcribe_low_confidence_word_replacement,
            threshold=self.transcribe_low_confidence_word_threshold,
            timeout_s=self.transcribe_timeout or None,
        )

    def _external(self) -> dict[str, str]:
        """The attributes of the cloud that are filled, by their fields' names."""
        prefixes = tuple(store.prefix for store in clouds.STORES)
        given = {a.field: getattr(self, a.field) for a in attributes(Record) if a.field.startswith(prefixes)}
        return {name: value for name, value in given.items() if value}

    def _tell_unused(self, call: Call) -> None:
        unused = [xml_name(name) for name in UNUSED_IN_CLOUDS if getattr(self, name) not in (None, "")]
        if unused and self._external():
            call.note("Record: without effect in a cloud", line=self.line, attributes=", ".join(unused))

    async def _message(self, call: Call) -> Goto | Failed | None:
        """Record in the foreground; where what became of it leads, which is told also should the call end before."""
        if self.play_beep:
            await call.start_tone("beep", duration_ms=BEEP_MS).finished()
        call.discard_digits()  # a key from before the beep was not meant to end the message
        recording, key = await call.record(self.request()), ""

        async def left() -> Goto | None:
            outcome = self._after(await recording.finish(), key)
            return outcome.then if isinstance(outcome, Failed) else outcome

        with call.at_its_end(left):
            background = asyncio.ensure_future(self._background(call))
            try:
                key = await self._end(call)
            finally:
                ending = asyncio.ensure_future(recording.finish())
                background.cancel()
                await asyncio.gather(background, return_exceptions=True)
            return self._after(await ending, key)

    def _after(self, recorded: Recorded, key: str) -> Goto | Failed | None:
        """Where control goes after a recording that `key` ended, if one did."""
        if recorded.status == "failed":
            return Failed(then=self._failure(recorded))
        if recorded.status == "absent":
            return None
        return goto(self.action, self.method, recorded.data() | {"Digits": key, "FinishKey": key or None})

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
