"""The real engine as a child process, on ports of its own, with a configuration as small as it may be."""

import base64
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from certificate import Certificate
from flexml.engine.log import GATHER_S
from ports import RTP_PORTS, free_port, free_sip_port, rtp_block

START_S: Final = 30.0
STOP_S: Final = 15.0
SLOW_S: Final = 0.05
"""Seconds of the processor that no callback of an event loop may take."""
_WATCH: Final = Path(__file__).parent / "watched"
_NAMED: Final = Path(__file__).parent / "named"
DEMO: Final = "15550001999"

_CONFIG: Final = """\
[sip]
listen = ["udp:127.0.0.1:{sip}", "tcp:127.0.0.1:{sip}"{tls}]

[rtp]
address = "127.0.0.1"
ports = [{rtp}, {rtp_last}]

[http]
listen = "127.0.0.1:{http}"

[database]
url = "{database}"

[storage]
path = "{folder}/files"

[media]
workers = 1
legs_per_worker = {legs}

[webhook]
timeout_s = 3
retries = 0

[[account]]
login = "me"
password = "secret"
name = "Peer tests"
error_handler = "{error_handler}"
sms_route = "{sms_route}"
"""
_DID: Final = """
[[did]]
phonenumber = "{number}"
account = "me"
url = "{url}"
status_callback_url = "{status_url}"
"""


