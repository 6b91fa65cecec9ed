"""Session descriptions as text and as data (RFC 8866), as far as SIP telephony uses them.

The reader takes what real peers send: bare LF, blank lines, missing `s=` or `t=`, letters it does not know.
What it does read it reads strictly, since refused media lines go back to the peer word by word. Nothing here
decides anything; that is `negotiation`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..errors import SdpError
from .addresses import ip_address
from .crypto import without_keys

_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_MEDIA: Final = re.compile(r"([!-~]+) +([0-9]{1,5})(?:/[0-9]{1,5})? +([!-~]+)((?: +[!-~]+)+) *")
_CONNECTION: Final = re.compile(r"IN +(IP4|IP6) +([!-~]+) *", re.IGNORECASE)
_TIME: Final = re.compile(r"[0-9]{1,20} [0-9]{1,20}")
_PORT_RANGE: Final = range(65536)


class Attribute(msgspec.Struct, frozen=True):
    """One `a=` line; `value` is empty for a property such as `sendonly`."""

    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"a={self.name}:{self.value}" if self.value else f"a={self.name}"


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """One `m=` section. `address` is that of its own `c=` line, empty where it has none; port 0 is refused."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    address: str = ""
    attributes: tuple[Attribute, ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of the attribute `name`, in order."""
        return tuple([attribute.value for attribute in self.attributes if attribute.name == name])

    def lines(self) -> list[str]:
        """The section as lines, without a `c=` line where `address` is empty."""
        connection = [f"c={connection_data(self.address)}"] if self.address else []
        return [
            f"m={self.kind} {self.port} {self.protocol} {' '.join(self.formats)}",
            *connection,
            *map(str, self.attributes),
        ]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A whole description. `time` is kept because an answer repeats the offer's (RFC 3264 section 6)."""

    origin: str = ""
    address: str = ""
    time: str = "0 0"
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()

    def __str__(self) -> str:
        lines = ["v=0", f"o={self.origin}", "s=-"]
        if self.address:
            lines.append(f"c={connection_data(self.address)}")
        lines += [f"t={self.time}", *map(str, self.attributes)]
        for media in self.media:
            lines += media.lines()
        return "\r\n".join(lines) + "\r\n"


def connection_data(address: str) -> str:
    """The value of a `c=` line: `IN IP4 192.0.2.1`."""
    return f"IN IP{6 if ':' in address else 4} {address}"


def parse(text: str) -> Session:
    """Read a description. Raises SdpError with the line's number, what stands there and what was expected."""
    builder = _Builder()
    for number, line in enumerate(_LINE_BREAK.split(text.strip("\r\n\0 ")), start=1):
        if line.strip():
            builder.take(number, line)
    return builder.finish()


class _Section(msgspec.Struct, kw_only=True):
    """What is gathered about the session, or about one media section, while its lines come in."""

    head: tuple[str, int, str, tuple[str, ...]] = ("", 0, "", ())
    address: str = ""
    attributes: list[Attribute] = []


class _Builder(msgspec.Struct, kw_only=True):
    """The reader's state: the session section first, then one more for each `m=` line."""

    origin: str = ""
    time: str = "0 0"
    sections: list[_Section] = []

    def take(self, number: int, line: str) -> None:
        letter, value = line[0], line[2:]
        if line[1:2] != "=" or not "a" <= letter <= "z":
            raise _error(number, line, "a lower-case letter, '=' and a value")
        if not self.sections:
            if line.rstrip() != "v=0":
                raise _error(number, line, "v=0")
            self.sections.append(_Section())
        elif letter == "m":
            self.sections.append(_Section(head=_read_media(number, value)))
        elif letter == "c":
            self.sections[-1].address = _read_connection(number, value)
        elif letter == "a":
            name, _, rest = value.partition(":")
            self.sections[-1].attributes.append(Attribute(name.strip().lower(), rest.strip()))
        elif letter == "o":
            self.origin = value.strip()
        elif letter == "t" and _TIME.fullmatch(value.strip()):
            self.time = value.strip()

    def finish(self) -> Session:
        if not self.sections:
            raise SdpError("session description: empty, expected v=0")
        first, *rest = self.sections
        return Session(
            origin=self.origin,
            address=first.address,
            time=self.time,
            attributes=tuple(first.attributes),
            media=tuple(
                Media(
                    kind=section.head[0],
                    port=section.head[1],
                    protocol=section.head[2],
                    formats=section.head[3],
                    address=section.address,
                    attributes=tuple(section.attributes),
                )
                for section in rest
            ),
        )


def _read_media(number: int, value: str) -> tuple[str, int, str, tuple[str, ...]]:
    match = _MEDIA.fullmatch(value)
    if match is None or int(match[2]) not in _PORT_RANGE:
        raise _error(number, f"m={value}", "m=<media> <port 0-65535> <protocol> <format> ...")
    return match[1].lower(), int(match[2]), match[3].upper(), tuple(match[4].split())


def _read_connection(number: int, value: str) -> str:
    """The address of a `c=` line, without the TTL of a multicast one. Host names are refused: nothing resolves them."""
    match = _CONNECTION.fullmatch(value)
    try:
        return str(ip_address(match[2].partition("/")[0])) if match else _refuse_connection(number, value)
    except ValueError:
        return _refuse_connection(number, value)


def _refuse_connection(number: int, value: str) -> str:
    raise _error(number, f"c={value}", "c=IN IP4 or IP6 and an IP address")


def _error(number: int, found: str, expected: str) -> SdpError:
    found = without_keys(found)
    return SdpError(f"session description, line {number}: found {found[:120]!r}, expected {expected}")
