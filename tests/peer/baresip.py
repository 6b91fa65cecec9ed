"""baresip as a peer: a softphone with one WAV file for a microphone and another for a loudspeaker."""

import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from engine_process import free_port
from flexml_app import tone, wav

MODULES: Final = Path("/usr/lib/baresip/modules")
START_S: Final = 10.0
_CONFIG: Final = """\
sip_listen 127.0.0.1:{sip}
net_interface 127.0.0.1
snd_path {folder}
audio_source aufile,{said}
audio_channels 1-2
rtp_ports {rtp}-{rtp_last}
ctrl_tcp_listen 127.0.0.1:{control}
module_path {modules}
module g711.so
module auconv.so
module auresamp.so
module aufile.so
module sndfile.so
module srtp.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
"""


def free_sip_port() -> int:
    """A port that is free for UDP and for TCP: baresip takes both, or does not start."""
    for _ in range(100):
        port = free_port(socket.SOCK_STREAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free for both UDP and TCP")


class Baresip:
    """One softphone process, told what to do over its control socket."""

    def __init__(self, folder: Path, *, tone_hz: int = 700, media_encryption: str = "") -> None:
        """`media_encryption` is baresip's word: srtp-mand for SDES-SRTP or no call."""
        said = folder / "said.wav"
        said.write_bytes(wav(tone(tone_hz, 30.0)))
        self._folder = folder
        self._control_port = free_port(socket.SOCK_STREAM)
        rtp = free_port() & ~1
        config = _CONFIG.format(
            sip=free_sip_port(), folder=folder, said=said, rtp=rtp, rtp_last=rtp + 20,
            control=self._control_port, modules=MODULES,
        )  # fmt: skip
        present = [line for line in config.splitlines() if not line.startswith("module") or self._installed(line)]
        (folder / "config").write_text("\n".join(present) + "\n")
        account = "<sip:15162065338@127.0.0.1>;regint=0;audio_codecs=PCMU;dtmfmode=rtpevent;catchall=yes"
        account += f";mediaenc={media_encryption}\n" if media_encryption else "\n"
        (folder / "accounts").write_text(account)
        (folder / "contacts").write_text("")

    def __enter__(self) -> "Baresip":
        with (self._folder / "baresip.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["baresip", "-f", self._folder], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._control = self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self._process.terminate()
        self._process.wait(10)

    def dial(self, uri: str) -> None:
        self._command("dial", uri)

    def hang_up(self) -> None:
        self._command("hangup")

    def press(self, digits: str) -> None:
        """Press keys one after another."""
        for digit in digits:
            self._command("sndcode", digit)

    def wait_for(self, kind: str, timeout_s: float = 15.0) -> dict[str, object]:
        """The next event of that type (`CALL_ESTABLISHED`, `CALL_CLOSED`, ...)."""
        deadline = time.monotonic() + timeout_s
        seen: list[str] = []
        while (left := deadline - time.monotonic()) > 0:
            self._control.settimeout(left)
            message = self._read()
            if message.get("type") == kind:
                return message
            seen.append(str(message.get("type") or message))
        raise AssertionError(f"no {kind} from baresip within {timeout_s:.0f} s, only {seen}\n{self.log()}")

    def heard(self) -> Path:
        """The WAV file of what the last call was decoded to."""
        return max(self._folder.glob("dump-*-dec.wav"))

    def log(self) -> str:
        return (self._folder / "baresip.log").read_text(errors="replace")

    def _installed(self, line: str) -> bool:
        kind, name = line.split()
        return kind == "module_path" or (MODULES / name).exists()

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + START_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self._control_port), timeout=1)
            except OSError:
                try:
                    self._process.wait(0.1)
                except subprocess.TimeoutExpired:
                    if time.monotonic() < deadline:
                        continue
                raise AssertionError(f"baresip did not start:\n{self.log()}") from None

    def _command(self, command: str, params: str = "") -> None:
        text = json.dumps({"command": command, "params": params}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))

    def _read(self) -> dict[str, object]:
        """One netstring of JSON."""
        length = b""
        while (octet := self._exactly(1)) != b":":
            length += octet
        body = self._exactly(int(length) + 1)[:-1]
        return json.loads(body)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self._control.recv(count - len(data))
            except TimeoutError:
                raise AssertionError(f"baresip said nothing more:\n{self.log()}") from None
            assert part, f"baresip closed its control socket:\n{self.log()}"
            data += part
        return data
