"""`/flexml/v1/calls/SID/recordings`: what became of each recording of a call, as the callbacks say it."""

from __future__ import annotations

from typing import Any, Final, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic import Field as Described

from ..records import Account
from ..tables import recording_table
from .authentication import Authentication
from .call_collection import CALLS
from .collection import Collection, Object, Reader, Row, Selection
from .description import LIST, Listing, PathSid, errors
from .objects import Created, OwnerSid
from .query.fields import INTEGER, SID, TEXT, TIME, Field
from .query.paging import Order
from .times import shown_time

PREFIX: Final = "/flexml/v1/calls"
_columns = recording_table.c


class RecordingObject(BaseModel):
    """A recording that has ended."""

    account_sid: OwnerSid
    call_sid: str = Described(description="The call that was recorded: a UUID.")
    date_created: Created
    duration: int = Described(description="Its length in seconds; where it was appended, without what was there.")
    error: str | None = Described(description="Why it failed; null where it did not.")
    file_sid: str | None = Described(description="The file of the account's storage that it is in, if it is in one.")
    format: Literal["wav", "mp3", "ul"] = Described(description="What it was to be stored as.")
    recording_sid: str | None = Described(description="The RecordingSid of its callbacks; null where that is empty.")
    status: Literal["completed", "failed", "absent", "uploading"] = Described(
        description="`absent` is nothing but silence; `uploading` is not in its cloud yet."
    )
    url: str | None = Described(description="Where it lies, or is to lie: `/f/SID`, or in a cloud; null for nowhere.")


def _text(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """What is shown as null where it is empty."""
    return sa.func.nullif(column, "")


_CREATED: Final = Field(name="date_created", kind=TIME, column=_columns.created)


def _show(row: Row, _now: float) -> Object:
    return {
        "account_sid": row["account"],
        "call_sid": row["call"],
        "date_created": shown_time(row["created"]),
        "duration": row["duration_s"],
        "error": row["error"] or None,
        "file_sid": row["file"] or None,
        "format": row["format"],
        "recording_sid": row["recording_sid"] or None,
        "status": row["status"],
        "url": row["url"] or None,
    }


RECORDINGS: Final = Collection(
    noun="recording",
    table=recording_table,
    sid=_columns.sid,
    owner=_columns.account,
    fields=(
        Field(name="account_sid", kind=SID, column=_columns.account),
        Field(name="call_sid", kind=SID, column=_columns.call),
        _CREATED,
        Field(name="duration", kind=INTEGER, column=_columns.duration_s),
        Field(name="error", kind=TEXT, column=_text(_columns.error)),
        Field(name="file_sid", kind=SID, column=_text(_columns.file)),
        Field(name="format", kind=TEXT, column=_columns.format),
        Field(name="recording_sid", kind=SID, column=_text(_columns.recording_sid)),
        Field(name="status", kind=TEXT, column=_columns.status),
        Field(name="url", kind=TEXT, column=_text(_columns.url)),
    ),
    order=(Order(_CREATED),),
    show=_show,
)


def call_recordings_router(reader: Reader, authentication: Authentication) -> APIRouter:
    """The route."""
    router = APIRouter(prefix=PREFIX, tags=["calls"])
    asking = Depends(authentication)

    async def recordings(request: Request, sid: PathSid, account: Account = asking) -> JSONResponse:
        """The recordings of a call that have ended, in the order in which they did."""
        call = await reader.row(CALLS, account, sid)
        mine = Selection(where=(_columns.call == call["sid"],))
        return JSONResponse(await reader.many(RECORDINGS, request, account, mine))

    router.add_api_route(
        "/{sid}/recordings",
        recordings,
        methods=["GET"],
        summary="List the recordings of a call",
        operation_id="list-call-recordings",
        responses={200: {"model": Listing[RecordingObject]}, **errors(400, 401, 404)},
        openapi_extra={"parameters": LIST},
    )
    return router
