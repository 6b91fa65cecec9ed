"""Texts of what was said in recordings (reference: Record, `transcribe`), each told exactly once.

Each waits in `transcribe/` below the storage's folder, with a sidecar: one without a result is to be transcribed, one
with a result is to be told and removed. The callback's sid follows from the transcription's, so both can be done again;
`recover` goes on where an earlier run was killed. The result is decided once, by the first of: the words, a failure,
the time-out. What an engine comes up with later has no way to anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from ..errors import PromptError
from ..recording import TranscriptionRequest, TranscriptionStatus, transcription_data
from ..sid import derived_sid
from ..spool import TRANSCRIBE, SpoolFolder
from ..timeline import Note, nowhere
from ..workers import Workers
from .transcribe_engines import TranscriptionSettings, chosen

log = logging.getLogger("flexml.transcriptions")

MARGIN_S: Final = 60.0
"""A process is given up so much later than what it works on: by then nobody waits for it."""
Words = list[tuple[str, float]]


class Callbacks(Protocol):
    """What is needed of `outbox.Outbox`."""

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        """Queue a callback, once for a sid."""
        ...


class Processes(Protocol):
    """What is needed of `workers.Workers`."""

    async def start(self) -> None:
        """Start them."""
        ...

    async def close(self) -> None:
        """End them."""
        ...

    async def run(self, progress: Callable[[dict[str, Any]], None] | None = None, **request: object) -> dict[str, Any]:
        """Have a request done. Raises PromptError."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of it, and the text with its replacements."""

    status: TranscriptionStatus
    text: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcription:
    """What the sidecar holds. `facts` is what the callback says beside the text; `created` is in Unix seconds."""

    sid: str
    call_sid: str
    request: TranscriptionRequest
    facts: dict[str, Any]
    channels: int
    created: float
    result: Result | None = None


