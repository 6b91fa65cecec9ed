"""One engine on a SQLite database and on a folder, whatever its process leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from flexml.engine.alone import alone
from flexml.engine.config import Config, Database, Storage
from flexml.engine.errors import InUseError

HOLDER = """
import subprocess, sys, time
from flexml.engine.alone import alone
from flexml.engine.config import Config, Database, Storage
with alone(Config(database=Database(url=sys.argv[1]), storage=Storage(path=sys.argv[2]))):
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    time.sleep(60)
"""


def config(folder: Path, name: str = "flexml.db") -> Config:
    return Config(database=Database(url=f"sqlite:///{folder}/{name}"), storage=Storage(path=str(folder / "files")))


def test_a_database_and_a_folder_are_one_engines_at_a_time(tmp_path: Path) -> None:
    one = config(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "flexml.db")
    with alone(one):
        for other, what in (
            (one, f"the database {tmp_path}/flexml.db"),
            (config(tmp_path, "link.db"), f"the database {tmp_path}/flexml.db"),
            (config(tmp_path, "other.db"), f"the folder {tmp_path}/files"),
        ):
            with (
                pytest.raises(InUseError, match=rf"an engine on {what} already \(process {os.getpid()}\)"),
                alone(other),
            ):
                pass
        with alone(replace(config(tmp_path, "other.db"), storage=Storage(path=str(tmp_path / "elsewhere")))):
            pass
    with alone(one):
        pass


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "postgresql://me@here/flexml"])
def test_what_is_no_file_is_not_locked(tmp_path: Path, url: str) -> None:
    one = Config(database=Database(url=url), storage=Storage(path=str(tmp_path / "files")))
    with alone(one), alone(one):
        assert list(tmp_path.iterdir()) == []


def test_the_lock_is_gone_with_a_killed_engine_though_a_process_of_its_lives_on(tmp_path: Path) -> None:
    one = config(tmp_path)
    command = [sys.executable, "-c", HOLDER, one.database.url, one.storage.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(InUseError, match=rf"process {holder.pid}"), alone(one):
                pass
            holder.kill()
            holder.wait()
            with alone(one):
                pass
        finally:
            holder.kill()
            os.kill(child, signal.SIGKILL)
