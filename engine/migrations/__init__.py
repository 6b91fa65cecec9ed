"""Brings a database to the tables of this version, by Alembic's revisions in `versions`.

Revisions are numbered files, each following the one before. A database that is there already costs one query:
Alembic itself is only loaded where there is something to do. What is done is done in one transaction, by one
engine at a time.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..errors import DatabaseError
from ..tables import metadata

if TYPE_CHECKING:
    from collections.abc import Generator

    from alembic.config import Config

log = logging.getLogger("flexml.migrations")

HERE: Final = Path(__file__).parent
REVISIONS: Final = tuple(sorted(file.stem.partition("_")[0] for file in (HERE / "versions").glob("[0-9]*.py")))
"""All revisions, oldest first."""
HEAD: Final = REVISIONS[-1]
LOCK: Final = 0x666C65786D6C
"""What PostgreSQL knows the lock of migrations by: any number that is nobody else's ("flexml")."""
SCHEMA: Final = "information_schema"
VERSION: Final = sa.table("alembic_version", sa.column("version_num", sa.String))


def migrate(connection: sa.Connection) -> None:
    """Bring the database to the latest revision; `connection` is in no transaction, before and after.

    Raises DatabaseError where it has a revision that this version does not know, and where a revision fails.
    """
    if _revision(connection) == HEAD:
        connection.rollback()
        return
    connection.rollback()
    with _alone(connection):
        before = _revision(connection)  # another engine may just have done it
        if before != HEAD:
            log.info("the database goes from revision %s to %s", before or "none", HEAD)
            _upgrade(connection)


def alembic_config(connection: sa.Connection) -> Config:
    """What Alembic's commands are given; `env` reads it. There is no alembic.ini."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "metadata": metadata, "differs": default_differs})
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def default_differs(
    _context: object, _found: object, _wanted: object, found: str | None, _default: object, wanted: str | None
) -> bool | None:
    """Compare defaults for Alembic, which None leaves to do it as it does.

    SQLite's `''` is an empty text, and PostgreSQL cannot ask whether two JSON values are the same.
    """
    if wanted == "" and found in ("''", "('')"):
        return False
    if found is not None and wanted is not None and found.endswith("::json"):
        return found.removesuffix("::json").strip("'") != wanted.strip("'")
    return None


def _revision(connection: sa.Connection) -> str | None:
    """The revision of the database; None where it has none yet. Raises DatabaseError where it is unknown here."""
    if not sa.inspect(connection).has_table(VERSION.name):
        return None
    revision = connection.execute(sa.select(VERSION.c.version_num)).scalar()
    if revision is not None and revision not in REVISIONS:
        raise DatabaseError(
            f"the database {connection.engine.url} was made by a later version of the engine: it has revision "
            f"{revision}, this version knows {REVISIONS[0]} to {HEAD}. Start that version, or go back to a copy of the "
            "database that was made before the upgrade"
        )
    return revision


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command

    try:
        command.upgrade(alembic_config(connection), HEAD)
        if connection.dialect.name == "postgresql":
            _sort_by_code_point(connection)
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"the database {connection.engine.url} cannot be brought to revision {HEAD}, and is left as it was: "
            f"{getattr(error, 'orig', None) or error}"
        ) from error


def _sort_by_code_point(connection: sa.Connection) -> None:
    """Let PostgreSQL sort our texts as SQLite does, so that lists and filters are alike and find their indexes."""
    columns = sa.table("columns", *map(sa.column, ("table_name", "column_name", "collation_name")), schema=SCHEMA)
    ours = sa.select(columns).where(
        columns.c.table_name.in_(metadata.tables),
        sa.column("table_schema") == sa.func.current_schema(),
        sa.column("data_type").in_(("text", "character varying")),
        columns.c.collation_name.is_distinct_from("C"),
    )
    quote = connection.dialect.identifier_preparer.quote_identifier
    for table, name, _ in connection.execute(ours).all():
        if name not in metadata.tables[table].c:
            continue
        type_ = metadata.tables[table].c[name].type.compile(connection.dialect)
        connection.exec_driver_sql(f'ALTER TABLE {quote(table)} ALTER {quote(name)} TYPE {type_} COLLATE "C"')


@contextmanager
def _alone(connection: sa.Connection) -> Generator[None]:
    """A transaction that no other engine migrates beside, tables included; rolled back where it fails."""
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        # SQLite changes a table by making it anew. With foreign keys, dropping the old one deletes what refers to it.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    try:
        yield
        connection.commit()
    finally:
        connection.rollback()
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
            connection.rollback()
