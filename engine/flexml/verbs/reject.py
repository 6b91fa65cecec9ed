"""Reject: refuse an unanswered call (reference, section Reject and its table of reasons)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from ..attributes import attr, choice
from ..verb import Call, End, Outcome
from .base import Verb

REASONS: Final = MappingProxyType(
    {
        "redirect": (302, "Moved Temporarily"),
        "forbidden": (403, "Forbidden"),
        "rejected": (403, "Forbidden"),
        "not-found": (404, "Not Found"),
        "busy-here": (486, "Busy Here"),
        "bad-gateway": (502, "Bad Gateway"),
        "unavailable": (503, "Service Unavailable"),
        "busy": (600, "Busy Everywhere"),
        "decline": (603, "Decline"),
        "does-not-exist": (604, "Does Not Exist Anywhere"),
        "unwanted": (607, "Unwanted"),
        "intermediary-rejected": (608, "Rejected"),
    }
)
"""SIP status and reason phrase (RFC 3261 section 21, RFC 8197, RFC 8688)."""


@dataclass(frozen=True, kw_only=True)
class Reject(Verb):
    """Refuse the call with the status of `reason`; an answered call is hung up."""

    name: ClassVar[str] = "Reject"

    reason: str = attr(
        choice(*REASONS), default="rejected", says="Why, which decides the SIP status: see the table below."
    )

    @property
    def answers(self) -> bool:
        """Only an unanswered call can be refused."""
        return False

    async def run(self, call: Call) -> Outcome:
        """Refuse; nothing after this runs."""
        status, phrase = REASONS[self.reason]
        await call.reject(status, reason=phrase, headers=self._headers(status))
        return End()

    def _headers(self, status: int) -> dict[str, str]:
        # The text becomes part of a SIP message: whatever could start another line is white space there.
        words = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", self.text).split())
        if not words:
            return {}
        if status == 302:
            return {"Contact": _contact(words)}
        return {"Call-Info": quoted(words)} if status == 608 else {}


def quoted(words: str) -> str:
    """`words` as a quoted string (RFC 3261 section 25.1)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", words) + '"'


def _contact(target: str) -> str:
    """A Contact value: as it is in angle brackets, else a URI, a bare number (RFC 3966) or user@host."""
    if "<" in target:
        return target
    if re.fullmatch(r"\+?[0-9]+", target):
        return f"<tel:{target}>"
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:(?![0-9]+$)", target):
        return f"<sip:{target}>"
    return f"<{target}>"
