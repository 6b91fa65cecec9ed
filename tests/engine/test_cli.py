"""The command line: what it prints, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flexml.engine.cli import add_call, app
from typer.testing import CliRunner

EMBEDDED = Path(__file__).parents[2] / "config" / "engine.toml"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_check_config_sums_up_a_good_file() -> None:
    assert run("check-config", str(EMBEDDED)) == (
        0,
        f"{EMBEDDED}: OK. SIP on udp:127.0.0.1:5060; HTTP on 127.0.0.1:8080; 1 account, 1 number, 0 trunks.\n",
    )


def test_check_config_prints_every_problem_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[log]\nlevel = "loud"\nshape = 1\n')
    status, output = run("check-config", str(file))
    assert status == 1
    assert [line.partition(" ")[0] for line in output.splitlines()] == [f"{file}:2:", f"{file}:3:"]


def test_serve_refuses_a_bad_configuration_with_another_status(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[media]\nworkers = -1\n")
    status, output = run("serve", "--config", str(file))
    assert (status, output.startswith(f"{file}:2: [media] workers: found -1")) == (2, True)


def test_what_the_server_cannot_use_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "c.toml").write_text('[http]\nlisten = "127.0.0.1:1"\n[storage]\npath = "taken"\n')
    command = [Path(sys.executable).parent / "flexml", "serve", "--config", tmp_path / "c.toml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, f"flexml: cannot serve: {tmp_path}/taken: File exists\n")


WRONG_CALLS = [
    (["15550001000"], "'15550001000', expected a SIP URI"),
    (["sip:"], "'sip:', expected a SIP URI"),
    (["sip:1@127.0.0.1:9?Subject=x"], "expected a SIP URI"),
    (["sip:1@127.0.0.1:9;transport=tcp"], "but this phone speaks UDP only"),
    (["sips:1@127.0.0.1:9"], "but this phone speaks UDP only"),
    (["1@127.0.0.1:9", "--from", "Ann"], "'Ann', expected a SIP URI"),
    (["1@127.0.0.1:9", "--dtmf", "12x"], "'x', expected 0 to 9, *, #, A to D"),
    (["1@127.0.0.1:9", "--play", "no.wav"], "there is no file no.wav"),
    (["1@127.0.0.1:9", "--record", "/"], "/ cannot be written"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG_CALLS)
def test_a_call_that_cannot_be_placed_so_is_not_tried(arguments: list[str], said: str) -> None:
    add_call()
    status, output = run("call", *arguments)
    assert status == 2
    assert said in " ".join(output.replace("│", " ").split())


def test_a_call_that_is_to_be_recorded_where_there_is_no_folder_is_not_placed(tmp_path: Path) -> None:
    add_call()
    status, output = run("call", "sip:1@127.0.0.1:9", "--record", f"{tmp_path}/no/x.wav")
    assert status == 2
    assert "there is no folder" in output
