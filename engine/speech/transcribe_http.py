"""Have a service transcribe, as a worker process (`python -m flexml.engine.speech.transcribe_http`).

The recording is sent as a WAV file by POST, and JSON comes back; docs/transcription.md describes both. What looks like
a passing failure is tried again. No redirect is followed: it would take recording and key to somebody else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Annotated, Any, Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import msgspec

from ..errors import PromptError
from ..workers import serve
from .transcribe_sound import Sound, Words, answer

MAX_ANSWER: Final = 1024 * 1024
SILENT_S: Final = 600.0
"""A service that says nothing for so long is not waited for."""
PAUSES_S: Final = (1.0, 5.0)
"""Before the second and the third attempt."""
PASSING: Final = frozenset({429, 502, 503, 504})


class Word(msgspec.Struct):
    """One word of the answer."""

    word: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class Transcript(msgspec.Struct):
    """The answer: words, or a text where nothing is known of its words."""

    words: list[Word] | None = None
    text: str | None = None


class _Passing(Exception):
    """What may be better the next time."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        """None: the redirect is an answer like any other."""


OPENER: Final = build_opener(ProxyHandler({}), _NoRedirect)


def transcribe(sound: Sound, request: dict[str, Any], pauses_s: Sequence[float] = PAUSES_S) -> Words:
    """What the service `url` makes of the recording, by way of the file `wave`. Raises PromptError."""
    wave = Path(request["wave"])
    size = sound.write_wave(wave)
    try:
        for pause_s in pauses_s:
            try:
                return words(_post(request["url"], request["key"], wave, size))
            except _Passing:
                time.sleep(pause_s)
        return words(_post(request["url"], request["key"], wave, size))
    except _Passing as failure:
        raise PromptError(str(failure)) from failure
    finally:
        wave.unlink(missing_ok=True)


def _post(url: str, key: str, wave: Path, size: int) -> bytes:
    """The body of a successful answer. Raises PromptError, or _Passing."""
    headers = {"Content-Type": "audio/wav", "Content-Length": str(size), "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    with wave.open("rb") as body:
        try:
            with OPENER.open(Request(url, data=body, headers=headers, method="POST"), timeout=SILENT_S) as response:
                return _read(response)
        except HTTPError as error:
            with error:
                kind = _Passing if error.code in PASSING else PromptError
                raise kind(f"the transcription service answered with status {error.code}") from error
        except (OSError, HTTPException) as error:
            raise _Passing(f"the transcription service does not answer: {error}") from error


def _read(response: IO[bytes]) -> bytes:
    body = response.read(MAX_ANSWER + 1)
    if len(body) > MAX_ANSWER:
        raise PromptError(f"the transcription service answered with more than {MAX_ANSWER} bytes")
    return body


def words(body: bytes) -> list[tuple[str, float]]:
    """The words of an answer. Raises PromptError where it is none."""
    try:
        transcript = msgspec.json.decode(body, type=Transcript)
    except msgspec.MsgspecError as error:
        raise PromptError(f"the transcription service's answer: {error}") from error
    if transcript.words is not None:
        return [(word.word, word.confidence) for word in transcript.words]
    if transcript.text is not None:
        return [(word, 1.0) for word in transcript.text.split()]
    raise PromptError("the transcription service's answer has neither words nor text")


def main() -> None:
    """Be a worker."""
    serve(answer(transcribe))


if __name__ == "__main__":
    main()
