"""Inbound calls: from INVITE to number, account and document."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, cast

from .call import Call
from .call_services import Services
from .config import Trunk
from .directory import Directory, Route
from .exchange import Caller
from .flexml.request import CallFacts, told_headers
from .flexml.verb import Method
from .leg import Leg, LegSettings
from .lives import Case, Lives
from .media_client import MediaClient
from .ports import PortPool
from .registry import Refusal
from .sid import new_sid
from .sip.address import diverting_number, parse_address, user_part
from .sip.events import Invited
from .sip.negotiation import names_keys

log = logging.getLogger("flexml.inbound")

NOT_FOUND: Final = 404


class Inbound:
    """Admits INVITEs and has their calls lived."""

    def __init__(
        self,
        *,
        lives: Lives,
        directory: Directory,
        services: Services,
        leg_settings: LegSettings,
        ports: PortPool,
        media: MediaClient,
    ) -> None:
        self._lives, self._directory = lives, directory
        lives.registry.admit = self.admit
        self._services, self._leg_settings, self._ports, self._media = services, leg_settings, ports, media
        self.trunk_of: Callable[[int], Trunk | None] = lambda _: None
        """Which trunk an inbound dialog came by."""
        self.known_as: Callable[[str], bool] = lambda _: False
        """Whether a registrar knows us by a user."""

    def admit(self, invite: Invited) -> Call | Refusal:
        """Make a call of an INVITE for a number of ours. Raises MediaError where there is no room."""
        dialled, route = self._dialled(invite)
        if route is None:
            return Refusal(status=NOT_FOUND, why=f"no DID {self._directory.number(dialled)}")
        if not route.url:
            why = f"neither DID {route.did.phonenumber} nor account {route.account.login} has a URL"
            return Refusal(status=NOT_FOUND, why=why)
        call = self._call(invite, route)
        leg = Leg(self._leg_settings.on(self.trunk_of(invite.dialog)), self._ports, self._media, call.media)
        leg.begin_to_open()
        call.media.attach(leg)
        call.note(
            "< INVITE", to=invite.request_uri, **{"from": invite.from_uri}, source=invite.source,
            transport=invite.transport, call_id=invite.call_id, account=route.account.login,
        )  # fmt: skip
        if invite.transport != "tls" and invite.offer and names_keys(invite.offer):
            call.note("SRTP keys came in clear", transport=invite.transport)
        application = self._lives.application(
            route.account, url=route.url, method=route.method, fallback_url=route.fallback_url
        )
        facts = self._facts(call.sid, invite, route, dialled)
        call.outward.caller = Caller(number=facts.from_, name=facts.caller_name)
        self._lives.begin(call, Case(account=route.account, application=application, facts=facts))
        return call

    def _dialled(self, invite: Invited) -> tuple[str, Route | None]:
        """Whom the call is for; To says so where a registrar put our contact in place of it (RFC 3261 section 16.5)."""
        dialled = user_part(invite.request_uri)
        route = self._directory.route(dialled)
        if route is None and self.known_as(dialled):
            dialled = user_part(invite.to_uri)
            route = self._directory.route(dialled)
        return dialled, route

    def _call(self, invite: Invited, route: Route) -> Call:
        call = Call(
            sid=new_sid(),
            dialog=invite.dialog,
            services=self._services,
            account=route.account.sid,
            detector="webrtc" if route.account.detector == "webrtc" else "energy",
        )
        call.status_callback_url = route.did.status_callback_url or ""
        call.status_callback_method = cast("Method", route.did.status_callback_method)
        call.outward.may_show = lambda number: self._directory.may_show(route.account, number)
        return call

    def _facts(self, sid: str, invite: Invited, route: Route, dialled: str) -> CallFacts:
        """What requests say of the call."""
        caller = parse_address(invite.from_uri)
        original_from = caller.user if caller is not None else user_part(invite.from_uri)
        return CallFacts(
            sid=sid,
            direction="inbound",
            from_=self._directory.number(original_from),
            to=self._directory.number(dialled),
            original_from=original_from,
            original_to=dialled,
            caller_name=caller.display if caller is not None else "",
            forwarded_from=diverting_number(invite.headers, self._directory.region),
            endpoint_sid=route.account.sid,
            no_answer=route.account.no_answer,
            sip_headers=told_headers(invite.headers),
        )
