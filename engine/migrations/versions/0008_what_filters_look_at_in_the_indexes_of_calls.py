"""What filters look at in the indexes of calls, so that PostgreSQL need not read rows; long attributes elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

LONG = {"sqlite": "length(CAST(attributes AS BLOB)) > 1000", "postgresql": "octet_length(attributes::text) > 1000"}
SHORT = ["direction", "status", "duration_s", "answered", "ended", "due", "method", "status_callback_method"]
SOON = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05"
"""Rows of pages that no vacuum has seen since they were changed are looked up, whatever the indexes have."""
INDEXES = {
    "call_by_call_sid": (["sid", "state"], ["created", *SHORT]),
    "call_by_called_did": (["to_number", "sid", "state"], ["created", *SHORT]),
    "call_by_calling_did": (["from_number", "sid", "state"], ["created", *SHORT]),
    "call_by_date_created": (["created", "sid", "state"], [*SHORT, "attributes"]),
    "call_by_status_callback_url": (["status_callback_url", "sid", "state"], ["created", *SHORT]),
    "call_by_url": (["url", "sid", "state"], ["created", *SHORT]),
}


def upgrade() -> None:
    """Put long attributes into a column of their own, and make the indexes anew."""
    database = op.get_bind().dialect.name
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("call", sa.Column("attributes_long", json))
    indexes = INDEXES if database == "postgresql" else {}
    for name in indexes:
        op.drop_index(name, "call")
    op.execute("UPDATE call SET attributes = '{}' WHERE attributes IS NULL")
    op.execute(f"UPDATE call SET attributes_long = attributes, attributes = NULL WHERE {LONG[database]}")
    for name, (order, beside) in indexes.items():
        op.create_index(name, "call", ["account", *order], postgresql_include=beside)
    if database == "postgresql":
        op.execute(f"ALTER TABLE call SET ({SOON})")
