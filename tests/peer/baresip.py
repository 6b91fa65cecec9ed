"""baresip as a peer: a softphone with one WAV file for a microphone and another for a loudspeaker.

It calls, and it can be called: straight at its port, by TLS at the next one, or by a registrar that it registers at.
"""

import json
import socket
import subprocess
import time
import wave
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from flexml_app import tone, wav
from g711 import Samples
from hearing import RATE_HZ
from ports import free_block, free_port, free_sip_port

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


class Baresip:
    """One softphone process, told what to do over its control socket."""

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "15162065338",
        registrar: str = "",
        password: str = "",
        tone_hz: int = 700,
        media_encryption: str = "",
        certificate: Path | None = None,
        authorities: Path | None = None,
        answers: bool = False,
    ) -> None:
        """`media_encryption` is baresip's word: srtp-mand for SDES-SRTP or no call.

        Registers as `user` at `registrar` (host:port). `certificate` (PEM, with its key) is what it proves by TLS who
        it is, `authorities` whom it trusts; `answers` is whether it takes calls by itself.
        """
        folder.mkdir(exist_ok=True)
        said = folder / "said.wav"
        said.write_bytes(wav(tone(tone_hz, 30.0)))
        self._folder = folder
        self._control_port = free_port(socket.SOCK_STREAM)
        rtp = free_block(21)
        self.user, self.sip_port = user, free_sip_port()
        config = _CONFIG.format(
            sip=self.sip_port, folder=folder, said=said, rtp=rtp, rtp_last=rtp + 20,
            control=self._control_port, modules=MODULES,
        )  # fmt: skip
        present = [line for line in config.splitlines() if not line.startswith("module") or self._installed(line)]
        present += [f"sip_certificate {certificate}"] if certificate else []
        present += [f"sip_cafile {authorities}"] if authorities else []
        (folder / "config").write_text("\n".join(present) + "\n")
        account = [
            f"<sip:{user}@{registrar or '127.0.0.1'}>",
            f"regint={300 if registrar else 0}",
            f"answermode={'auto' if answers else 'manual'}",
            "audio_codecs=PCMU;dtmfmode=rtpevent;catchall=yes",
            *([f"auth_pass={password}"] if password else []),
            *([f"mediaenc={media_encryption}"] if media_encryption else []),
        ]
        (folder / "accounts").write_text(";".join(account) + "\n")
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

    @property
    def uri(self) -> str:
        """Where it is called straight."""
        return f"sip:{self.user}@127.0.0.1:{self.sip_port}"

    @property
    def tls_uri(self) -> str:
        """The same by TLS, where it has a certificate."""
        return f"sip:{self.user}@127.0.0.1:{self.sip_port + 1};transport=tls"

    def dial(self, uri: str) -> None:
        self._command("dial", uri)

    def accept(self) -> None:
        """Take the call that rings."""
        self._command("accept")

    def hold(self) -> None:
        """Put the call on hold, by re-INVITE; `resume` takes it back."""
        self._command("hold")

    def resume(self) -> None:
        self._command("resume")

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

    def audio(self) -> Samples:
        """The same as samples in -1..1, 8000 a second. The file is whole a moment after CALL_CLOSED."""
        deadline = time.monotonic() + 2.0
        while True:
            try:
                with wave.open(str(self.heard())) as heard:
                    assert heard.getframerate() == RATE_HZ
                    samples = np.frombuffer(heard.readframes(heard.getnframes()), np.int16)
                    return samples[:: heard.getnchannels()] / 32768
            except (EOFError, wave.Error):
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)

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
