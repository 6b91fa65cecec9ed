"""Kamailio as a peer: a registrar and proxy on a port of its own. `kamailio.cfg` beside this file says what it does."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from ports import free_sip_port
from raw_peer import RawPeer

ADDRESS: Final = "127.0.0.5"
"""Its address is its domain, so that its users can be told from those of 127.0.0.1."""
PASSWORD: Final = "secret"
"""Everybody's."""
CONFIG: Final = Path(__file__).parent / "kamailio.cfg"
START_S: Final = 10.0
STOP_S: Final = 10.0
REGISTER_S: Final = 30.0
_PASSED: Final = re.compile(r"passed ([A-Z]+) ([0-9.]+):([0-9]+) (\S+) (\S+)$", re.MULTILINE)


def executable() -> str | None:
    """Where Kamailio is; /usr/sbin is not on everybody's path."""
    return shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A request that came to the proxy, with the port of 127.0.0.x that it came from."""

    method: str
    port: int
    uri: str
    within: bool
    """Whether it was of a dialog."""


class Kamailio:
    """One process, in the foreground; its port stays the same when it is started anew."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._log = folder, folder / "kamailio.log"
        self.port = free_sip_port(ADDRESS)
        self._began = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> str:
        return f"{ADDRESS}:{self.port}"

    def __enter__(self) -> Kamailio:
        command = executable()
        assert command is not None
        defines = [
            f"LISTEN_UDP=udp:{self.target}", f"LISTEN_TCP=tcp:{self.target}", f'DOMAIN="{ADDRESS}"',
            f'PASSWORD="{PASSWORD}"',
        ]  # fmt: skip
        arguments = [argument for define in defines for argument in ("-A", define)]
        with self._log.open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                [command, "-DD", "-E", "-f", CONFIG, "-w", self._folder, "-Y", self._folder, "-m", "16", *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        with RawPeer(self.target, address=ADDRESS) as peer:
            deadline = time.monotonic() + START_S
            while not self._answers(peer):
                assert time.monotonic() < deadline, self.log()
                assert self._process.poll() is None, self.log()
        return self

    def _answers(self, peer: RawPeer) -> bool:
        try:
            peer.send(peer.request("OPTIONS", "", cseq=1).replace("sip:@", "sip:"))
            return peer.receive(0.1) is not None
        except ConnectionRefusedError:
            time.sleep(0.05)
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"Kamailio does not end:\n{self.log()}") from None
        self._process = None
        assert status == 0 or kind is not None, f"Kamailio ended with {status}:\n{self.log()}"

    def kill(self) -> None:
        """End it and its children at once, with all that they know."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)
        self._process = None

    def register(self, user: str, contact: str) -> None:
        """Register `contact` for a user who cannot do so himself."""
        with RawPeer(self.target) as peer:
            request = re.sub("\nContact: [^\r]*", f"\nContact: <{contact}>", peer.request("REGISTER", user))
            peer.send(request)
            challenge = peer.expect("SIP/2.0 401 ").header("WWW-Authenticate")
            proof = f"Authorization: {_digest(challenge, user, 'REGISTER', request.split()[1])}"
            peer.send(request.replace("CSeq: 1 ", "CSeq: 2 ").replace("Max-Forwards", f"{proof}\r\nMax-Forwards"))
            peer.expect("SIP/2.0 200 ")

    def wait_for_contacts(self, user: str, count: int = 1) -> None:
        """Wait until `user` has registered so many different contacts since the last start."""
        deadline = time.monotonic() + REGISTER_S
        wanted = re.compile(rf"registered {re.escape(user)} (.*)$", re.MULTILINE)
        while len(set(wanted.findall(self.log()[self._began :]))) < count:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def passed(self, method: str) -> list[Passed]:
        """The requests of that method that have come so far, retransmissions too."""
        return [
            Passed(method=found[1], port=int(found[3]), uri=found[4], within=found[5] != "<null>")
            for found in _PASSED.finditer(self.log())
            if found[1] == method
        ]

    def log(self) -> str:
        return self._log.read_text(errors="replace")


def _digest(challenge: str, user: str, method: str, uri: str) -> str:
    """The answer to a challenge (RFC 2617 section 3.2.2), without qop."""
    (nonce,) = re.findall('nonce="([^"]*)"', challenge)
    secret, what = f"{user}:{ADDRESS}:{PASSWORD}", f"{method}:{uri}"
    response = _md5(f"{_md5(secret)}:{nonce}:{_md5(what)}")
    return f'Digest username="{user}", realm="{ADDRESS}", nonce="{nonce}", uri="{uri}", response="{response}"'


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
