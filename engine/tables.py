"""The tables of the database. Columns bear the names of the fields of the dataclasses in `db`."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata: Final = sa.MetaData()

account_table: Final = sa.Table(
    "account",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("login", sa.String(255), nullable=False, unique=True),
    sa.Column("password_hash", sa.String(255), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("url", sa.Text),
    sa.Column("method", sa.String(8), nullable=False),
    sa.Column("error_handler", sa.String(16), nullable=False),
    sa.Column("fallback_url", sa.Text),
    sa.Column("caller_ids", sa.JSON, nullable=False),
    sa.Column("detector", sa.String(16), nullable=False, server_default=""),
    sa.Column("no_answer", sa.String(16), nullable=False, server_default="noanswer"),
    sa.Column("sms_route", sa.Text, nullable=False, server_default=""),
    sa.Column("attributes", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("created", sa.Double, nullable=False, server_default="0"),
    sa.Column("configured", sa.JSON),  # what the configuration said when it was read last
)
token_table: Final = sa.Table(
    "token",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("account", sa.ForeignKey("account.sid"), index=True),  # null for the provider, who sees all accounts
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.Double),
    sa.Column("revoked", sa.Double),
    sa.Column("last_used", sa.Double),
)
announcement_table: Final = sa.Table(
    "announcement",
    metadata,
    sa.Column("what", sa.String(32), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)
did_table: Final = sa.Table(
    "did",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("phonenumber", sa.String(64), nullable=False, unique=True),
    sa.Column("account", sa.ForeignKey("account.sid"), nullable=False, index=True),
    sa.Column("url", sa.Text),
    sa.Column("method", sa.String(8), nullable=False),
    sa.Column("status_callback_url", sa.Text),
    sa.Column("status_callback_method", sa.String(8), nullable=False),
    sa.Column("fallback_url", sa.Text),
    sa.Column("country_code", sa.String(3)),
    sa.Column("in_country_format", sa.String(64), nullable=False, server_default=""),
    sa.Column("international_format", sa.String(64), nullable=False, server_default=""),
    sa.Column("configured", sa.JSON),  # as with accounts
    sa.Index("did_by_phonenumber", "account", "phonenumber"),  # as the API lists them
)
_SAID: Final = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
INDEXED_OCTETS: Final = 1000
"""Attributes that are longer, as JSON, are kept out of indexes: PostgreSQL takes 2704 octets of a row into one, in its
own form of JSON, which may be twice as long."""
call_table: Final = sa.Table(
    "call",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("account", sa.String(36), nullable=False),
    sa.Column("direction", sa.String(16), nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    sa.Column("to_number", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("started", sa.Double, nullable=False, index=True),
    sa.Column("created", sa.Double, nullable=False, server_default="0"),
    sa.Column("due", sa.Double),
    sa.Column("answered", sa.Double),
    sa.Column("ended", sa.Double),
    sa.Column("status", sa.String(32)),  # how it ended; null before that
    sa.Column("duration_s", sa.Integer, nullable=False),
    sa.Column("callback", sa.JSON),
    sa.Column("order", sa.JSON),
    # What the order says (`db.call_row`), as columns: so that lists can be filtered by it without reading orders.
    sa.Column("url", sa.Text),
    sa.Column("method", sa.String(8), nullable=False, server_default="POST"),
    sa.Column("status_callback_url", sa.Text),
    sa.Column("status_callback_method", sa.String(8), nullable=False, server_default="POST"),
    sa.Column("attributes", _SAID),  # null where they are too long for an index
    sa.Column("attributes_long", _SAID),  # then they are here
    sa.Column("owner", sa.String(255), nullable=False, server_default=""),  # the engine that it lives on, or ended on
)
_call = call_table.c
call_is_scheduled: Final = _call.state == sa.literal_column("'scheduled'")
call_waits: Final = sa.case((call_is_scheduled, _call.due), else_=sa.literal_column("0.0"))
"""When a call is due that waits to be placed; 0 for others."""
call_has_attributes: Final = _call.attributes.is_not(sa.literal_column("'{}'"))
"""On SQLite: whether it has any, or is one whose attributes are too long for an index."""
CALL_ORDERS: Final[dict[str, sa.ColumnElement[Any]]] = {
    "call_sid": _call.sid,
    "called_did": _call.to_number,
    "calling_did": _call.from_number,
    "date_answered": _call.answered,
    "date_created": _call.created,
    "date_ended": _call.ended,
    "delay": call_waits,
    "direction": _call.direction,
    "duration": _call.duration_s,
    "method": _call.method,
    "state": _call.state,
    "status": _call.status,
    "status_callback_method": _call.status_callback_method,
    "status_callback_url": _call.status_callback_url,
    "url": _call.url,
}
"""The fields of calls by which lists are sorted, each by an index of its own; the state is in it too."""
NULLABLE_ORDERS: Final = ("date_answered", "date_ended", "status", "status_callback_url", "url")
_SHORT: Final = ("direction", "status", "duration_s", "answered", "ended", "due", "method", "status_callback_method")
_LISTED: Final = ("created", *_SHORT)
BESIDE: Final = {
    "call_sid": _LISTED,
    "called_did": _LISTED,
    "calling_did": _LISTED,
    "date_created": (*_SHORT, "attributes"),
    "delay": ("due",),
    "status_callback_url": _LISTED,
    "url": _LISTED,
}
"""What else is in the index of an order in PostgreSQL, which reads a list from an index alone only where all is in it
that the order is computed from and filters look at. A filter that finds little looks at every call of an account, and
rows are wide. So what is short is beside each of what is long; attributes are in the index that most lists go by."""
for _name, _column in CALL_ORDERS.items():
    _key = dict.fromkeys((_call.account, _column, _call.sid, _call.state))
    sa.Index(f"call_by_{_name}", *_key, postgresql_include=BESIDE.get(_name))
    if _name in NULLABLE_ORDERS:  # backwards, PostgreSQL reads an index with what is null first
        _last, _desc = (_column.desc().nulls_last(), _call.sid.desc(), _call.state), f"{_name}_desc"
        _index = sa.Index(f"call_by_{_desc}", _call.account, *_last, postgresql_include=BESIDE.get(_desc))
        _index.ddl_if(dialect="postgresql")
# SQLite reads lists with filters from one of these indexes alone, row after row: everything that a filter may name is
# in the wide one, which takes half as long again to read. What waits is a small part of all, and has its own; so has
# what an attribute may be found in, which calls that come in have none of.
_FILTERED: Final = (
    *(_call.sid, _call.state, _call.from_number, _call.to_number, _call.direction, _call.status, _call.duration_s),
    *(_call.answered, _call.ended, _call.due, _call.url, _call.method),
    *(_call.status_callback_url, _call.status_callback_method, _call.attributes),
)
sa.Index(
    *("call_listing_attributes", _call.account, _call.created, _call.sid, _call.state, _call.attributes),
    sqlite_where=call_has_attributes,
).ddl_if(dialect="sqlite")
sa.Index("call_listing", _call.account, _call.created, *_FILTERED).ddl_if(dialect="sqlite")
sa.Index(
    "call_listing_scheduled", _call.account, call_waits, _call.created, *_FILTERED, sqlite_where=call_is_scheduled
).ddl_if(dialect="sqlite")  # fmt: skip
_waits_or_claimed: Final = _call.due.is_not(None)
sa.Index("call_due", _call.state, _call.due, sqlite_where=_waits_or_claimed, postgresql_where=_waits_or_claimed)
callback_table: Final = sa.Table(
    "callback",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("method", sa.String(8), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("owner", sa.String(255), nullable=False, server_default=""),  # the engine that delivers it
)
timeline_table: Final = sa.Table(
    "timeline",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("call", sa.String(36), nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
)
recording_table: Final = sa.Table(
    "recording",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("call", sa.String(36), nullable=False, index=True),
    sa.Column("account", sa.String(36), nullable=False),
    sa.Column("recording_sid", sa.String(36), nullable=False),
    sa.Column("file", sa.String(36), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("format", sa.String(16), nullable=False),
    sa.Column("duration_s", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
container_table: Final = sa.Table(
    "container",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("account", sa.String(36), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("quota_bytes", sa.BigInteger),
    sa.Column("default_of", sa.String(36), unique=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
)
file_table: Final = sa.Table(
    "file",
    metadata,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("container", sa.ForeignKey("container.sid"), nullable=False, index=True),
    sa.Column("account", sa.String(36), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("format", sa.String(16), nullable=False),
    sa.Column("mime", sa.String(255), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("duration", sa.Double, nullable=False),
    sa.Column("string_key_1", sa.Text),
    sa.Column("string_key_2", sa.Text),
    sa.Column("integer_key_1", sa.BigInteger),
    sa.Column("integer_key_2", sa.BigInteger),
    sa.Column("lifecycle_action", sa.String(32), nullable=False),
    sa.Column("lifecycle_ttl", sa.BigInteger),
    sa.Column("expires", sa.Double, index=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
)
