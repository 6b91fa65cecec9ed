"""`/core/v2/oauth/whoami` (reference, section Request Methods): what a token is, to whoever has it."""

from __future__ import annotations

from typing import Final, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ...sid import PARTNER_SID
from ...tokens import Token
from ..bearer import BearerAuthentication
from ..description import errors
from ..times import shown_time
from .partner import PartnerSid

PREFIX: Final = "/core/v2/oauth"


class WhoAmI(BaseModel):
    """A token, and whose it is."""

    account_sid: str | None = Field(description="The account that it is of; null for the provider's.")
    date_created: str = Field(description="When it was made: UTC, ISO 8601, with milliseconds.")
    date_expires: str | None = Field(description="Until when it can be used; null where that has no end.")
    name: str = Field(description="What it is called.")
    partner_sid: PartnerSid
    scope: Literal["provider", "account"] = Field(description="Whether it sees every account, or its own.")
    token_sid: str = Field(description="Identifies it: a UUID, by which it is revoked.")


def whoami_router(bearer: BearerAuthentication) -> APIRouter:
    """The route."""
    router = APIRouter(prefix=PREFIX, tags=["tokens"])
    asking = Depends(bearer)

    async def whoami(token: Token = asking) -> JSONResponse:
        return JSONResponse(_show(token))

    router.add_api_route(
        "/whoami",
        whoami,
        methods=["GET"],
        summary="Show the token that asks",
        operation_id="core-whoami",
        responses={200: {"model": WhoAmI}, **errors(401)},
    )
    return router


def _show(token: Token) -> dict[str, str | None]:
    return {
        "account_sid": token.account,
        "date_created": shown_time(token.created),
        "date_expires": None if token.expires is None else shown_time(token.expires),
        "name": token.name,
        "partner_sid": PARTNER_SID,
        "scope": "provider" if token.account is None else "account",
        "token_sid": token.sid,
    }
