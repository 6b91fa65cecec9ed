"""The SIP agent over pjsua2 (see `events` for the seam): which calls and accounts there are, and what becomes of them.

Only this module knows `stack`. A call is kept in `_calls` until DISCONNECTED, or in `_given_up` once its end has been
told before; it is dropped outside the stack's callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from ..errors import SipError
from .address import quoted
from .dialog import Dialog, invited
from .events import Ended, Listener, Login, MessageAnswered, TrunkEvent, TrunkLine
from .poller import BUSY_POLL_S, Poller
from .settings import AgentSettings
from .stack import account as accounts
from .stack.account import Account
from .stack.call import Call
from .stack.endpoint import Endpoint

TIMED_OUT: Final = 408
NOT_ACCEPTABLE: Final = 488


class Agent:
    """`events.SipAgent` over pjsua2. Start it with a listener on the event loop's thread; close it there."""

    def __init__(self, settings: AgentSettings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self._calls: dict[int, Call] = {}
        self._finished: list[Call] = []
        self._given_up: dict[int, Call] = {}
        self._next_dialog = 1
        self._endpoint: Endpoint | None = None
        self._poller: Poller | None = None
        self._identity = ""
        self._account: Account | None = None
        self._trunks: dict[str, Account] = {}
        self._lines: dict[str, TrunkLine] = {}
        self._guests: dict[tuple[str, Login], Account] = {}

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind the transports and begin to take calls. Raises SipError naming what could not be bound."""
        endpoint = self._endpoint = Endpoint(self._settings)
        endpoint.start()
        self._identity = f"sip:flexml@{endpoint.listening[0].partition(':')[2]}"
        self._account = accounts.of_engine(self._settings, self._identity, self._take_invite)
        self._poller = Poller(
            endpoint.descriptor, endpoint.handle_events, busy=lambda: bool(self._calls), after=self._sweep
        )
        self._poller.start()

    async def close(self, *, grace_s: float = 1.0) -> None:
        """Hang up what is left, wait up to `grace_s` until every peer knows of its call's end, and free the stack."""
        if self._endpoint is None:
            return
        for dialog in list(self._calls):
            self.hang_up(dialog)
        for account in self._trunks.values():
            account.unregister()
        await self._let_peers_know(grace_s)
        if self._poller:
            self._poller.stop()
        self._calls.clear()
        self._given_up.clear()
        self._finished.clear()
        self._account = None
        self._endpoint.destroy()
        self._endpoint = None
        self._guests.clear()
        self._trunks.clear()  # not earlier: the stack tells them what becomes of requests under way

    async def _let_peers_know(self, grace_s: float) -> None:
        """Wait, no longer than that, until the stack has no call any more and every registrar has answered."""
        clock = asyncio.get_running_loop().time
        end = clock() + grace_s
        while self._peers_to_tell and clock() < end:  # noqa: ASYNC110 - pjsip is driven meanwhile
            await asyncio.sleep(BUSY_POLL_S)

    @property
    def _peers_to_tell(self) -> bool:
        return self.dialogs > 0 or any(account.leaving for account in self._trunks.values())

    @property
    def dialogs(self) -> int:
        """How many calls the stack has, with those that have ended here but whose peers do not know it yet."""
        return 0 if self._endpoint is None else self._endpoint.calls

    @property
    def behind_s(self) -> float:
        """For how long messages have been waiting without a moment in which all had been taken."""
        return 0.0 if self._poller is None else self._poller.behind_s

    # ---- calls ------------------------------------------------------------------------------------------------

    def ring(self, dialog: int, *, early_media: bool = False) -> None:
        """Send 180, or 183 with SDP for early media."""
        self._get(dialog).respond(183 if early_media else 180)

    def answer(self, dialog: int) -> None:
        """Send 200."""
        self._get(dialog).respond(200)

    def reject(self, dialog: int, *, status: int, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Send a final response of 300 to 699."""
        call = self._get(dialog)
        call.dialog.ended_by_us = True
        call.respond(status, reason=reason, headers=tuple(headers.items()))

    def hang_up(self, dialog: int, *, reason: str = "") -> None:
        """End the dialog whatever its state; nothing happens where it is over."""
        call = self._calls.get(dialog)
        if call is None:
            return
        call.dialog.ended_by_us = True
        if call.dialog.leaving:  # the stack has sent BYE by itself, for a description that it cannot use
            self._let_go(call, status=NOT_ACCEPTABLE, reason="Not Acceptable Here", by="local")
        else:
            call.hang_up(reason=reason)

    def invite(
        self,
        target: str,
        *,
        sdp: str,
        from_uri: str,
        display_name: str = "",
        headers: Sequence[tuple[str, str]] = (),
        trunk: str = "",
        login: Login | None = None,
    ) -> int:
        """Send an INVITE; returns the dialog. Challenges are answered by `login`, else with `trunk`'s credentials."""
        account = self._account_of(trunk, login)
        dialog = Dialog(number=self._new_dialog(), inbound=False, prepared_sdp=sdp)
        call = self._calls[dialog.number] = Call(account, dialog, self._listener, self)
        try:
            call.place(target, local_uri=f"{quoted(display_name)}<{from_uri}>", headers=headers)
        except SipError:
            self._calls.pop(dialog.number, None)
            raise
        if trunk:
            asyncio.get_running_loop().call_later(self._lines[trunk].answer_s, self._give_up, dialog.number)
        return dialog.number

    def reinvite(self, dialog: int, *, sdp: str) -> None:
        """Offer `sdp` within the dialog; the answer comes through `Listener.on_answer`."""
        self._get(dialog).offer(sdp)

    def notify(self, dialog: int, *, status: int, reason: str) -> None:
        """Tell who sent a REFER how the call to its target goes."""
        self._get(dialog).notify(status, reason)

    def send_info(self, dialog: int, *, digit: str, duration_ms: int = 100) -> None:
        """Send one key as application/dtmf-relay."""
        self._get(dialog).send_info(digit, duration_ms)

    def _get(self, dialog: int) -> Call:
        call = self._calls.get(dialog)
        if call is None:
            raise SipError(f"dialog {dialog} is over")
        return call

    def _new_dialog(self) -> int:
        self._next_dialog += 1
        return self._next_dialog - 1

    def _take_invite(self, account: Account, number: int, text: str, source: str) -> None:
        """Give an INVITE its dialog and announce it; `number` is the stack's."""
        dialog = Dialog(number=self._new_dialog(), inbound=True)
        self._calls[dialog.number] = Call(account, dialog, self._listener, self, number)
        self._listener.on_event(invited(dialog.number, text, source))

    def refuse_offer(self, dialog: int) -> None:
        """Refuse an INVITE with 488, unless it is over by then."""
        asyncio.get_running_loop().call_soon(self._refuse_offer, dialog)

    def expect_ack(self, dialog: int) -> None:
        """Have ACKs read until the dialog is over."""
        if self._endpoint is not None:
            self._endpoint.acknowledgement.expected.add(dialog)

    @property
    def latest_ack(self) -> str:
        """The text of the ACK that came last."""
        return "" if self._endpoint is None else self._endpoint.acknowledgement.latest

    def _refuse_offer(self, dialog: int) -> None:
        call = self._calls.get(dialog)
        if call is not None and not call.dialog.ended_by_us:
            self.reject(dialog, status=NOT_ACCEPTABLE)

    def _give_up(self, dialog: int) -> None:
        """End a call that had no response at all: the stack would wait for 32 s, and nobody would wait with it."""
        call = self._calls.get(dialog)
        if call is None or call.dialog.heard or call.dialog.ended_by_us:
            return
        self._let_go(call, status=TIMED_OUT, reason="No response", by="stack")
        call.give_up()

    def _let_go(self, call: Call, *, status: int, reason: str, by: Literal["local", "stack"]) -> None:
        """Have done with a call that the stack is not done with; it is kept until then."""
        dialog = call.dialog
        dialog.given_up = True
        self._given_up[dialog.number] = self._calls.pop(dialog.number)
        self._listener.on_event(Ended(dialog=dialog.number, status=status, reason=reason, by=by))

    def over(self, call: Call) -> bool:
        """Have a call dropped that the stack is done with; False where it was dropped before."""
        dialog = call.dialog
        if self._endpoint is not None:
            self._endpoint.acknowledgement.expected.discard(dialog.number)
        if dialog.given_up:
            self._given_up.pop(dialog.number, None)
        elif self._calls.pop(dialog.number, None) is None:
            return False
        self._finished.append(call)
        return True

    def _sweep(self) -> None:
        """Drop calls that are over, and accounts of logins that no call has any more. Not from within callbacks."""
        for call in self._finished:
            call.outlast()
        self._finished.clear()
        if not self._guests:
            return
        used = {id(call.account) for call in (*self._calls.values(), *self._given_up.values())}
        for key in [key for key, account in self._guests.items() if id(account) not in used]:
            self._guests.pop(key).shutdown()

    # ---- accounts ---------------------------------------------------------------------------------------------

    def send_message(
        self,
        target: str,
        *,
        text: str,
        from_uri: str,
        headers: Sequence[tuple[str, str]] = (),
        trunk: str,
        told: Callable[[MessageAnswered], None],
    ) -> None:
        """Send MESSAGE (RFC 3428) with the credentials of `trunk`; `told` hears its final response, once."""
        self._trunk(trunk).send_message(target, text=text, from_uri=from_uri, headers=headers, told=told)

    def add_trunk(self, line: TrunkLine, told: Callable[[TrunkEvent], None]) -> None:
        """Make an account for a trunk, once; nothing is sent yet. Raises SipError."""
        if self._endpoint is None:
            raise SipError("the SIP stack is not running")
        self._trunks[line.name] = accounts.of_trunk(self._settings, line, self._take_invite, told)
        self._lines[line.name] = line

    def register(self, trunk: str) -> None:
        """Send REGISTER; renewals follow by themselves until one fails."""
        self._trunk(trunk).register()

    def ask(self, trunk: str) -> None:
        """Send OPTIONS to a trunk."""
        self._trunk(trunk).ask(self._lines[trunk].uri)

    def _trunk(self, name: str) -> Account:
        account = self._trunks.get(name)
        if account is None:
            raise SipError(f"there is no trunk {name!r} in the SIP stack")
        return account

    def _account_of(self, trunk: str, login: Login | None) -> Account:
        """The account that a call is placed on: the trunk's or ours, or one for a login of the call's own."""
        if login is not None:
            return self._guest(trunk, login)
        account = self._trunk(trunk) if trunk else self._account
        if account is None:
            raise SipError("the SIP stack is not running")
        return account

    def _guest(self, trunk: str, login: Login) -> Account:
        """An account for calls with that login; it goes with the last of them."""
        account = self._guests.get((trunk, login))
        if account is None:
            identity = self._lines[trunk].identity if trunk else self._identity
            account = accounts.of_login(self._settings, identity, login, self._take_invite)
            self._guests[trunk, login] = account
        return account
