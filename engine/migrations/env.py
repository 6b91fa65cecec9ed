"""What Alembic runs revisions with: the connection and the tables that it was given, in the caller's transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    compare_server_default=context.config.attributes["differs"],
    render_as_batch=True,  # SQLite cannot change a column; Alembic makes the table anew there
)
context.run_migrations()
