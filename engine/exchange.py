"""Where calls out are placed: who may show which number, which way a number goes, and the parties under way.

A SIP URI is called as it is; a number goes by the routes that `route` gives, the next one when a carrier fails.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from .dial import Destination
from .leg import Leg, LegSettings
from .media_client import MediaClient
from .media_leg import MediaLeg
from .party import Invitation, Party
from .ports import PortPool
from .sip.events import SipAgent

SCHEMES: Final = ("sip:", "sips:")


class Dialogs(Protocol):
    """Who sorts the agent's events to calls: the registry."""

    def place(self, call: Party, invite: Callable[[], int]) -> int:
        """Send an INVITE for `call`, so that no event of its dialog is lost."""
        ...

    def forget(self, dialog: int) -> None:
        """Drop a dialog that is over."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """As whom a call is placed."""

    number: str
    name: str = ""


class Exchange:
    """Places calls. `route` gives the SIP URIs of a number, the best way first; none where there is no way."""

    def __init__(
        self,
        *,
        agent: SipAgent,
        dialogs: Dialogs,
        settings: LegSettings,
        ports: PortPool,
        media: MediaClient,
        route: Callable[[str], Sequence[str]],
    ) -> None:
        self._agent, self._dialogs = agent, dialogs
        self._settings, self._ports, self._media = settings, ports, media
        self._route = route
        self._rooms = itertools.count(1)

    def new_room(self) -> int:
        """A number that no room has had."""
        return next(self._rooms)

    def ways(self, target: str) -> Sequence[str]:
        """The SIP URIs by which `target` can be reached, the best first."""
        return (target,) if target.lower().startswith(SCHEMES) else self._route(target)

    async def call(
        self, destination: Destination, uri: str, caller: Caller, beside: MediaLeg, note: Callable[..., None]
    ) -> Party:
        """Send an INVITE to `uri`. The leg is in the worker of `beside`. Raises SipError or MediaError."""
        party = Party(str(uuid.uuid4()), destination.target, self._agent, note)
        party.attach(Leg(self._settings, self._ports, self._media, party, beside=beside))
        invitation = Invitation(
            uri=uri,
            from_uri=f"sip:{caller.number}@{self._settings.advertised}",
            display_name=caller.name,
            headers=destination.headers,
        )
        try:
            await party.open()
            party.dialog = self._dialogs.place(party, lambda: party.invite(invitation))
        except BaseException:
            await party.leg.close()
            raise
        return party

    async def close(self, party: Party) -> None:
        """End a party, whatever it is doing."""
        try:
            await party.close()
        finally:
            if party.dialog is not None:
                self._dialogs.forget(party.dialog)
