"""What the recordings service needs of others: callbacks, texts of what was said, and a list of what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from .recording import TranscriptionRequest
from .recording_log import KeptRecording


class Callbacks(Protocol):
    """What is needed of `outbox.Outbox`."""

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        """Queue a callback, once for a sid."""
        ...


class Transcriber(Protocol):
    """What is needed of `speech.transcribe.Transcriptions`."""

    async def take(
        self,
        sid: str,
        call_sid: str,
        request: TranscriptionRequest,
        facts: Mapping[str, object],
        samples: Path,
        channels: int,
        /,
    ) -> None:
        """Take the samples of a recording that is finished, and tell what was said. Never raises."""
        ...


class Log(Protocol):
    """What is needed of `recording_log.RecordingLog`."""

    async def put(self, kept: KeptRecording) -> None:
        """Write down what became of a recording, in place of what was written of it before."""
        ...
