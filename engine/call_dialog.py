"""A call's dialog: what is said in it and when, that we are to leave it, and how it ended.

Nothing is said in a dialog that has ended. Who would say something then is told so by CallEnded, but for what is
said as it ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from .digits import PRESS_MS
from .errors import CallEnded, SipError
from .moment import Moment
from .outcome import Outcome, Word
from .sip.events import Ended, SipAgent

log = logging.getLogger("flexml.call")


class CallDialog:
    """The dialog that the agent knows by `number`. `note` takes what the timeline says of it."""

    def __init__(self, agent: SipAgent, number: int, note: Callable[..., None], *, inbound: bool) -> None:
        self.number = number
        self.outcome = Outcome(started=datetime.now(UTC))
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        """Done once the dialog is over."""
        self.leaving = Moment()
        """It is to be ended from our side."""
        self.why_leaving = ""
        self.rejected: int | None = None
        """The SIP status that it was refused with."""
        self._agent, self._note, self._inbound = agent, note, inbound
        self._answered_at: float | None = None
        self._ended_at: float | None = None
        self._early = False

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        return self._answered_at is not None

    @property
    def given_up(self) -> bool:
        """True once somebody has ended it who needs no reason, and it was not refused before."""
        return self.leaving.done() and not self.why_leaving and self.rejected is None

    def ring(self) -> None:
        """Send 180. Raises CallEnded."""
        self._tell(lambda: self._agent.ring(self.number), "ring")
        self._note("> 180")

    def early_media(self) -> bool:
        """Send 183 with SDP; False where that, or the answer, is out already. Raises CallEnded."""
        if self._early or self.answered:
            return False
        self._tell(lambda: self._agent.ring(self.number, early_media=True), "early media")
        self._early = True
        self._note("> 183")
        return True

    def answer(self) -> None:
        """Send 200. Raises CallEnded."""
        self._tell(lambda: self._agent.answer(self.number), "answer")
        self._take_answer()
        self._note("> 200")

    def take_over(self, number: int) -> None:
        """Take that it is the dialog of that number, which somebody has answered right now."""
        self.number = number
        self._take_answer()

    def _take_answer(self) -> None:
        self._answered_at, self.outcome.answered = asyncio.get_running_loop().time(), datetime.now(UTC)

    def reject(self, status: int, *, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Refuse what is unanswered, with a status of 300 to 699. Raises CallEnded."""
        self.rejected = status
        self._note(f"> {status}", **({"reason": reason} if reason else {}))
        self._tell(lambda: self._agent.reject(self.number, status=status, reason=reason, headers=headers), "reject")

    def leave(self, reason: str = "") -> None:
        """Have it ended from our side, soon; `reason` is the value of a Reason header (RFC 3326)."""
        self.why_leaving = self.why_leaving or reason
        self.leaving.come()

    def hang_up(self, reason: str) -> None:
        """Hang up, now; a dialog that has ended meanwhile needs no ending."""
        if self.rejected is not None or self.ended.done():
            return
        self._note("> BYE" if self.answered else "> 603", **({"reason": reason} if reason else {}))
        try:
            self._agent.hang_up(self.number, reason=reason)
        except SipError as error:
            log.debug("%s", error)

    def notify(self, status: int, reason: str) -> None:
        """Tell the peer how the call goes that it sent a REFER for. Harmless where it has gone."""
        try:
            self._agent.notify(self.number, status=status, reason=reason)
        except SipError as error:
            log.debug("%s", error)

    def send_info(self, key: str) -> None:
        """Send one key by SIP INFO. Raises SipError."""
        self._agent.send_info(self.number, digit=key, duration_ms=PRESS_MS)

    def _tell(self, act: Callable[[], None], what: str) -> None:
        """Do something on the dialog; one that has ended meanwhile is no error of ours."""
        try:
            act()
        except SipError as error:
            raise CallEnded(f"{what}: {error}") from error

    def take_end(self, event: Ended) -> None:
        """Take how it ended: once."""
        outcome = self.outcome
        outcome.sip_status, outcome.reason, outcome.by = event.status, event.reason, event.by
        outcome.ended, self._ended_at = datetime.now(UTC), asyncio.get_running_loop().time()
        self.ended.set_result(event)
        cancelled = {"request": "CANCEL"} if self._inbound else {}
        request = ({"request": "BYE"} if self.answered else cancelled) if event.by == "remote" else {}
        self._note("call ended", by=event.by, **request, status=event.status, reason=event.reason)

    def conclude(self, otherwise: Word) -> None:
        """Say in the outcome how it went; `otherwise` is the word where nobody has answered."""
        ended_at = self._ended_at or asyncio.get_running_loop().time()
        self.outcome.conclude(answered_at=self._answered_at, ended_at=ended_at, otherwise=otherwise)
