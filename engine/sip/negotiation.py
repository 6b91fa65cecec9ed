"""Offer and answer (RFC 3264): which codec, which payload numbers, which way, and where to.

The offerer's order of codecs is kept, filtered by what we have (section 6.1 recommends it). An answer names one
codec, so that it cannot change in mid-stream, and telephone-event: at the codec's clock where there is one (RFC
4733 section 2.1), else at 8 kHz, as many offer no other beside Opus. One audio stream a call; all other media
lines are refused with port 0, in place. RTP/SAVP is answered with RTP/SAVP and keys (RFC 4568), or refused; where both
are offered it is preferred. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ...codecs.catalog import TELEPHONE_EVENT, Codec
from ...media.protocol import Direction, SrtpKeys
from ..errors import NotAcceptable, SdpError
from . import crypto
from .addresses import ip_address
from .crypto import Crypto
from .formats import Format, event_of, find, formats_of, numbered
from .sdp import Attribute, Media, Session, connection_data, parse

PROTOCOL: Final = "RTP/AVP"
SECURE: Final = "RTP/SAVP"
_PROTOCOLS: Final[dict[crypto.Policy, tuple[str, ...]]] = {
    "off": (PROTOCOL,), "optional": (SECURE, PROTOCOL), "required": (SECURE,),
}  # fmt: skip
"""What is taken, the best first."""
DEFAULT_PTIME: Final = 20
_PTIME_RANGE: Final = range(10, 61, 10)
_LARGEST_PAYLOAD: Final = 1440
_DIRECTIONS: Final[dict[str, Direction]] = {
    "sendrecv": "sendrecv", "sendonly": "sendonly", "recvonly": "recvonly", "inactive": "inactive",
}  # fmt: skip
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Match:
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
    agreed = _agree(session, match, local, ours)
    formats = [match.codec, *([match.event] if match.event else [])]
    media = tuple(
        _own_media(local, formats, agreed.direction, ours) if index == match.index else _refused(theirs)
        for index, theirs in enumerate(session.media)
    )
    return replace(agreed, sdp=str(_own_session(local, media, time=session.time)))


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
        replace(one, attributes=(*_without_direction(one.attributes), Attribute(name=local.direction)))
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
    formats = list(formats_of(session.media[match.index]))
    choices = [replace(match, codec=codec, event=event) for codec, event in _choices(formats, local.codecs)]
    first, *others = [
        replace(
            _agree(session, choice, local, ours),
            sdp=said,
            own_payload_type=_own_number(choice.codec, offered),
            own_telephone_event=_own_number(choice.event, offered),
        )
        for choice in choices
    ]
    return replace(first, others=tuple(others))


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
            if not _reachable(media.address or session.address, local.address):
                continue
            keys, complaints = crypto.read_all(media.values("crypto")) if protocol == SECURE else ([], [])
            wrong += complaints
            if protocol == SECURE and not keys:
                continue
            if found := _match_formats(index, list(formats_of(media)), local, next(iter(keys), None)):
                return found
    supported = ", ".join(codec.rtpmap for codec in local.codecs)
    raise NotAcceptable(
        f"no media fits: offered {'; '.join([_describe(session) or 'none', *wrong])}; supported: audio "
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


def _own_number(chosen: Format | None, offered: Media) -> int | None:
    """The number under which we `offered` what the peer has `chosen`, where that is another one."""
    if chosen is None:
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


def _agree(session: Session, match: _Match, local: LocalMedia, ours: Iterable[Crypto]) -> Agreed:
    media = session.media[match.index]
    address = media.address or session.address
    theirs = _direction(session, media)
    # 0.0.0.0 is how RFC 2543 put a call on hold; RFC 3264 section 8.4 still asks to understand it.
    peer_listens = theirs in {"sendrecv", "recvonly"} and not ip_address(address).is_unspecified
    peer_sends = theirs in {"sendrecv", "sendonly"}
    direction = _BY_FLOW[
        peer_listens and local.direction in {"sendrecv", "sendonly"},
        peer_sends and local.direction in {"sendrecv", "recvonly"},
    ]
    return Agreed(
        sdp="",
        codec=match.codec.codec,
        payload_type=match.codec.number,
        telephone_event=match.event.number if match.event else None,
        telephone_event_hz=match.event.codec.clock_hz if match.event else TELEPHONE_EVENT.clock_hz,
        address=address,
        port=media.port,
        rtcp_port=_rtcp_port(media),
        ptime=_ptime(media, match.codec.codec),
        direction=direction,
        on_hold=not peer_listens,
        srtp=_keys(match.crypto, ours),
    )


def _reachable(address: str, own: str) -> bool:
    """Whether we can send there: same address family, no multicast. An unspecified address is a hold."""
    if not address:
        return False
    remote = ip_address(address)
    return remote.is_unspecified or (remote.version == ip_address(own).version and not remote.is_multicast)


def _direction(session: Session, media: Media) -> Direction:
    """The peer's own view: the media line's, else the session's, else sendrecv (RFC 8866 section 6.7)."""
    for attribute in (*media.attributes, *session.attributes):
        if attribute.name in _DIRECTIONS:
            return _DIRECTIONS[attribute.name]
    return "sendrecv"


