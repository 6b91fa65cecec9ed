"""`/core/v2/endpoints`: endpoints of type flexml, which are accounts, as the provider makes and removes them.

An endpoint has the sid of its account. Its password is shown where it has just been set, and nowhere else, because
only a hash of it is kept. With an endpoint go its numbers, tokens, scheduled and live calls; its files stay.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from ...changes import Changes
from ...errors import ProvisioningError, TakenError
from ...password import hash_password
from ...provisioning import new_login, new_password
from ...records import Account
from ...sid import PARTNER_SID, new_sid
from ...storage.local import LocalStorage
from ...tables import account_table, container_table
from ...tokens import Token
from ..bearer import BearerAuthentication, require_provider
from ..body import MOST, checked, merged, read_object
from ..collection import Collection, Object, Reader, Row, chosen
from ..description import WRITING, PathSid
from ..problem import Fault, conflict, invalid, missing
from ..query.fields import INTEGER, OBJECT, SID, TEXT, Field
from ..query.paging import Order
from ..routes import add_change, add_create, add_delete, add_list, add_one
from ..updates import replaces_nested
from .objects import EndpointChange, EndpointCreate, EndpointObject

PREFIX: Final = "/core/v2/endpoints"
_columns = account_table.c
_container = (
    sa.select(container_table.c.sid)
    .where(container_table.c.default_of == _columns.sid)
    .correlate(account_table)
    .scalar_subquery()
)
_NO_TEXT = sa.cast(sa.null(), sa.Text)
_NO_OBJECT = sa.cast(sa.null(), sa.JSON)


def endpoints(api_url: str) -> Collection:
    """The collection; `api_url` is where accounts find their API."""
    sid = Field(name="endpoint_sid", kind=SID, column=_columns.sid)
    name = Field(name="name", kind=TEXT, column=_columns.name)
    properties = {
        "account_sid": _columns.sid,
        "api_url": sa.literal(api_url),
        "container_sid": _container,
        "login": _columns.login,
        "password": _NO_TEXT,
    }
    inner = tuple(Field(name=f"properties.{one}", kind=TEXT, column=column) for one, column in properties.items())
    fields = (
        Field(name="addresses", kind=OBJECT, column=_NO_OBJECT),
        Field(name="attributes", kind=OBJECT, column=_columns.attributes),
        Field(name="capacity", kind=INTEGER, column=sa.literal(0)),
        sid,
        name,
        Field(name="out_sip_password", kind=TEXT, column=_NO_TEXT),
        Field(name="out_sip_username", kind=TEXT, column=_NO_TEXT),
        Field(name="partner_sid", kind=SID, column=sa.literal(PARTNER_SID)),
        Field(name="properties", kind=OBJECT, column=_NO_OBJECT, inner=inner),
        Field(name="transformations", kind=OBJECT, column=_NO_OBJECT),
        Field(name="type", kind=TEXT, column=sa.literal("flexml")),
        Field(name="voip_token", kind=TEXT, column=_NO_TEXT),
    )
    return Collection(
        noun="endpoint",
        table=account_table,
        sid=_columns.sid,
        owner=_columns.sid,
        fields=fields,
        order=(Order(name), Order(sid)),
        show=lambda row, _now: _show(row, api_url),
        beside=(_container.label("container_sid"),),
    )


def _show(row: Row, api_url: str) -> Object:
    return {
        "addresses": [],
        "attributes": row["attributes"],
        "capacity": 0,
        "endpoint_sid": row["sid"],
        "name": row["name"],
        "out_sip_password": None,
        "out_sip_username": None,
        "partner_sid": PARTNER_SID,
        "properties": {
            "account_sid": row["sid"],
            "api_url": api_url,
            "container_sid": row["container_sid"],
            "login": row["login"],
            "password": None,
        },
        "transformations": [],
        "type": "flexml",
        "voip_token": None,
    }


class _Endpoints:
    """What requests do to endpoints. `clock` gives Unix seconds; accounts are made with the media `detector`."""

    def __init__(
        self, reader: Reader, changes: Changes, storage: LocalStorage, clock: Callable[[], float], *, api_url: str,
        detector: str,
    ) -> None:  # fmt: skip
        self.collection = endpoints(api_url)
        self._reader, self._changes, self._storage, self._clock = reader, changes, storage, clock
        self._detector = detector

    async def create(self, request: Request, token: Token) -> Object:
        """Add an account. Raises Problem."""
        require_provider(token)
        chosen(request.query_params, self.collection)  # wrong now is better than wrong once it is done
        wanted = checked(EndpointCreate, await read_object(request), self.collection.by_name)
        _check_size(wanted.attributes)
        password = wanted.properties.password or new_password()
        account = Account(
            sid=new_sid(),
            login=wanted.properties.login or new_login(),
            password_hash=await asyncio.to_thread(hash_password, password),
            name=wanted.name,
            detector=self._detector,
        )
        try:
            await self._changes.add_account(account, now=self._clock(), attributes=wanted.attributes)
        except TakenError as error:
            raise conflict(f"properties.{error.field}", str(error), error.sid) from None
        await self._storage.default_container(account.sid)
        return await self._shown(request, token, account.sid, password)

    async def update(self, request: Request, token: Token, sid: str) -> Object:
        """Change an account's name, attributes or password. Raises Problem."""
        chosen(request.query_params, self.collection)
        replaces, partly = replaces_nested(request.query_params), request.method == "PATCH"
        change = checked(EndpointChange, await read_object(request), self.collection.by_name)
        row = await self._reader.row(self.collection, token, sid)
        values: dict[str, Any] = change.model_dump(include={"name", "attributes"}, exclude_unset=partly)
        given = values.pop("attributes", None)

        def attributes(before: Object) -> Object:
            after = merged(before, change.attributes, replace=replaces or not partly)
            _check_size(after)
            return after

        password = change.properties.password
        if password is not None:
            values["password_hash"] = await asyncio.to_thread(hash_password, password)
        try:
            await self._changes.account(row["sid"], values, attributes=None if given is None else attributes)
        except ProvisioningError as error:
            raise conflict("properties.password", str(error)) from None
        return await self._shown(request, token, row["sid"], password)

    async def delete(self, token: Token, sid: str) -> None:
        """Remove an account and what goes with it. Raises Problem."""
        require_provider(token)
        row = await self._reader.row(self.collection, token, sid)
        try:
            removed = await self._changes.remove_account(row["sid"], now=self._clock())
        except ProvisioningError as error:
            raise conflict(None, str(error)) from None
        if not removed:
            raise missing(self.collection.noun)

    async def _shown(self, request: Request, token: Token, sid: str, password: str | None) -> Object:
        """The endpoint, with the password that it has just been given."""
        shown = await self._reader.one(self.collection, request, token, sid)
        if "properties" in shown:
            shown["properties"]["password"] = password
        return shown


