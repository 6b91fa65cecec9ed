"""Keep the owner of calls and callbacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Go from the revision before to this one."""
    for table in ("call", "callback"):
        op.add_column(table, sa.Column("owner", sa.String(255), server_default="", nullable=False))
