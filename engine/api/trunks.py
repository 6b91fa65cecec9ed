"""GET /trunks: how the trunks are, for `flexml trunks` on the same machine.

The HTTP side listens on loopback only; what a proxy passes on from elsewhere is not told who the carriers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from fastapi import APIRouter, HTTPException, Request

from ..sip.trunks import TrunkState

FORWARDED: Final = ("forwarded", "x-forwarded-for", "via")


def trunks_router(states: Callable[[], Sequence[TrunkState]]) -> APIRouter:
    """The route; times in it are seconds since the epoch."""
    router = APIRouter()

    def tell(request: Request) -> dict[str, object]:
        if any(name in request.headers for name in FORWARDED):
            raise HTTPException(404, "not found")
        return {"trunks": [asdict(state) for state in states()]}

    router.add_api_route("/trunks", tell, methods=["GET"], include_in_schema=False)
    return router
