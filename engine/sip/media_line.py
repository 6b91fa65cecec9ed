"""What a peer's media line says beside its formats: where to and which way media goes, and in packets of which length.

Lines come from peers, so what makes no sense is read as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...codecs.catalog import Codec
from ...media.protocol import Direction
from .addresses import ip_address
from .sdp import Media, Session, connection_data

DEFAULT_PTIME: Final = 20
_PTIME_RANGE: Final = range(10, 61, 10)
_LARGEST_PAYLOAD: Final = 1440
DIRECTIONS: Final[dict[str, Direction]] = {
    "sendrecv": "sendrecv", "sendonly": "sendonly", "recvonly": "recvonly", "inactive": "inactive",
}  # fmt: skip


def is_reachable(address: str, own: str) -> bool:
    """Whether we can send there: same address family, no multicast. An unspecified address is a hold."""
    if not address:
        return False
    remote = ip_address(address)
    return remote.is_unspecified or (remote.version == ip_address(own).version and not remote.is_multicast)


def direction_of(session: Session, media: Media) -> Direction:
    """The peer's own view: the media line's, else the session's, else sendrecv (RFC 8866 section 6.7)."""
    for attribute in (*media.attributes, *session.attributes):
        if attribute.name in DIRECTIONS:
            return DIRECTIONS[attribute.name]
    return "sendrecv"


def rtcp_port_of(media: Media) -> int:
    """`a=rtcp` (RFC 3605) or the next port."""
    for value in media.values("rtcp"):
        port = _number_in(value.partition(" ")[0])
        if port is not None and 0 < port < 65536:
            return port
    return min(media.port + 1, 65535)


def ptime_of(media: Media, codec: Codec) -> int:
    """The packet time the peer asks for, within its maxptime, as far as a 10 ms grid and an Ethernet frame can give it.

    Opus packets are always 20 ms.
    """
    if not codec.octets_per_tick:
        return DEFAULT_PTIME
    wish = _first_number(media.values("ptime"), DEFAULT_PTIME)
    limit = _first_number(media.values("maxptime"), _PTIME_RANGE[-1])
    ptime = wish if wish in _PTIME_RANGE else DEFAULT_PTIME
    fitting = _LARGEST_PAYLOAD * 1000 // (codec.octets_per_tick * codec.clock_hz)
    return max(_PTIME_RANGE[0], min(ptime, limit // 10 * 10, fitting // 10 * 10))


def describe(session: Session) -> str:
    """What was offered, for the error: `audio RTP/AVP over IP4 with 18 G729/8000`."""
    parts: list[str] = []
    for media in session.media:
        maps = [value.partition(" ")[2] for value in media.values("rtpmap")]
        where = connection_data(address)[3:6] if (address := media.address or session.address) else "no c= line"
        what = ", ".join(maps) or "payload types " + " ".join(media.formats)
        parts.append(f"{media.kind} {media.protocol} port {media.port} ({where}) with {what[:200]}")
    return "; ".join(parts)


def _first_number(values: Iterable[str], otherwise: int) -> int:
    for value in values:
        if (number := _number_in(value)) is not None:
            return number
    return otherwise


def _number_in(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
