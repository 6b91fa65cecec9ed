"""Offer and answer (RFC 3264): which codec, which payload numbers, which way, and where to.

The offerer's order of codecs is kept, filtered by what we have (section 6.1 recommends it). An answer names one
codec, so that it cannot change in mid-stream, and telephone-event: at the codec's clock where there is one (RFC
4733 section 2.1), else at 8 kHz, as many offer no other beside Opus. One audio stream a call; all other media
lines are refused with port 0, in place. RTP/SAVP is answered with RTP/SAVP and keys (RFC 4568), or refused; where both
are offered it is preferred. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ...codecs.catalog import TELEPHONE_EVENT, Codec
from ...media.protocol import Direction, SrtpKeys
from ..errors import NotAcceptable, SdpError
from . import crypto
from .addresses import ip_address
from .crypto import Crypto
from .formats import Format, event_of, find, formats_of, numbered
from .media_line import DEFAULT_PTIME, DIRECTIONS, describe, direction_of, is_reachable, ptime_of, rtcp_port_of
from .sdp import Attribute, Media, Session, connection_data, parse

PROTOCOL: Final = "RTP/AVP"
SECURE: Final = "RTP/SAVP"
_PROTOCOLS: Final[dict[crypto.Policy, tuple[str, ...]]] = {
    "off": (PROTOCOL,), "optional": (SECURE, PROTOCOL), "required": (SECURE,),
}  # fmt: skip
"""What is taken, the best first."""
_BY_FLOW: Final[dict[tuple[bool, bool], Direction]] = {
    (True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly", (False, False): "inactive",
}  # fmt: skip
"""A direction by whether we send and whether we receive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalMedia:
    """Our side. `codecs` is in order of preference; `version` rises whenever our description changes.

    `keys` are those that we send with, one for each of `crypto.SUITES`; there are none with `srtp` off. What is
    offered is RTP/SAVP where `srtp` is required, and RTP/AVP otherwise.
    """

    address: str
    port: int
    codecs: tuple[Codec, ...]
    session_id: int
    version: int = 1
    direction: Direction = "sendrecv"
    ptime: int = DEFAULT_PTIME
    srtp: crypto.Policy = "off"
    keys: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """What both sides have agreed on.

    `sdp` is our description; `payload_type` and `telephone_event` are numbered as the peer numbers them, and
    `telephone_event_hz` is the clock of the latter; where we had offered them under other numbers, by which the peer
    sends (RFC 3264 section 5.1), `own_payload_type` and `own_telephone_event` are those. `direction` is our view.
    `others` are what it is with the other codecs of the peer's answer, to each of which it may change at any time.
    `on_hold` means that the peer does not want to hear us; `address` may then be 0.0.0.0. `srtp` is None where media
    goes in clear.
    """

    sdp: str = field(repr=False)
    codec: Codec
    payload_type: int
    telephone_event: int | None
    telephone_event_hz: int
    address: str
    port: int
    rtcp_port: int
    ptime: int
    direction: Direction
    on_hold: bool
    srtp: SrtpKeys | None = None
    own_payload_type: int | None = None
    own_telephone_event: int | None = None
    others: tuple[Agreed, ...] = ()


class _Match(msgspec.Struct, frozen=True, kw_only=True):
    """The media line that fits, and the formats and the peer's key taken from it."""

    index: int
    codec: Format
    event: Format | None
    crypto: Crypto | None


def negotiate_answer(offer: str, local: LocalMedia) -> Agreed:
    """Answer `offer`. Raises SdpError where it cannot be read, NotAcceptable where nothing in it fits."""
    session = parse(offer)
    match = _match(session, local, _PROTOCOLS[local.srtp])
    ours = (crypto.answered(match.crypto, local.keys),) if match.crypto else ()
    flow = _flow(session, match, local)
    formats = [match.codec, *([match.event] if match.event else [])]
    media = tuple(
        [
            _own_media(local, formats, flow.direction, ours) if index == match.index else _refused(theirs)
            for index, theirs in enumerate(session.media)
        ]
    )
    said = str(_own_session(local, media, time=session.time))
    return _agree(session, match, flow, ours, said)


