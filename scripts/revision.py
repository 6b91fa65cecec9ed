"""Write a revision: the difference between a database of the last one, made for it in memory, and the tables now.

scripts/revision.py WHAT
"""

from __future__ import annotations

import sys

import sqlalchemy as sa
from alembic import command
from flexml.engine.migrations import HEAD, alembic_config, migrate


def main(what: str) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        migrate(connection)
        command.revision(alembic_config(connection), what, autogenerate=True, rev_id=f"{int(HEAD) + 1:04}")


if __name__ == "__main__":
    main(sys.argv[1])
