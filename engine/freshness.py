"""How long an HTTP response may be used again, and how to ask whether it still may (RFC 9111, RFC 9110).

Pure: no clock. Lifetimes are seconds from now, computed from the response's own Date where one is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Freshness:
    """What the headers of a response say. `content` is the digest of the body they came with.

    `stale_ok`: when the server cannot be asked, the response may be used though stale (RFC 9111 section 4.2.4).
    """

    content: str
    etag: str = ""
    last_modified: str = ""
    lifetime_s: float = 0.0
    store: bool = True
    stale_ok: bool = True

    def conditions(self) -> dict[str, str]:
        """The request headers that make it a question for 304 (RFC 9110 section 13.1); empty without validators."""
        headers: dict[str, str] = {}
        if self.etag:
            headers["If-None-Match"] = self.etag
        if self.last_modified:
            headers["If-Modified-Since"] = self.last_modified
        return headers

    def renewed(self, answer: Freshness) -> Freshness:
        """This response after a 304 with the headers of `answer`, which replace those it had (section 4.3.4)."""
        return replace(
            answer,
            content=self.content,
            etag=answer.etag or self.etag,
            last_modified=answer.last_modified or self.last_modified,
        )


def freshness(headers: Mapping[str, str], content: str) -> Freshness:
    """Read the headers of a response. Nothing in them is an error: what cannot be read counts as absent."""
    control = _directives(headers.get("Cache-Control", ""))
    return Freshness(
        content=content,
        etag=headers.get("ETag", ""),
        last_modified=headers.get("Last-Modified", ""),
        lifetime_s=_lifetime_s(control, headers),
        store="no-store" not in control,
        stale_ok=not control.keys() & {"no-store", "no-cache", "must-revalidate"},
    )


def _directives(value: str) -> dict[str, str]:
    """`Cache-Control` by directive, names in lower case (RFC 9111 section 5.2)."""
    pairs = (part.strip().partition("=") for part in value.split(","))
    return {name.strip().lower(): argument.strip().strip('"') for name, _, argument in pairs if name.strip()}


def _lifetime_s(control: Mapping[str, str], headers: Mapping[str, str]) -> float:
    """RFC 9111 section 4.2.1, less the age the response already has; 0 is stale at once."""
    if control.keys() & {"no-store", "no-cache"}:
        return 0.0
    if "max-age" in control:
        return max(0.0, _seconds(control["max-age"]) - _seconds(headers.get("Age", "")))
    try:
        date = parsedate_to_datetime(headers["Date"])
        lifetime = (parsedate_to_datetime(headers["Expires"]) - date).total_seconds()
    except (KeyError, ValueError, TypeError):
        return 0.0
    return max(0.0, lifetime - _seconds(headers.get("Age", "")))


def _seconds(value: str) -> float:
    return float(value) if value.isascii() and value.isdigit() and len(value) < 12 else 0.0
