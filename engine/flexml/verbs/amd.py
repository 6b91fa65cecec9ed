"""Amd: tell a human from an answering machine (reference, section Amd; the rules are in `media.amd`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, attributes, http_method, integer, milliseconds, url
from ..verb import Call, Method, Outcome
from .base import Verb, goto


@dataclass(frozen=True, kw_only=True)
class Amd(Verb):
    """Listen until it is known who answered, then pass control to `action`; without one the next verb runs."""

    name: ClassVar[str] = "Amd"

    action: str | None = attr(url())
    method: Method = attr(http_method(), default="POST")
    after_greeting_silence: int = attr(milliseconds(), default=800)
    between_word_silence: int = attr(milliseconds(), default=50)
    greeting: int = attr(milliseconds(), default=1500)
    initial_silence: int = attr(milliseconds(), default=2500)
    maximum_number_of_words: int = attr(integer(), default=2)
    maximum_word_length: int = attr(milliseconds(), default=5000)
    minimum_word_length: int = attr(milliseconds(), default=100)
    silence_threshold: int = attr(integer(0, 32767), default=256)
    total_analysis_time: int = attr(milliseconds(), default=5000)

    async def run(self, call: Call) -> Outcome:
        """Detect. Without `action` the result is in later requests, as with one."""
        settings = {each.field: getattr(self, each.field) for each in attributes(Amd)}
        del settings["action"], settings["method"]
        status, cause = await call.detect_machine(settings)
        return goto(self.action, self.method, {"AMDStatus": status, "AMDCause": cause})
