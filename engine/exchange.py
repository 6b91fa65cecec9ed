"""Where calls out are placed: who may show which number, which way a number goes, and the parties under way.

A SIP URI is called as it is; a number goes by the trunks that take it, the next one when a carrier fails. Who is done
with a party says `end` and goes on: a peer or a media worker that does not react holds nobody up.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from .config import Trunk
from .dial import Destination
from .errors import TrunkError
from .leg import Leg, LegSettings
from .media_client import MediaClient
from .media_leg import MediaLeg
from .party import Invitation, Party
from .ports import PortPool
from .sid import new_sid
from .sip.address import SIP_SCHEMES, caller_uri, normalise_number, parse_address
from .sip.events import LiveCall, Login, SipAgent
from .sip.trunks import Trunks, outgoing, should_fail_over

log = logging.getLogger("flexml.exchange")

ANONYMOUS: Final = "anonymous"
"""The user in From of who withholds the number (RFC 3323 section 4.1.1.3)."""
CLOSE_TIMEOUT_S: Final = 5.0
"""Longer than a media worker is waited for."""


class Dialogs(Protocol):
    """Who sorts the agent's events to calls: the registry."""

    def place(self, call: LiveCall, invite: Callable[[], int]) -> int:
        """Send an INVITE for `call`, so that no event of its dialog is lost."""
        ...

    def hand_over(self, dialog: int, call: LiveCall) -> None:
        """Let what happens on a dialog be another's from now on."""
        ...

    def forget(self, dialog: int) -> None:
        """Drop a dialog that is over."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """As whom a call is placed; with `login`, challenges are answered by it instead of the trunk's credentials."""

    number: str
    name: str = ""
    login: Login | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to somebody: by a trunk, or straight to a SIP URI where `trunk` is None."""

    target: str
    trunk: Trunk | None = None

    def __str__(self) -> str:
        return f"trunk {self.trunk.name}" if self.trunk else self.target


class Exchange:
    """Places calls. `clock` gives seconds since the epoch, for when a trunk failed."""

    def __init__(
        self,
        *,
        agent: SipAgent,
        dialogs: Dialogs,
        settings: LegSettings,
        ports: PortPool,
        media: MediaClient,
        trunks: Trunks,
        region: str,
        clock: Callable[[], float],
        follows_refer: bool = False,
    ) -> None:
        self._agent, self._dialogs = agent, dialogs
        self._settings, self._ports, self._media = settings, ports, media
        self._trunks, self._region, self._clock = trunks, region, clock
        self._follows_refer = follows_refer
        self._rooms = itertools.count(1)
        self._ending: set[asyncio.Task[None]] = set()

    def new_room(self) -> int:
        """A number that no room has had."""
        return next(self._rooms)

    def ways(self, target: str) -> Sequence[Way]:
        """How `target` can be reached, the best way first; none for a number that no trunk takes now."""
        if target.lower().startswith(SIP_SCHEMES):
            return (Way(target=target),)
        number = normalise_number(target, self._region)
        return [Way(target=number, trunk=trunk) for trunk in self._trunks.route(number)]

    def referred(self, refer_to: str) -> Destination | None:
        """Whom a Refer-To names; None where it is not followed: by configuration, or as it is no plain address.

        A number at our own address, at a trunk's or in a tel: URI goes by the trunks, anything else where it says.
        """
        address = parse_address(refer_to)
        if not self._follows_refer or address is None or "replaces=" in refer_to.lower():
            return None
        hosts = {self._settings.address, self._settings.advertised, *self._trunks.hosts}
        if address.scheme == "tel" or (address.host in hosts and _is_number(address.user)):
            return Destination(target=address.user)
        uri = refer_to.partition("<")[2].partition(">")[0] or refer_to
        return Destination(target=uri.partition("?")[0].strip())

    async def call(
        self, destination: Destination, way: Way, caller: Caller, beside: MediaLeg | None, note: Callable[..., None]
    ) -> Party:
        """Send an INVITE. The leg is in the worker of `beside`, if that is given.

        Raises SipError or MediaError, and TrunkError where the way's trunk can take no call any more.
        """
        party = Party(new_sid(), destination.target, self._agent, note)
        with self._place_on(way.trunk, party):
            party.attach(Leg(self._settings.on(way.trunk), self._ports, self._media, party, beside=beside))
            try:
                await party.open()
                invitation = self._invitation(destination, way, caller)
                party.dialog = self._dialogs.place(party, lambda: party.invite(invitation))
            except BaseException:
                await party.leg.close()
                raise
        return party

    @contextmanager
    def _place_on(self, trunk: Trunk | None, party: Party) -> Generator[None]:
        """Hold a place on the trunk for `party`, whose dialog has it from then on. Raises TrunkError."""
        if trunk is None:
            yield
            return
        if not self._trunks.is_usable(trunk.name):
            raise TrunkError(f"trunk {trunk.name} can take no call now")
        self._trunks.take(trunk.name, party)
        try:
            yield
            self._trunks.take(trunk.name, party.dialog)
        finally:
            self._trunks.release(party)

    def _invitation(self, destination: Destination, way: Way, caller: Caller) -> Invitation:
        host, headers = self._settings.advertised, tuple(destination.headers)
        number = normalise_number(caller.number, self._region)
        if number.lower() == ANONYMOUS:
            number = ""
        if way.trunk is None:
            from_uri = caller_uri(number, host)
            return Invitation(
                uri=way.target, from_uri=from_uri, display_name=caller.name, headers=headers, login=caller.login
            )
        call = outgoing(way.trunk, way.target, caller=number, name=caller.name, host=host)
        return Invitation(
            uri=call.target,
            from_uri=call.from_uri,
            display_name=call.display_name,
            headers=(*call.headers, *headers),
            trunk=way.trunk.name,
            login=caller.login,
        )

    def goes_on(self, way: Way, status: int, reason: str) -> bool:
        """Whether the next way is to be tried after a call by this one ended unanswered with `status`."""
        on = should_fail_over(status)
        if on and way.trunk is not None:
            self._trunks.failed(way.trunk.name, f"{status} {reason}".strip(), self._clock())
        return on

    def hand_over(self, party: Party, call: LiveCall) -> None:
        """Let what happens on a party's dialog be `call`'s from now on, its end included."""
        if party.dialog is not None:
            self._dialogs.hand_over(party.dialog, call)

    def end(self, party: Party) -> None:
        """End a party, whatever it is doing; harmless where it is over."""
        party.hang_up()
        ending = asyncio.ensure_future(self._close(party))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _close(self, party: Party) -> None:
        try:
            await party.close()
        except Exception:
            log.exception("the leg of party %s could not be closed", party.number)
        finally:
            if party.dialog is not None:
                self._dialogs.forget(party.dialog)

    async def close(self) -> None:
        """Wait for parties that are ending, but not for long."""
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=CLOSE_TIMEOUT_S)


def _is_number(user: str) -> bool:
    return user.removeprefix("+").isdigit()
