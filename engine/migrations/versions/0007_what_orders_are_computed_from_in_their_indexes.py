"""What orders are computed from, in their indexes: PostgreSQL reads such a list from its index alone only then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

STATUS = "nullif(status, '')"
INDEXES = {
    "call_by_delay": ("due", [sa.text("(CASE WHEN (state = 'scheduled') THEN due ELSE 0.0 END)"), "sid"]),
    "call_by_status": ("status", [sa.text(STATUS), "sid"]),
    "call_by_status_desc": ("status", [sa.text(f"{STATUS} DESC NULLS LAST"), sa.text("sid DESC")]),
}


def upgrade() -> None:
    """Make the indexes anew; those of SQLite, which has no columns besides the key, serve as they are."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for name, (computed_from, order) in INDEXES.items():
        op.drop_index(name, "call")
        op.create_index(name, "call", ["account", *order, "state"], postgresql_include=[computed_from])
