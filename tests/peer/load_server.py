"""A SIP server to be loaded that is no FlexML engine: SIPp answers, and a socket of ours plays back what it hears."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Final

from ports import free_block, free_port
from uas import receive, respond_within

WAIT_S: Final = 0.05

_OK: Final = (
    '<send retrans="500"><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]uas[call_number]\n'
    "[last_Call-ID:]\n[last_CSeq:]\nContact: <sip:[local_ip]:[local_port]>\nContent-Type: application/sdp\n"
    "Content-Length: [len]\n\nv=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio [echo_port] RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n]]></send>\n"
)
_UNAUTHORIZED: Final = (
    "<send><![CDATA[\nSIP/2.0 401 Unauthorized\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]ch[call_number]\n"
    '[last_Call-ID:]\n[last_CSeq:]\nWWW-Authenticate: Digest realm="here", nonce="abc{nonce}", algorithm=MD5\n'
    "Content-Length: 0\n\n]]></send>\n"
).replace("{nonce}", "[call_number]")
_SIGNED: Final = (
    '<recv request="INVITE"><action><ereg regexp="username=.alice.*response=.[0-9a-f]{32}" search_in="hdr" '
    'header="Authorization:" check_it="true" assign_to="signed"/><log message="[$signed]"/></action></recv>\n'
)
_KEEP: Final = (
    '<recv request="INVITE" rrs="true"><action>'
    '<ereg regexp="[^ ].*" search_in="hdr" header="From:" assign_to="caller"/>'
    '<ereg regexp="[^ ].*" search_in="hdr" header="To:" assign_to="called"/></action></recv>\n'
)
_AGAIN: Final = (
    "<send{retrans}><![CDATA[\n{method} [next_url] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n"
    "From:[$called];tag=[pid]uas[call_number]\nTo:[$caller]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n"
    "Contact: <sip:[local_ip]:[local_port]>\nMax-Forwards: 70\n{body}]]></send>\n"
)
_OFFER: Final = (
    "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\n"
    "c=IN IP4 127.0.0.1\nt=0 0\nm=audio [second_port] RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"
)


def _request(method: str, cseq: int, body: str = "Content-Length: 0\n\n") -> str:
    retrans = "" if method == "ACK" else ' retrans="500"'
    return _AGAIN.format(method=method, cseq=cseq, body=body, retrans=retrans)


TALK: Final = receive("INVITE") + _OK + receive("ACK") + receive("BYE") + respond_within(200, "OK")
ASK_WHO: Final = receive("INVITE") + _UNAUTHORIZED + receive("ACK") + _SIGNED + _OK + receive("ACK")
CHALLENGE: Final = ASK_WHO + receive("BYE") + respond_within(200, "OK")
REINVITE: Final = (
    _KEEP + _OK + receive("ACK") + '<pause milliseconds="1500"/>\n'
    + _request("INVITE", 1, _OFFER) + '<recv response="200"/>\n' + _request("ACK", 1)
    + receive("BYE") + respond_within(200, "OK")
)  # fmt: skip
HANG_UP: Final = (
    _KEEP + _OK + receive("ACK") + '<pause milliseconds="1000"/>\n' + _request("BYE", 1) + '<recv response="200"/>\n'
)


class EchoSocket:
    """Plays every caller's packets back, numbered anew; of each `skip` of a caller's, one is left out."""

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(WAIT_S)
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port: int = self._socket.getsockname()[1]
        self.heard: dict[int, int] = {}  # packets by the caller's port

    def __enter__(self) -> EchoSocket:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ending:
            try:
                octets, source = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            number = self.heard[source[1]] = self.heard.get(source[1], 0) + 1
            if not self._skip or number % self._skip:
                self._socket.sendto(octets[:2] + (number & 0xFFFF).to_bytes(2, "big") + octets[4:], source)


class LoadServer:
    """SIPp that plays `steps` for every caller."""

    def __init__(self, folder: Path, steps: str, echo: EchoSocket, second: EchoSocket | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.port = free_port()
        (folder / "uas.xml").write_text(f'<?xml version="1.0"?>\n<scenario name="loaded">\n{steps}</scenario>\n')
        self._command = [
            "sipp", "-sf", "uas.xml", "-i", "127.0.0.1", "-p", str(self.port), "-mi", "127.0.0.1",
            "-mp", str(free_block(4)), "-nostdin", "-trace_err", "-error_file", "errors.log",
            "-trace_logs", "-log_file", "logs.log",
            "-key", "echo_port", str(echo.port), "-key", "second_port", str((second or echo).port),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> str:
        return f"sip:echo@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def written(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> LoadServer:
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
