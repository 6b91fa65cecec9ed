"""Pauses within a text that is to be spoken: each is one character that no text has, so a text stays a string.

They are taken from a plane for private use (U+F0000 and up). Pure.
"""

from __future__ import annotations

import re
from typing import Final

STEP_MS: Final = 10
LONGEST_MS: Final = 10_000
_FIRST: Final = 0xF0000
_MARK: Final = f"[{chr(_FIRST)}-{chr(_FIRST + LONGEST_MS // STEP_MS)}]"

PAUSES: Final = re.compile(rf"\s*({_MARK}(?:\s*{_MARK})*)\s*")
"""Pauses that follow each other, and the space around them."""


def pause(ms: int) -> str:
    """The character for a silence of `ms`, in steps of STEP_MS, LONGEST_MS at most; nothing for none."""
    return chr(_FIRST + min(ms, LONGEST_MS) // STEP_MS) if ms >= STEP_MS else ""


def length_ms(pauses: str) -> int:
    """How long pauses that follow each other are together, LONGEST_MS at most."""
    return min(LONGEST_MS, sum((ord(found) - _FIRST) * STEP_MS for found in re.findall(_MARK, pauses)))


def is_pause(character: str) -> bool:
    """Whether it is one."""
    return re.fullmatch(_MARK, character) is not None
