"""What a load run is to do, as the command line has it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ..errors import LoadError

SETTLE_S: Final = 2.0
"""From when the last call should be up to when things begin to count."""

SPARE_S: Final = 1.0
"""By which calls outlast what counts."""

SIP_PORT: Final = 5060
KEYS: Final = frozenset("0123456789*#ABCDabcd")
SOUNDS: Final = ("silence", "noise", "speech", "nothing")

_TARGET: Final = re.compile(r"(?:sip:)?([^@:\s\[\]<>;?]+)@([^:@\s\[\]<>;?]+)(?::(\d{1,5}))?")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9.!%*_+`'~-]*")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to call: a number at a server."""

    number: str
    host: str
    port: int = SIP_PORT

    def __str__(self) -> str:
        return f"sip:{self.number}@{self.host}:{self.port}"


def target(text: str) -> Target:
    """Read `sip:NUMBER@HOST:PORT`. Raises LoadError."""
    match = _TARGET.fullmatch(text)
    if match is None or not 0 < int(match[3] or SIP_PORT) < 65536:
        raise LoadError(f"found {text!r}, expected sip:NUMBER@HOST or sip:NUMBER@HOST:PORT")
    return Target(number=match[1], host=match[2], port=int(match[3] or SIP_PORT))


def header(text: str) -> tuple[str, str]:
    """Read `NAME=VALUE`, a header of the INVITE. Raises LoadError."""
    name, equals, value = text.partition("=")
    if not (equals and _HEADER.fullmatch(name) and value.isprintable() and "]]>" not in value):
        raise LoadError(f"found {text!r}, expected NAME=VALUE")
    return name, value


def credential(text: str) -> str:
    """Check a user's name or password, which SIPp reads as words between brackets. Raises LoadError."""
    if any(char in '[]=<>"' or char.isspace() for char in text):
        raise LoadError('found one of []=<>", or a space, which SIPp cannot take')
    return text


def keys(text: str) -> str:
    """Check keys to be pressed. Raises LoadError."""
    if strange := [key for key in text if key not in KEYS]:
        raise LoadError(f"found {strange[0]!r}, expected keys: 0 to 9, *, #, A to D")
    return text


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """A run. `hold_s` is None where all calls are held throughout, else how long each of ever new calls is held.

    `calls` are held at once at most; `sends` is one of SOUNDS or the path of an audio file.
    """

    target: Target
    calls: int = 10
    rate: float = 10.0
    hold_s: float | None = None
    duration_s: float = 30.0
    codec: Literal["PCMU", "PCMA"] = "PCMU"
    sends: str = "silence"
    digits: str = ""
    echo: bool = False
    first_port: int = 34000
    headers: tuple[tuple[str, str], ...] = ()
    user: str = ""
    password: str = ""
    transport: Literal["udp", "tcp"] = "udp"
    address: str = "127.0.0.1"
    core: int | None = None
    server_pids: tuple[int, ...] = ()
    sound_path: Path | None = None

    @property
    def churns(self) -> bool:
        """Whether calls come and go, instead of all being held throughout."""
        return self.hold_s is not None

    @property
    def ramp_s(self) -> float:
        """How long it takes to place the calls that are held."""
        return self.calls / self.rate

    @property
    def call_s(self) -> float:
        """How long each call lasts, from its answer."""
        return self.ramp_s + SETTLE_S + self.duration_s + SPARE_S if self.hold_s is None else self.hold_s

    @property
    def total_calls(self) -> int:
        """How many are placed over the run."""
        return max(1, math.floor(self.rate * self.duration_s)) if self.churns else self.calls

    @property
    def streams(self) -> int:
        """How many RTP ports: where calls come and go each gets one that has rested for a while."""
        return min(self.total_calls, 2 * self.calls + 16) if self.churns else self.calls
