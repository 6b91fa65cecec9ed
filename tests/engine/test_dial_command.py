"""`flexml dial` where no call comes about; with a running engine: tests/peer/test_outbound.py."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from flexml.engine.cli import add_dial, app
from typer.testing import CliRunner


class Stranger(BaseHTTPRequestHandler):
    """An engine that knows nobody."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(401)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def dialled(tmp_path: Path, port: int) -> tuple[int, str]:
    config = tmp_path / "engine.toml"
    config.write_text(f'[http]\nlisten = "127.0.0.1:{port}"\n[[account]]\nlogin = "me"\npassword = "x"\n')
    add_dial()
    result = CliRunner().invoke(app, ["dial", "15550001000", "--config", str(config)])
    return result.exit_code, result.output


def test_an_engine_that_knows_another_password_is_named(tmp_path: Path, stranger: int) -> None:
    where = f"http://127.0.0.1:{stranger}"
    said = f"401: the engine at {where} has no account 'me' with that password"
    assert dialled(tmp_path, stranger) == (1, f"{said} (asked as account 'me' of {tmp_path}/engine.toml)\n")


def test_without_an_engine_it_says_where_it_asked(tmp_path: Path) -> None:
    status, said = dialled(tmp_path, 1)
    assert (status, said) == (1, "no engine answers at http://127.0.0.1:1: [Errno 111] Connection refused\n")
