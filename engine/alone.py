"""One engine at a time on what only one may work on: a SQLite database, and the folder of what is being recorded.

Each has a file beside it that the engine keeps locked. The kernel holds the lock for the process alone, not for
those that it starts, and lets go of it when the process ends, however that is. Programs that only use the database
take no lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from .config import Config
from .errors import InUseError
from .sql import sqlite_file

LOCK: Final = "engine.lock"


@contextmanager
def alone(config: Config) -> Generator[None]:
    """Be the only engine on what `config` names, inside the block. Raises InUseError where there is another one.

    Engines on a PostgreSQL tell each other apart by their names (`peers`), and may share a folder.
    """
    database = sqlite_file(config.database.url)
    with ExitStack() as stack:
        if database is not None:
            beside = database.with_name(f"{database.name}-{LOCK}")
            stack.enter_context(_held(beside, f"the database {database}", "[database] url"))
            folder = Path(config.storage.path)
            stack.enter_context(_held(folder / LOCK, f"the folder {folder}", "[storage] path"))
        yield


@contextmanager
def _held(path: Path, what: str, setting: str) -> Generator[None]:
    """Hold the lock of that file, which tells the process that does. Raises InUseError, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InUseError(
                f"there is an engine on {what} already (process {file.read()}): stop that one, or give this one "
                f"another ({setting})"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
