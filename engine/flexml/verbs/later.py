"""Amd and Sms: read and checked, not carried out in this version (reference, sections of those names)."""

# ruff: noqa: RUF009 (`attr` declares a field, as `dataclasses.field` does)

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, http_method, integer, milliseconds, text, url
from ..verb import Method
from .base import Later


@dataclass(frozen=True, kw_only=True)
class Amd(Later):
    """Tell a human from an answering machine."""

    name: ClassVar[str] = "Amd"

    action: str | None = attr(url())
    method: Method = attr(http_method(), default="POST")
    after_greeting_silence: int | None = attr(milliseconds())
    between_word_silence: int | None = attr(milliseconds())
    greeting: int | None = attr(milliseconds())
    initial_silence: int | None = attr(milliseconds())
    maximum_number_of_words: int | None = attr(integer())
    maximum_word_length: int | None = attr(milliseconds())
    minimum_word_length: int | None = attr(milliseconds())
    silence_threshold: int | None = attr(integer(0, 32767))
    total_analysis_time: int | None = attr(milliseconds())


@dataclass(frozen=True, kw_only=True)
class Sms(Later):
    """Send the text as a message."""

    name: ClassVar[str] = "Sms"

    action: str | None = attr(url())
    method: Method = attr(http_method(), default="POST")
    from_: str | None = attr(text())
    to: str | None = attr(text())

    @property
    def answers(self) -> bool:
        """Nothing is to be heard."""
        return False
