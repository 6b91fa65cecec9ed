"""SIPp: how it is started, and what it says: by the lines of its scenario, of its errors and of its statistics."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import LoadError, SdpError
from ..sip import sdp
from .plan import LoadPlan
from .scenario import ANSWER_MS

ADVICE: Final = (
    "SIPp signals the calls, and is not installed. On Debian or Ubuntu: apt-get install sip-tester; elsewhere it is "
    "usually called sipp, and its source is at https://sipp.readthedocs.io"
)
LINGER_S: Final = 40.0
"""More time for the last calls than they should need, before SIPp is told to end."""

_TIME: Final = r"\d+\.\d+ \d+\.\d+"
_LINE: Final = re.compile(
    rf"up (?P<up>\d+) (?P<call>\d+) (?P<begun>{_TIME}) (?P<answered>{_TIME}) (?P<answer>.*?) :end\n"
    r"|aim (?P<aim>\d+) (?P<offer>.*?) :end\n|down (?P<down>\d+) (?P<by>us|server) (?P<over>"
    rf"{_TIME})\n",
    re.DOTALL,
)
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\d\t[\d:.]+\t[\d.]+: ")
_CALL: Final = re.compile(r"Call-I[dD]:? '?(\d+)-")
_REFUSED: Final = re.compile(r"received 'SIP/2\.0 (\d{3}) ?([^\r\n]*)")
_ABORTED: Final = re.compile(
    r"Aborting call|Continuing call on unexpected|Timeout exceeded|retransmission|timeout on message", re.IGNORECASE
)
_OUR_TICK: Final = re.compile(r"jumping to label")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """SIPp's call number `call` was answered. Times in ns since 1970; `host` is empty where no media is wanted."""

    local_port: int
    call: int
    begun_ns: int
    answered_ns: int
    host: str
    port: int

    @property
    def answer_ms(self) -> float:
        """From the INVITE to its answer."""
        return (self.answered_ns - self.begun_ns) / 1e6


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The server wants media elsewhere from now on."""

    local_port: int
    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Over:
    """A call is over, by our BYE or the server's, since `at_ns`."""

    local_port: int
    at_ns: int
    by_server: bool


@dataclass
class LogReader:
    """Reads what the scenario writes down, as it comes."""

    _text: str = ""

    def feed(self, octets: bytes) -> Iterator[Answered | Moved | Over]:
        """Return what more there is to know."""
        self._text += octets.decode("utf-8", "replace")
        end = 0
        for match in _LINE.finditer(self._text):
            end = match.end()
            if match["down"]:
                yield Over(
                    local_port=int(match["down"]), at_ns=_nanoseconds(match["over"]), by_server=match["by"] == "server"
                )
            elif match["aim"]:
                host, port = media_address(match["offer"])
                yield Moved(local_port=int(match["aim"]), host=host, port=port)
            else:
                host, port = media_address(match["answer"])
                yield Answered(
                    local_port=int(match["up"]),
                    call=int(match["call"]),
                    begun_ns=_nanoseconds(match["begun"]),
                    answered_ns=_nanoseconds(match["answered"]),
                    host=host,
                    port=port,
                )
        self._text = self._text[end:]


def _nanoseconds(text: str) -> int:
    seconds, microseconds = text.split()
    return int(float(seconds)) * 1_000_000_000 + int(float(microseconds)) * 1000


def media_address(message: str) -> tuple[str, int]:
    """Return where the description in a SIP `message` wants media; an empty host where it does not want any."""
    body = message.replace("\r\n", "\n").partition("\n\n")[2]
    try:
        session = sdp.parse(body)
    except SdpError:
        return "", 0
    for media in session.media:
        if media.kind == "audio" and media.port:
            return media.address or session.address, media.port
    return "", 0


