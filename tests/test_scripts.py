"""The scripts and the files that they make: what can be checked without running a set-up."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flexml.engine.config import LISTS, SECTIONS
from flexml.engine.config_file import load

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    "scripts/setup",
    "scripts/serve",
    "scripts/test",
    "scripts/lock",
    "scripts/build-pjsua2",
    "scripts/flexml-reference",
    "scripts/revision",
    ".ci/run",
]
LOCKS = ["requirements.lock", "requirements-dev.lock"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_executed_and_is_valid_bash(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    done = subprocess.run(["bash", "-n", ROOT / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_setup_masks_the_system_services_of_servers_before_it_installs_them(tmp_path: Path) -> None:
    """On a machine without any of the packages, whose apt-get notes what it is told and then fails."""
    (tmp_path / "bin").mkdir()
    note = f'echo "$(basename "$0") $*" >>{tmp_path}/told'
    for name, text in {
        "dpkg-query": "exit 1",
        "id": "echo 0",
        "systemctl": note,
        "apt-get": f'{note}; [ "$1" = update ]',
    }.items():
        tool = tmp_path / "bin" / name
        tool.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        tool.chmod(0o755)
    checkout = tmp_path / "checkout"
    for name in ("scripts/setup", "scripts/build-pjsua2", "scripts/config_site.h", *LOCKS, "pyproject.toml"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run([checkout / "scripts/setup", "--test"], env=path, capture_output=True, check=False)
    assert done.returncode != 0
    update, *masks, install = (tmp_path / "told").read_text(encoding="utf-8").splitlines()
    assert update == "apt-get update -q"
    assert masks == ["systemctl mask kamailio.service", "systemctl mask postgresql.service"]
    assert install.startswith("apt-get install ")
    assert " kamailio " in install
    assert " postgresql" in install


def logical_lines(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_everything_by_hash_and_names_no_index(name: str) -> None:
    for line in logical_lines(name):
        assert re.match(r"[a-z0-9.-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", line), line
        assert "://" not in line
        assert set(re.findall(r"--([a-z-]+)", line)) == {"hash"}


def test_the_lock_of_the_tests_contains_the_lock_of_the_server() -> None:
    server, tests = (set(logical_lines(name)) for name in LOCKS)
    assert server <= tests


def test_every_dependency_is_locked_and_explained() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = (
        project.partition("\ndependencies = [")[2].partition("\n]")[0]
        + project.partition("\ndev = ")[2].partition("\n")[0]
    )
    names = re.findall(r'"([a-z0-9-]+)(?:\[[a-z]+\])?>=', block)
    locked = {line.partition("==")[0] for line in logical_lines(LOCKS[1])}
    explained = set(
        re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/dependencies.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert len(names) > 15
    assert set(names) <= locked
    assert set(names) <= explained


def test_the_lock_of_the_emulators_pins_everything_by_hash_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "tests/peer/emulators/package-lock.json").read_text(encoding="utf-8"))
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 100
    for name, each in packages.items():
        assert each["integrity"].startswith("sha512-"), name
        assert "resolved" not in each, name


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    shapes = {f"[{name}]": shape for name, shape in SECTIONS.items()}
    shapes |= {f"[[{name}]]": shape for name, (_, shape) in LISTS.items()}
    for label, shape in shapes.items():
        part = text.partition(f"## {label}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == [field.name for field in dataclasses.fields(shape)]


@pytest.mark.parametrize("page", ["README.md", "docs/running.md", "docs/trunks.md"])
def test_the_configurations_that_are_shown_can_be_used(page: str, tmp_path: Path) -> None:
    blocks: list[str] = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "shown.toml").write_text(block, encoding="utf-8")
        load(tmp_path / "shown.toml", {})


def test_extras_are_installed_beside_the_checkout_and_not_instead_of_it() -> None:
    """Without -e, pip puts a copy of the engine into .venv, which no later `git pull` changes."""
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "engine").rglob("*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert sum(text.count("pip install -e '.[") for text in texts) >= 6
    assert not any("pip install '.[" in text for text in texts)
