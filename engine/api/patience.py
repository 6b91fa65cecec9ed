"""HTTP/1.1 connections of clients that never finish what they begin: closed, so that they hold nothing for ever.

uvicorn itself closes only connections that are idle after a request. Bodies have a time limit of their own (`body`).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Closes a connection whose request line and headers are not there after `patience_s` to twice that."""

    patience_s: ClassVar[float] = 10.0
    _looking: asyncio.TimerHandle | None = None
    _was_waiting = False

    def connection_made(self, transport: Any) -> None:
        """Begin to look."""
        super().connection_made(transport)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        super().connection_lost(exc)
        if self._looking is not None:
            self._looking.cancel()

    def _look_later(self) -> None:
        self._looking = self.loop.call_later(self.patience_s, self._look)

    def _look(self) -> None:
        begun = cast("object", self.cycle) is None or bool(self.conn.trailing_data[0])
        is_waiting = begun and self.conn.their_state is h11.IDLE
        if is_waiting and self._was_waiting:
            self.transport.close()
            return
        self._was_waiting = is_waiting
        self._look_later()
