"""Passwords as they are stored: scrypt (RFC 7914) with its parameters and salt beside the hash.

Both functions take some 50 ms of processor time on purpose; from the event loop, call them in a thread.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

COST: Final = 2**14
BLOCK: Final = 8
PARALLEL: Final = 1
MAX_MEMORY: Final = 64 * 1024 * 1024


def hash_password(password: str) -> str:
    """Hash with a new salt: `scrypt$n$r$p$salt$hash`, the last two in hexadecimal."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${digest.hex()}"


def verify_password(password: str, stored: str) -> bool:
    """True when `stored` was made from this password. A `stored` that cannot be read fits no password."""
    try:
        kind, cost, block, parallel, salt, digest = stored.split("$")
        if kind != "scrypt":
            return False
        found = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(parallel))
        return hmac.compare_digest(found, bytes.fromhex(digest))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=MAX_MEMORY, dklen=32
    )  # fmt: skip
