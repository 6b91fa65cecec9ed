"""Who asks on the provisioning side: a bearer token (RFC 6750 section 2.1), the provider's or one account's."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from ..tokens import Token, Tokens
from .problem import BEARER, forbidden, unauthenticated

REFUSED: Final = f'{BEARER}, error="invalid_token"'


class BearerAuthentication(SecurityBase):
    """Finds the token of a request; FastAPI depends on it, and tells of it in its description of the API."""

    def __init__(self, tokens: Tokens) -> None:
        self.model = HTTPBearer(description="A token made by `flexml token create`.")
        self.scheme_name = "token"
        self._tokens = tokens

    async def __call__(self, request: Request) -> Token:
        """The token that the request has. Raises Problem 401."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthenticated(BEARER)
        token = await self._tokens.find(given.strip())
        if token is None:
            raise unauthenticated(REFUSED)
        return token


def require_provider(token: Token) -> None:
    """Raises Problem 403 where the token is one account's: whose numbers are whose is not for accounts to say."""
    if token.account is not None:
        raise forbidden()
