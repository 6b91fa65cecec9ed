"""Conditional and range requests (RFC 9110 sections 13 and 14), as far as they are about one content.

A content has a strong entity tag and a time of modification; dates count in whole seconds. What cannot be understood
is ignored, as the sections say, so that the client gets the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MOST_RANGES: Final = 16
"""A request for more gets the whole content (section 14.2: many small ranges are what an attack asks for)."""
_SPEC: Final = re.compile(r"(\d{0,18})[ \t]*-[ \t]*(\d{0,18})")
_TAG: Final = re.compile(r'(W/)?"[^"]*"|\*')


class Unsatisfiable(Exception):
    """None of the ranges lies within the content: 416."""


def fails(headers: Mapping[str, str], tag: str, modified: float) -> bool:
    """Whether the client wants this content only as it no longer is: 412 (If-Match, If-Unmodified-Since)."""
    if (wanted := headers.get("if-match")) is not None:
        return not _matches(wanted, tag, weakly=False)
    since = _date(headers.get("if-unmodified-since", ""))
    return since is not None and int(modified) > since


def unchanged(headers: Mapping[str, str], tag: str, modified: float) -> bool:
    """Whether the client has this content already: 304 (If-None-Match, else If-Modified-Since)."""
    if (known := headers.get("if-none-match")) is not None:
        return _matches(known, tag, weakly=True)
    since = _date(headers.get("if-modified-since", ""))
    return since is not None and int(modified) <= since


def wanted_ranges(headers: Mapping[str, str], tag: str, modified: float, size: int) -> Sequence[range]:
    """The octets that the client wants, in its order; none for the whole content. Raises Unsatisfiable."""
    unit, _, specs = headers.get("range", "").partition("=")
    if unit.strip().lower() != "bytes" or not _still(headers.get("if-range"), tag, modified):
        return ()
    found = [_SPEC.fullmatch(spec.strip()) for spec in specs.split(",") if spec.strip()]
    if not found or len(found) > MOST_RANGES:
        return ()
    ranges: list[range] = []
    for spec in found:
        if spec is None or not any(spec.groups()) or _backwards(*spec.groups()):
            return ()
        ranges.append(_range(spec[1], spec[2], size))
    satisfiable = [one for one in ranges if one]
    if not satisfiable:
        raise Unsatisfiable
    return satisfiable


def _range(first: str, last: str, size: int) -> range:
    """`first-last`, `first-` or `-count`, within a content of `size` octets; empty where it lies beyond."""
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def _backwards(first: str, last: str) -> bool:
    return bool(first and last) and int(last) < int(first)


def _still(if_range: str | None, tag: str, modified: float) -> bool:
    """Whether what the client has a part of is this content (section 13.1.5): by a strong tag, or the very date."""
    if if_range is None:
        return True
    if if_range.lstrip().startswith(('"', "W/")):
        return if_range.strip() == tag
    return _date(if_range) == int(modified)


def _matches(header: str, tag: str, *, weakly: bool) -> bool:
    tags = [found[0] for found in _TAG.finditer(header)]
    return "*" in tags or tag in tags or (weakly and f"W/{tag}" in tags)


def _date(text: str) -> float | None:
    """Unix seconds; None where it is no date."""
    try:
        read = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
