"""`/core/v2/storage/files`: what an account has recorded or uploaded. The content itself is at `/f/SID`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from ...directory import Directory
from ...sid import PARTNER_SID
from ...storage.local import LocalStorage
from ...tables import file_table
from ...tokens import Token
from ..bearer import BearerAuthentication
from ..collection import Collection, Object, Reader, Row, chosen
from ..description import FIELDS, PathSid, errors, parameter
from ..problem import missing
from ..query.fields import INTEGER, SID, TEXT, TIME, Field
from ..query.paging import Order
from ..routes import add_delete, add_list, add_one, add_update, operation_id
from ..times import shown_time
from .storage_objects import FileChange, FileCreate, FileObject
from .upload import Uploads

PREFIX: Final = "/core/v2/storage/files"
_columns = file_table.c
_duration = sa.func.nullif(_columns.duration, 0)
_CREATED: Final = Field(name="date_created", kind=TIME, column=_columns.created)
_SID: Final = Field(name="file_sid", kind=SID, column=_columns.sid)


def files(url: str) -> Collection:
    """The collection; `url` is the address below which `/f/SID` is."""

    def show(row: Row, _now: float) -> Object:
        return {
            "account_sid": row["account"],
            "bytes": row["bytes"],
            "container_sid": row["container"],
            "date_created": shown_time(row["created"]),
            "date_expires": None if row["expires"] is None else shown_time(row["expires"]),
            "date_modified": shown_time(row["updated"]),
            "duration": row["duration"] or None,
            "file_sid": row["sid"],
            "format": row["format"],
            "integer_key_1": row["integer_key_1"],
            "integer_key_2": row["integer_key_2"],
            "lifecycle_action": row["lifecycle_action"],
            "lifecycle_ttl": row["lifecycle_ttl"],
            "mime_type": row["mime"],
            "name": row["name"],
            "partner_sid": PARTNER_SID,
            "string_key_1": row["string_key_1"],
            "string_key_2": row["string_key_2"],
            "url": f"{url}/f/{row['sid']}",
        }

    kept = {"integer_key_1": INTEGER, "integer_key_2": INTEGER, "lifecycle_action": TEXT, "lifecycle_ttl": INTEGER}
    return Collection(
        noun="file",
        table=file_table,
        sid=_columns.sid,
        owner=_columns.account,
        fields=(
            Field(name="account_sid", kind=SID, column=_columns.account),
            Field(name="bytes", kind=INTEGER, column=_columns.bytes),
            Field(name="container_sid", kind=SID, column=_columns.container),
            _CREATED,
            Field(name="date_expires", kind=TIME, column=_columns.expires),
            Field(name="date_modified", kind=TIME, column=_columns.updated),
            Field(name="duration", kind=INTEGER, column=_duration),
            _SID,
            Field(name="format", kind=TEXT, column=_columns.format),
            *(Field(name=name, kind=kind, column=_columns[name]) for name, kind in kept.items()),
            Field(name="mime_type", kind=TEXT, column=_columns.mime),
            Field(name="name", kind=TEXT, column=_columns.name),
            Field(name="partner_sid", kind=SID, column=sa.literal(PARTNER_SID)),
            Field(name="string_key_1", kind=TEXT, column=_columns.string_key_1),
            Field(name="string_key_2", kind=TEXT, column=_columns.string_key_2),
            Field(name="url", kind=TEXT, column=sa.literal(f"{url}/f/").concat(_columns.sid)),
        ),
        order=(Order(_CREATED), Order(_SID)),
        show=show,
    )


def storage_files_router(
    reader: Reader, storage: LocalStorage, directory: Directory, bearer: BearerAuthentication, *, url: str
) -> APIRouter:
    """The routes; `url` is the address below which `/f/SID` is."""
    router = APIRouter(prefix=PREFIX, tags=["storage"])
    asking = Depends(bearer)
    collection = files(url.rstrip("/"))
    uploads = Uploads(reader, storage, directory, collection)

    async def create(request: Request, token: Token = asking) -> JSONResponse:
        """Store what the request brings: the file of a form (multipart/form-data), or else the whole body."""
        chosen(request.query_params, collection)  # wrong now is better than wrong once it is done
        stored = await uploads.take(request, token)
        return JSONResponse(await reader.one(collection, request, token, stored.sid))

    async def save(_token: Token, sid: str, values: dict[str, Any]) -> None:
        await storage.change(sid, values)

    async def delete(sid: PathSid, token: Token = asking) -> Response:
        row = await reader.row(collection, token, sid)
        if not await storage.delete(row["sid"]):
            raise missing(collection.noun)
        return Response(status_code=204)

    add_list(router, reader, bearer, collection, FileObject)
    router.add_api_route(
        "",
        create,
        methods=["POST"],
        summary="Upload a file",
        operation_id=operation_id(router, "create", collection.noun),
        responses={200: {"model": FileObject}, **errors(400, 401, 413, 422, 507)},
        openapi_extra={"parameters": [*FIELDS, *_parameters()], "requestBody": _body()},
    )
    add_one(router, reader, bearer, collection, FileObject)
    add_update(router, reader, bearer, collection, FileObject, FileChange, save)
    add_delete(router, collection, delete)
    return router


def _parameters() -> list[dict[str, Any]]:
    properties: Mapping[str, dict[str, Any]] = FileCreate.model_json_schema()["properties"]
    return [parameter(name, schema.get("description", ""), **_bare(schema)) for name, schema in properties.items()]


def _bare(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema as that of a parameter, which is no null."""
    some = next((one for one in schema.get("anyOf", []) if one.get("type") != "null"), schema)
    return {name: value for name, value in some.items() if name not in {"description", "title", "default", "anyOf"}}


def _body() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    fields = {one["name"]: one["schema"] | {"description": one["description"]} for one in _parameters()}
    form = {"type": "object", "properties": {**fields, "file": binary}, "required": ["file"]}
    return {
        "required": True,
        "description": "The content, of any other media type too; or a form, in which `file` comes last.",
        "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": binary}},
    }
