"""Amd: tell a human from an answering machine (reference, section Amd; the rules are in `media.amd`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, attributes, http_method, integer, milliseconds, url
from ..verb import Call, Goto, Method, Outcome
from .base import Verb, goto


@dataclass(frozen=True, kw_only=True)
class Amd(Verb):
    """Listen until it is known who answered, then pass control to `action`; without one the next verb runs."""

    name: ClassVar[str] = "Amd"
    reads_text: ClassVar[bool] = False

    action: str | None = attr(
        url(),
        says="The document that follows, whatever the result. Without it the next verb runs, and later requests "
        "carry the result.",
    )
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    after_greeting_silence: int = attr(
        milliseconds(), default=800, says="So long a silence after the first words is a human."
    )
    between_word_silence: int = attr(milliseconds(), default=50, says="So long a silence parts two words.")
    greeting: int = attr(milliseconds(), default=1500, says="So much voice in all, pauses not counted, is a machine.")
    initial_silence: int = attr(
        milliseconds(), default=2500, says="So long a silence before the first word is a machine."
    )
    maximum_number_of_words: int = attr(integer(), default=2, says="More words than this are a machine.")
    maximum_word_length: int = attr(milliseconds(), default=5000, says="One word as long as this is a machine.")
    minimum_word_length: int = attr(milliseconds(), default=100, says="Shorter voice is not a word.")
    silence_threshold: int = attr(
        integer(0, 32767), default=256, says="Below this level, the mean of the absolute 16-bit samples, is silence."
    )
    total_analysis_time: int = attr(
        milliseconds(),
        default=5000,
        says="After so long without a result it is `NOTSURE`. Keep it longer than `initialSilence`.",
    )

    async def run(self, call: Call) -> Outcome:
        """Detect. Without `action` the result is in later requests, as with one."""
        settings = {each.field: getattr(self, each.field) for each in attributes(Amd)}
        del settings["action"], settings["method"]
        with call.at_its_end(self._hung_up):
            return self._told(*await call.detect_machine(settings))

    async def _hung_up(self) -> Goto | None:
        return self._told("HANGUP", "")

    def _told(self, status: str, cause: str) -> Goto | None:
        return goto(self.action, self.method, {"AMDStatus": status, "AMDCause": cause})
