"""Say's markup: what of SSML (W3C Speech Synthesis Markup Language 1.1) every voice can do.

It becomes text: with pauses (`speech.pauses`), and with what is to be spelt written letter by letter. Elements that
only some voices could follow are noted, and their text is spoken. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import DocumentError
from ..speech.pauses import LONGEST_MS, pause
from ..speech.sentences import CLAUSE_MS, PARAGRAPH_MS, PHRASE_MS, SENTENCE_MS
from .elements import Element

STRENGTHS: Final = {
    "none": 0, "x-weak": PHRASE_MS, "weak": CLAUSE_MS, "medium": SENTENCE_MS, "strong": PARAGRAPH_MS, "x-strong": 1000,
}  # fmt: skip
SPELT: Final = frozenset({"characters", "digits", "spell-out", "telephone", "verbatim"})
"""Ways to say something that are one character after the other; any other way is the voice's own."""
SPOKEN: Final = frozenset({"emphasis", "lang", "phoneme", "prosody", "token", "voice", "w"})
"""Elements that make no difference, whose text is spoken."""
TAGS: Final = ("break", "p", "s", "say-as", "speak", "sub", *sorted(SPOKEN))
ENDS: Final = frozenset(".!?…。！？")
_TIME: Final = re.compile(r"\+?(\d{0,6}(?:\.\d{1,6})?)\s*(ms|s)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Markup:
    """A reader of what is in an element `verb` of the document at `url`; `note` is told what makes no difference."""

    url: str
    verb: str
    note: Callable[[str], None]

    def text(self, inside: Element) -> str:
        """What is to be spoken. Raises DocumentError."""
        return "".join(part if isinstance(part, str) else self._spoken(part) for part in inside.content)

    def _spoken(self, element: Element) -> str:
        tag = element.tag.lower()
        attributes = {name.lower(): value.strip() for name, value in element.attributes}
        match tag:
            case "break":
                return pause(self._break_ms(element, attributes))
            case "p":
                return f"\n\n{self.text(element)}\n\n"
            case "s":
                return _sentence(self.text(element).strip())
            case "sub":
                return attributes.get("alias") or self.text(element)
            case "say-as":
                spelt = attributes.get("interpret-as", "").lower() in SPELT
                return " ".join(self.text(element).upper()) if spelt else self.text(element)
            case "speak":
                return self.text(element)
            case _ if tag in SPOKEN:
                self.note(f"{self.verb}: {tag} makes no difference (line {element.line})")
                return self.text(element)
            case _:
                allowed = ", ".join(TAGS)
                raise DocumentError(
                    f"{element.tag} inside {self.verb}",
                    url=self.url,
                    line=element.line,
                    verb=self.verb,
                    allowed=allowed,
                )

    def _break_ms(self, element: Element, attributes: dict[str, str]) -> int:
        """How long it is silent. A `time` goes before a `strength`, and without either it is a sentence's end."""
        strength = attributes.get("strength", "medium").lower()
        if strength not in STRENGTHS:
            raise self._wrong(element, "strength", attributes["strength"], ", ".join(STRENGTHS))
        if "time" not in attributes:
            return STRENGTHS[strength]
        found = _TIME.fullmatch(attributes["time"])
        if found is None or not found[1]:
            raise self._wrong(
                element, "time", attributes["time"], f"such as 500ms or 1.5s, {LONGEST_MS // 1000}s at most"
            )
        return int(float(found[1]) * (1 if found[2].lower() == "ms" else 1000))

    def _wrong(self, element: Element, attribute: str, value: str, allowed: str) -> DocumentError:
        return DocumentError(
            "value", url=self.url, line=element.line, verb=f"{self.verb}, {element.tag.lower()}", attribute=attribute,
            value=value, allowed=allowed,
        )  # fmt: skip


def _sentence(text: str) -> str:
    return f" {text} " if not text or text[-1] in ENDS else f" {text}. "
