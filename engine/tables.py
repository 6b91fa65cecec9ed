"""The tables of the database. Columns bear the names of the fields of the dataclasses in `db`."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

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
call_table: Final = sa.Table(
    "call",
    metadata,
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
    sa.Index("call_by_created", "account", "created", "sid"),  # as the API lists them
)
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
