"""Small indexes on SQLite, which reads all of one for a filter that finds nothing: of attributes, and of what waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

WAITS = "(CASE WHEN (state = 'scheduled') THEN due ELSE 0.0 END)"
FILTERED = ["sid", "state", "from_number", "to_number", "direction", "status", "duration_s", "answered", "ended", "due",
            "url", "method", "status_callback_url", "status_callback_method", "attributes"]  # fmt: skip


def upgrade() -> None:
    """Make the indexes."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_index("call_listing_attributes", "call", ["account", "created", "sid", "state", "attributes"])
    scheduled = ["account", sa.text(WAITS), "created", *FILTERED]
    op.create_index("call_listing_scheduled", "call", scheduled, sqlite_where=sa.text("state = 'scheduled'"))
