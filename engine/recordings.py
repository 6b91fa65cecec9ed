"""From the spool of a recording to a stored file and the callbacks about it, each exactly once.

Beside each spool lies a JSON sidecar with all that is needed to finish without the call. Finishing goes through
states on disk: the sidecar without an outcome (the spool is to be encoded), the sidecar with one (the content is to
be moved to its place, the row saved, the callbacks queued under sids that follow from the recording's), no sidecar.
What goes to a cloud has an outcome from when it is encoded, and is uploaded before the callbacks are queued, however
long that takes (uploads.py); whoever waits for the recording is told before that it has failed so far.
Every step can be done again without doing anything twice, so a process may be killed anywhere; `recover` goes on
from there. What cannot be stored stays in `failed/`, with its sidecar.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from itertools import compress
from operator import not_
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import msgspec

from .errors import FileChangedError, PromptError, StorageError
from .recording import Recorded, RecordingRequest
from .recording_encoding import RATE_HZ, RecordingEncoding
from .recording_needs import Callbacks, Log, Transcriber
from .recording_news import RecordingNews
from .recording_plan import Plan, Recording, pack, wanted
from .sid import new_sid
from .spool import SpoolFolder
from .storage.base import MIME_TYPES, Storage, StoredFile
from .uploads import Upload, Uploads
from .wave_header import appendable
from .workers import Workers

log = logging.getLogger("flexml.recordings")

T = TypeVar("T")

UPLOAD_WAIT_S: Final = 30.0
"""How long a call waits for a cloud, at most: while it is not refused, nor has failed."""


class Recordings:
    """The service. `folder` is the storage's; `url` the address below which `/f/SID` gives files.

    `engine` is the name of this one where others may share the folder.
    """

    def __init__(
        self,
        folder: Path,
        storage: Storage,
        callbacks: Callbacks,
        uploads: Uploads | None = None,
        *,
        url: str,
        detector: Callable[[str], str] = lambda account: "energy",
        workers: Workers | None = None,
        transcriber: Transcriber | None = None,
        kept: Log | None = None,
        engine: str = "",
    ) -> None:
        self._spool = SpoolFolder(folder, engine=engine)
        self._storage, self._uploads = storage, uploads
        self._news = RecordingNews(callbacks, transcriber, kept)
        self._encoding = RecordingEncoding(self._spool, storage, uploads, url=url, detector=detector, workers=workers)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._files: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Make the folders, start the encoder."""
        await asyncio.to_thread(self._spool.prepare)
        await self._encoding.start()

    async def close(self) -> None:
        """Stop; what is unfinished is finished after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._encoding.close()

    async def idle(self) -> None:
        """Return once nothing is being finished."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def begin(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> Recording:
        """Make room for a recording; `facts` are what callbacks say of the call should we die meanwhile.

        Raises StorageError where the file or container does not exist, is another account's, or is full; the
        callbacks are told of that failure as of any other.
        """
        sid = new_sid()
        try:
            plan = Plan(
                sid=sid, call_sid=call_sid, account=account_sid, request=request,
                file=await self._reserve(account_sid, request, sid), facts=dict(facts),
            )  # fmt: skip
            await self._spool_for(plan)
        except StorageError as error:
            await self._refused(sid, call_sid, account_sid, request, facts, error)
            raise
        return Recording(plan, str(self._spool.samples(sid)))

    async def check(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object]
    ) -> None:
        """See whether a recording that begins later has a place to go to: raises, and tells, what `begin` would.

        But for one that is full, which it may not be by then.
        """
        sid = new_sid()
        try:
            await self._storage.check(account_sid, wanted(request))
        except StorageError as error:
            await self._refused(sid, call_sid, account_sid, request, facts, error)
            raise

    async def _refused(
        self,
        sid: str,
        call_sid: str,
        account_sid: str,
        request: RecordingRequest,
        facts: Mapping[str, object],
        error: StorageError,
    ) -> None:
        outcome = Recorded(status="failed", error=str(error))
        await self._news.ended(sid, call_sid, account_sid, request, facts, outcome)

    async def _reserve(self, account_sid: str, request: RecordingRequest, sid: str) -> StoredFile:
        asked = wanted(request)
        if not request.external:
            file = await self._storage.reserve(account_sid, asked)
            if request.file_sid and asked.append and file.bytes and file.format == "wav":
                await self._check_wave(file.sid)
            return file
        if self._uploads is None:
            raise StorageError("there is nothing that could upload a recording")
        name, mime = f"{sid}.{asked.format}", MIME_TYPES[asked.format]
        return StoredFile(sid=sid, container="", account=account_sid, name=name, format=asked.format, mime=mime)

    async def _check_wave(self, sid: str) -> None:
        """Raise StorageError where nothing can be appended to that file, which is a WAV file by its name."""
        try:
            _, held = await self._storage.content(sid)
            await asyncio.to_thread(appendable, held, RATE_HZ)
        except (PromptError, OSError) as error:
            raise StorageError(f"file {sid}: {error}") from error

    async def _spool_for(self, plan: Plan) -> None:
        creating = asyncio.ensure_future(asyncio.to_thread(self._spool.create, plan.sid, pack(plan)))
        try:
            await asyncio.shield(creating)
        except asyncio.CancelledError:  # nobody records any more, and nobody would finish it
            self._spawn(self._withdrawn(creating, plan.sid), plan.sid)
            raise
        except OSError as error:
            log.error("nothing can be recorded: %s", error)
            raise StorageError(f"nothing can be recorded: {error.strerror}: {error.filename}") from error

    async def _withdrawn(self, creating: asyncio.Future[None], sid: str) -> None:
        await asyncio.wait([creating])
        await asyncio.to_thread(self._spool.remove, sid)

    async def finish(self, recording: Recording, facts: Mapping[str, object], error: str = "") -> Recorded:
        """Make the file and queue the callbacks, which say `facts`; with `error`, a recording that failed.

        Once: whoever asks again gets the same. Never raises. Being cancelled changes nothing.
        """
        if recording.finishing is None:
            plan = replace(recording.plan, facts=dict(facts))
            recording.finishing = self._begin_finishing(plan, error)
        return await asyncio.shield(recording.finishing)

    async def recover(self) -> int:
        """Finish what an earlier run left; returns how many. Encoding and uploading go on in the background.

        To be called once, before the first recording, when callbacks can be queued.
        """
        plans = [plan for sid, packed in await asyncio.to_thread(self._spool.left) if (plan := self._read(sid, packed))]
        quick = [plan.outcome is not None and not plan.to_upload for plan in plans]
        tasks = [self._begin_finishing(plan) for plan in compress(plans, quick)]
        if tasks:
            await asyncio.wait(tasks)
        for plan in compress(plans, map(not_, quick)):
            self._begin_finishing(plan)
        return len(plans)

    def _read(self, sid: str, packed: bytes) -> Plan | None:
        try:
            return msgspec.json.decode(packed, type=Plan)
        except msgspec.MsgspecError as error:
            log.error("recording %s of an earlier run cannot be finished, its sidecar is damaged: %s", sid, error)
            self._spool.give_up(sid)
            return None

    def _begin_finishing(self, plan: Plan, error: str = "") -> asyncio.Task[Recorded]:
        return self._spawn(self._finish(plan, error), plan.sid)

    def _spawn(self, work: Coroutine[Any, Any, T], sid: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"recording {sid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- finishing ----------------------------------------------------------------------------------------------

    async def _finish(self, plan: Plan, error: str) -> Recorded:
        """The states of the docstring, from the one that the plan is in."""
        lock = self._files.setdefault(plan.file.sid, asyncio.Lock())
        try:
            async with lock:
                plan = await self._encoded_and_stored(plan, error)
        except Exception as failure:
            return _left(plan, failure)
        if plan.to_upload:
            return await self._uploaded_soon(plan)
        return await self._concluded(plan)

    async def _encoded_and_stored(self, plan: Plan, error: str) -> Plan:
        """Do both, again where another engine has stored something in the file that this is to be appended to."""
        while True:
            if plan.outcome is None:
                plan = await self._encoded(plan, error)
            try:
                return await self._stored(plan)
            except FileChangedError as changed:
                log.info("recording %s is encoded again: %s", plan.sid, changed)
                plan = replace(plan, outcome=None)

    async def _concluded(self, plan: Plan) -> Recorded:
        """Tell what became of it, and clean up."""
        outcome = plan.outcome or Recorded(status="failed")
        try:
            await self._news.ended(plan.sid, plan.call_sid, plan.account, plan.request, plan.facts, outcome)
            await self._news.transcribe(plan, outcome, self._spool.samples(plan.sid))
            clean_up = self._spool.give_up if outcome.status == "failed" else self._spool.remove
            await asyncio.to_thread(clean_up, plan.sid)
        except Exception as failure:
            return _left(plan, failure)
        level = logging.WARNING if outcome.status == "failed" else logging.INFO
        log.log(level, "recording %s: %s, %d s %s", plan.sid, outcome.status, outcome.duration_s, outcome.error)
        return outcome

    async def _uploaded_soon(self, plan: Plan) -> Recorded:
        """Begin to upload; what came of it, or that it has failed so far: it goes on, but nobody waits for it."""
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        uploading = self._spawn(self._uploaded(plan, failed), plan.sid)
        await asyncio.wait([uploading, failed], timeout=UPLOAD_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        if uploading.done():
            return uploading.result()
        so_far = failed.result() if failed.done() else f"not in its cloud after {UPLOAD_WAIT_S:.0f} s"
        return Recorded(status="failed", sid=plan.sid, error=so_far)

    async def _uploaded(self, plan: Plan, failed: asyncio.Future[str]) -> Recorded:
        """Upload, for as long as it takes, then conclude."""
        assert self._uploads is not None  # begin has refused it else

        def tell(error: str) -> None:
            if not failed.done():
                failed.set_result(error)

        try:
            await self._news.uploading(plan)
            problem = await self._uploads.put(self._upload(plan), tell)
            if problem:
                plan = await self._written_down(plan.failed(problem))
        except Exception as failure:
            return _left(plan, failure)
        return await self._concluded(plan)

    def _upload(self, plan: Plan) -> Upload:
        return Upload(
            sid=plan.sid,
            call_sid=plan.call_sid,
            name=plan.file.name,
            mime=plan.file.mime,
            content=self._spool.content(plan.sid),
            since=plan.file.updated,
            external=plan.request.external,
        )

    async def _encoded(self, plan: Plan, error: str) -> Plan:
        """Make the content, and write down what came of it."""
        try:
            if error:
                raise StorageError(error)
            plan = await self._encoding.encode(plan, self._news.transcription_sid(plan))
        except (PromptError, StorageError) as failure:
            plan = plan.failed(str(failure))
        return await self._written_down(plan)

    async def _written_down(self, plan: Plan) -> Plan:
        """Write down what came of it. What cannot be has failed, and is told so now, written down or not."""
        try:
            await asyncio.to_thread(self._spool.write_down, plan.sid, pack(plan))
        except OSError as error:
            if plan.outcome is not None and plan.outcome.status == "completed":
                await asyncio.to_thread(self._spool.content(plan.sid).unlink, missing_ok=True)  # which makes room
                return await self._written_down(plan.failed(f"cannot be written down: {error.strerror}"))
            log.error("recording %s: what became of it cannot be written down: %s", plan.sid, error)
            if plan.request.external:  # the sidecar that is there has credentials
                await asyncio.to_thread(self._spool.sidecar(plan.sid).unlink, missing_ok=True)
        return plan

    async def _stored(self, plan: Plan) -> Plan:
        """Hand the content over to the storage, if that is where it goes."""
        if plan.outcome is None or plan.outcome.status != "completed" or plan.to_upload:
            return plan
        try:
            into = replace(wanted(plan.request), behind=plan.behind) if plan.request.file_sid else None
            await self._storage.put(plan.file, self._spool.content(plan.sid), into)
        except FileChangedError:
            raise
        except StorageError as error:
            plan = await self._written_down(plan.failed(str(error)))
        return plan


def _left(plan: Plan, failure: Exception) -> Recorded:
    log.error("recording %s is left for the next start", plan.sid, exc_info=failure)
    return Recorded(status="failed", error=str(failure))
