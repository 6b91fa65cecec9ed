"""How a verb declares its XML attributes: once, for parsing, error text and the reference page alike.

`num_digits: int | None = attr(integer(1), default=None)` in a verb's dataclass declares the attribute
`numDigits`. A `Kind` turns the attribute's text into a value and knows in words what it allows; names and
words of the language match case-insensitively (decisions, section 1). A range starts at 0 where the
reference gives 0 as the default, even if it asks for 1 and more: a default can always be written out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, lru_cache
from typing import Any, Final, Generic, TypeVar, cast, overload
from urllib.parse import urljoin, urlsplit

from .verb import Method

T = TypeVar("T")

KEYS: Final = "0123456789#*"
TONES: Final = KEYS + ",wWABCDabcd"
"""What Dtmf sends; the letters beside the keys are ours (decisions, section 5)."""

_LARGEST: Final = 2**31 - 1
_METADATA: Final = "flexml"
URLS: Final = 256
"""That are kept as they were read: applications name the same ones again and again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind(Generic[T]):
    """A type of attribute: `parse` raises ValueError for text that is not `allowed`.

    `lenient` kinds fall back to the attribute's default, with a note, where others make a document error.
    `link` marks URLs, which the document resolves against its own; of what is `private`, errors do not tell the value.
    """

    parse: Callable[[str], T]
    allowed: str
    lenient: bool = False
    link: bool = False
    private: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One declared attribute; `effect` is False while this version reads it but does nothing with it.

    `says` is its line in the reference page (docs/flexml.md, which scripts/flexml-reference makes).
    """

    name: str
    field: str
    kind: Kind[Any]
    default: object
    required: bool
    effect: bool
    says: str


@overload
def attr(
    kind: Kind[T],
    *,
    default: T,
    required: bool = ...,
    effect: bool = ...,
    secret: bool = ...,
    name: str = ...,
    says: str = ...,
) -> T: ...
@overload
def attr(
    kind: Kind[T], *, required: bool = ..., effect: bool = ..., secret: bool = ..., name: str = ..., says: str = ...
) -> T | None: ...
def attr(
    kind: Kind[T],
    *,
    default: T | None = None,
    required: bool = False,
    effect: bool = True,
    secret: bool = False,
    name: str = "",
    says: str = "",
) -> T | None:
    """Declare an attribute; without `name` it is named after the field (`num_digits`: numDigits, `from_`: from).

    `says` is Markdown, one paragraph of units and interplay. The value of a `secret` one is not in the verb's repr.
    """
    metadata = {_METADATA: (kind, required, effect, name, says)}
    return field(default=cast("Any", default), repr=not secret, metadata=metadata)


@cache
def attributes(verb: type) -> tuple[Attribute, ...]:
    """What the dataclass `verb` declares, in the order of declaration."""
    declared: list[Attribute] = []
    for each in fields(verb):
        if _METADATA not in each.metadata:
            continue
        kind, required, effect, name, says = each.metadata[_METADATA]
        default = None if each.default is MISSING else each.default
        declared.append(
            Attribute(
                name=name or xml_name(each.name),
                field=each.name,
                kind=kind,
                default=default,
                required=required,
                effect=effect,
                says=says,
            )
        )
    return tuple(declared)


def xml_name(field_name: str) -> str:
    """The attribute's name in documents: `status_callback_url` is statusCallbackUrl."""
    first, *rest = field_name.rstrip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


# ---- kinds ----------------------------------------------------------------------------------------------------


def integer(minimum: int = 0, maximum: int = _LARGEST, *, unit: str = "") -> Kind[int]:
    """A whole number of `minimum` to `maximum`."""
    bounds = f"of at least {minimum}" if maximum == _LARGEST else f"of {minimum} to {maximum}"

    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,10}", value.strip()):
            raise ValueError(value)
        number = int(value)
        if not minimum <= number <= maximum:
            raise ValueError(value)
        return number

    return Kind(parse=parse, allowed=f"integer {bounds}" + (f" ({unit})" if unit else ""))


def seconds(minimum: int = 0, maximum: int = _LARGEST) -> Kind[int]:
    """A time in whole seconds."""
    return integer(minimum, maximum, unit="seconds")


def milliseconds(minimum: int = 0) -> Kind[int]:
    """A time in whole milliseconds."""
    return integer(minimum, unit="milliseconds")