def _check_size(attributes: dict[str, Any]) -> None:
    """Raises Problem where attributes have grown, change by change, beyond what one request could bring."""
    size = len(json.dumps(attributes, ensure_ascii=False).encode())
    if size > MOST:
        raise invalid(Fault("attributes", f"found {size} octets of JSON; expected {MOST} at most"))


def endpoints_router(
    reader: Reader,
    changes: Changes,
    bearer: BearerAuthentication,
    storage: LocalStorage,
    clock: Callable[[], float],
    *,
    api_url: str,
    detector: str = "",
) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX, tags=["endpoints"])
    asking = Depends(bearer)
    ours = _Endpoints(reader, changes, storage, clock, api_url=api_url, detector=detector)

    async def create(request: Request, token: Token = asking) -> JSONResponse:
        return JSONResponse(await ours.create(request, token))

    async def update(request: Request, sid: PathSid, token: Token = asking) -> JSONResponse:
        return JSONResponse(await ours.update(request, token, sid))

    async def delete(sid: PathSid, token: Token = asking) -> Response:
        await ours.delete(token, sid)
        return Response(status_code=204)

    add_list(router, reader, bearer, ours.collection, EndpointObject)
    add_create(router, ours.collection, EndpointObject, EndpointCreate, create)
    add_one(router, reader, bearer, ours.collection, EndpointObject)
    add_change(router, ours.collection, EndpointObject, EndpointChange, update, nested=True, statuses=(*WRITING, 409))
    add_delete(router, ours.collection, delete)
    return router
