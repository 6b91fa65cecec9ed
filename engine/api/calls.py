"""`/flexml/v1/calls`: place a call, look at one, end it (reference, section Calls; decisions, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ..db import Account, CallRecord, Database
from ..errors import OrderError
from ..order import CallOrder
from ..outbound import Outbound
from ..timeline import load_timeline
from .authentication import Authentication
from .server import error_response

PREFIX: Final = "/flexml/v1/calls"
MOST_DELAY_S: Final = 366 * 86400
MethodName = Literal["POST", "GET"]


class NewCall(BaseModel):
    """A call to be placed."""

    model_config = ConfigDict(extra="forbid")

    called_did: str = Field(min_length=1, description="Whom to call: a number, or a SIP URI.")
    calling_did: str = Field(min_length=1, description="As whom: a DID of the account.")
    url: str | None = Field(None, description="The document that runs on answer; without it the DID's or account's.")
    method: MethodName = Field("POST", description="How that is requested.")
    status_callback_url: str | None = Field(None, description="Told how the call ended; without it the DID's.")
    status_callback_method: MethodName = Field("POST", description="How that is sent.")
    delay: float = Field(0, ge=0, le=MOST_DELAY_S, allow_inf_nan=False, description="Seconds until it is placed.")
    attributes: dict[str, Any] = Field(
        default_factory=dict,
        description="`cnam` is the name shown, `sip_header_X-…` are headers of the INVITE; others are kept.",
    )


def calls_router(
    outbound: Outbound, database: Database, authentication: Authentication, clock: Callable[[], float]
) -> APIRouter:
    """The routes. Everybody sees the calls of their account only."""
    router = APIRouter(prefix=PREFIX, tags=["calls"])

    async def create(request: Request, body: NewCall) -> Response:
        account = await authentication.account(request)
        order = CallOrder(**body.model_dump(exclude={"delay"}))
        try:
            record = await outbound.order(account, order, delay_s=body.delay)
        except OrderError as error:
            return _refused(error)
        return JSONResponse(shown(record, clock()))

    async def get(request: Request, call_sid: str) -> dict[str, object]:
        return shown(await _call(request, call_sid), clock())

    async def timeline(request: Request, call_sid: str) -> dict[str, object]:
        record = await _call(request, call_sid)
        entries = await load_timeline(database, record.sid)
        return {"items": [{"at": _time(e.at), "what": e.what, "details": e.details} for e in entries]}

    async def end(request: Request, call_sid: str) -> Response:
        account = await authentication.account(request)
        if not await outbound.end(account, _dashed(call_sid)):
            raise HTTPException(404, "cannot find call")
        return Response(status_code=204)

    async def _call(request: Request, call_sid: str) -> CallRecord:
        account = await authentication.account(request)
        record = await database.load_call(_dashed(call_sid))
        if record is None or not _is_of(record, account):
            raise HTTPException(404, "cannot find call")
        return record

    router.add_api_route("", create, methods=["POST"])
    router.add_api_route("/{call_sid}", get, methods=["GET"])
    router.add_api_route("/{call_sid}", end, methods=["DELETE"], status_code=204)
    router.add_api_route("/{call_sid}/timeline", timeline, methods=["GET"])
    return router


def shown(record: CallRecord, now: float) -> dict[str, object]:
    """The Call object; `delay` is what is left of it."""
    order = record.order or {}
    scheduled = record.state == "scheduled" and record.due is not None
    return {
        "account_sid": record.account,
        "attributes": order.get("attributes", {}),
        "call_sid": record.sid,
        "called_did": record.to_number,
        "calling_did": record.from_number,
        "date_created": _time(record.created),
        "delay": max(0, round((record.due or now) - now)) if scheduled else 0,
        "method": order.get("method", "POST"),
        "status_callback_method": order.get("status_callback_method", "POST"),
        "status_callback_url": order.get("status_callback_url"),
        "url": order.get("url"),
    }


def _is_of(record: CallRecord, account: Account) -> bool:
    return record.account == account.sid


def _refused(error: OrderError) -> JSONResponse:
    if error.field == "cause":
        return error_response(503, error.message, headers={"Retry-After": "10"})
    return error_response(422, "object validation error", field=error.field, detail=error.message)


def _dashed(sid: str) -> str:
    """A sid as it is kept; it may be written without dashes."""
    plain = sid.replace("-", "").lower()
    return f"{plain[:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:20]}-{plain[20:]}" if len(plain) == 32 else sid


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
