"""The tables as they were before revisions were kept, in whatever state an earlier version left them.

Until then an engine made the tables that were missing, and added the columns and indexes that were missing to those
that were there. So does this revision: nothing is there yet, or any earlier version's tables with their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import CreateColumn

revision = "0001"
down_revision = None

tables = sa.MetaData()

sa.Table(
    "account",
    tables,
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
    sa.Column("created", sa.Double, nullable=False, server_default="0"),
    sa.Column("configured", sa.JSON),
)
sa.Table(
    "did",
    tables,
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
    sa.Column("configured", sa.JSON),
    sa.Index("did_by_phonenumber", "account", "phonenumber"),
)
sa.Table(
    "call",
    tables,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("account", sa.String(36), nullable=False, index=True),
    sa.Column("direction", sa.String(16), nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    sa.Column("to_number", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("started", sa.Double, nullable=False, index=True),
    sa.Column("created", sa.Double, nullable=False, server_default="0"),
    sa.Column("due", sa.Double),
    sa.Column("answered", sa.Double),
    sa.Column("ended", sa.Double),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("duration_s", sa.Integer, nullable=False),
    sa.Column("callback", sa.JSON),
    sa.Column("order", sa.JSON),
    sa.Index("call_by_created", "account", "created", "sid"),
)
sa.Table(
    "callback",
    tables,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("method", sa.String(8), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
)
sa.Table(
    "timeline",
    tables,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("call", sa.String(36), nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
)
sa.Table(
    "container",
    tables,
    sa.Column("sid", sa.String(36), primary_key=True),
    sa.Column("account", sa.String(36), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("quota_bytes", sa.BigInteger),
    sa.Column("default_of", sa.String(36), unique=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
)
sa.Table(
    "file",
    tables,
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


def upgrade() -> None:
    """Make what is not there."""
    connection = op.get_bind()
    tables.create_all(connection)
    known = sa.inspect(connection)
    for table in tables.sorted_tables:
        there = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                _add(connection, table, column)
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def _add(connection: sa.Connection, table: sa.Table, column: sa.Column[object]) -> None:
    """Add a column; all that had come by then have a default in the database, or may be empty."""
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    name = connection.dialect.identifier_preparer.format_table(table)
    connection.execute(sa.DDL(f"ALTER TABLE {name} ADD COLUMN {definition}"))
