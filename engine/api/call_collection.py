"""Calls as a collection: their fields, how a row is shown, and which of them a list is of."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from fastapi import Request

from ..tables import call_has_attributes, call_is_scheduled, call_table, call_waits
from .collection import NOW, Collection, Object, Row, Selection
from .problem import bad_query
from .query.fields import INTEGER, OBJECT, SECONDS, SID, TEXT, TIME, Field, reach
from .query.paging import Order
from .times import shown_time

STATES: Final = ("scheduled", "live", "ended", "all")
_columns = call_table.c
_delay: sa.ColumnElement[float] = sa.case((_columns.state == "scheduled", _columns.due - NOW), else_=0.0)


def _long_attribute(path: str) -> sa.ColumnElement[Any]:
    same = call_table.alias("same")
    query = sa.select(reach(same.c.attributes_long, path)).where(same.c.sid == _columns.sid)
    return query.correlate(call_table).scalar_subquery()


_CREATED: Final = Field(name="date_created", kind=TIME, column=_columns.created)
_DELAY: Final = Field(name="delay", kind=SECONDS, column=_delay, sort=call_waits)
_FIELDS: Final = (
    Field(name="account_sid", kind=SID, column=_columns.account),
    Field(
        name="attributes",
        kind=OBJECT,
        column=_columns.attributes,
        long=_long_attribute,
        filled=call_has_attributes,
    ),
    Field(name="call_sid", kind=SID, column=_columns.sid),
    Field(name="called_did", kind=TEXT, column=_columns.to_number),
    Field(name="calling_did", kind=TEXT, column=_columns.from_number),
    _CREATED,
    _DELAY,
    Field(name="method", kind=TEXT, column=_columns.method),
    Field(name="status_callback_method", kind=TEXT, column=_columns.status_callback_method),
    Field(name="status_callback_url", kind=TEXT, column=_columns.status_callback_url),
    Field(name="url", kind=TEXT, column=_columns.url),
    Field(name="state", kind=TEXT, column=_columns.state, extra=True),
    Field(name="status", kind=TEXT, column=_columns.status, extra=True),
    Field(name="direction", kind=TEXT, column=_columns.direction, extra=True),
    Field(name="duration", kind=INTEGER, column=_columns.duration_s, extra=True),
    Field(name="date_answered", kind=TIME, column=_columns.answered, extra=True),
    Field(name="date_ended", kind=TIME, column=_columns.ended, extra=True),
)


def _show(row: Row, now: float) -> Object:
    order = row["order"] or {}
    return {
        "account_sid": row["account"],
        "attributes": order.get("attributes", {}),
        "call_sid": row["sid"],
        "called_did": row["to_number"],
        "calling_did": row["from_number"],
        "date_created": shown_time(row["created"]),
        "delay": _left(row, now),
        "method": order.get("method", "POST"),
        "status_callback_method": order.get("status_callback_method", "POST"),
        "status_callback_url": order.get("status_callback_url"),
        "url": order.get("url"),
    }


def _left(row: Row, now: float) -> int:
    """Whole seconds until the call is placed; at least 1 while it waits."""
    if row["state"] != "scheduled" or row["due"] is None or row["due"] <= now:
        return 0
    return max(1, round(row["due"] - now))


def _show_extra(row: Row) -> Object:
    return {
        "state": row["state"],
        "status": row["status"] or None,
        "direction": row["direction"],
        "duration": row["duration_s"],
        "date_answered": row["answered"] and shown_time(row["answered"]),
        "date_ended": row["ended"] and shown_time(row["ended"]),
    }


CALLS: Final = Collection(
    noun="call",
    table=call_table,
    sid=_columns.sid,
    owner=_columns.account,
    fields=_FIELDS,
    order=(Order(_DELAY),),
    show=_show,
    show_extra=_show_extra,
    unread=frozenset({"callback", "attributes", "attributes_long"}),
)


def select(request: Request) -> Selection:
    """Calls that wait to be placed; those of another `state` change too fast to be counted. Raises Problem 400."""
    state = request.query_params.get("state") or "scheduled"
    if state not in STATES:
        raise bad_query("state", f"found {state[:40]!r}; expected one of {', '.join(STATES)}")
    if state == "scheduled":
        # The state is said once more: PostgreSQL finds it in each index, and looks at other calls' rows no further.
        return Selection(where=(call_is_scheduled, call_waits > NOW))
    where = () if state == "all" else (_columns.state == state,)
    return Selection(where=where, uncountable=True, order=(Order(_CREATED, descending=True),))