def make_offer(local: LocalMedia) -> str:
    """Offer all of our codecs, and telephone-event at each of their clocks; with keys where SRTP is required."""
    ours = crypto.offered(local.keys) if local.srtp == "required" else ()
    return str(_own_session(local, (_own_media(local, list(numbered(local.codecs)), local.direction, ours),)))


def renew_offer(agreed: Agreed, local: LocalMedia) -> str:
    """Offer again within the dialog: what was agreed, with the direction and version of `local`.

    Media lines and payload numbers stay as they were (RFC 3264 section 8).
    """
    session = parse(agreed.sdp)
    media = tuple(
        msgspec.structs.replace(one, attributes=(*_without_direction(one.attributes), Attribute(local.direction)))
        if one.port
        else one
        for one in session.media
    )
    return str(_own_session(local, media, time=session.time))


def accept_answer(answer: str, local: LocalMedia, *, offer: str = "") -> Agreed:
    """Take the answer to `offer`, by default the one `make_offer(local)` gives.

    Raises SdpError where it cannot be read, NotAcceptable where the peer refused or chose what we did not offer.
    """
    said, session = offer or make_offer(local), parse(answer)
    offered = next(media for media in parse(said).media if media.port)
    ours, _ = crypto.read_all(offered.values("crypto"))
    match = _match(session, local, (offered.protocol,))
    if match.crypto and not any(_same_line(match.crypto, one) for one in ours):
        raise NotAcceptable(f"crypto {match.crypto.tag}: {match.crypto.suite} was not offered under that tag")
    flow = _flow(session, match, local)

    def agree(choice: tuple[Format, Format | None], others: tuple[Agreed, ...] = ()) -> Agreed:
        codec, event = choice
        chosen = msgspec.structs.replace(match, codec=codec, event=event)
        return _agree(session, chosen, flow, ours, said, offered, others)

    first, *rest = _choices(list(formats_of(session.media[match.index])), local.codecs)
    return agree(first, tuple(map(agree, rest)))


def names_keys(offer: str) -> bool:
    """Whether a description that can be read holds keys for RTP/SAVP, and is therefore a secret."""
    if "crypto" not in offer.lower():  # most have none, and need not be read for that
        return False
    try:
        return any(media.protocol == SECURE and media.values("crypto") for media in parse(offer).media)
    except SdpError:
        return False


def _match(session: Session, local: LocalMedia, protocols: Sequence[str]) -> _Match:
    """The audio line with a usable address, codec and key that has the first of `protocols`; of equals the first."""
    wrong: list[str] = []
    for protocol in protocols:
        for index, media in enumerate(session.media):
            if media.kind != "audio" or not media.port or media.protocol != protocol:
                continue
            if not is_reachable(media.address or session.address, local.address):
                continue
            keys, complaints = crypto.read_all(media.values("crypto")) if protocol == SECURE else ([], [])
            wrong += complaints
            if protocol == SECURE and not keys:
                continue
            if found := _match_formats(index, list(formats_of(media)), local, next(iter(keys), None)):
                return found
    supported = ", ".join(codec.rtpmap for codec in local.codecs)
    raise NotAcceptable(
        f"no media fits: offered {'; '.join([describe(session) or 'none', *wrong])}; supported: audio "
        f"{' or '.join(protocols)} over {connection_data(local.address)[3:6]} with {supported}"
    )


def _match_formats(index: int, formats: Sequence[Format], local: LocalMedia, key: Crypto | None) -> _Match | None:
    for codec, event in _choices(formats, local.codecs):
        return _Match(index=index, codec=codec, event=event, crypto=key)
    return None


def _choices(formats: Sequence[Format], codecs: Iterable[Codec]) -> Iterator[tuple[Format, Format | None]]:
    """Those of `formats` that are among `codecs`, each with the telephone-event that goes with it."""
    for candidate in formats:
        own = find(candidate.codec, codecs)
        if own is not None:
            yield Format(candidate.number, own), event_of(formats, own)


