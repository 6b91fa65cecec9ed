"""The partner of the reference: whose the endpoints are. An engine has one, its provider, so there is one sid."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

from pydantic import Field

PARTNER_SID: Final = str(uuid.UUID(int=0))
PartnerSid = Annotated[str, Field(description="Whose the engine is: always the same UUID, of zeros.")]
