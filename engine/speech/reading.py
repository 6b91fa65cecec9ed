"""What a voice is given to read: plain text, with numbers as the reference wants them heard.

Reference: Say. "Integers will be read according to how they are entered": "123" is one hundred twenty-three,
"1 2 3" is one two three. Voices differ in this, so integers become words here, before any voice sees them, and
telephone numbers become single digits. Dates, times, amounts of money, decimals, and four digits that may be a
year (1100 to 2099) are left to the voice. Everything here is pure.
"""

from __future__ import annotations

import re
from typing import Final

from .pauses import is_pause

PARAGRAPH: Final = "\n"
"""What separates paragraphs in clean text."""

BLANK_LINE: Final = re.compile(r"(?:\r\n|\r|\n)[^\S\r\n]*(?:\r\n|\r|\n)\s*")
UNITS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES: Final = ("", " thousand", " million", " billion", " trillion")
MAX_DIGITS: Final = 3 * len(SCALES)
YEARS: Final = range(1100, 2100)

TELEPHONE: Final = re.compile(
    r"""(?<![\w.,:/$€£¥-])(?:
        \+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}      # international
      | (?:1[ .-])?\(\d{3}\)[ ]?\d{3}[ .-]\d{4}    # North American, the area code in brackets
      | (?:1[.-])?\d{3}[.-]\d{3}[.-]\d{4}          # and with dashes or dots
      | \+\d{7,15}
    )(?![\w/%°])(?![.,:-]\d)""",
    re.VERBOSE,
)
MONTH: Final = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? $", re.IGNORECASE)
INTEGER: Final = re.compile(r"(?<![\w.,:/$€£¥%#+'’-])(?:\d{1,3}(?:,\d{3})+|\d+)(?![\w/%°'’€£¥-])(?![.,:]\d)")


def clean(text: str) -> str:
    """`text` with single spaces and PARAGRAPH where a blank line was; nothing unprintable but pauses."""
    paragraphs = (_printable(paragraph) for paragraph in BLANK_LINE.split(text))
    return PARAGRAPH.join(paragraph for paragraph in paragraphs if paragraph)


def spoken(text: str) -> str:
    """`text` with telephone numbers and integers written out."""
    text = TELEPHONE.sub(lambda found: _telephone(found[0]), text)
    return INTEGER.sub(_integer, text)


def cardinal(number: int) -> str:
    """`number` (0 or more, at most MAX_DIGITS digits) in words: 123 is "one hundred twenty-three"."""
    if number == 0:
        return UNITS[0]
    words: list[str] = []
    for scale in SCALES:
        number, group = divmod(number, 1000)
        if group:
            words.append(_below_thousand(group) + scale)
    return " ".join(reversed(words))


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{UNITS[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, units = divmod(rest, 10)
        words.append(TENS[tens - 2] + (f"-{UNITS[units]}" if units else ""))
    elif rest:
        words.append(UNITS[rest])
    return " ".join(words)


def _integer(found: re.Match[str]) -> str:
    """A number; digit by digit where it starts with zeros or is longer than numbers have names here."""
    written = found[0]
    digits = written.replace(",", "")
    if len(digits) > MAX_DIGITS or (digits[0] == "0" and len(digits) > 1):
        return _digits(digits)
    number = int(digits)
    if (written == digits and number in YEARS) or (number <= 31 and MONTH.search(found.string[: found.start()][-12:])):
        return written
    return cardinal(number)


def _telephone(text: str) -> str:
    """Digits one by one, a comma between the groups in which the number was written."""
    groups = ", ".join(_digits(group) for group in re.findall(r"\d+", text))
    return f"plus {groups}" if text.startswith("+") else groups


def _digits(text: str) -> str:
    return " ".join(UNITS[int(digit)] for digit in text)


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() or is_pause(c) else " " for c in text).split())