def _rtcp_port(media: Media) -> int:
    """`a=rtcp` (RFC 3605) or the next port."""
    for value in media.values("rtcp"):
        port = _number_in(value.partition(" ")[0])
        if port is not None and 0 < port < 65536:
            return port
    return min(media.port + 1, 65535)


def _ptime(media: Media, codec: Codec) -> int:
    """The packet time the peer asks for, within its maxptime, as far as a 10 ms grid and an Ethernet frame can give it.

    Opus packets are always 20 ms.
    """
    if not codec.octets_per_tick:
        return DEFAULT_PTIME
    wish = next(iter(_numbers(media.values("ptime"))), DEFAULT_PTIME)
    limit = next(iter(_numbers(media.values("maxptime"))), _PTIME_RANGE[-1])
    ptime = wish if wish in _PTIME_RANGE else DEFAULT_PTIME
    fitting = _LARGEST_PAYLOAD * 1000 // (codec.octets_per_tick * codec.clock_hz)
    return max(_PTIME_RANGE[0], min(ptime, limit // 10 * 10, fitting // 10 * 10))


def _numbers(values: Iterable[str]) -> Iterator[int]:
    return (number for value in values if (number := _number_in(value)) is not None)


def _number_in(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _own_session(local: LocalMedia, media: tuple[Media, ...], time: str = "0 0") -> Session:
    origin = f"- {local.session_id} {local.version} {connection_data(local.address)}"
    return Session(origin=origin, address=local.address, time=time, media=media)


def _own_media(
    local: LocalMedia, formats: Sequence[Format], direction: Direction, keys: Iterable[Crypto] = ()
) -> Media:
    lines = [Attribute(name="crypto", value=str(line)) for line in keys]
    described = [attribute for one in formats for attribute in one.attributes()]
    return Media(
        kind="audio",
        port=local.port,
        protocol=SECURE if lines else PROTOCOL,
        formats=tuple(str(one.number) for one in formats),
        attributes=(*lines, *described, Attribute(name="ptime", value=str(local.ptime)), Attribute(name=direction)),
    )


def _refused(media: Media) -> Media:
    """The line as it was offered, with port 0 (RFC 3264 section 6)."""
    return Media(kind=media.kind, port=0, protocol=media.protocol, formats=media.formats)


def _without_direction(attributes: Iterable[Attribute]) -> tuple[Attribute, ...]:
    return tuple(attribute for attribute in attributes if attribute.name not in _DIRECTIONS)


def _describe(session: Session) -> str:
    """What was offered, for the error: `audio RTP/AVP over IP4 with 18 G729/8000`."""
    parts: list[str] = []
    for media in session.media:
        maps = [value.partition(" ")[2] for value in media.values("rtpmap")]
        where = connection_data(address)[3:6] if (address := media.address or session.address) else "no c= line"
        what = ", ".join(maps) or "payload types " + " ".join(media.formats)
        parts.append(f"{media.kind} {media.protocol} port {media.port} ({where}) with {what[:200]}")
    return "; ".join(parts)
