"""What the timeline says of a call's media: what was agreed, how audio arrives, its totals (RFC 3550 section 6.4)."""

from __future__ import annotations

from ..media.protocol import LegStats
from .sip.negotiation import Agreed

_GROWING = ("packets_received", "packets_sent", "lost", "late", "concealed_ms")


def media(agreed: Agreed) -> dict[str, object]:
    """What offer and answer came to; `direction` is our view."""
    return {
        "codec": f"{agreed.codec.name}/{agreed.codec.clock_hz}",
        "payload_type": agreed.payload_type,
        "telephone_event": agreed.telephone_event,
        "ptime_ms": agreed.ptime,
        "direction": agreed.direction,
        "remote": f"{agreed.address}:{agreed.port}",
    }


def quality(now: LegStats, before: LegStats) -> dict[str, object]:
    """How audio arrived since the report `before`, and what the peer says of ours."""
    since = {name: getattr(now, name) - getattr(before, name) for name in _GROWING}
    return _named(since, now)


def total(stats: LegStats) -> dict[str, object]:
    """The same of the whole call, with what came in that was no use."""
    whole = {name: getattr(stats, name) for name in _GROWING}
    return _named(whole, stats) | {"duplicates": stats.duplicates, "invalid": stats.invalid}


def _named(counts: dict[str, int], stats: LegStats) -> dict[str, object]:
    """Counts, and the figures that are as they are: jitter and round trip; the peer's loss is since the start."""
    received: dict[str, object] = {name.removeprefix("packets_"): count for name, count in counts.items()}
    heard_by_peer: dict[str, object] = {"peer_lost": stats.peer_lost, "peer_jitter_ms": round(stats.peer_jitter_ms, 1)}
    round_trip = None if stats.round_trip_ms is None else round(stats.round_trip_ms, 1)
    return received | {"jitter_ms": round(stats.jitter_ms, 1)} | heard_by_peer | {"round_trip_ms": round_trip}
