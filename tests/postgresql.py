"""A real PostgreSQL server for the tests: in a directory of its own, on a Unix socket, as a user without rights."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import asyncpg

START_S: Final = 30.0
INSTALLED: Final = Path("/usr/lib/postgresql")
"""Where Debian puts the servers, by version; they are not on the path."""
FAST: Final = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "listen_addresses": "",
    "max_connections": "200", "shared_buffers": "64MB", "log_min_messages": "warning", "autovacuum": "off",
}  # fmt: skip


def postgresql_missing() -> str:
    """Why there can be no server here; empty where there can."""
    return "" if _programs() else "PostgreSQL's server is not installed (initdb and postgres are missing)"


def _programs() -> Path | None:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _user() -> tuple[int, int]:
    """Whom to be, and of which group: PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return entry.pw_uid, entry.pw_gid


class PostgresqlServer:
    """The server, from `start` to `close`; it may be stopped and started between, and keeps what it has."""

    def __init__(self, **settings: str) -> None:
        self._settings = FAST | settings
        programs = _programs()
        assert programs is not None
        self._programs = programs
        self._uid, self._gid = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="flexml-postgresql."))
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process whose children answer; 0 while it is stopped."""
        return self._process.pid if self._process is not None else 0

    def url(self, name: str) -> str:
        """The URL of a database, as the engine's configuration has it."""
        return f"postgresql://postgres@/{name}?host={self._folder}"

    def create(self, template: str = "template1") -> str:
        """Make a database, and give its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Delete a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, sql: str, name: str = "postgres") -> list[Any]:
        """Run a statement in a database."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(user="postgres", database=name, host=str(self._folder))
            try:
                return await connection.fetch(sql)
            finally:
                await connection.close()

        return asyncio.run(run())

    @contextmanager
    def frozen(self) -> Generator[None]:
        """No process of it does anything inside."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        processes = [self.pid, *map(int, children.split())]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def start(self) -> None:
        """Start, and return once it takes connections; the first time it makes its files."""
        data = self._folder / "data"
        if not data.exists():
            shutil.chown(self._folder, self._uid, self._gid)
            self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
                      *self._collation(), "--no-sync", "--pgdata", str(data))  # fmt: skip
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        command = [self._programs / "postgres", "-D", data, "-k", self._folder, *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = process = subprocess.Popen(
                command, cwd=self._folder, stdout=log, stderr=log, user=self._uid, group=self._gid
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop at once: SIGINT ends every connection first, SIGQUIT does not even say good-bye."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None

    def close(self) -> None:
        """Stop, and delete everything."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What the server has to say."""
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    def _collation(self) -> list[str]:
        """Sort as people do, where the version can without the system's help: nothing of ours may depend on it."""
        said = subprocess.run([self._programs / "initdb", "--help"], capture_output=True, text=True, check=True).stdout
        return ["--locale-provider=icu", "--icu-locale=en"] if "--icu-locale" in said else []

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=False, user=self._uid, group=self._gid
        )
        assert done.returncode == 0, done.stdout + done.stderr


def running_server() -> Iterator[PostgresqlServer]:
    """A server that runs until the generator is closed."""
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.close()
