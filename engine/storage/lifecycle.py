"""Carrying out what is due of the files' lifecycles, for as long as the engine runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from ..errors import DatabaseAway

log = logging.getLogger("flexml.storage")

SWEEP_S: Final = 60.0


class Sweepable(Protocol):
    """What is needed of `local.LocalStorage`."""

    async def sweep(self, now: float) -> int:
        """Delete some of the files whose time has come; returns how many."""
        ...


async def keep(storage: Sweepable, clock: Callable[[], float]) -> None:
    """Sweep now and every minute, for ever; on until nothing is left. `clock` gives Unix time in seconds."""
    while True:
        try:
            while await storage.sweep(clock()):
                pass
        except DatabaseAway:
            pass  # which has said so
        except Exception:
            log.exception("files that are past their time could not be deleted")
        await asyncio.sleep(SWEEP_S)
