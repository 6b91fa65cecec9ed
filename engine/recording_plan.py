"""What a recording is to become, and all that is needed to finish it without its call: its sidecar."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from .recording import Recorded, RecordingRequest
from .recording_log import KeptRecording
from .storage.base import StoredFile, Wanted

CREDENTIALS: Final = frozenset(
    {
        "aws_access_key", "aws_secret_key", "gcp_access_token", "gcp_refresh_token", "gcp_client_id",
        "gcp_client_secret", "azure_account_key", "azure_sas_token",
    }
)  # fmt: skip
"""What is forgotten once nothing is to be uploaded any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What the sidecar holds. `outcome` is there once the recording is encoded; `facts` are the call's request data.

    `behind` is the file as it was when the recording was encoded behind its content.
    """

    sid: str
    call_sid: str
    account: str
    request: RecordingRequest
    file: StoredFile
    facts: dict[str, Any]
    outcome: Recorded | None = None
    behind: StoredFile | None = None

    @property
    def channels(self) -> int:
        """How many the spool has."""
        return 2 if self.request.channels == "dual" and self.request.direction == "any" else 1

    @property
    def to_upload(self) -> bool:
        """True from when the content is there until its upload is over."""
        return bool(self.request.external) and self.outcome is not None and self.outcome.status == "completed"

    def failed(self, error: str) -> Plan:
        """The plan of a recording that has failed, without the credentials that it no longer needs."""
        external = {name: value for name, value in self.request.external.items() if name not in CREDENTIALS}
        sid = self.sid if external else ""
        outcome = Recorded(status="failed", sid=sid, error=error)
        return replace(self, outcome=outcome, request=replace(self.request, external=external))


class Recording:
    """A recording under way; its samples go to the file `path`."""

    def __init__(self, plan: Plan, path: str) -> None:
        self.plan = plan
        self.path = path
        self.finishing: asyncio.Task[Recorded] | None = None

    @property
    def sid(self) -> str:
        """The sid of the recording, not that of its file."""
        return self.plan.sid


def wanted(request: RecordingRequest) -> Wanted:
    """What is asked of the storage for it."""
    return Wanted(
        format=request.file_format,
        file_sid=request.file_sid,
        container_sid=request.container_sid,
        append=request.file_mode == "append",
        string_key_1=request.string_key_1,
        string_key_2=request.string_key_2,
        integer_key_1=request.integer_key_1,
        integer_key_2=request.integer_key_2,
        lifecycle_action=request.lifecycle_action,
        lifecycle_ttl=request.lifecycle_ttl,
    )


def kept_of(
    sid: str, call_sid: str, account: str, request: RecordingRequest, outcome: Recorded
) -> KeptRecording:  # fmt: skip
    """What is told of it to those who ask."""
    in_storage = outcome.status == "completed" and not request.external
    return KeptRecording(
        sid=sid,
        call=call_sid,
        account=account,
        recording_sid=outcome.sid,
        file=outcome.sid if in_storage else "",
        url=outcome.url,
        format=request.file_format,
        duration_s=outcome.duration_s,
        status=outcome.status,
        error=outcome.error,
    )


def uploading(plan: Plan) -> KeptRecording:
    """As it is until its cloud has it, or it is given up; where it is to lie is no secret."""
    assert plan.outcome is not None  # there is a content, so it has been encoded
    return replace(kept_of(plan.sid, plan.call_sid, plan.account, plan.request, plan.outcome), status="uploading")


def pack(plan: Plan) -> bytes:
    """As JSON, whatever an application put into the facts."""
    return msgspec.json.encode(plan, enc_hook=str)
