"""What may be kept and shown of a note's details: plain values, bounded, without credentials.

Applications put passwords and tokens into URLs, and errors quote those URLs; a timeline is read by more people than
may know them. So every text is searched for user information (RFC 3986 section 3.2.1, RFC 3261 section 19.1.1) and
for query parameters whose names say that they are secret.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

Plain = str | int | float | bool | None

MAX_CHARACTERS: Final = 2048
"""Of one note's details: names and values together."""
MAX_NAMES: Final = 32
MASK: Final = "***"

_SECRET: Final = (
    r"[\w.-]*(?:token|secret|passw(?:or)?d|passwd|pwd|api[_-]?key|access[_-]?key(?:id)?|signature|credential)s?"
    r"|sig|key|auth|authorization|jwt"
)
# Peers write these texts: a run of letters is looked at from its beginning only, and nothing for longer than it may be.
_USER_INFO: Final = re.compile(r"((?<![a-z0-9+.-])[a-z0-9+.-]++://)[^/?#\s@]*(?:@[^/?#\s@]*)*@", re.IGNORECASE)
_SIP_PASSWORD: Final = re.compile(r"\b(sips?:[^:@\s<>;]+):[^@\s<>]{1,512}@", re.IGNORECASE)
_SECRET_PARAMETER: Final = re.compile(rf"([?&;#](?:{_SECRET})=)[^&#;\s\"'<>]+", re.IGNORECASE)
_SECRET_NAME: Final = re.compile(_SECRET, re.IGNORECASE)


class Presentable(dict[str, Plain]):
    """Details that have been through `presentable`."""


def presentable(details: Mapping[str, object]) -> Presentable:
    """The details as they may be stored and printed. Values that are no plain ones become text."""
    if isinstance(details, Presentable):
        return details
    plain, size = Presentable(), 0
    for name, value in details.items():
        plain[name] = shown = _plain(name, value)
        size += len(name) + (len(shown) if isinstance(shown, str) else 8)
    return plain if size <= MAX_CHARACTERS else Presentable(_cut(plain))


def presentable_text(text: str) -> str:
    """Text without credentials, NUL and lone surrogates (no database takes those)."""
    if "@" in text:
        if "://" in text:
            text = _USER_INFO.sub(rf"\1{MASK}@", text)
        text = _SIP_PASSWORD.sub(rf"\1:{MASK}@", text)
    if "=" in text:
        text = _SECRET_PARAMETER.sub(rf"\1{MASK}", text)
    return text if text.isprintable() else storable_text(text)


def without_user_info(url: str) -> str:
    """The URL as others may be told it: user name and password are for its own host only."""
    match = _USER_INFO.match(url)
    return match[1] + url[match.end() :] if match else url


def storable_text(text: str) -> str:
    """Text with NUL and lone surrogates, which no database takes, as escapes."""
    if text.isprintable():
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.fullmatch(name) is not None


def _plain(name: str, value: object) -> Plain:
    if _is_secret(name):
        return MASK if value else ""
    if isinstance(value, str):
        return presentable_text(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    try:
        return presentable_text(_as_text(value))
    except Exception:  # whatever it is, its own way of showing itself must not end a call
        return f"<{type(value).__name__}>"


def _as_text(value: object) -> str:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        items: object = sorted(map(str, value)) if isinstance(value, set | frozenset) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return json.dumps(items, ensure_ascii=False, default=str)
    return str(value)


def _cut(details: dict[str, Plain]) -> dict[str, Plain]:
    """Fewer details, and of each text no more than its equal share; what is cut ends in an ellipsis."""
    kept = dict(list(details.items())[:MAX_NAMES])
    short = sum(len(name) + 8 for name in kept)
    share = max(16, (MAX_CHARACTERS - short) // max(1, len(kept)))
    return {
        name[:64]: value[: share - 1] + "…" if isinstance(value, str) and len(value) > share else value
        for name, value in kept.items()
    }
