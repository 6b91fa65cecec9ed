"""Who asks: HTTP Basic (RFC 7617) with an account's login and password.

A password takes tens of milliseconds to check, on purpose; what has been found right is remembered by a keyed hash,
so that each request after the first costs nothing. A password that is changed has another stored hash, which is in it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from fastapi import Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from ..directory import Directory
from ..password import BLOCK, COST, PARALLEL, verify_password
from ..records import Account
from .problem import unauthenticated

MOST: Final = 10_000
"""Passwords that are remembered at most."""
NOBODYS: Final = f"scrypt${COST}${BLOCK}${PARALLEL}${bytes(16).hex()}${bytes(32).hex()}"
"""A hash that fits no password. It takes as long as any other, so nobody can tell which logins there are."""


class Authentication(SecurityBase):
    """Finds the account of a request; FastAPI depends on it, and tells of it in its description of the API."""

    def __init__(self, directory: Directory, fits: Callable[[str, str], bool] = verify_password) -> None:
        """`fits` says in a thread whether a password is what a hash was made of."""
        self.model = HTTPBase(scheme="basic", description="Login and password of an account.")
        self.scheme_name = "account"
        self._directory, self._fits = directory, fits
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        self._checking = asyncio.Lock()

    async def __call__(self, request: Request) -> Account:
        """The account whose credentials the request has. Raises Problem 401."""
        login, password = _credentials(request.headers.get("authorization", ""))
        if not login:
            raise unauthenticated()
        account = self._directory.of_login(login)
        stored = NOBODYS if account is None else account.password_hash
        if not await self._is_right(password, stored) or account is None:
            raise unauthenticated()
        return account

    async def _is_right(self, password: str, stored: str) -> bool:
        known = hmac.new(self._key, f"{stored}\n{password}".encode(), hashlib.sha256).digest()
        if known in self._right:
            return True
        async with self._checking:  # one at a time: the threads are the calls' too, and so is the processor
            right = known in self._right or await asyncio.to_thread(self._fits, password, stored)
        if not right:
            return False
        if len(self._right) >= MOST:
            self._right.clear()
        self._right.add(known)
        return True


def _credentials(header: str) -> tuple[str, str]:
    """Login and password; empty ones where there are none that can be read."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        login, _, password = base64.b64decode(given.strip(" "), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return login, password
