"""`/flexml/v1/accounts` (reference, section Accounts): an account sees itself, and changes where its calls go."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter

from ..changes import Changes
from ..records import Account
from ..tables import account_table
from .authentication import Authentication
from .collection import Collection, Object, Reader, Row
from .objects import AccountChange, AccountObject
from .query.fields import SID, TEXT, TIME, Field
from .query.paging import Order
from .routes import add_list, add_one, add_update
from .times import shown_time

PREFIX: Final = "/flexml/v1/accounts"
_columns = account_table.c


def _show(row: Row, _now: float) -> Object:
    return {
        "account_sid": row["sid"],
        "date_created": shown_time(row["created"]),
        "error_handler": row["error_handler"],
        "login": row["login"],
        "method": row["method"],
        "name": row["name"],
        "url": row["url"],
    }


_SID: Final = Field(name="account_sid", kind=SID, column=_columns.sid)
ACCOUNTS: Final = Collection(
    noun="account",
    table=account_table,
    sid=_columns.sid,
    owner=_columns.sid,
    fields=(
        _SID,
        Field(name="date_created", kind=TIME, column=_columns.created),
        *(Field(name=name, kind=TEXT, column=_columns[name]) for name in ("error_handler", "login", "method", "name")),
        Field(name="url", kind=TEXT, column=_columns.url),
    ),
    order=(Order(_SID),),
    show=_show,
)


def accounts_router(reader: Reader, changes: Changes, authentication: Authentication) -> APIRouter:
    """The routes. What is changed holds for calls that begin from then on."""
    router = APIRouter(prefix=PREFIX, tags=["accounts"])

    async def save(account: Account, _sid: str, values: dict[str, Any]) -> None:
        await changes.account(account.sid, values)

    add_list(router, reader, authentication, ACCOUNTS, AccountObject)
    add_one(router, reader, authentication, ACCOUNTS, AccountObject)
    add_update(router, reader, authentication, ACCOUNTS, AccountObject, AccountChange, save)
    return router
