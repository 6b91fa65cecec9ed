"""Sms: read and checked, not carried out in this version (reference, section Sms)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, http_method, text, url
from ..verb import Method
from .base import Later


@dataclass(frozen=True, kw_only=True)
class Sms(Later):
    """Send the text as a message."""

    name: ClassVar[str] = "Sms"

    action: str | None = attr(url(), says="The document that follows, whether the message could be sent or not.")
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    from_: str | None = attr(text(), says="Who sends: a number in E.164 form; without it, who is calling.")
    to: str | None = attr(text(), says="Who receives: a number in E.164 form; without it, who was called.")

    @property
    def answers(self) -> bool:
        """Nothing is to be heard."""
        return False
