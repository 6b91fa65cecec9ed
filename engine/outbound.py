"""Outbound calls: orders are checked, kept until they are due, and placed, each once.

An order is a row of the database from the moment it is taken. Whoever marks it live places it, so several engines may
share a database, and one that starts again goes on with what it had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, cast

from .call import Call
from .call_services import Services
from .db import Database
from .dial import Destination
from .directory import Directory, Route
from .errors import DatabaseAway, ElsewhereError, OrderError
from .exchange import Caller
from .flexml.request import CallFacts
from .flexml.verb import Method
from .lives import LOST, Case, Lives, status_callback
from .order import CallOrder
from .outgoing import OutboundCall
from .peers import Peers
from .records import Account, CallRecord
from .sid import new_sid
from .sip.address import SIP_SCHEMES, target_of, user_part

log = logging.getLogger("flexml.outbound")

LOOK_S: Final = 1.0
"""How often the database is asked for what others have scheduled."""
LATE_S: Final = 300.0
"""A call that is due for longer is not placed any more: nobody wants to be called by what an engine forgot."""
PLACING_S: Final = 0.05
LOOKS: Final = 40
"""How often, and so many seconds apart, a call is looked for that is just being placed, or has just ended."""


class Outbound:
    """`clock` gives Unix time in seconds; `ring_timeout_s` is how long a call may ring."""

    def __init__(
        self,
        *,
        lives: Lives,
        directory: Directory,
        services: Services,
        database: Database,
        clock: Callable[[], float],
        ring_timeout_s: float = 60.0,
        has_room: Callable[[], bool] = lambda: True,
        peers: Peers | None = None,
    ) -> None:
        self._peers = peers
        self._lives, self._directory, self._services = lives, directory, services
        self._database, self._clock, self._ring_timeout_s = database, clock, ring_timeout_s
        self._has_room = has_room
        self._watching: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Begin to place what is due."""
        self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Place nothing any more; what is scheduled stays so."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def order(self, account: Account, order: CallOrder, *, delay_s: float = 0.0) -> CallRecord:
        """Take an order; place it now, or after `delay_s`, or once there is room.

        Raises OrderError where it can never be placed.
        """
        if self._lives.registry.draining:
            raise OrderError("cause", "the engine is stopping")
        now = self._clock()
        case = replace(self._case(account, order), created=now)
        state = "live" if delay_s <= 0 and self._has_room() else "scheduled"
        due = None if state == "live" else now + delay_s
        record = self._record(order, case, state=state, started=now, due=due)
        await self._database.save_call(record)
        if record.state == "live":
            self._place(order, case)
        self._news.set()
        return record

    async def change(
        self, account: Account, sid: str, wanted: Callable[[CallOrder], tuple[CallOrder, float | None]]
    ) -> bool:
        """Let a scheduled call be what `wanted` makes of its order, so many seconds from now; None leaves when.

        False where it is scheduled no more. Raises OrderError where it could never be placed so, and what `wanted`
        raises.
        """

        def changed(record: CallRecord) -> CallRecord:
            order, delay_s = wanted(CallOrder(**(record.order or {})))
            case = replace(self._case(account, order, record.sid), created=record.created)
            due = record.due if delay_s is None else self._clock() + delay_s
            return self._record(order, case, state="scheduled", started=record.started, due=due)

        if was_waiting := await self._database.change_scheduled_call(sid, account.sid, changed):
            self._news.set()
        return was_waiting

    async def move(self, account: Account, sid: str, *, url: str, method: str) -> bool:
        """Let a live call of the account go on with that document; False where it does not live any more.

        Raises ElsewhereError where it lives on another engine that does not answer.
        """
        return await self._do({"do": "move", "call": sid, "account": account.sid, "url": url, "method": method})

    async def end(self, account: Account, sid: str) -> bool:
        """Cancel a scheduled call of the account, hang up a live one; False where it has none of that sid.

        Raises ElsewhereError where it lives on another engine that does not answer.
        """
        return await self._do({"do": "end", "call": sid, "account": account.sid})

    async def asked(self, what: Mapping[str, Any]) -> bool:
        """Do what another engine has been asked for; whether it could be done."""
        return await self._do_here(what) is True

    async def _do(self, what: Mapping[str, Any]) -> bool:
        """Do it here, or have the engine do it that the call is on. Raises ElsewhereError."""
        done = await self._do_here(what)
        if not isinstance(done, CallRecord):
            return done
        if self._peers is None:
            return False
        done_there = await self._peers.ask(done.owner, dict(what))
        if done_there is None:
            raise ElsewhereError(f"the call is on the engine {done.owner!r}, which does not answer")
        return done_there

    async def _do_here(self, what: Mapping[str, Any]) -> bool | CallRecord:
        """Whether it was done; the call's row where another engine has the call."""
        sid, account = what["call"], what["account"]
        for _ in range(LOOKS):
            if (call := self._lives.find(sid)) is not None:
                return call.account == account and await self._do_on(call, what)
            if what["do"] == "end" and await self._cancel(sid, account):
                return True
            record = await self._database.load_call(sid)
            if record is None or record.account != account or record.state != "live":
                return False
            if record.owner != self._database.owner:
                return record
            await asyncio.sleep(PLACING_S)
        return False

    async def _do_on(self, call: Call, what: Mapping[str, Any]) -> bool:
        if what["do"] == "move":
            return await self._lives.move(call.sid, url=what["url"], method=what["method"])
        call.end()
        return True

    async def _cancel(self, sid: str, account: str) -> bool:
        """End a call that is not placed yet; False where there is none."""
        record = await self._database.take_unplaced(sid, account)
        if record is not None:
            await self._lives.end_unplaced(record, "cancel", now=self._clock())
        return record is not None

    def _record(self, order: CallOrder, case: Case, *, state: str, started: float, due: float | None) -> CallRecord:
        """The row of a call that is not placed yet, with the callback that is due should it be lost once it is."""
        url, method = self._told(case.account, order)
        return CallRecord(
            sid=case.facts.sid,
            account=case.account.sid,
            direction="outbound",
            from_number=case.facts.from_,
            to_number=case.facts.to,
            state=state,
            started=started,
            created=case.created or started,
            due=due,
            callback=status_callback(url, method, case.facts, case, LOST),
            order=case.order,
        )

    # ---- what is due ------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                if not self._lives.registry.draining and self._has_room():
                    for record in await self._database.claim_due_calls(self._clock()):
                        if not self._lives.registry.draining:  # else it waits for the next start
                            await self._take(record)
                await self._sleep(await self._database.next_due())
            except DatabaseAway:  # which has said so
                await asyncio.sleep(LOOK_S)
            except Exception:
                log.exception("scheduled calls could not be looked at")
                await asyncio.sleep(LOOK_S)

    async def _sleep(self, due: float | None) -> None:
        """Return when there may be something to do."""
        self._news.clear()
        wait_s = LOOK_S if due is None or not self._has_room() else min(LOOK_S, max(0.0, due - self._clock()))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._news.wait()

    async def _take(self, record: CallRecord) -> None:
        """Place a call that is due; one that cannot be placed any more has failed."""
        try:
            account = self._directory.account(record.account)
            if account is None or record.order is None or record.due is None:
                raise OrderError("account_sid", "the account is gone")
            order = CallOrder(**record.order)
            case = replace(self._case(account, order, record.sid), created=record.created)
            if await self._database.patiently(lambda: self._database.begin_placing(record.sid)):
                self._place(order, case, late_s=self._clock() - record.due)
        except OrderError as error:
            log.error("scheduled call %s cannot be placed: %s", record.sid, error)
            taken = await self._database.patiently(lambda: self._database.take_unplaced(record.sid, record.account))
            if taken is not None:
                await self._lives.end_unplaced(taken, "failed", now=self._clock(), error=str(error))

    # ---- placing ----------------------------------------------------------------------------------------------

    def _place(self, order: CallOrder, case: Case, *, late_s: float = 0.0) -> None:
        call = self._call(order, case, too_late=late_s > LATE_S)
        call.note("placing", to=order.called_did, **{"from": order.calling_did}, late_s=round(late_s, 1))
        self._lives.begin(call, case)

    def _call(self, order: CallOrder, case: Case, *, too_late: bool) -> OutboundCall:
        account = case.account
        call = OutboundCall(
            destination=Destination(target=target_of(order.called_did), headers=order.headers),
            timeout_s=self._ring_timeout_s,
            too_late=too_late,
            sid=case.facts.sid,
            services=self._services,
            account=account.sid,
            detector="webrtc" if account.detector == "webrtc" else "energy",
        )
        call.status_callback_url, call.status_callback_method = self._told(account, order)
        call.outward.may_show = lambda number: self._directory.may_show(account, number)
        call.outward.caller = Caller(number=case.facts.from_, name=order.name)
        return call

    def _told(self, account: Account, order: CallOrder) -> tuple[str, Method]:
        """Where the status callback goes: as the call says, else as its DID does."""
        if order.status_callback_url:
            return order.status_callback_url, cast("Method", order.status_callback_method)
        did = self._route(account, order).did
        return did.status_callback_url or "", cast("Method", did.status_callback_method)

    def _route(self, account: Account, order: CallOrder) -> Route:
        route = self._directory.of_account(account.sid, order.calling_did)
        if route is None:
            raise OrderError("calling_did", f"found {order.calling_did!r}; expected a DID of the account")
        return route

    def _case(self, account: Account, order: CallOrder, sid: str = "") -> Case:
        """What the call is about. Raises OrderError naming the field that is wrong."""
        route = self._route(account, order)
        if not _can_be_called(order.called_did):
            wanted = "expected a number, or a SIP URI without headers"
            raise OrderError("called_did", f"found {order.called_did!r}; {wanted}")
        url, method = (order.url, order.method) if order.url else (route.url, route.method)
        if not url:
            raise OrderError("url", "neither the call nor its DID nor the account has one")
        _ = order.headers, order.name  # they are wrong now or never
        facts = CallFacts(
            sid=sid or new_sid(),
            direction="outbound",
            from_=self._directory.number(order.calling_did),
            to=self._directory.number(user_part(order.called_did)),
            original_from=order.calling_did,
            original_to=order.called_did,
            caller_name=order.name,
            endpoint_sid=account.sid,
            no_answer=account.no_answer,
        )
        application = self._lives.application(account, url=url, method=method, fallback_url=route.fallback_url)
        return Case(account=account, application=application, facts=facts, order=order.as_row())


def _can_be_called(written: str) -> bool:
    target = target_of(written)
    return target.lower().startswith(SIP_SCHEMES) or sum(char.isdigit() for char in target) >= 3
