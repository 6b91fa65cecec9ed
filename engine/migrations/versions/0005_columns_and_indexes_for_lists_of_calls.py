"""What orders say as columns of calls, and an index for each way in which calls are listed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

revision = "0005"
down_revision = "0004"

BATCH = 1000
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NEW = [
    sa.Column("url", sa.Text),
    sa.Column("method", sa.String(8), nullable=False, server_default="POST"),
    sa.Column("status_callback_url", sa.Text),
    sa.Column("status_callback_method", sa.String(8), nullable=False, server_default="POST"),
    sa.Column("attributes", JSON),
]
FIELDS = {
    "called_did": "to_number",
    "calling_did": "from_number",
    "date_answered": "answered",
    "date_created": "created",
    "date_ended": "ended",
    "delay": sa.text("(CASE WHEN (state = 'scheduled') THEN due ELSE 0.0 END)"),
    "direction": "direction",
    "duration": "duration_s",
    "method": "method",
    "status": sa.text("nullif(status, '')"),
    "status_callback_method": "status_callback_method",
    "status_callback_url": "status_callback_url",
    "url": "url",
}
DESCENDING = ("date_answered", "date_ended", "status", "status_callback_url", "url")
LISTING = ("account", "created", "sid", "state", "from_number", "to_number", "direction", "status", "duration_s",
           "answered", "ended", "due", "url", "method", "status_callback_url", "status_callback_method",
           "attributes")  # fmt: skip


def upgrade() -> None:
    """Add the columns, fill them from the orders, and index them."""
    for column in NEW:
        op.add_column("call", column)
    _fill()
    op.drop_index("call_by_created", "call")
    op.drop_index("ix_call_account", "call")
    for field, column in FIELDS.items():
        op.create_index(f"call_by_{field}", "call", ["account", column, "sid", "state"])
    op.create_index("call_by_call_sid", "call", ["account", "sid", "state"])
    op.create_index("call_by_state", "call", ["account", "state", "sid"])
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("call_listing", "call", list(LISTING))
    else:
        for field in DESCENDING:
            last = sa.text(f"{FIELDS[field]} DESC NULLS LAST")
            op.create_index(f"call_by_{field}_desc", "call", ["account", last, sa.text("sid DESC"), "state"])


def _fill() -> None:
    connection = op.get_bind()
    call = sa.table(
        "call", sa.column("sid", sa.String), sa.column("order", sa.JSON), *(sa.column(c.name, c.type) for c in NEW)
    )
    update = sa.update(call).where(call.c.sid == sa.bindparam("of"))
    for rows in _batches(connection, sa.select(call.c.sid, call.c.order)):
        if changes := [{"of": row.sid, **_said(row.order)} for row in rows if row.order]:
            connection.execute(update, changes)


def _batches(connection: sa.Connection, query: sa.Select[Any, Any]) -> Iterator[list[Any]]:
    sid, last = query.selected_columns[0], ""
    while rows := list(connection.execute(query.where(sid > last).order_by(sid).limit(BATCH))):
        yield rows
        last = rows[-1].sid


def _said(order: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": order.get("url"),
        "method": order.get("method", "POST"),
        "status_callback_url": order.get("status_callback_url"),
        "status_callback_method": order.get("status_callback_method", "POST"),
        "attributes": _texts(order.get("attributes", {})),
    }


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(part) for name, part in value.items()}
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
