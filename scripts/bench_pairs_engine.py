"""Many calls at once to the whole engine, each of which it connects with a party of its own and records.

Called by `bench_pairs.py --engine`. Callers and parties are two UDP sockets that know as much SIP as they need
(RFC 3261), and `voices` for their audio. The application's document is a Dial that records both sides; every recording
is fetched by the URL that its callback names.
"""

from __future__ import annotations

import io
import re
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import soundfile
from bench_media import HERE
from flexml.engine.load.processes import cpu_s, steal_s
from pair_recordings import Checked, check, summary
from voices import Voices

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "peer"))

from engine_process import EngineProcess
from flexml_app import Answer, Application, Line, Received

NUMBER: Final = "15550001000"
FIRST_CALLER: Final = 15165550000
BETWEEN_CALLS_S: Final = 0.04
SET_UP_S: Final = 30.0
SETTLE_S: Final = 6.0
STORED_S: Final = 60.0
DOCUMENT: Final = '<Dial record="record-from-answer" recordingStatusCallback="told">sip:{pair}@{here}:{port}</Dial>'


class Signalling:
    """Both ends of every call: callers ask for the audio of voices 2n, parties answer for voices 2n + 1.

    `answered` and `hung_up` are when the caller of a pair had its 200, and sent its BYE; `refused` its final status.
    """

    def __init__(self, target: str, voices: Voices, pairs: int) -> None:
        host, _, port = target.rpartition(":")
        self._target, self._voices, self._pairs = (host, int(port)), voices, pairs
        self._callers, self._parties = _socket(), _socket()
        self.answered: dict[int, float] = {}
        self.hung_up: dict[int, float] = {}
        self.refused: dict[int, int] = {}
        self._answers: dict[int, str] = {}

    @property
    def port(self) -> int:
        """Where the parties are."""
        return int(self._parties.getsockname()[1])

    def invite(self, pair: int) -> None:
        """Let the caller of `pair` call."""
        self._send("INVITE", pair, 1, _description(self._voices.port(2 * pair)))

    def hang_up(self, pair: int) -> None:
        """Let the caller of `pair` hang up."""
        self.hung_up[pair] = time.time()
        self._send("BYE", pair, 2)

    def take(self) -> None:
        """Answer what has come."""
        while (message := _received(self._callers)) is not None:
            self._take_at_caller(message)
        while (message := _received(self._parties)) is not None:
            self._take_at_party(message)

    def _take_at_caller(self, message: str) -> None:
        if message.startswith("BYE "):
            self._callers.sendto(_response(message, "200 OK").encode(), self._target)
        elif message.startswith("SIP/2.0 ") and message[8] != "1" and _header(message, "CSeq") == "1 INVITE":
            pair, status = int(_header(message, "Call-ID")), int(message[8:11])
            if status != 200:
                self.refused[pair] = status
                return
            self._answers[pair] = message
            self._send("ACK", pair, 1)
            self.answered.setdefault(pair, time.time())
            self._voices.aim(2 * pair, _media_port(message))

    def _take_at_party(self, message: str) -> None:
        if message.startswith("INVITE "):
            pair = int(message[len("INVITE sip:") :].partition("@")[0])
            self._voices.aim(2 * pair + 1, _media_port(message))
            body = _description(self._voices.port(2 * pair + 1))
            self._parties.sendto(_response(message, "200 OK", self._at(self._parties), body).encode(), self._target)
        elif message.startswith("BYE "):
            self._parties.sendto(_response(message, "200 OK").encode(), self._target)

    def _send(self, method: str, pair: int, cseq: int, body: str = "") -> None:
        """A request of a caller; within the dialog once it is answered. The Call-ID is the pair's number."""
        answer = self._answers.get(pair, "")
        me = f"sip:{FIRST_CALLER + pair}@{self._at(self._callers)}"
        uri = f"sip:{NUMBER}@{self._target[0]}:{self._target[1]}"
        contact = re.search(r"<([^>]*)>", _header(answer, "Contact"))
        lines = [
            f"{method} {contact[1] if contact else uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._at(self._callers)};branch=z9hG4bK-{pair}-{method}",
            f"From: <{me}>;tag=caller{pair}",
            f"To: {_header(answer, 'To') or f'<{uri}>'}",
            f"Call-ID: {pair}",
            f"CSeq: {cseq} {method}",
            f"Contact: <{me}>",
            "Max-Forwards: 70",
        ]
        self._callers.sendto(_message(lines, body).encode(), self._target)

    def _at(self, end: socket.socket) -> str:
        return f"{HERE}:{end.getsockname()[1]}"


