"""Who is told what became of a recording: the application by callbacks, the list of recordings, the transcriber.

Callbacks have sids that follow from the recording's, so that told again is told once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .recording import Recorded, RecordingRequest
from .recording_needs import Callbacks, Log, Transcriber
from .recording_plan import Plan, kept_of, uploading
from .sid import derived_sid


class RecordingNews:
    """Tells it. Without `transcriber` no texts are made, without `kept` there is no list."""

    def __init__(self, callbacks: Callbacks, transcriber: Transcriber | None, kept: Log | None) -> None:
        self._callbacks, self._transcriber, self._kept = callbacks, transcriber, kept

    def transcription_sid(self, plan: Plan) -> str:
        """The sid of the text that is to be made of it; empty where none is."""
        return derived_sid(plan.sid, "transcription") if plan.request.transcription and self._transcriber else ""

    async def ended(
        self,
        sid: str,
        call_sid: str,
        account: str,
        request: RecordingRequest,
        facts: Mapping[str, object],
        outcome: Recorded,
    ) -> None:
        """List how it ended, and queue the callbacks, which say `facts` of the call."""
        if self._kept is not None:
            await self._kept.put(kept_of(sid, call_sid, account, request, outcome))
        await self._call_back(sid, request, facts, outcome)

    async def uploading(self, plan: Plan) -> None:
        """List that it is on its way to its cloud."""
        if self._kept is not None:
            await self._kept.put(uploading(plan))

    async def _call_back(
        self, sid: str, request: RecordingRequest, facts: Mapping[str, object], outcome: Recorded
    ) -> None:
        """Queue what the application is to be told; `recordingStatusCallback` only of the events it asks for."""
        data = {**facts, **outcome.data()}
        if request.callback_url:
            await self._callbacks.put(request.callback_url, "POST", data, sid=derived_sid(sid, "callback"))
        if request.status_callback_url and outcome.status in request.status_callback_events:
            method = request.status_callback_method
            await self._callbacks.put(request.status_callback_url, method, data, sid=derived_sid(sid, "status"))

    async def transcribe(self, plan: Plan, outcome: Recorded, samples: Path) -> None:
        """Hand the samples on to where texts are made of them, if that is wanted: they are of no more use here."""
        request = plan.request.transcription
        if request is not None and outcome.transcription and self._transcriber is not None:
            facts = {**plan.facts, **outcome.data()}
            await self._transcriber.take(
                outcome.transcription, plan.call_sid, request, facts, samples, plan.channels
            )  # fmt: skip
