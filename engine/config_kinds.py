"""What values a setting can have: each kind reads one, or says what it allows.

A kind is a frozen value: `read` takes what TOML gave and raises ValueError with nothing but the facts
(`allowed` is added by whoever reports), `from_text` makes what TOML would have given of an environment
variable. New kinds of settings are new lines here, not branches elsewhere.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
DATABASE_URL: Final = re.compile(r"sqlite(\+aiosqlite)?:///[^?\s]\S*|postgresql(\+asyncpg)?://\S+")
SIP_URI: Final = re.compile(r"sips?:([^\s@]+@)?[^\s@;?]+?(:(?P<port>[0-9]+))?([;?][^\s@]*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Where to listen; `transport` is empty where there is no choice of it."""

    transport: str = ""
    host: str
    port: int

    @property
    def place(self) -> str:
        """Address and port as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.transport}:{self.place}" if self.transport else self.place


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind(Generic[T]):
    """One kind of value: `allowed` completes the sentence "allowed: ...".

    `resolve` makes the paths in a value absolute, relative ones against a directory.
    """

    allowed: str
    read: Callable[[object], T] = field(repr=False)
    from_text: Callable[[str], object] = field(default=str, repr=False)
    resolve: Callable[[T, Path], T] = field(default=lambda value, base: value, repr=False)


def _number_from_text(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return text


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _matching(allowed: str, fits: Callable[[str], bool]) -> Kind[str]:
    def read(value: object) -> str:
        text = _string(value)
        if not fits(text):
            raise ValueError
        return text

    return Kind(allowed=allowed, read=read)


def integer(low: int, high: int) -> Kind[int]:
    """A whole number within `low` and `high`, both included."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(allowed=f"a whole number from {low} to {high}", read=read, from_text=_number_from_text)


def choice(*words: Word) -> Kind[Word]:
    """One of `words`."""

    def read(value: object) -> Word:
        for word in words:
            if word == value:
                return word
        raise ValueError

    return Kind(allowed="one of " + ", ".join(f'"{word}"' for word in words), read=read)


def many(kind: Kind[T], *, least: int = 0) -> Kind[tuple[T, ...]]:
    """A list of `kind` without repetitions; an environment variable separates its items with commas."""

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError
        items = tuple(kind.read(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
        if len(items) < least or len(set(items)) < len(items):
            raise ValueError
        return items

    def from_text(text: str) -> object:
        return [kind.from_text(item.strip()) for item in text.split(",") if item.strip()]

    def resolve(value: tuple[T, ...], base: Path) -> tuple[T, ...]:
        return tuple(kind.resolve(item, base) for item in value)

    few = f" (at least {least})" if least else ""
    allowed = f"a list{few}, nothing twice, of: {kind.allowed}"
    return Kind(allowed=allowed, read=read, from_text=from_text, resolve=resolve)


def optional(kind: Kind[str]) -> Kind[str]:
    """`kind`, or the empty string for none."""

    def read(value: object) -> str:
        return "" if value == "" else kind.read(value)

    def resolve(value: str, base: Path) -> str:
        return value and kind.resolve(value, base)

    return Kind(allowed=f'{kind.allowed}, or "" for none', read=read, resolve=resolve)


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _read_host(text: str) -> str:
    """An address or a host name; IPv6 as in URLs, in brackets, or bare."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if HOST_NAME.fullmatch(text) and not text.rpartition(".")[2].isdigit():
            return text
        raise


def _read_host_port(text: str, transport: str = "") -> Listen:
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError
    if ":" in host and not host.startswith("["):
        raise ValueError
    return Listen(transport=transport, host=_read_host(host), port=int(port))


def _read_listen(value: object) -> Listen:
    return _read_host_port(_string(value))


def _read_sip_listen(value: object) -> Listen:
    transport, _, rest = _string(value).partition(":")
    if transport not in ("udp", "tcp", "tls"):
        raise ValueError
    return _read_host_port(rest, transport)


def _read_port_range(value: object) -> tuple[int, int]:
    ports = many(integer(1024, 65535)).read(value)
    if len(ports) != 2 or ports[0] % 2 or ports[0] >= ports[1]:
        raise ValueError
    return ports[0], ports[1]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _is_sip_uri(text: str) -> bool:
    found = SIP_URI.fullmatch(text)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65536)


def _read_number(value: object) -> str:
    """An E.164 number; the `+` is taken off, as numbers go without it everywhere in FlexML."""
    digits = _string(value).removeprefix("+")
    if not re.fullmatch(r"[0-9]{3,15}", digits):
        raise ValueError
    return digits


def _read_network(text: str) -> str:
    """An address becomes the network of it alone; bits beyond the prefix are an error."""
    return str(ipaddress.ip_network(text))


def _resolve_path(value: str, base: Path) -> str:
    return os.path.normpath(base / value)


def _resolve_database(value: str, base: Path) -> str:
    """The FILE of sqlite:///FILE; a driver may be named, and four slashes start an absolute path already."""
    match = re.fullmatch(r"(sqlite(?:\+[a-z0-9]+)?:///)([^?]+)(.*)", value)
    return f"{match[1]}{_resolve_path(match[2], base)}{match[3]}" if match and match[2] != ":memory:" else value


TEXT: Final = _matching("text", lambda text: True)
NAME: Final = _matching(
    "text that is not empty, without control characters", lambda text: text != "" and text.isprintable()
)
PATH: Final = replace(_matching("a path", lambda text: text != "" and "\0" not in text), resolve=_resolve_path)
FLAG: Final = Kind(
    allowed="true or false",
    read=_read_flag,
    from_text=lambda text: {"true": True, "false": False}.get(text.lower(), text),
)
HOST: Final = Kind(allowed="an IP address or host name", read=lambda value: _read_host(_string(value)))
LISTEN: Final = Kind(allowed='"ADDRESS:PORT", an IPv6 address in brackets', read=_read_listen)
SIP_LISTEN: Final = Kind(
    allowed='"TRANSPORT:ADDRESS:PORT" with the transport udp, tcp or tls, an IPv6 address in brackets',
    read=_read_sip_listen,
)
PORT_RANGE: Final = Kind(
    allowed="[first, last] from 1024 to 65535, the first even and smaller than the last",
    read=_read_port_range,
    from_text=many(integer(1024, 65535)).from_text,
)
URL: Final = _matching("an absolute http or https URL", _is_url)
DATABASE: Final = replace(
    _matching(
        '"sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST/NAME"',
        lambda text: DATABASE_URL.fullmatch(text) is not None,
    ),
    resolve=_resolve_database,
)
SMS_ROUTE: Final = _matching(
    '"trunk:NAME", or an absolute http or https URL',
    lambda text: text.removeprefix("trunk:") not in ("", text) or _is_url(text),
)
SIP_ADDRESS: Final = _matching("a sip: or sips: URI; a port in it is from 1 to 65535", _is_sip_uri)
NUMBER: Final = Kind(allowed="a telephone number of 3 to 15 digits, with or without +", read=_read_number)
NETWORK: Final = Kind(
    allowed='an IP address or a network such as "192.0.2.0/24"', read=lambda value: _read_network(_string(value))
)
CALLER_ID: Final = Kind(
    allowed='"as_is" or a telephone number of 3 to 15 digits, with or without +',
    read=lambda value: "as_is" if value == "as_is" else _read_number(value),
)
DIGITS: Final = _matching("digits", lambda text: re.fullmatch(r"[0-9]+", text) is not None)
REGION: Final = _matching(
    "a country code of two capital letters", lambda text: re.fullmatch(r"[A-Z]{2}", text) is not None
)