@dataclass
class ErrorReader:
    """Reads SIPp's errors: which calls failed, and why."""

    reasons: dict[str, int] = field(default_factory=dict[str, int])
    _text: str = ""

    def feed(self, octets: bytes) -> list[int]:
        """Take what came; return the numbers of calls that SIPp gave up.

        Errors have no end: one is known to be whole when the next begins, or by `finish`.
        """
        *whole, self._text = _STAMP.split(self._text + octets.decode("utf-8", "replace"))
        return [call for error in whole for call in self._take(error)]

    def finish(self) -> list[int]:
        """Take the last as whole."""
        text, self._text = self._text, ""
        return self._take(text)

    def _take(self, error: str) -> list[int]:
        if _OUR_TICK.search(error) or not _ABORTED.search(error):
            return []
        reason = _reason(error)
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        call = _CALL.search(error)
        return [int(call[1])] if call else []


def _reason(error: str) -> str:
    refused = _REFUSED.search(error)
    if refused:
        return f"{refused[1]} {refused[2]}".strip()
    if "retransmission" in error.lower():
        return "no answer to what was sent again and again"
    if "timeout" in error.lower():
        return f"nothing came in time ({ANSWER_MS // 1000} s for an answer)"
    return error.strip().splitlines()[0][:120]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The counts of the last line of SIPp's statistics."""

    created: int = 0
    successful: int = 0
    failed: int = 0
    retransmissions: int = 0
    rate: float = 0.0  # of calls a second, since the beginning


def statistics(text: str) -> Statistics:
    """Read a file of -trace_stat: a line of names, then lines of values, the last one being the sum of all."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return Statistics()
    row = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    return Statistics(
        created=int(row.get("TotalCallCreated", 0)),
        successful=int(row.get("SuccessfulCall(C)", 0)),
        failed=int(row.get("FailedCall(C)", 0)),
        retransmissions=int(row.get("Retransmissions(C)", 0)),
        rate=float(row.get("CallRate(C)", 0)),
    )


@dataclass(frozen=True)
class Files:
    """What lies in the directory of a run."""

    folder: Path

    @property
    def scenario(self) -> Path:
        """The XML."""
        return self.folder / "load.xml"

    @property
    def ports(self) -> Path:
        """Our RTP ports, one line a call."""
        return self.folder / "ports.csv"

    @property
    def log(self) -> Path:
        """A pipe of what the scenario writes down."""
        return self.folder / "log"

    @property
    def errors(self) -> Path:
        """A pipe of errors."""
        return self.folder / "errors"

    @property
    def statistics(self) -> Path:
        """Counts, one line a second."""
        return self.folder / "statistics.csv"


def ports_csv(ports: list[int]) -> str:
    """Return what -inf reads: each call takes the next line, and the first again after the last."""
    return "SEQUENTIAL\n" + "".join(f"{port};\n" for port in ports)


def program() -> str:
    """Return where SIPp is. Raises LoadError where it is not."""
    found = shutil.which("sipp")
    if found is None:
        raise LoadError(ADVICE)
    return found


def command(plan: LoadPlan, files: Files, echo_port: int) -> list[str]:
    """Return SIPp's command line; `echo_port` is for media of its own, which it opens and never uses."""
    whole = plan.rate == round(plan.rate)
    rate, period_ms = (round(plan.rate), 1000) if whole else (1, round(1000 / plan.rate))
    limit_s = plan.total_calls / plan.rate + plan.call_s + ANSWER_MS / 1000 + LINGER_S
    return [
        program(), f"{plan.target.host}:{plan.target.port}", "-s", plan.target.number,
        "-sf", str(files.scenario), "-inf", str(files.ports),
        "-i", plan.address, "-mi", plan.address, "-mp", str(echo_port), "-t", "t1" if plan.transport == "tcp" else "u1",
        "-m", str(plan.total_calls), "-l", str(plan.calls), "-r", str(rate), "-rp", str(period_ms),
        "-nostdin", "-aa", "-timeout", f"{round(limit_s)}s", "-timer_resol", "1",
        "-trace_logs", "-log_file", str(files.log), "-trace_err", "-error_file", str(files.errors),
        "-trace_stat", "-stf", str(files.statistics), "-fd", "1",
    ]  # fmt: skip
