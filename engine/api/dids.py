"""`/flexml/v1/dids` (reference, section DIDs): an account's numbers, and where their calls go."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter

from ..changes import Changes
from ..records import Account
from ..tables import did_table
from .authentication import Authentication
from .collection import Collection, Object, Reader, Row
from .objects import DidChange, DidObject
from .query.fields import TEXT, Field
from .query.paging import Order
from .routes import add_list, add_one, add_update

PREFIX: Final = "/flexml/v1/dids"
_COLUMNS: Final = {
    "account_sid": "account",
    "country_code": "country_code",
    "did_sid": "sid",
    "in_country_format": "in_country_format",
    "international_format": "international_format",
    "method": "method",
    "phonenumber": "phonenumber",
    "status_callback_method": "status_callback_method",
    "status_callback_url": "status_callback_url",
    "url": "url",
}
"""The object's fields, and the columns that they are."""


def _show(row: Row, _now: float) -> Object:
    return {name: row[column] for name, column in _COLUMNS.items()}


_FIELDS: Final = {name: Field(name=name, kind=TEXT, column=did_table.c[column]) for name, column in _COLUMNS.items()}
DIDS: Final = Collection(
    noun="did",
    table=did_table,
    sid=did_table.c.sid,
    owner=did_table.c.account,
    fields=tuple(_FIELDS.values()),
    order=(Order(_FIELDS["phonenumber"]),),
    show=_show,
    unread=frozenset({"configured"}),
)


def dids_router(reader: Reader, changes: Changes, authentication: Authentication) -> APIRouter:
    """The routes. What is changed holds for calls that begin from then on."""
    router = APIRouter(prefix=PREFIX, tags=["dids"])

    async def save(account: Account, sid: str, values: dict[str, Any]) -> None:
        await changes.did(account.sid, sid, values)

    add_list(router, reader, authentication, DIDS, DidObject)
    add_one(router, reader, authentication, DIDS, DidObject)
    add_update(router, reader, authentication, DIDS, DidObject, DidChange, save)
    return router
