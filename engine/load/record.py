"""The figures of a run and the judgement on them as JSON, for programs and for keeping."""

from __future__ import annotations

import msgspec

from .figures import Figures
from .verdict import judge


def as_json(figures: Figures) -> bytes:
    """Return all of it, indented."""
    verdict = judge(figures)
    whole = msgspec.to_builtins(figures) | {
        "missing_percent": round(figures.missing_percent, 4),
        "clean": verdict.clean,
        "complaints": list(verdict.complaints),
        "generator_limits": list(verdict.limits),
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
