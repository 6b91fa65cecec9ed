"""`/core/v2/dids`: numbers as the provider gives them to endpoints, and takes them away again.

A token of an account's may change where the calls of its numbers go; whose they are is for the provider to say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from ...changes import Changes
from ...errors import ProvisioningError, TakenError
from ...records import Did
from ...sid import new_sid
from ...storage.base import canonical_sid
from ...tables import did_table
from ...tokens import Token
from ..bearer import BearerAuthentication, require_provider
from ..body import checked, read_object
from ..collection import Object, Reader, Row, chosen
from ..description import WRITING, PathSid
from ..dids import DIDS
from ..problem import Fault, conflict, invalid, missing
from ..query.fields import SID, Field
from ..routes import add_change, add_create, add_delete, add_list, add_one
from ..updates import replaces_nested
from .objects import CoreDidChange, CoreDidCreate, CoreDidObject

PREFIX: Final = "/core/v2/dids"


def _show(row: Row, now: float) -> Object:
    return dict(sorted({**DIDS.show(row, now), "endpoint_sid": row["account"]}.items()))


_OWNER: Final = Field(name="endpoint_sid", kind=SID, column=did_table.c.account)
CORE_DIDS: Final = replace(
    DIDS, fields=tuple(sorted((*DIDS.fields, _OWNER), key=lambda field: field.name)), show=_show
)  # fmt: skip


class _Dids:
    """What requests do to numbers."""

    def __init__(self, reader: Reader, changes: Changes) -> None:
        self._reader, self._changes = reader, changes

    async def create(self, request: Request, token: Token) -> Object:
        """Give a number to an endpoint. Raises Problem."""
        require_provider(token)
        chosen(request.query_params, CORE_DIDS)  # wrong now is better than wrong once it is done
        wanted = checked(CoreDidCreate, await read_object(request), CORE_DIDS.by_name)
        did = Did(sid=new_sid(), **_columns(wanted.model_dump()))
        try:
            await self._changes.add_did(did)
        except TakenError as error:
            raise conflict(error.field, str(error), error.sid) from None
        except ProvisioningError:
            raise _no_endpoint(wanted.endpoint_sid) from None
        return await self._reader.one(CORE_DIDS, request, token, did.sid)

    async def update(self, request: Request, token: Token, sid: str) -> Object:
        """Change where a number's calls go, or whose it is. Raises Problem."""
        chosen(request.query_params, CORE_DIDS)
        replaces_nested(request.query_params)
        row = await self._reader.row(CORE_DIDS, token, sid)
        sent = await read_object(request)
        before = _show(row, 0.0) if request.method == "PATCH" else {}
        whole = {name: before[name] for name in CoreDidChange.model_fields if name in before} | sent
        values = _columns(checked(CoreDidChange, whole, CORE_DIDS.by_name).model_dump())
        if values["account"] != row["account"]:
            require_provider(token)
        changed = {name: value for name, value in values.items() if value != row[name]}
        try:
            await self._changes.did(token.account, row["sid"], changed)
        except ProvisioningError:
            raise _no_endpoint(whole["endpoint_sid"]) from None
        return await self._reader.one(CORE_DIDS, request, token, row["sid"])

    async def delete(self, token: Token, sid: str) -> None:
        """Take a number away: calls to it get 404 from then on. Raises Problem."""
        require_provider(token)
        row = await self._reader.row(CORE_DIDS, token, sid)
        try:
            removed = await self._changes.remove_did(row["sid"], row["phonenumber"])
        except ProvisioningError as error:
            raise conflict(None, str(error)) from None
        if not removed:
            raise missing(CORE_DIDS.noun)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of the object as columns."""
    return {**{name: value for name, value in values.items() if name != "endpoint_sid"},
            "account": canonical_sid(values["endpoint_sid"])}  # fmt: skip


def _no_endpoint(sid: str) -> Exception:
    return invalid(Fault("endpoint_sid", f"found {sid[:40]!r}; expected the sid of an endpoint"))


def core_dids_router(reader: Reader, changes: Changes, bearer: BearerAuthentication) -> APIRouter:
    """The routes. What is changed holds for calls that begin from then on."""
    router = APIRouter(prefix=PREFIX, tags=["dids"])
    asking = Depends(bearer)
    ours = _Dids(reader, changes)

    async def create(request: Request, token: Token = asking) -> JSONResponse:
        return JSONResponse(await ours.create(request, token))

    async def update(request: Request, sid: PathSid, token: Token = asking) -> JSONResponse:
        return JSONResponse(await ours.update(request, token, sid))

    async def delete(sid: PathSid, token: Token = asking) -> Response:
        await ours.delete(token, sid)
        return Response(status_code=204)

    add_list(router, reader, bearer, CORE_DIDS, CoreDidObject)
    add_create(router, CORE_DIDS, CoreDidObject, CoreDidCreate, create)
    add_one(router, reader, bearer, CORE_DIDS, CoreDidObject)
    add_change(router, CORE_DIDS, CoreDidObject, CoreDidChange, update, statuses=(*WRITING, 403))
    add_delete(router, CORE_DIDS, delete)
    return router
