"""All live calls, by dialog and by sid, and the way of an INVITE to its call.

An INVITE's number is looked up among the DIDs; what is not there gets 404. The registry is the SIP agent's
listener: it sorts events to their calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .errors import FlexmlError, NotAcceptable, SdpError
from .sip.events import Ended, Event, Invited, LiveCall, SipAgent

log = logging.getLogger("flexml.registry")

NO_SUCH_CALL: Final = 481
CHALLENGED: Final = 401
"""Part of every call that brings credentials, so nothing to warn of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why an INVITE gets no call."""

    status: int
    why: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    level: int = logging.WARNING
    """How important that is to the log."""


class Registry:
    """Live calls. `admit` makes a call of an INVITE, or says why not; it asks nothing of the agent by itself."""

    def __init__(self) -> None:
        self.agent: SipAgent | None = None
        self.draining = False
        self.admit: Callable[[Invited], LiveCall | Refusal] = lambda _: Refusal(status=503, why="not ready")
        self.ended: Callable[[int], None] = lambda _: None
        """Told of every dialog that is over."""
        self._by_dialog: dict[int, LiveCall] = {}
        self._refused: set[int] = set()
        self._placing: LiveCall | None = None

    def __len__(self) -> int:
        return len(self._by_dialog)

    @property
    def calls(self) -> Mapping[int, LiveCall]:
        """Live calls by dialog."""
        return self._by_dialog

    def on_event(self, event: Event) -> None:
        """Take an event of the SIP agent."""
        if isinstance(event, Invited):
            self._invited(event)
            return
        if isinstance(event, Ended):
            self._refused.discard(event.dialog)
            self.ended(event.dialog)
        call = self._by_dialog.get(event.dialog) or self._placing
        if call is not None:
            call.on_sip_event(event)

    def place(self, call: LiveCall, invite: Callable[[], int]) -> int:
        """Send an INVITE for `call`; returns its dialog. Events that come before it is known are the call's too."""
        self._placing = call
        try:
            dialog = invite()
        finally:
            self._placing = None
        self._by_dialog[dialog] = call
        return dialog

    def hand_over(self, dialog: int, call: LiveCall) -> None:
        """Let what happens on a dialog be another's from now on; harmless where the dialog is over."""
        if dialog in self._by_dialog:
            self._by_dialog[dialog] = call

    def _invited(self, invite: Invited) -> None:
        try:
            admitted = Refusal(status=503, why="shutting down") if self.draining else self.admit(invite)
        except FlexmlError as error:
            admitted = Refusal(status=503, why=str(error))
        if isinstance(admitted, Refusal):
            level = logging.INFO if admitted.status == CHALLENGED else admitted.level
            log.log(level, "< INVITE %s from %s refused with %d: %s", invite.request_uri, invite.source,
                    admitted.status, admitted.why)  # fmt: skip
            self._refused.add(invite.dialog)
            asyncio.get_running_loop().call_soon(self._refuse, invite.dialog, admitted)
            return
        self._by_dialog[invite.dialog] = admitted

    def _refuse(self, dialog: int, refusal: Refusal) -> None:
        if self.agent is None:
            return
        try:
            self.agent.reject(dialog, status=refusal.status, headers=refusal.headers)
        except FlexmlError as error:
            log.debug("%s", error)

    def on_offer(self, dialog: int, offer: str | None) -> str:
        """Give our SDP for a dialog. Raises SdpError or NotAcceptable."""
        call = self._by_dialog.get(dialog)
        if call is None:
            raise NotAcceptable("the INVITE is being refused")
        return call.on_offer(offer)

    def on_answer(self, dialog: int, answer: str) -> None:
        """Take the peer's answer to an offer within a dialog."""
        call = self._by_dialog.get(dialog)
        if call is None:
            return
        try:
            call.on_answer(answer)
        except SdpError as error:
            log.warning("the answer cannot be used: %s", error)

    def on_refer(self, dialog: int, target: str) -> int:
        """Say whether a REFER is followed."""
        call = self._by_dialog.get(dialog)
        return NO_SUCH_CALL if call is None else call.on_refer(target)

    def forget(self, dialog: int) -> None:
        """Drop a call that has ended and been concluded."""
        self._by_dialog.pop(dialog, None)