class EngineProcess:
    """`flexml serve`, its ports and its log."""

    def __init__(
        self,
        folder: Path,
        dids: Mapping[str, str],
        *,
        legs: int = 100,
        error_handler: str = "basic",
        sms_route: str = "",
        extra: str = "",
        sip: str = "",
        rtp: str = "",
        storage: str = "",
        status_url: Mapping[str, str] = {},
        certificate: Certificate | None = None,
        database: str = "",
        watched: bool = False,
        named: bool = False,
    ) -> None:
        """`dids` maps numbers to the URLs (ending in `/`) that tell what to do with calls; DEMO goes to the demo.

        `extra` is more of the configuration, whole sections; `sip`, `rtp` and `storage` are more of those sections.
        `database` is the URL of one that is not a file in `folder`. `status_url` says of numbers where their status
        callbacks go, if not below `url`. With a `certificate` it listens for TLS as well. One that is `watched` says
        what holds its loop up, and when asked what its calls have left for the garbage collector. To one that is
        `named` every name below `.example` is this machine, but for those that are `held`.
        """
        folder.mkdir(exist_ok=True)
        self.sip_port, self.http_port = free_sip_port(), free_port(socket.SOCK_STREAM)
        self.tls_port = free_port(socket.SOCK_STREAM)
        if certificate:
            sip += f'\ntls_certificate = "{certificate.path}"\ntls_private_key = "{certificate.key}"'
        self.log_path = folder / "engine.log"
        ports = max(RTP_PORTS, 2 * legs)
        first_port = rtp_block(ports)
        self.rtp_ports = first_port, first_port + ports - 1
        config = _CONFIG.format(
            sip=self.sip_port, http=self.http_port, rtp=first_port, rtp_last=first_port + ports - 1, folder=folder,
            database=database or f"sqlite:///{folder}/flexml.db",
            legs=legs, error_handler=error_handler, sms_route=sms_route,
            tls=f', "tls:127.0.0.1:{self.tls_port}"' if certificate else "",
        )  # fmt: skip
        self.config_path = folder / "engine.toml"
        urls = {**dids, DEMO: self.url("/demo/")}
        dids_config = "".join(
            _DID.format(number=n, url=url, status_url=status_url.get(n, f"{url}status")) for n, url in urls.items()
        )
        for name, more in (("sip", sip), ("rtp", rtp), ("storage", storage)):
            config = config.replace(f"[{name}]\n", f"[{name}]\n{more}\n" if more else f"[{name}]\n")
        self.config_path.write_text(config + dids_config + extra)
        self._folder, self._watched, self._named = folder, watched, named
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.sip_port}"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http_port}{path}"

    @contextmanager
    def database(self) -> Generator[sqlite3.Connection]:
        """The engine's database, for what no interface offers yet."""
        connection = sqlite3.connect(self._folder / "flexml.db", timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def timeline(self) -> list[tuple[str, dict[str, object]]]:
        """What happened on the call that began last, with details; complete when its status callback has come."""
        last = "select sid from call order by started desc limit 1"
        with self.database() as database:
            rows = database.execute(f"select what, details from timeline where call = ({last}) order by id")
            return [(row["what"], json.loads(row["details"])) for row in rows]

    def get(self, path: str) -> bytes:
        """The body of a GET; raises OSError for anything but success."""
        with urllib.request.urlopen(self.url(path), timeout=5) as response:
            return response.read()

    def post(
        self, path: str, body: Mapping[str, object], *, method: str = "POST", login: str = "me:secret"
    ) -> dict[str, Any]:
        """A request to the API as an account; raises HTTPError for anything but success."""
        basic = base64.b64encode(login.encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url(path), data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.loads(response.read() or "{}")

    def start(self) -> None:
        """Start, and return once /health says that calls can be taken."""
        command = [Path(sys.executable).parent / "flexml", "serve", "--config", self.config_path]
        watch = {"PYTHONPATH": str(_WATCH), "WATCHED_SLOW_S": str(SLOW_S)} if self._watched else {}
        if self._named:
            watch = {"PYTHONPATH": str(_NAMED), "NAMED_HELD": str(self._folder)}
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=os.environ | watch, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_S
        while not self._healthy():
            if time.monotonic() > deadline or self._exited_within(0.1):
                code = self._process.poll()
                self.stop()
                raise AssertionError(f"flexml serve is not ready (exit status {code}):\n{self.log()}")

    def stop(self) -> int:
        """Ask the engine to end; its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        if not self._exited_within(STOP_S):
            self._process.kill()
        return self._process.wait()

    def kill(self) -> None:
        """Kill the control process with SIGKILL; its children end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def pids(self) -> list[int]:
        """The control process and its children, media workers first among them by age."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [self._process.pid, *map(int, children.split())]

    def slow_callbacks(self) -> list[str]:
        """What held the loop of a `watched` engine up once it had started: the step that starts it ends then."""
        ready = self.log().partition("is ready.")[2]
        return [line for line in ready.splitlines() if "SLOW CALLBACK" in line and "object serve" not in line]

    def left_behind(self) -> tuple[int, str]:
        """How many objects only a collection frees, since this was asked of a `watched` engine last; and of what."""
        assert self._process is not None
        read = self.log_path.stat().st_size
        self._process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 20
        while not (said := re.search(r"LEFT BEHIND (\d+): (.*)\n", self.log(read))):
            assert time.monotonic() < deadline, "it does not say"
            time.sleep(0.1)
        return int(said[1]), said[2]

    @contextmanager
    def held(self, name: str) -> Generator[None]:
        """Let the name server of a `named` engine say nothing of that name meanwhile."""
        file = self._folder / name
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    def live_calls(self) -> int:
        """How many calls /health counts, or dialogs where those are more: what is 0 only when nothing is left."""
        health = json.loads(self.get("/health"))
        return max(health["live_calls"], health["dialogs"])

    def ending(self) -> int:
        """How many dialogs are over here, but not at the peer."""
        return json.loads(self.get("/health"))["ending"]

    def trunks(self) -> list[dict[str, Any]]:
        """The state of every trunk."""
        return json.loads(self.get("/trunks"))["trunks"]

    def log(self, start: int = 0) -> str:
        """What the engine has written, from octet `start`; what it says now it writes within GATHER_S."""
        time.sleep(2 * GATHER_S)
        return self.log_path.read_bytes()[start:].decode(errors="replace")

    def _healthy(self) -> bool:
        try:
            return bool(self.get("/health"))
        except urllib.error.HTTPError as refused:
            refused.close()
            return False
        except OSError:
            return False

    def _exited_within(self, seconds: float) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def tracebacks(log: str) -> list[str]:
    """Where a log shows an exception that nobody foresaw."""
    lines = log.splitlines()
    return [
        "\n".join(lines[at : at + 30]) for at, line in enumerate(lines) if "Traceback (most recent call last)" in line
    ]
