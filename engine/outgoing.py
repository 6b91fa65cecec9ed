"""A call that the engine places: somebody is rung, and once they answer, its documents run as those of any call."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from .call import Call
from .call_services import Services
from .dial import Destination
from .errors import CallEnded
from .outcome import Outcome, Word, unanswered
from .party import Party
from .reach import Reach, Unreached
from .sip.events import Ended

NO_DIALOG: Final = 0
"""Before anybody has answered; the agent's dialogs count from 1."""
TOO_LATE: Final = Unreached(status=0, reason="not placed: too late")
CANCELLED: Final = Unreached(status=487, reason="cancelled")


class OutboundCall(Call):
    """One call to `destination`, which has `timeout_s` to answer; a call that is `too_late` is not placed."""

    inbound: ClassVar[bool] = False

    def __init__(
        self, *, destination: Destination, timeout_s: float, too_late: bool, services: Services, **call: Any
    ) -> None:
        super().__init__(dialog=NO_DIALOG, services=services, **call)
        self._exchange = services.exchange
        self._destination, self._timeout_s, self._too_late = destination, timeout_s, too_late
        self._parties: list[Party] = []
        self._otherwise: Word = "failed"

    async def live(self, carry_out: Any) -> Outcome:
        """Ring, run `carry_out` once there is an answer, tidy up. Returns how it went."""
        try:
            return await super().live(carry_out)
        finally:
            if (exchange := self._exchange) is not None:
                for party in self._parties:
                    exchange.end(party)

    async def _begin(self) -> None:
        """Ring until somebody answers. Raises CallEnded where nobody does."""
        exchange = self._exchange
        if exchange is None or self._too_late:
            self._give_up(TOO_LATE, "failed")
            raise CallEnded(TOO_LATE.reason)
        reach = Reach(
            exchange=exchange,
            caller=self.outward.caller,
            note=self.note,
            made=self._parties.append,
            timeout_s=self._timeout_s,
        )
        reached = await reach.party(self._destination)
        if isinstance(reached, Unreached):
            self._give_up(reached)
            raise CallEnded(f"not reached: {reached.status} {reached.reason}")
        exchange.hand_over(reached, self)
        self._take_over(reached)

    def _give_up(self, why: Unreached, word: Word | None = None) -> None:
        """Nobody is talked with: stop ringing, and be over."""
        self._otherwise = word or unanswered(why.status)
        for party in self._parties:
            party.hang_up()
        self._take_end(Ended(dialog=NO_DIALOG, status=why.status, reason=why.reason, by=why.by))

    def _take_over(self, party: Party) -> None:
        """The party is who this call talks with from now on."""
        self._parties.remove(party)
        self._dialog.take_over(party.dialog or NO_DIALOG)
        self.media.take_over(party.leg)
        self.changed()
        if party.ended.done():
            self._take_end(party.ended.result())

    def _end_dialog(self, reason: str) -> None:
        """Hang up, or cancel what rings."""
        if self.answered:
            super()._end_dialog(reason)
            return
        self.note("> CANCEL")
        self._give_up(CANCELLED, "cancel")

    def _fail(self) -> None:
        if self.answered:
            self.end()
        elif not self.over:
            self._give_up(Unreached(status=500, reason="internal error"))

    def _unanswered(self) -> Word:
        return self._otherwise
