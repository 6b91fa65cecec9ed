"""PostgreSQL's own indexes for lists of calls in descending order, where what has no value comes last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = {
    "date_answered": "answered",
    "date_ended": "ended",
    "status": "nullif(status, '')",
    "status_callback_url": "status_callback_url",
    "url": "url",
}


def upgrade() -> None:
    """Make them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for field, column in COLUMNS.items():
        last = sa.text(f"{column} DESC NULLS LAST")
        op.create_index(f"call_by_{field}_desc", "call", ["account", last, sa.text("sid DESC"), "state"])