def number(minimum: float, maximum: float) -> Kind[float]:
    """A decimal number of `minimum` to `maximum`."""

    def parse(value: str) -> float:
        parsed = float(value)
        if not minimum <= parsed <= maximum:
            raise ValueError(value)
        return parsed

    return Kind(parse=parse, allowed=f"number of {minimum:g} to {maximum:g}")


def boolean() -> Kind[bool]:
    """`true` or `false`."""
    truth = choice("true", "false")
    return Kind(parse=lambda value: truth.parse(value) == "true", allowed=truth.allowed)


def choice(*words: str) -> Kind[str]:
    """One of `words`, in any case; the value is the word as given here."""
    known = {word.lower(): word for word in words}

    def parse(value: str) -> str:
        try:
            return known[value.strip().lower()]
        except KeyError:
            raise ValueError(value) from None

    return Kind(parse=parse, allowed=", ".join(words))


def http_method() -> Kind[Method]:
    """How a URL is requested."""
    words = choice("POST", "GET")
    return Kind(parse=lambda value: "GET" if words.parse(value) == "GET" else "POST", allowed=words.allowed)


def subset(*words: str) -> Kind[tuple[str, ...]]:
    """Some of `words`, separated by commas."""
    one = choice(*words)

    def parse(value: str) -> tuple[str, ...]:
        return tuple(one.parse(part) for part in value.split(",") if part.strip())

    return Kind(parse=parse, allowed=f"comma-separated list of {one.allowed}")


def keys(allowed: Collection[str] = KEYS, *, off: str = "", single: bool = False) -> Kind[str]:
    """Keys of the phone; a value with the word `off` in it means none."""

    def parse(value: str) -> str:
        stripped = value.strip()
        if off and off in stripped.lower():
            return ""
        if any(key not in allowed for key in stripped) or (single and len(stripped) > 1):
            raise ValueError(value)
        return stripped

    count = "one of" if single else "any of"
    return Kind(parse=parse, allowed=f"{count} {' '.join(allowed)}" + (f", or {off} for no key" if off else ""))


def url() -> Kind[str]:
    """A URL to be requested, absolute or relative, without white space around it and with the spaces in it encoded."""

    def parse(value: str) -> str:
        cleaned = clean_url(value)
        if urlsplit(cleaned).scheme not in {"", "http", "https"}:
            raise ValueError(value)
        return cleaned

    return Kind(parse=parse, allowed="http or https URL, absolute or relative", link=True)


def audio_url() -> Kind[str]:
    """The same of audio, which may come by other schemes too."""
    return Kind(parse=clean_url, allowed="absolute or relative URL", link=True)


def text(*, filled: bool = False) -> Kind[str]:
    """Any text; with `filled`, at least one character that is not white space."""

    def parse(value: str) -> str:
        if filled and not value.strip():
            raise ValueError(value)
        return value.strip()

    return Kind(parse=parse, allowed="text that is not empty" if filled else "text")


def secret(pattern: str = r"[^\x00-\x1f\x7f]*", allowed: str = "text without control characters") -> Kind[str]:
    """What opens something of somebody's: text that matches `pattern`, or none, and is never shown."""

    def parse(value: str) -> str:
        stripped = value.strip()
        if stripped and not re.fullmatch(pattern, stripped):
            raise ValueError(value)
        return stripped

    return Kind(parse=parse, allowed=allowed, private=True)


def voice_name() -> Kind[str]:
    """`man`, `woman` or `Polly.<Name>`; any other name is a note, not an error (decisions, section 1)."""

    def parse(value: str) -> str:
        word = value.strip()
        if word.lower() in {"man", "woman"}:
            return word.lower()
        vendor, dot, name = word.partition(".")
        if not (dot and name and vendor.lower() == "polly"):
            raise ValueError(value)
        return f"Polly.{name}"

    return Kind(parse=parse, allowed="man, woman or Polly.<Name>", lenient=True)


@lru_cache(URLS)
def clean_url(value: str) -> str:
    """`value` stripped, spaces percent-encoded; ValueError where it is no URL, or one of http without a host."""
    stripped = re.sub(r"[\t\r\n]\s*", "", value.strip())
    parts = urlsplit(stripped)
    if parts.scheme in {"http", "https"} and not parts.hostname:
        raise ValueError("http without a host")  # `urljoin` would take the document's own
    return stripped.replace(" ", "%20")


@lru_cache(URLS)
def resolve(base: str, reference: str) -> str:
    """`reference` as seen from the document at `base` (RFC 3986 section 5); empty stays empty."""
    return urljoin(base, reference) if reference else ""