def measure(pairs: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Let all callers talk with their parties for `seconds`; return the figures."""
    voices = Voices(2 * pairs)
    with Application() as application:
        line = Line(NUMBER, application)
        engine = EngineProcess(folder, {NUMBER: application.url(line.path())}, legs=2 * pairs + 20)
        signalling = Signalling(engine.target, voices, pairs)
        line.serve(lambda asked: DOCUMENT.format(pair=pair_of(asked), here=HERE, port=signalling.port))
        for at in ("told", "status"):
            line.serve(Answer(status=204), at=at)
        engine.start()
        try:
            figures = _talk(engine, voices, signalling, pairs, seconds)
            told = _until_told(line, voices, signalling, pairs)
            checked = _checked(voices, told)
        finally:
            engine.stop()
    return {
        "pairs": pairs,
        "calls_failed": pairs - len(signalling.answered),
        **summary(list(checked.values()), pairs),
        "begins_after_answer_ms_most": _most(checked, lambda pair, one: one.begins - signalling.answered[pair]),
        "ends_after_bye_ms_most": _most(checked, lambda pair, one: one.ends - signalling.hung_up[pair]),
        "durations_told_wrong": sum(
            one.data["RecordingDuration"] != round(checked[pair_of(one)].lasts) for one in told
        ),
        **figures,
        "voices_late_ms_most": round(1000 * voices.late_s, 1),
    }


def pair_of(asked: Received) -> int:
    """Return whose request it is."""
    return int(str(asked.data["From"])) - FIRST_CALLER


def _talk(engine: EngineProcess, voices: Voices, signalling: Signalling, pairs: int, seconds: float) -> dict[str, Any]:
    """Call, talk, hang up; what it cost while all talked, in percent of one core."""
    for pair in range(pairs):
        signalling.invite(pair)
        voices.run(BETWEEN_CALLS_S, signalling.take)
    deadline = time.time() + SET_UP_S
    while len(signalling.answered) + len(signalling.refused) < pairs and time.time() < deadline:
        voices.run(0.1, signalling.take)
    voices.run(SETTLE_S, signalling.take)
    control, worker = engine.pids[:2]
    before, stolen = (cpu_s(control), cpu_s(worker)), steal_s()
    voices.run(seconds, signalling.take)
    used = cpu_s(control) - before[0], cpu_s(worker) - before[1]
    stolen = steal_s() - stolen
    for pair in signalling.answered:
        signalling.hang_up(pair)
        voices.run(0.001, signalling.take)
    return {
        "stolen_percent": round(100 * stolen / seconds, 1),
        "cpu_percent": {"control": round(100 * used[0] / seconds, 1), "worker": round(100 * used[1] / seconds, 1)},
    }


def _until_told(line: Line, voices: Voices, signalling: Signalling, pairs: int) -> list[Received]:
    """What the callbacks say of the recordings, once all have come or it takes too long."""
    deadline = time.time() + STORED_S
    while len(line.requests("told")) < pairs and time.time() < deadline:
        voices.run(0.2, signalling.take)
    return [one for one in line.requests("told") if one.data["RecordingStatus"] == "completed"]


def _checked(voices: Voices, told: list[Received]) -> dict[int, Checked]:
    """Every recording, by its pair."""
    checked: dict[int, Checked] = {}
    for one in told:
        with urllib.request.urlopen(str(one.data["RecordingUrl"]), timeout=10) as response:
            samples, _ = soundfile.read(io.BytesIO(response.read()), dtype="int16")
        checked[pair_of(one)] = check(voices, pair_of(one), samples)
    return checked


def _is_wrong(told: Received, checked: dict[int, Checked]) -> bool:
    """Whether a callback tells another duration than that of its recording, in whole seconds."""
    return abs(float(str(told.data["RecordingDuration"])) - checked[pair_of(told)].lasts) > 0.51


def _most(checked: dict[int, Checked], late_s: Callable[[int, Checked], float]) -> float:
    return round(1000 * max((late_s(pair, one) for pair, one in checked.items()), key=abs, default=0.0), 1)


# ---- SIP ----------------------------------------------------------------------------------------------------------


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.bind((HERE, 0))
    made.setblocking(False)
    return made


def _received(end: socket.socket) -> str | None:
    try:
        return end.recv(65536).decode(errors="replace")
    except BlockingIOError:
        return None


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _media_port(text: str) -> int:
    found = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"no audio in:\n{text}")
    return int(found[1])


def _message(lines: list[str], body: str) -> str:
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, *kind, f"Content-Length: {len(body)}", "", body])


def _response(request: str, status: str, at: str = "", body: str = "") -> str:
    """A response with no more than RFC 3261 section 8.2.6.2 asks for; `at` is the Contact of one to INVITE."""
    copied = [f"{name}: {_header(request, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    to = _header(request, "To")
    tagged = to if ";tag=" in to else f"{to};tag=party"
    contact = [f"Contact: <sip:{at}>"] if at else []
    return _message([f"SIP/2.0 {status}", *copied, f"To: {tagged}", *contact], body)


def _description(port: int) -> str:
    lines = ["v=0", f"o=- 1 1 IN IP4 {HERE}", "s=-", f"c=IN IP4 {HERE}", "t=0 0", f"m=audio {port} RTP/AVP 0", ""]
    return "\r\n".join(lines)
