"""How a call went, in the words of the status callback."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from ..media.events import LegStats

Word = Literal["busy", "cancel", "completed", "failed", "noanswer"]

BUSY: Final = frozenset({486, 600})
NO_ANSWER: Final = frozenset({408, 480, 487})


def unanswered(status: int) -> Literal["busy", "noanswer", "failed"]:
    """The word for a call that ended with that SIP status before anybody answered; 0 where there was none."""
    return "busy" if status in BUSY else "noanswer" if status in NO_ANSWER else "failed"


@dataclass(kw_only=True)
class Outcome:
    """How a call went; complete once it has ended. `status` is the status callback's word."""

    status: Word = "failed"
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

    def conclude(self, *, answered_at: float | None, ended_at: float, otherwise: Word) -> None:
        """Say how it went; times are the loop's, `otherwise` is the word where nobody has answered."""
        self.ended = self.ended or datetime.now(UTC)
        if answered_at is None:
            self.status = otherwise
        else:
            self.status = "completed"
            self.duration_s = round(ended_at - answered_at)
