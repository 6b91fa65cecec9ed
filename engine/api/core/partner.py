"""The partner of the reference: whose the endpoints are. An engine has one, its provider, so there is one sid."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

PartnerSid = Annotated[str, Field(description="Whose the engine is: always the same UUID, of zeros.")]
