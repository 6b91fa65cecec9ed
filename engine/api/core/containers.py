"""`/core/v2/storage/containers`: folders of an account's files, with quotas.

Every token may make and change those of its account; the provider's says whose. One that has files is not deleted.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from ...directory import Directory
from ...errors import StorageError
from ...sid import PARTNER_SID
from ...storage.base import canonical_sid
from ...storage.local import LocalStorage
from ...tables import container_table, file_table
from ...tokens import Token
from ..bearer import BearerAuthentication
from ..body import checked, read_object
from ..collection import Collection, Object, Reader, Row, chosen
from ..description import PathSid
from ..problem import Fault, conflict, invalid, missing
from ..query.fields import BOOLEAN, INTEGER, SID, TEXT, TIME, Field
from ..query.paging import Order
from ..routes import add_create, add_delete, add_list, add_one, add_update
from ..times import shown_time
from .storage_objects import ContainerChange, ContainerCreate, ContainerObject

PREFIX: Final = "/core/v2/storage/containers"
_columns = container_table.c


def _of_files(what: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    """Something about all files of a container."""
    mine = sa.select(what).where(file_table.c.container == _columns.sid)
    return mine.correlate(container_table).scalar_subquery()


_used = _of_files(sa.func.coalesce(sa.func.sum(file_table.c.bytes), 0))
_count = _of_files(sa.func.count())
_free = sa.case((_columns.quota_bytes > _used, _columns.quota_bytes - _used), (_columns.quota_bytes.is_not(None), 0))
_NAME: Final = Field(name="name", kind=TEXT, column=_columns.name)
_SID: Final = Field(name="container_sid", kind=SID, column=_columns.sid)


def _show(row: Row, _now: float) -> Object:
    quota, used = row["quota_bytes"], int(row["used_bytes"])
    return {
        "account_sid": row["account"],
        "available_bytes": None if quota is None else max(0, quota - used),
        "container_sid": row["sid"],
        "date_created": shown_time(row["created"]),
        "date_modified": shown_time(row["updated"]),
        "file_count": row["file_count"],
        "is_default": row["default_of"] is not None,
        "name": row["name"],
        "partner_sid": PARTNER_SID,
        "quota_bytes": quota,
        "used_bytes": used,
    }


CONTAINERS: Final = Collection(
    noun="container",
    table=container_table,
    sid=_columns.sid,
    owner=_columns.account,
    fields=(
        Field(name="account_sid", kind=SID, column=_columns.account),
        Field(name="available_bytes", kind=INTEGER, column=_free),
        _SID,
        Field(name="date_created", kind=TIME, column=_columns.created),
        Field(name="date_modified", kind=TIME, column=_columns.updated),
        Field(name="file_count", kind=INTEGER, column=_count),
        Field(name="is_default", kind=BOOLEAN, column=_columns.default_of.is_not(None)),
        _NAME,
        Field(name="partner_sid", kind=SID, column=sa.literal(PARTNER_SID)),
        Field(name="quota_bytes", kind=INTEGER, column=_columns.quota_bytes),
        Field(name="used_bytes", kind=INTEGER, column=_used),
    ),
    order=(Order(_NAME), Order(_SID)),
    show=_show,
    beside=(_used.label("used_bytes"), _count.label("file_count")),
)


def owner(directory: Directory, token: Token, given: str | None) -> str:
    """Whose something new is: the token's account's, or whose the provider says. Raises Problem 422."""
    sid = token.account if given is None else canonical_sid(given)
    if sid is None:
        raise invalid(Fault("account_sid", "expected the sid of an account: the provider has no files"))
    if directory.account(sid) is None or (token.account is not None and sid != token.account):
        raise invalid(Fault("account_sid", f"found {(given or sid)[:40]!r}; expected the sid of an account"))
    return sid


def containers_router(
    reader: Reader, storage: LocalStorage, directory: Directory, bearer: BearerAuthentication
) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX, tags=["storage"])
    asking = Depends(bearer)

    async def create(request: Request, token: Token = asking) -> JSONResponse:
        chosen(request.query_params, CONTAINERS)  # wrong now is better than wrong once it is done
        wanted = checked(ContainerCreate, await read_object(request), CONTAINERS.by_name)
        account = owner(directory, token, wanted.account_sid)
        made = await storage.create_container(account, wanted.name, quota_bytes=wanted.quota_bytes)
        return JSONResponse(await reader.one(CONTAINERS, request, token, made.sid))

    async def save(_token: Token, sid: str, values: dict[str, Any]) -> None:
        await storage.change_container(sid, values)

    async def delete(sid: PathSid, token: Token = asking) -> Response:
        row = await reader.row(CONTAINERS, token, sid)
        try:
            removed = await storage.delete_container(row["sid"])
        except StorageError as error:
            raise conflict(None, str(error)) from None
        if not removed:
            raise missing(CONTAINERS.noun)
        return Response(status_code=204)

    add_list(router, reader, bearer, CONTAINERS, ContainerObject)
    add_create(router, CONTAINERS, ContainerObject, ContainerCreate, create)
    add_one(router, reader, bearer, CONTAINERS, ContainerObject)
    add_update(router, reader, bearer, CONTAINERS, ContainerObject, ContainerChange, save)
    add_delete(router, CONTAINERS, delete)
    return router