def _own_number(chosen: Format | None, offered: Media | None) -> int | None:
    """The number under which we `offered` what the peer has `chosen`, where that is another one."""
    if chosen is None or offered is None:
        return None
    own = next((one.number for one in formats_of(offered) if find(one.codec, (chosen.codec,))), chosen.number)
    return None if own == chosen.number else own


def _same_line(one: Crypto, other: Crypto) -> bool:
    return (one.tag, one.suite) == (other.tag, other.suite)


def _keys(theirs: Crypto | None, lines: Iterable[Crypto]) -> SrtpKeys | None:
    """Both keys: the peer's, and that of the one of our `lines` that goes with it."""
    if theirs is None:
        return None
    ours = next(line for line in lines if _same_line(line, theirs))
    return SrtpKeys(suite=theirs.suite, ours=ours.key, theirs=theirs.key)


class _Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Which way media goes in our view, and whether the peer listens."""

    direction: Direction
    heard: bool


def _flow(session: Session, match: _Match, local: LocalMedia) -> _Flow:
    media = session.media[match.index]
    theirs = direction_of(session, media)
    # 0.0.0.0 is how RFC 2543 put a call on hold; RFC 3264 section 8.4 still asks to understand it.
    is_held = ip_address(media.address or session.address).is_unspecified
    peer_listens = theirs in {"sendrecv", "recvonly"} and not is_held
    peer_sends = theirs in {"sendrecv", "sendonly"}
    direction = _BY_FLOW[
        peer_listens and local.direction in {"sendrecv", "sendonly"},
        peer_sends and local.direction in {"sendrecv", "recvonly"},
    ]
    return _Flow(direction=direction, heard=peer_listens)


def _agree(
    session: Session,
    match: _Match,
    flow: _Flow,
    ours: Iterable[Crypto],
    said: str,
    offered: Media | None = None,
    others: tuple[Agreed, ...] = (),
) -> Agreed:
    """What `match` comes to; `said` is our description, and `offered` its media line where that was the offer."""
    media = session.media[match.index]
    return Agreed(
        sdp=said,
        codec=match.codec.codec,
        payload_type=match.codec.number,
        telephone_event=match.event.number if match.event else None,
        telephone_event_hz=match.event.codec.clock_hz if match.event else TELEPHONE_EVENT.clock_hz,
        address=media.address or session.address,
        port=media.port,
        rtcp_port=rtcp_port_of(media),
        ptime=ptime_of(media, match.codec.codec),
        direction=flow.direction,
        on_hold=not flow.heard,
        srtp=_keys(match.crypto, ours),
        own_payload_type=_own_number(match.codec, offered),
        own_telephone_event=_own_number(match.event, offered),
        others=others,
    )


def _own_session(local: LocalMedia, media: tuple[Media, ...], time: str = "0 0") -> Session:
    origin = f"- {local.session_id} {local.version} {connection_data(local.address)}"
    return Session(origin=origin, address=local.address, time=time, media=media)


def _own_media(
    local: LocalMedia, formats: Sequence[Format], direction: Direction, keys: Iterable[Crypto] = ()
) -> Media:
    lines = [Attribute("crypto", str(line)) for line in keys]
    described = [attribute for one in formats for attribute in one.attributes()]
    return Media(
        kind="audio",
        port=local.port,
        protocol=SECURE if lines else PROTOCOL,
        formats=tuple(str(one.number) for one in formats),
        attributes=(*lines, *described, Attribute("ptime", str(local.ptime)), Attribute(direction)),
    )


def _refused(media: Media) -> Media:
    """The line as it was offered, with port 0 (RFC 3264 section 6)."""
    return Media(kind=media.kind, port=0, protocol=media.protocol, formats=media.formats)


def _without_direction(attributes: Iterable[Attribute]) -> tuple[Attribute, ...]:
    return tuple(attribute for attribute in attributes if attribute.name not in DIRECTIONS)
