"""From a recording's spool to its content, by a worker process, and how it went.

What is appended to a file of the storage is encoded behind a copy of what that file holds by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from .recording import Recorded
from .recording_plan import Plan
from .spool import SpoolFolder
from .storage.base import Storage
from .uploads import Uploads
from .workers import Workers

RATE_HZ: Final = 8000
"""Of the samples in a spool."""
ENCODERS: Final = 2
"""So that a message does not wait for a whole day's recording."""
ENCODE_TIMEOUT_S: Final = 1800.0
"""A day of audio takes some minutes to encode."""


class RecordingEncoding:
    """Encodes. `url` is the address below which `/f/SID` gives files; `detector` is how an account finds voice."""

    def __init__(
        self,
        spool: SpoolFolder,
        storage: Storage,
        uploads: Uploads | None,
        *,
        url: str,
        detector: Callable[[str], str],
        workers: Workers | None,
    ) -> None:
        self._spool, self._storage, self._uploads = spool, storage, uploads
        self._url, self._detector = url.rstrip("/"), detector
        self._workers = workers or Workers("flexml.engine.encode", size=ENCODERS, timeout_s=ENCODE_TIMEOUT_S)

    async def start(self) -> None:
        """Start the encoders."""
        await self._workers.start()

    async def close(self) -> None:
        """Stop the encoders."""
        await self._workers.close()

    async def encode(self, plan: Plan, transcription: str) -> Plan:
        """Make the content; the plan with its outcome, which names that sid of a text to come.

        Raises PromptError or StorageError where there is no content.
        """
        request, held, file, there = plan.request, None, plan.file, None
        if request.file_mode == "append" and request.file_sid and not request.external:
            there, held = await self._storage.content(file.sid)  # others may have added to it meanwhile
            file = replace(file, bytes=there.bytes, duration=there.duration)
        made = await self._workers.run(
            spool=str(self._spool.samples(plan.sid)),
            target=str(self._spool.content(plan.sid)),
            channels=plan.channels,
            longest=request.max_length_s and request.max_length_s * RATE_HZ,
            format=request.file_format,
            trim=request.trim,
            detector=self._detector(plan.account),
            append_to=str(held) if held is not None and file.bytes else None,
        )
        seconds = made["samples"] / RATE_HZ
        if not seconds:
            return replace(plan, outcome=Recorded(status="absent"))
        length = seconds + (file.duration or made["held"] / RATE_HZ if held is not None else 0.0)
        outcome = Recorded(
            status="completed", sid=file.sid, url=self._place(plan), duration_s=int(seconds + 0.5),
            transcription=transcription,
        )  # fmt: skip
        now = await asyncio.to_thread(self._spool.written, plan.sid)
        file = replace(file, bytes=made["bytes"], duration=length, updated=now, created=file.created or now)
        return replace(plan, file=file, outcome=outcome, behind=there)

    def _place(self, plan: Plan) -> str:
        """Where its file is to be had."""
        if plan.request.external and self._uploads is not None:
            return self._uploads.url(plan.request.external, plan.file.name)
        return f"{self._url}/f/{plan.file.sid}"
