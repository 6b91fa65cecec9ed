"""`/flexml/v1/calls`: place, change, end, look at calls (reference, section Calls; decisions, section 6).

A scheduled call may be changed in everything that it was ordered with; a live one only in the document that it
follows; one that is over in nothing.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from ..db import Database
from ..errors import ElsewhereError, OrderError
from ..order import CallOrder
from ..outbound import Outbound
from ..records import Account
from ..storage.base import canonical_sid
from ..timeline import load_timeline
from .authentication import Authentication
from .body import checked, merged, read_object
from .call_collection import CALLS, STATES, select
from .collection import Reader, Row, chosen
from .description import AFTER, FIELDS, WRITING, PathSid, body, errors, parameter
from .objects import CallChange, CallMove, CallObject, Steps
from .problem import Fault, Problem, conflict, invalid, missing
from .routes import add_change, add_list, add_one
from .times import shown_time
from .updates import replaces_nested

PREFIX: Final = "/flexml/v1/calls"
STOPPING: Final = "cause"
"""The field of an OrderError that is nobody's fault."""


def calls_router(outbound: Outbound, database: Database, reader: Reader, authentication: Authentication) -> APIRouter:
    """The routes. Everybody sees the calls of their account only."""
    router = APIRouter(prefix=PREFIX, tags=["calls"])
    asking = Depends(authentication)

    async def create(request: Request, account: Account = asking) -> JSONResponse:
        """Place a call, at once or after `delay` seconds."""
        chosen(request.query_params, CALLS)
        change = checked(CallChange, await read_object(request), CALLS.by_name)
        try:
            record = await outbound.order(account, _order(change), delay_s=change.delay)
        except OrderError as error:
            raise _refused(error) from None
        return JSONResponse(await reader.one(CALLS, request, account, record.sid))

    async def update(request: Request, sid: PathSid, account: Account = asking) -> JSONResponse:
        """Change a call that waits; with PATCH of `url` (and `method`), let a live one go on with that document."""
        chosen(request.query_params, CALLS)
        sent = await read_object(request)
        row = await reader.row(CALLS, account, sid)
        if row["state"] == "scheduled":
            await _reschedule(outbound, account, row, request, sent)
        elif row["state"] == "live" and request.method == "PATCH":
            await _move(outbound, account, row, sent)
        else:
            raise conflict(None, "the call is live; PATCH its url" if row["state"] == "live" else "the call is over")
        return JSONResponse(await reader.one(CALLS, request, account, row["sid"]))

    async def end(sid: PathSid, account: Account = asking) -> Response:
        """Cancel a call that waits or rings, hang up a live one."""
        try:
            if not await outbound.end(account, canonical_sid(sid)):
                raise missing(CALLS.noun)
        except ElsewhereError as error:
            raise conflict(None, str(error)) from None
        return Response(status_code=204)

    async def timeline(sid: PathSid, account: Account = asking) -> JSONResponse:
        """What has happened on the call so far."""
        row = await reader.row(CALLS, account, sid)
        entries = await load_timeline(database, row["sid"])
        items = [{"at": shown_time(one.at), "what": one.what, "details": one.details} for one in entries]
        return JSONResponse({"items": items})

    state = parameter("state", "Which calls; those that wait to be placed where it is missing.", enum=list(STATES))
    add_list(router, reader, authentication, CALLS, CallObject, select=select, parameters=[*AFTER, state])
    router.add_api_route(
        "",
        create,
        methods=["POST"],
        summary="Place a call",
        operation_id="create-call",
        responses={200: {"model": CallObject}, **errors(400, 401, 413, 415, 422)},
        openapi_extra={"parameters": FIELDS, "requestBody": body(CallChange)},
    )
    add_one(router, reader, authentication, CALLS, CallObject)
    add_change(router, CALLS, CallObject, CallChange, update, nested=True, statuses=(*WRITING, 409))
    router.add_api_route(
        "/{sid}",
        end,
        methods=["DELETE"],
        status_code=204,
        response_class=Response,
        summary="End a call",
        operation_id="delete-call",
        responses=errors(401, 404, 409),
    )
    router.add_api_route(
        "/{sid}/timeline",
        timeline,
        methods=["GET"],
        summary="Show what happened on a call",
        operation_id="get-call-timeline",
        responses={200: {"model": Steps}, **errors(401, 404)},
    )
    return router


async def _reschedule(outbound: Outbound, account: Account, row: Row, request: Request, sent: dict[str, Any]) -> None:
    """Change a scheduled call. Raises Problem."""
    replaces = replaces_nested(request.query_params)

    def wanted(before: CallOrder) -> tuple[CallOrder, float | None]:
        """The order as it is to be, and from now on in how many seconds; None leaves when."""
        partly, whole = request.method == "PATCH", sent
        if partly:
            whole = {**before.as_row(), **sent}
            if isinstance(attributes := sent.get("attributes"), dict):
                whole["attributes"] = merged(before.attributes, attributes, replace=replaces)
        change = checked(CallChange, whole, CALLS.by_name)
        return _order(change), None if partly and "delay" not in sent else change.delay

    try:
        if not await outbound.change(account, row["sid"], wanted):
            raise conflict(None, "the call is being placed")
    except OrderError as error:
        raise _refused(error) from None


async def _move(outbound: Outbound, account: Account, row: Row, sent: dict[str, Any]) -> None:
    """Let a live call go on with another document. Raises Problem."""
    settable = CallChange.model_fields.keys() - CallMove.model_fields.keys()
    if fixed := [name for name in sent if name in settable]:
        raise conflict(fixed[0], "the call is live; only url and method can be changed")
    move = checked(CallMove, sent, CALLS.by_name)
    try:
        if not await outbound.move(account, row["sid"], url=move.url, method=move.method):
            raise conflict(None, "the call is ending")
    except ElsewhereError as error:
        raise conflict(None, str(error)) from None


def _order(change: CallChange) -> CallOrder:
    return CallOrder(**change.model_dump(exclude={"delay"}))


def _refused(error: OrderError) -> Problem:
    if error.field == STOPPING:
        return Problem(503, error.message, [Fault(STOPPING, error.message)], headers={"Retry-After": "10"})
    return invalid(Fault(error.field, error.message))
