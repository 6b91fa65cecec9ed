"""calls that are due by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Go from the revision before to this one."""
    waits = sa.text("due IS NOT NULL")
    op.create_index("call_due", "call", ["state", "due"], sqlite_where=waits, postgresql_where=waits)
