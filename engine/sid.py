"""SIDs: what rows, calls and deliveries are known by. UUIDs that begin with the time at which they were made.

An index takes what is new at its end then, where what came just before is: with random UUIDs each new row is a page
of its own in every index of its table, and costs three times as much to write (measured with the table of calls).
Nobody guesses one: 74 bits are random.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from typing import Final

PARTNER_SID: Final = str(uuid.UUID(int=0))
"""Whose the accounts are: the provider of the engine, of which there is one."""

_VERSION_7: Final = 0x7000 << 64
_VARIANT: Final = 0x8000 << 48
_RANDOM: Final = (0x0FFF << 64) | (0x3FFF << 48) | 0xFFFFFFFFFFFF
"""The 12 bits after the version, and the 62 after the variant."""


def new_sid() -> str:
    """A new SID: a UUID of version 7 (RFC 9562 section 5.7)."""
    return sid_at(time.time_ns() // 1_000_000, os.urandom(10))


def sid_at(ms: int, random: bytes) -> str:
    """The SID of that time (Unix milliseconds), with 74 of the 80 bits of `random`."""
    digits = f"{ms << 80 | _VERSION_7 | _VARIANT | int.from_bytes(random) & _RANDOM:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived_sid(sid: str, what: str) -> str:
    """The SID of what there is once for `sid`: always the same, and as old; a UUID of version 8 (section 5.8)."""
    hashed = hashlib.sha1(bytes.fromhex(sid.replace("-", "")) + what.encode(), usedforsecurity=False).hexdigest()
    variant = int(hashed[16], 16) & 0x3 | 0x8
    return f"{sid[:13]}-8{hashed[13:16]}-{variant:x}{hashed[17:20]}-{hashed[20:32]}"
