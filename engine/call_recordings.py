"""A call's recordings: begun by verbs, finished once each, by whoever is first: the verb, or the call's end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar

from .errors import FlexmlError, MediaError
from .leg import Leg
from .recording import Direction, Recorded, RecordingRequest

log = logging.getLogger("flexml.call")

Side = Literal["heard", "sent", "mixed", "dual", "dual, sent first"]

STOP_TIMEOUT_S: Final = 10.0
"""Longer than a worker that hangs is waited for before it is replaced."""


class Spool(Protocol):
    """Where samples are written until the recording is finished."""

    @property
    def sid(self) -> str:
        """The sid of the recording."""
        ...

    @property
    def path(self) -> str:
        """The spool file."""
        ...


S = TypeVar("S", bound=Spool)


class RecordingService(Protocol[S]):
    """What makes files of spools."""

    async def begin(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object], /
    ) -> S:
        """Make room for a recording of the call; `facts` go into its callbacks. Raises StorageError."""
        ...

    async def check(
        self, call_sid: str, account_sid: str, request: RecordingRequest, facts: Mapping[str, object], /
    ) -> None:
        """Raise StorageError, and tell, where a recording that begins later would have no place to go to."""
        ...

    async def finish(self, spool: S, facts: Mapping[str, object], error: str = "", /) -> Recorded:
        """Make its file and queue its callbacks, once. Never raises: a failure is an outcome."""
        ...


class CallRecording:
    """One recording under way."""

    def __init__(self, finish: Callable[[], asyncio.Task[Recorded]]) -> None:
        self._finish = finish

    async def finish(self) -> Recorded:
        """End it; returns when its file is stored. Whoever asks again, or is cancelled meanwhile, changes nothing."""
        return await asyncio.shield(self._finish())


class Subject(Protocol):
    """The call that is recorded. It is held only while it is: the call holds its recordings."""

    sid: str
    account: str
    inbound: ClassVar[bool]
    told: Callable[[], Mapping[str, object]]

    @property
    def leg(self) -> Leg:
        """Its leg. Raises CallEnded where there is none any more."""
        ...

    def note(self, what: str, **details: object) -> None:
        """Put a line on its timeline."""
        ...


class CallRecordings:
    """All recordings of one call."""

    def __init__(self, service: RecordingService[Any]) -> None:
        self._service = service
        self._running: dict[int, tuple[Any, Subject]] = {}
        self._stopping: dict[int, asyncio.Task[str]] = {}
        self._finishing: dict[int, asyncio.Task[Recorded]] = {}

    async def begin(self, request: RecordingRequest, call: Subject) -> CallRecording:
        """Begin to record; callbacks say what `call` has told by then. Raises StorageError where there is no room."""
        spool = await self._service.begin(call.sid, call.account, request, call.told())
        job = call.leg.media.start_recording(spool.path, _side(request, inbound=call.inbound))
        self._running[job] = spool, call
        return CallRecording(lambda: self._end(job))

    async def check(self, request: RecordingRequest, call: Subject) -> None:
        """Raise StorageError where a recording that begins later has no place to go to; its callbacks are told."""
        await self._service.check(call.sid, call.account, request, call.told())

    async def stop(self) -> None:
        """End all that run, and wait until their last samples are written: the leg is about to be closed."""
        for job in list(self._running):
            self._end(job)
        if self._stopping:
            await asyncio.wait(self._stopping.values(), timeout=STOP_TIMEOUT_S)

    async def finish(self) -> None:
        """Wait until every file is stored and every callback queued."""
        if self._finishing:
            await asyncio.wait(self._finishing.values())

    def _end(self, job: int) -> asyncio.Task[Recorded]:
        if job not in self._finishing:
            spool, call = self._running.pop(job)
            stopping = self._stopping[job] = asyncio.ensure_future(self._stop(job, call))
            self._finishing[job] = asyncio.ensure_future(self._finish(stopping, spool, call))
        return self._finishing[job]

    async def _stop(self, job: int, call: Subject) -> str:
        """End the recording in the worker; what went wrong, if anything did."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                return (await call.leg.media.stop_recording(job)).error
        except (MediaError, TimeoutError) as failure:  # what has been written so far is what there is
            log.warning("the recording's end is not known for sure: %s", failure)
            return ""
        except FlexmlError as failure:
            return str(failure)

    async def _finish(self, stopping: asyncio.Task[str], spool: Any, call: Subject) -> Recorded:
        recorded = await self._service.finish(spool, call.told(), await stopping)
        failed = {"error": recorded.error} if recorded.error else {}
        told = {"status": recorded.status, **failed, "sid": recorded.sid, "duration_s": recorded.duration_s}
        call.note("recording ended", recording=spool.sid, **told)
        return recorded


def _side(request: RecordingRequest, *, inbound: bool) -> Side:
    """Which of our two directions is meant: `in` is the calling party, whoever of us called, and left."""
    if request.direction == "any" and request.channels == "dual":
        return "dual" if inbound else "dual, sent first"
    if request.direction == "any":
        return "mixed"
    caller: Direction = "in" if inbound else "out"
    return "heard" if request.direction == caller else "sent"
