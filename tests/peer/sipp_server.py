"""SIPp as the far end: it waits for requests on a port of its own and answers them by a scenario."""

import itertools
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from sipp import Message
from sipp import messages as read_messages

START_S: Final = 10.0
STOP_S: Final = 5.0
_labels: Final = itertools.count(1)

_ANSWER: Final = """\
<send><![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
{headers}Content-Length: [len]

{body}]]></send>
"""
CONTACT: Final = "Contact: <sip:carrier@[local_ip]:[local_port];transport=[transport]>\n"


def take(method: str, *, auth: tuple[str, str] | None = None) -> str:
    """Expect a request; with `auth` (username, password) the scenario fails where its digest is not right."""
    if auth is None:
        return f'<recv request="{method}"/>\n'
    username, password = auth
    label = f"right{next(_labels)}"
    return (
        f'<recv request="{method}"><action>'
        f'<verifyauth assign_to="right" username="{username}" password="{password}"/></action></recv>\n'
        f'<nop hide="true" test="right" next="{label}"/>\n'
        f'{answer("403 Forbidden")}<nop><action><error message="wrong digest"/></action></nop>\n<label id="{label}"/>\n'
    )


def answer(status: str, *, headers: str = "", body: str = "", tag: bool = True) -> str:
    """Send a response to the last request; `status` with its reason."""
    kind = "Content-Type: application/sdp\n" if body else ""
    mark = ";tag=[pid]carrier[call_number]" if tag else ""
    return _ANSWER.format(status=status, headers=headers + kind, body=body, tag=mark)


CHALLENGE: Final = answer(
    "401 Unauthorized",
    headers='WWW-Authenticate: Digest realm="carrier", nonce="4cd7f2a1", qop="auth", algorithm=MD5\n',
)


class SippServer:
    """Runs `steps` for each new Call-ID, `calls` times at most, until the block is left."""

    def __init__(self, folder: Path, port: int, steps: str, *, calls: int = 1000, tcp: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._errors = folder / "messages.log", folder / "errors.log"
        scenario = folder / "scenario.xml"
        scenario.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="carrier">\n{steps}</scenario>\n')
        self._command = [
            "sipp", "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-m", str(calls), "-nostdin",
            "-trace_msg", "-message_file", str(self._log), "-trace_err", "-error_file", str(self._errors),
            "-t", "t1" if tcp else "u1",
        ]  # fmt: skip
        self._folder, self._port, self._tcp = folder, port, tcp
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "SippServer":
        for old in (self._log, self._errors):
            old.unlink(missing_ok=True)
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + START_S
        while not self._is_bound():  # by TCP nothing is sent again to who does not listen yet
            assert self._process.poll() is None, f"SIPp ended at once:\n{self.errors}"
            assert time.monotonic() < deadline, "SIPp does not listen"
            time.sleep(0.01)
        return self

    def _is_bound(self) -> bool:
        """Whether somebody has the port; for TCP, listens on it (state 0A of proc(5))."""
        where = f":{self._port:04X}"
        rows = Path("/proc/net/tcp" if self._tcp else "/proc/net/udp").read_text().splitlines()[1:]
        return any(row.split()[1].endswith(where) and (not self._tcp or row.split()[3] == "0A") for row in rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)

    def finish(self, within_s: float) -> None:
        """Wait until all calls have been; fails where one did not go by the scenario."""
        assert self._process is not None
        status = self._process.wait(within_s)
        assert status == 0, f"SIPp ended with {status}:\n{self.errors}"

    @property
    def messages(self) -> tuple[Message, ...]:
        """What has been said so far."""
        return read_messages(self._log.read_text(errors="replace") if self._log.exists() else "")

    @property
    def errors(self) -> str:
        """What went otherwise than in the scenario."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def requests(self, method: str) -> list[Message]:
        """The requests received so far."""
        return [message for message in self.messages if not message.sent and message.start.startswith(f"{method} ")]
