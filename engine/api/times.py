"""Times as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime


def shown_time(at: float) -> str:
    """Unix seconds as `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
