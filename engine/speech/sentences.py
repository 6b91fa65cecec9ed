"""Cut text into pieces that are spoken one after the other, so that the first is heard while the rest is made.

A piece is a sentence, or where that is too long, a part of one: cut after a comma or the like, else before a
word that often begins a phrase, else between words, else anywhere. Pieces say how long the pause behind them
is, because the sound of a piece is kept by itself. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .pauses import PAUSES, is_pause, length_ms
from .reading import PARAGRAPH

PARAGRAPH_MS: Final = 600
SENTENCE_MS: Final = 350
CLAUSE_MS: Final = 180
PHRASE_MS: Final = 40

TITLES: Final = re.compile(
    "mr|mrs|ms|mx|dr|prof|st|mt|ft|gen|rep|sen|gov|pres|capt|cpt|lt|sgt|col|maj|cmdr|rev|hon|fr|sr|supt|e.g|i.e|vs|cf|"
    "approx|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|wed|thu|fri|sat",
    re.IGNORECASE,
)
"""Before a period that ends no sentence, whatever comes next."""

BEFORE_NUMBERS: Final = re.compile("no|nos|nr|fig|vol|pp|p|ch|sec|ext|tel|art|par", re.IGNORECASE)
"""Before a period that ends no sentence where a number comes next."""

PHRASE_WORDS: Final = (
    "and|or|but|nor|so|yet|because|although|while|when|where|which|who|that|if|unless|until|after|before|since|to|"
    "for|from|with|without|in|into|on|at|by|of|about|over|under|through|between|please|then|you|we|they"
)

END: Final = re.compile(r"""(?:(?<![.!?…])[.!?…]++["'”’)\]]*+(?=\s)|[。！？]+[”’」』）]*)""")
GLUED: Final = re.compile(r"(?<!\S)([A-Za-z'’]{2,}[.!?])(?=[A-Z][a-z'’]*[,.!?]?(?!\S))")
"""The end of a sentence after which the space was forgotten: `call.Please`."""

CLAUSE: Final = re.compile(r"(?:[,;:—–)]|\s-)(?=\s)")
PHRASE: Final = re.compile(rf"\s(?=(?:{PHRASE_WORDS})\s)", re.IGNORECASE)
SPACE: Final = re.compile(r"\s")


class Piece(NamedTuple):
    """Text to be spoken at once, and the silence after it; without text only that."""

    text: str
    pause_ms: int


class Lengths(NamedTuple):
    """How many characters the first piece may have, and any other: what a voice can speak quickly enough."""

    first: int
    later: int


def pieces(text: str, lengths: Lengths) -> list[Piece]:
    """The pieces of clean `text` (`reading.clean`), in order; none where there is no text.

    After the last there is no pause but one that the text has.
    """
    found: list[Piece] = []
    for sentence, pause_ms in sentences(text):
        rest = sentence
        if not sentence:
            found.append(Piece("", pause_ms))
        while rest:
            limit = lengths.later if found else lengths.first
            part, rest, part_ms = _cut(rest, limit)
            found.append(Piece(part, part_ms if rest else pause_ms))
    if found and not is_pause(text[-1]):
        found[-1] = Piece(found[-1].text, 0)
    return found


def sentences(text: str) -> Iterator[Piece]:
    """Whole sentences, however long. Where the text has a pause, that is the one, and a sentence ends."""
    for paragraph in text.split(PARAGRAPH):
        said = PAUSES.split(paragraph)
        for words, pauses in zip(said[::2], [*said[1::2], ""], strict=True):
            *found, last = [*_sentences(words)] or [Piece("", 0)]
            yield from found
            if last.text or pauses:
                yield last._replace(pause_ms=length_ms(pauses)) if pauses else last


def _sentences(paragraph: str) -> Iterator[Piece]:
    paragraph = GLUED.sub(r"\1 ", paragraph.strip())
    start = 0
    for found in END.finditer(paragraph):
        if _ends(paragraph, found, start):
            yield Piece(paragraph[start : found.end()].strip(), SENTENCE_MS)
            start = found.end()
    if rest := paragraph[start:].strip():
        yield Piece(rest, PARAGRAPH_MS)


def _ends(text: str, found: re.Match[str], start: int) -> bool:
    """Whether the sentence that began at `start` ends with the punctuation found."""
    mark = found[0]
    if mark[0] in "。！？":
        return True
    following = text[found.end() + 1 : found.end() + 2]
    if following.islower():
        return False  # an abbreviation, or an ellipsis within the sentence
    if mark != ".":
        return True
    word = text[max(start, text.rfind(" ", 0, found.start()) + 1) : found.start()].lstrip("\"'“‘([")
    if len(word) == 1 and word.isupper() and word != "I":
        return False  # an initial
    if BEFORE_NUMBERS.fullmatch(word) and following.isdigit():
        return False
    return TITLES.fullmatch(word) is None


def _cut(text: str, limit: int) -> tuple[str, str, int]:
    """The part of `text` to speak first, the rest, and the pause between them."""
    if len(text) <= limit:
        return text, "", 0
    least = limit // 4
    for pattern, pause_ms in ((CLAUSE, CLAUSE_MS), (PHRASE, PHRASE_MS), (SPACE, PHRASE_MS)):
        ends = [found.end() for found in pattern.finditer(text, least, limit + 1) if found.end() <= limit + 1]
        if ends:
            return text[: ends[-1]].strip(), text[ends[-1] :].strip(), pause_ms
    return text[:limit], text[limit:].strip(), PHRASE_MS
