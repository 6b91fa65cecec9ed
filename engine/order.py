"""An order for a call that the engine is to place: the Call object of the reference, as far as whoever asks sets it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from .errors import OrderError
from .sip.address import one_line

HEADER: Final = "sip_header_"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOrder:
    """Whom to call, as whom, and where the call's documents come from.

    Without `url`, that of the number that calls counts, or its account's; likewise the status callback's.
    """

    called_did: str
    calling_did: str
    url: str | None = None
    method: str = "POST"
    status_callback_url: str | None = None
    status_callback_method: str = "POST"
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_row(self) -> dict[str, Any]:
        """What is kept of it in the database; `CallOrder(**row)` makes it again."""
        return asdict(self)

    @property
    def name(self) -> str:
        """The display name to call with. Raises OrderError for one that is no text."""
        return _text("cnam", self.attributes.get("cnam") or "")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Headers for the INVITE. Raises OrderError for one whose name does not begin with X-, or that is no text."""
        given = {name.removeprefix(HEADER): value for name, value in self.attributes.items() if name.startswith(HEADER)}
        for name in given:
            if not name.lower().startswith("x-") or not _is_token(name):
                raise OrderError(f"attributes.{HEADER}{name}", f"header {name!r}; its name must begin with X-")
        return [(name, _text(f"{HEADER}{name}", value)) for name, value in given.items()]


def _text(attribute: str, value: object) -> str:
    """What goes into a header: a number may come as one, anything else has no spelling of its own there."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise OrderError(f"attributes.{attribute}", f"found {json.dumps(value)[:40]}; expected text")
    return one_line(str(value))


def _is_token(name: str) -> bool:
    """Whether `name` can be a header's (RFC 3261 section 25.1)."""
    return name.isascii() and all(char.isalnum() or char in "-.!%*_+`'~" for char in name)