class Transcriptions:
    """The service. `folder` is the storage's; `clock` gives Unix seconds: time-outs count on over a restart.

    `engine` is the name of this one where others may share the folder.
    """

    def __init__(
        self,
        folder: Path,
        callbacks: Callbacks,
        settings: TranscriptionSettings,
        *,
        clock: Callable[[], float],
        note: Note = nowhere,
        processes: Processes | None = None,
        engine: str = "",
    ) -> None:
        self._spool = SpoolFolder(folder, TRANSCRIBE, engine=engine)
        self._callbacks, self._settings, self._clock, self._timeline = callbacks, settings, clock, note
        self._processes = processes
        self._starting = asyncio.Lock()
        self._started = False
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Make the folder. Raises PromptError where the engine that is configured cannot work."""
        engine = chosen(self._settings)
        if self._processes is None:
            timeout_s = self._settings.timeout_s + MARGIN_S
            self._processes = Workers(engine.module, size=self._settings.processes, timeout_s=timeout_s)
        await asyncio.to_thread(self._spool.prepare)

    async def close(self) -> None:
        """Stop; what is unfinished is finished after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._processes is not None and self._started:
            await self._processes.close()

    async def idle(self) -> None:
        """Return once none is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

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
        """Take a recording over: its samples are moved here. Never raises, can be done again with nothing told twice.

        `samples` is 16-bit PCM at 8 kHz, of one party or of two interleaved, on the storage's file system.
        """
        job = Transcription(
            sid=sid, call_sid=call_sid, request=request, facts=dict(facts), channels=channels, created=self._clock()
        )  # fmt: skip
        try:
            if sid in self._tasks or not await asyncio.to_thread(self._spool.adopt, sid, _pack(job), samples):
                return
        except OSError as error:
            found = f"its samples cannot be taken over: {error.strerror}"
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._spool.remove, sid)
            await self._tell(replace(job, result=Result(status="failed", error=found)))
            return
        self._note(job, "transcription queued", sid=sid)
        self._begin(job)

    async def recover(self) -> int:
        """Go on with what an earlier run left; returns how many that are. To be called after recordings' `recover`."""
        left = [self._read(sid, packed) for sid, packed in await asyncio.to_thread(self._spool.left)]
        jobs = [job for job in left if job is not None and job.sid not in self._tasks]
        for job in jobs:
            self._begin(job)
        return len(jobs)

    def _read(self, sid: str, packed: bytes) -> Transcription | None:
        try:
            return msgspec.json.decode(packed, type=Transcription)
        except msgspec.MsgspecError as error:
            log.error("transcription %s of an earlier run is lost, its sidecar is damaged: %s", sid, error)
            self._spool.give_up(sid)
            return None

    def _begin(self, job: Transcription) -> None:
        task = asyncio.create_task(self._finish(job), name=f"transcription {job.sid}")
        self._tasks[job.sid] = task
        task.add_done_callback(lambda done: self._tasks.pop(job.sid, None))

    # ---- finishing ----------------------------------------------------------------------------------------------

    async def _finish(self, job: Transcription) -> None:
        """The states of the docstring, from the one that it is in."""
        try:
            if job.result is None:
                job = replace(job, result=await self._result(job))
                await asyncio.to_thread(self._spool.write_down, job.sid, _pack(job))
            await self._tell(job)
            await asyncio.to_thread(self._spool.remove, job.sid)
        except Exception:
            log.exception("transcription %s is left for the next start", job.sid)

    async def _result(self, job: Transcription) -> Result:
        """The text, or why there is none."""
        limit_s = min(job.request.timeout_s or self._settings.timeout_s, self._settings.timeout_s)
        left_s = job.created + limit_s - self._clock()
        try:
            if left_s <= 0:
                raise TimeoutError
            processes = await self._ready()
            async with asyncio.timeout(left_s):
                words = await self._words(processes, job)
        except TimeoutError:
            return Result(status="timeout", error=f"not ready within {limit_s} s")
        except PromptError as error:
            return Result(status="failed", error=str(error))
        return Result(status="completed", text=text_of(words, job.request))

    async def _ready(self) -> Processes:
        """The processes, started when they are first needed."""
        if self._processes is None:
            raise PromptError("the transcriptions are not started")
        async with self._starting:
            if not self._started:
                try:
                    await self._processes.start()
                except OSError as error:
                    raise PromptError(f"no process can be started: {error.strerror}") from error
                self._started = True
        return self._processes

    async def _words(self, processes: Processes, job: Transcription) -> Words:
        settings = self._settings
        answer = await processes.run(
            samples=str(self._spool.samples(job.sid)),
            wave=str(self._spool.content(job.sid)),
            channels=job.channels,
            longest_s=settings.longest_s,
            model=settings.whisper_model,
            url=settings.url,
            key=settings.key,
        )
        try:
            return msgspec.convert(answer.get("words"), Words)
        except msgspec.ValidationError as error:
            raise PromptError(f"the engine's answer is none: {error}") from error

    async def _tell(self, job: Transcription) -> None:
        """Queue the callback."""
        result = job.result
        if result is None:
            return
        data = {**job.facts, **transcription_data(job.sid, result.status, result.text)}
        await self._callbacks.put(job.request.callback_url, "POST", data, sid=derived_sid(job.sid, "callback"))
        why = {"error": result.error} if result.error else {}
        words = len(result.text.split())
        self._note(job, "transcription ended", status=result.status, sid=job.sid, words=words, **why)
        log.info("transcription %s: %s, %d words %s", job.sid, result.status, words, result.error)

    def _note(self, job: Transcription, what: str, **details: object) -> None:
        self._timeline(job.call_sid, self._clock(), what, details)


def text_of(words: Iterable[tuple[str, float]], request: TranscriptionRequest) -> str:
    """The words as one text; in the place of each that is below the threshold stands the replacement."""
    shown = (word if confidence >= request.threshold else request.replacement for word, confidence in words)
    return " ".join(word for word in shown if word)


def _pack(job: Transcription) -> bytes:
    """As JSON, whatever an application put into the facts."""
    return msgspec.json.encode(job, enc_hook=str)
