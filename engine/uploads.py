"""Uploads to clouds, each tried until the store has the file or its time is over.

What is to be uploaded lies on disk, and whoever asks for an upload asks again after a restart (recordings.py): this
module keeps no state. A store that is away is tried again with back-off for `upload_retry_s` since the recording
ended; one that refuses, for wrong credentials or a bucket that is missing or elsewhere, for five minutes at most: that
may be a policy or a bucket that somebody is just making, but most often it is wrong, and the application wants to
know. The call's timeline tells every attempt that failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from .errors import UploadError
from .outbox import Backoff
from .storage import cloud
from .storage.cloud import CloudSettings
from .timeline import Note, nowhere

log = logging.getLogger("flexml.uploads")

AT_ONCE: Final = 4
"""To one bucket or container: a store that takes connections and answers nothing holds up nobody else's."""
LONGEST_WAIT_S: Final = 300.0
REFUSED_RETRY_S: Final = 300.0
DAY_S: Final = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file for a cloud. `since` is when its recording ended, in Unix seconds; `external` never shows."""

    sid: str
    call_sid: str
    name: str
    mime: str
    content: Path
    since: float
    external: Mapping[str, str] = field(repr=False)


class Uploads:
    """The service. `clock` gives Unix time in seconds."""

    def __init__(
        self,
        settings: CloudSettings,
        *,
        clock: Callable[[], float],
        backoff: Backoff | None = None,
        note: Note = nowhere,
    ) -> None:
        self._settings, self._clock, self._notes = settings, clock, note
        self._backoff = backoff or Backoff(total_s=DAY_S, longest_s=LONGEST_WAIT_S)
        self._stores: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def url(self, external: Mapping[str, str], name: str) -> str:
        """Return where the object `name` lies once it is uploaded."""
        return cloud.url(self._settings, external, name)

    async def put(self, upload: Upload, on_failure: Callable[[str], None]) -> str:
        """Upload; return "" once the store has it, or why it was given up. `on_failure` hears why an attempt failed."""
        attempts = 0
        slots = self._stores.setdefault(self.url(upload.external, ""), asyncio.Semaphore(AT_ONCE))
        self._note(upload, "uploading", url=self.url(upload.external, upload.name))
        while True:
            attempts += 1
            try:
                async with slots:
                    await cloud.upload(self._settings, upload.external, upload.name, upload.content, upload.mime)
            except UploadError as error:
                wait_s = self._wait_s(error, attempts, self._clock() - upload.since)
                again = {} if wait_s is None else {"again_in_s": round(wait_s, 1)}
                self._note(upload, "upload failed", attempt=attempts, error=str(error), **again)
                log.warning("recording %s: attempt %d to upload it failed: %s", upload.sid, attempts, error)
                on_failure(str(error))
                if wait_s is None:
                    return str(error)
                await asyncio.sleep(wait_s)
            else:
                self._note(upload, "uploaded", attempts=attempts)
                return ""

    def _wait_s(self, error: UploadError, attempts: int, age_s: float) -> float | None:
        total_s = min(self._backoff.total_s, REFUSED_RETRY_S) if error.refused else self._backoff.total_s
        return replace(self._backoff, total_s=total_s).wait_s(attempts, age_s)

    def _note(self, upload: Upload, what: str, **details: object) -> None:
        self._notes(upload.call_sid, self._clock(), what, {"recording": upload.sid, **details})
