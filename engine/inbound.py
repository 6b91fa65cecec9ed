"""Inbound calls: from INVITE to number, account and document, through the call's life, to its status callback."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast

from .call import Call
from .call_services import Services
from .config import Trunk
from .db import Account, CallRecord, Database, Did
from .errors import SipError
from .exchange import Caller
from .flexml import interpreter
from .flexml.document import MAX_VERBS
from .flexml.fetch import Fetcher
from .flexml.interpreter import Application
from .flexml.request import CallFacts, Ending, request_data, status_callback_data
from .flexml.verb import Method
from .leg import Leg, LegSettings
from .log import call_id
from .media_client import MediaClient
from .outbox import Outbox
from .outcome import Outcome
from .ports import PortPool
from .registry import Refusal, Registry
from .sip.address import diverting_number, normalise_number, parse_address, user_part
from .sip.events import Invited
from .sip.negotiation import names_keys
from .timeline import Timeline

log = logging.getLogger("flexml.inbound")

NOT_FOUND: Final = 404
LOST: Final = Ending(status="failed", duration_s=0)
"""How a call ended that was live when the process died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A number and whose it is."""

    did: Did
    account: Account


@dataclass(frozen=True, kw_only=True)
class DocumentLimits:
    """What a document may be at most."""

    max_bytes: int
    max_verbs: int = MAX_VERBS


class Inbound:
    """Admits INVITEs and lives their calls."""

    def __init__(
        self,
        *,
        registry: Registry,
        services: Services,
        leg_settings: LegSettings,
        ports: PortPool,
        media: MediaClient,
        fetcher: Fetcher,
        outbox: Outbox,
        database: Database,
        timeline: Timeline,
        limits: DocumentLimits,
        region: str,
    ) -> None:
        self.registry = registry
        registry.admit = self.admit
        self._services, self._leg_settings, self._ports, self._media = services, leg_settings, ports, media
        self._fetcher, self._outbox, self._database, self._limits = fetcher, outbox, database, limits
        self._timeline = timeline
        self._region = region
        self.trunk_of: Callable[[int], Trunk | None] = lambda _: None
        """Which trunk an inbound dialog came by."""
        self._routes: dict[str, Route] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def set_routes(self, accounts: Sequence[Account], dids: Sequence[Did]) -> None:
        """Take the numbers to answer, and whose they are."""
        by_sid = {account.sid: account for account in accounts}
        self._routes = {did.phonenumber: Route(did=did, account=by_sid[did.account]) for did in dids}

    def admit(self, invite: Invited) -> Call | Refusal:
        """Make a call of an INVITE for a number of ours. Raises MediaError where there is no room."""
        dialled = user_part(invite.request_uri)
        number = normalise_number(dialled, self._region)
        route = self._routes.get(number) or self._routes.get(dialled)
        if route is None:
            return Refusal(status=NOT_FOUND, why=f"no DID {number}")
        url = route.did.url or route.account.url
        if not url:
            return Refusal(status=NOT_FOUND, why=f"neither DID {number} nor account {route.account.login} has a URL")
        call = Call(
            sid=str(uuid.uuid4()),
            dialog=invite.dialog,
            services=self._services,
            account=route.account.sid,
            detector="webrtc" if route.account.detector == "webrtc" else "energy",
        )
        call.status_callback_url = route.did.status_callback_url or ""
        call.status_callback_method = cast("Method", route.did.status_callback_method)
        call.attach(Leg(self._leg_settings.on(self.trunk_of(invite.dialog)), self._ports, self._media, call))
        call.note(
            "< INVITE", to=invite.request_uri, **{"from": invite.from_uri}, source=invite.source,
            transport=invite.transport, call_id=invite.call_id, account=route.account.login,
        )  # fmt: skip
        if invite.transport != "tls" and invite.offer and names_keys(invite.offer):
            call.note("SRTP keys came in clear", transport=invite.transport)
        task = asyncio.ensure_future(self._live(call, invite, route, url))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call

    async def _live(self, call: Call, invite: Invited, route: Route, url: str) -> None:
        call_id.set(call.sid)
        facts = self._facts(invite, route)
        method = route.did.method if route.did.url else route.account.method
        application = Application(
            url=url,
            method=cast("Method", method),
            error_handler=cast("Literal['basic', 'none']", route.account.error_handler),
            fallback_url=route.did.fallback_url or route.account.fallback_url or "",
            max_bytes=self._limits.max_bytes,
            max_verbs=self._limits.max_verbs,
        )

        def current() -> CallFacts:
            return replace(facts(call.sid, call.storage), results=dict(call.results))

        def told() -> dict[str, object]:
            return request_data(current(), request_url=url)

        saving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        saving.set_result(None)

        def save() -> None:
            nonlocal saving
            record = self._record(call, current(), route, callback=_callback(call, current(), application, LOST))
            saving = asyncio.ensure_future(self._save(record, after=saving))

        call.told, call.changed = told, save
        call.caller = Caller(number=current().from_, name=current().caller_name)
        call.may_show = lambda number: self._may_show(route.account, number)
        try:
            save()
            outcome = await call.live(lambda: interpreter.run(call, self._fetcher, application, current))
            await saving
            await self._conclude(call, outcome, current(), application, route)
        except Exception:
            log.exception("the call could not be concluded")
        finally:
            self.registry.forget(call.dialog)
            self._timeline.forget(call.sid)

    def _may_show(self, account: Account, number: str) -> bool:
        """Whether calls of the account may show that number: one of its own, or one that it was given."""
        wanted = normalise_number(number, self._region)
        own = self._routes.get(wanted)
        given = (normalise_number(one, self._region) for one in account.caller_ids)
        return (own is not None and own.account.sid == account.sid) or wanted in given

    async def _save(self, record: CallRecord, after: asyncio.Future[None]) -> None:
        """Save what is known so far, `after` what was known before; the call goes on without."""
        await after
        try:
            await self._database.save_call(record)
        except Exception:
            log.exception("the call's row could not be saved")

    def _facts(self, invite: Invited, route: Route) -> Callable[[str, Mapping[str, str]], CallFacts]:
        """What requests say of the call; only the storage changes later."""
        caller = parse_address(invite.from_uri)
        original_from = caller.user if caller is not None else user_part(invite.from_uri)
        original_to = user_part(invite.request_uri)

        def facts(sid: str, storage: Mapping[str, str]) -> CallFacts:
            return CallFacts(
                sid=sid,
                direction="inbound",
                from_=normalise_number(original_from, self._region),
                to=normalise_number(original_to, self._region),
                original_from=original_from,
                original_to=original_to,
                caller_name=caller.display if caller is not None else "",
                forwarded_from=diverting_number(invite.headers, self._region),
                endpoint_sid=route.account.sid,
                sip_headers=invite.headers,
                storage=dict(storage),
            )

        return facts

    def _record(
        self,
        call: Call,
        facts: CallFacts,
        route: Route,
        outcome: Outcome | None = None,
        callback: dict[str, Any] | None = None,
    ) -> CallRecord:
        timings = outcome or call.outcome
        return CallRecord(
            sid=call.sid,
            account=route.account.sid,
            direction="inbound",
            from_number=facts.from_,
            to_number=facts.to,
            state="ended" if outcome else "live",
            started=timings.started.timestamp(),
            answered=timings.answered.timestamp() if timings.answered else None,
            ended=timings.ended.timestamp() if timings.ended else None,
            status=timings.status if outcome else "",
            duration_s=timings.duration_s,
            callback=callback,
        )

    async def _conclude(
        self, call: Call, outcome: Outcome, facts: CallFacts, application: Application, route: Route
    ) -> None:
        await self._timeline.flush()
        ending = Ending(
            status=outcome.status,
            duration_s=outcome.duration_s,
            playback_url=outcome.played_url,
            play_offset_ms=outcome.play_offset_ms,
        )
        if callback := _callback(call, facts, application, ending):
            await self._outbox.put(**callback)
        await self._database.save_call(self._record(call, facts, route, outcome))

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, hang up those that live, and wait until all are concluded."""
        self.registry.draining = True
        for dialog in list(self.registry.calls):
            try:
                self._services.agent.hang_up(dialog)
            except SipError as error:
                log.debug("%s", error)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)


def _callback(call: Call, facts: CallFacts, application: Application, ending: Ending) -> dict[str, Any] | None:
    """The call's one status callback, whichever process sends it; None where nobody wants one."""
    if not call.status_callback_url:
        return None
    data = status_callback_data(facts, ending, request_url=application.url, request_method=application.method)
    sid = str(uuid.uuid5(uuid.UUID(call.sid), "status callback"))
    return {"url": call.status_callback_url, "method": call.status_callback_method, "data": data, "sid": sid}


async def close_orphans(database: Database, outbox: Outbox, now: float) -> int:
    """Mark calls that an earlier run left live as ended, and tell their applications; returns how many."""
    orphans = await database.load_calls(state="live")
    for orphan in orphans:
        if orphan.callback:
            await outbox.put(**orphan.callback)
        await database.save_call(replace(orphan, state="ended", status="failed", ended=now, callback=None))
    return len(orphans)
