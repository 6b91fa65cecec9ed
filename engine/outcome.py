"""How a call went, in the words of the status callback."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from ..media.protocol import LegStats

BUSY_STATUSES: Final = frozenset({486, 600})
NO_ANSWER_STATUSES: Final = frozenset({408, 480})


@dataclass(kw_only=True)
class Outcome:
    """How a call went; complete once it has ended."""

    status: Literal["busy", "cancel", "completed", "failed", "noanswer"] = "failed"
    sip_status: int = 0
    reason: str = ""
    by: str = ""
    started: datetime
    answered: datetime | None = None
    ended: datetime | None = None
    duration_s: int = 0
    played_url: str = ""
    play_offset_ms: int | None = None
    stats: LegStats = field(default_factory=LegStats)

    def conclude(self, *, answered_at: float | None, ended_at: float, rejected: int | None) -> None:
        """Say how it went; times are the loop's, `rejected` is the status that we refused the call with."""
        self.ended = self.ended or datetime.now(UTC)
        if answered_at is not None:
            self.status = "completed"
            self.duration_s = round(ended_at - answered_at)
        elif self.by == "remote":
            self.status = "cancel"
        elif rejected in BUSY_STATUSES:
            self.status = "busy"
        elif rejected in NO_ANSWER_STATUSES:
            self.status = "noanswer"
        else:
            self.status = "failed"
