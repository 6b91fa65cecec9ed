"""A leg: one SIP dialog and its media, kept in step by offer and answer (RFC 3264).

The port is taken when the leg is made, since the description must name it; the worker binds it while the call is
being looked at. What was agreed reaches the worker when media may flow: with 183, with 200, or at once in a
re-INVITE.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from ..codecs.catalog import BY_NAME, NAMES, Codec
from ..media.events import LegStats
from ..media.protocol import SetRemote
from .config import Dtmf, Trunk
from .digits import paced
from .errors import LegRefused, MediaError
from .leg_listener import LegListener
from .media_client import MediaClient
from .media_leg import MediaLeg
from .ports import PortPool
from .sip.crypto import Policy, fresh_keys
from .sip.negotiation import Agreed, LocalMedia, accept_answer, make_offer, negotiate_answer, renew_offer

log = logging.getLogger("flexml.leg")

PORTS_TRIED: Final = 8


@dataclass(frozen=True, kw_only=True)
class LegSettings:
    """What all legs share. `advertised` is the address in our SDP, `address` where sockets are bound.

    `dtmf` is how keys are sent: as the peer offers (auto), or one way always. `srtp` is whether media is protected.
    """

    address: str
    advertised: str
    codecs: tuple[Codec, ...]
    dtmf: Dtmf = "auto"
    srtp: Policy = "off"

    def on(self, trunk: Trunk | None) -> LegSettings:
        """The settings of a leg that `trunk` carries: its codecs, its way to send keys, its protection."""
        if trunk is None:
            return self
        codecs = tuple(BY_NAME[name] for name in trunk.codecs)
        return replace(self, codecs=codecs, dtmf=trunk.dtmf, srtp=trunk.srtp or self.srtp)


class Leg:
    """One leg. `agreed` is None until both sides have spoken."""

    def __init__(
        self,
        settings: LegSettings,
        ports: PortPool,
        media: MediaClient,
        listener: LegListener,
        *,
        beside: MediaLeg | None = None,
    ) -> None:
        """Take a port, and a place in a worker: that of `beside` where the two are to hear each other."""
        self._settings = settings
        self._ports = ports
        self.port = ports.take()
        try:
            self.media = media.new_leg(listener, beside=beside)
        except MediaError:
            ports.give_back(self.port)
            raise
        self.agreed: Agreed | None = None
        self._opening = False
        self._flowing = False
        self._closed = False
        self._said = ""  # our description as the peer has it
        self._local = LocalMedia(
            address=settings.advertised,
            port=self.port,
            codecs=settings.codecs,
            session_id=secrets.randbits(62),
            srtp=settings.srtp,
            keys=() if settings.srtp == "off" else fresh_keys(),
        )

    @property
    def rate_hz(self) -> int:
        """At how many samples a second the peer hears what we play."""
        return self.agreed.codec.rate_hz if self.agreed else 8000

    def begin_to_open(self) -> None:
        """Have the worker bind the ports, soon; `open` waits for it."""
        cname = f"{secrets.token_hex(8)}@{self._settings.advertised}"
        self.media.begin_to_open(self._settings.address, self.port, cname)
        self._opening = True

    async def open(self) -> None:
        """Bind the ports in the worker: others where another program has them. Raises MediaError."""
        for _ in range(PORTS_TRIED - 1):
            try:
                await self._bind()
            except LegRefused as error:
                if self._said:  # the peer knows of the port by now
                    raise
                log.warning("%s; trying another port", error)
                self._change_port()
            else:
                return
        await self._bind()

    async def _bind(self) -> None:
        if not self._opening:
            self.begin_to_open()
        self._opening = False
        await self.media.opened()

    def _change_port(self) -> None:
        taken, self.port = self.port, self._ports.take()
        self._ports.give_back(taken)  # behind all others: it may be free by then
        self._local = replace(self._local, port=self.port)

    def on_offer(self, offer: str | None) -> str:
        """Answer `offer`, or make one where there is none. Raises SdpError or NotAcceptable."""
        local = self._next_version() if self._said else self._local
        said, agreed = self._describe(offer, local)
        if agreed is not None and self._are_new_keys(agreed):
            local = replace(local, keys=fresh_keys())
            said, agreed = self._describe(offer, local)
        if self._said and _same_but_version(said, self._said):
            local = self._local
            said, agreed = self._describe(offer, local)
        self._local, self._said = local, said
        if agreed is not None:
            self._agree(agreed)
        return said

    def _describe(self, offer: str | None, local: LocalMedia) -> tuple[str, Agreed | None]:
        if offer is None:
            return (renew_offer(self.agreed, local) if self.agreed else make_offer(local)), None
        agreed = negotiate_answer(offer, local)
        return agreed.sdp, agreed

    def _are_new_keys(self, agreed: Agreed) -> bool:
        """Whether the peer has renewed its key, so that we renew ours."""
        before = self.agreed.srtp if self.agreed else None
        return before is not None and agreed.srtp is not None and before.theirs != agreed.srtp.theirs

    def on_answer(self, answer: str) -> None:
        """Take the answer to our offer. Raises SdpError or NotAcceptable."""
        self._agree(accept_answer(answer, self._local, offer=self._said))

    def _next_version(self) -> LocalMedia:
        """Our side for the next description. A leg that is protected once stays so."""
        srtp = "required" if self.agreed is not None and self.agreed.srtp is not None else self._local.srtp
        return replace(self._local, version=self._local.version + 1, srtp=srtp)

    def _agree(self, agreed: Agreed) -> None:
        self.agreed = agreed
        if self._flowing:
            self.start_media()

    def start_media(self) -> None:
        """Let media flow as agreed; without an agreement yet, as soon as there is one."""
        self._flowing = True
        agreed = self.agreed
        if agreed is None:
            return
        self.media.set_remote(*_remotes(agreed))

    def fall_silent(self) -> None:
        """Leave the room and send nothing more, though the leg stays."""
        self.media.leave()
        self.media.mute()

    async def send_digits(self, digits: str, inform: Callable[[str], None]) -> None:
        """Send DTMF the way that is set; returns when the last digit has gone out.

        `inform` sends one key by SIP INFO. Raises MediaError, and what `inform` raises.
        """
        if self._settings.dtmf != "info":
            await self.media.send_digits(digits, mode=self._settings.dtmf)
            return
        for key, seconds in paced(digits):
            if key:
                inform(key)
            await asyncio.sleep(seconds)

    async def close(self) -> LegStats:
        """Close the media and give the port back, once."""
        if self._closed:
            return self.media.stats
        self._closed = True
        try:
            return await self.media.close()
        finally:
            self._ports.give_back(self.port)


def _remotes(agreed: Agreed) -> tuple[SetRemote, dict[int, SetRemote]]:
    """What the worker is told; and what it is to be told when packets of those payload types come."""
    remotes = [_remote(one) for one in (agreed, *agreed.others)]
    types = [{one.payload_type, one.payload_type if (own := one.own_payload_type) is None else own} for one in remotes]
    all_types = {kind for its in types for kind in its}
    told = [
        msgspec.structs.replace(one, other_types=tuple(all_types - its))
        for one, its in zip(remotes, types, strict=True)
    ]
    return told[0], {kind: one for one, its in zip(told, types, strict=True) for kind in its}


def _remote(agreed: Agreed) -> SetRemote:
    return SetRemote(
        address=agreed.address,
        port=agreed.port,
        rtcp_port=agreed.rtcp_port,
        codec=NAMES[agreed.codec],
        payload_type=agreed.payload_type,
        telephone_event=agreed.telephone_event,
        telephone_event_hz=agreed.telephone_event_hz,
        ptime=agreed.ptime,
        direction=agreed.direction,
        srtp=agreed.srtp,
        own_payload_type=agreed.own_payload_type,
        own_telephone_event=agreed.own_telephone_event,
    )


def _same_but_version(one: str, other: str) -> bool:
    """True where two descriptions differ in the origin line only (RFC 3264 section 8: then its version stays)."""

    def rest(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("o=")]

    return rest(one) == rest(other)
