"""Keys of SRTP in session descriptions: the crypto attribute (RFC 4568), read, chosen and written.

An offer has a line for each suite with a key of its own; the answer has the line that was chosen, with the answerer's
key under the offer's tag. Whoever writes a line says with which key it will send. Lifetimes are read and not kept:
the shortest that is seen, 2^20 packets, is 5 hours of audio, and a peer that cares offers again. A line that asks for
more than we do (a master key identifier, unauthenticated packets) is passed over, and said so. No key is in any repr.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from ...media.protocol import Suite

Policy = Literal["off", "optional", "required"]
"""Whether media is to be protected: never, where the peer offers it, always."""

SUITES: Final[tuple[Suite, ...]] = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""Those of section 6.2 that we have, the better one first."""

KEY_OCTETS: Final = 30
"""Master key and salt of either suite, 16 and 14 octets."""

_LINE: Final = re.compile(r"([0-9]{1,9})[ \t]+([!-~]+)[ \t]+([!-~]+)((?:[ \t]+[!-~]+)*)[ \t]*")
_LIFETIME: Final = re.compile(r"(?:2\^)?[0-9]{1,20}")
_HARMLESS: Final = re.compile(r"WSH=[0-9]+|-.*", re.IGNORECASE)
"""Session parameters that may be ignored: a hint, and what is marked as optional (section 6.3.7)."""
_KEY: Final = re.compile(r"(inline:)[^\s|;]+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Crypto:
    """One line: `tag` numbers it within the description, `key` is the sender's master key and salt."""

    tag: int
    suite: Suite
    key: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


def read(value: str) -> Crypto:
    """Read the value of a crypto attribute. ValueError, without the key, where we cannot do as it says."""
    match = _LINE.fullmatch(value)
    if match is None:
        raise ValueError("expected <tag> <suite> inline:<key>")
    tag, name, parameters = int(match[1]), match[2].upper(), match[3]
    if name not in SUITES:
        raise ValueError(f"{tag}: suite {name[:40]}, expected {' or '.join(SUITES)}")
    suite = SUITES[SUITES.index(name)]
    for session_parameter in match[4].split():
        if not _HARMLESS.fullmatch(session_parameter):
            raise ValueError(f"{tag}: {session_parameter[:40]} is not supported")
    return Crypto(tag=tag, suite=suite, key=_key(tag, parameters))


def read_all(values: Iterable[str]) -> tuple[list[Crypto], list[str]]:
    """Return the lines that we can use, in order, and what is wrong with the others."""
    usable: list[Crypto] = []
    wrong: list[str] = []
    for value in values:
        try:
            usable.append(read(value))
        except ValueError as error:
            wrong.append(f"crypto {error}")
    return usable, wrong


def fresh_keys() -> tuple[bytes, ...]:
    """Return a random key for each of SUITES."""
    return tuple(secrets.token_bytes(KEY_OCTETS) for _ in SUITES)


def offered(keys: Sequence[bytes]) -> tuple[Crypto, ...]:
    """Return the lines of an offer with `keys`, one for each of SUITES."""
    return tuple(
        Crypto(tag=tag, suite=suite, key=key) for tag, (suite, key) in enumerate(zip(SUITES, keys, strict=True), 1)
    )


def answered(chosen: Crypto, keys: Sequence[bytes]) -> Crypto:
    """Return the line that answers `chosen`."""
    return Crypto(tag=chosen.tag, suite=chosen.suite, key=keys[SUITES.index(chosen.suite)])


def without_keys(text: str) -> str:
    """Return `text`, such as a whole SIP message, with the keys in it masked."""
    return _KEY.sub(r"\1***", text) if "inline:" in text.lower() else text


def _key(tag: int, parameters: str) -> bytes:
    """The key of `inline:<key>[|<lifetime>][|<MKI>:<length>]`."""
    method, _, rest = parameters.partition(":")
    if method.lower() != "inline" or ";" in rest:
        raise ValueError(f"{tag}: expected one key by inline:")
    text, *more = rest.split("|")
    if any(":" in one for one in more):
        raise ValueError(f"{tag}: a master key identifier (MKI) is not supported")
    if len(more) > 1 or not all(_LIFETIME.fullmatch(one) for one in more):
        raise ValueError(f"{tag}: expected a lifetime at most behind the key")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{tag}: the key is not base64") from None
    if len(key) != KEY_OCTETS:
        raise ValueError(f"{tag}: a key of {len(key)} octets, expected {KEY_OCTETS}")
    return key
