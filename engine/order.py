"""An order for a call that the engine is to place: the Call object of the reference, as far as whoever asks sets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from .errors import OrderError

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
        """The display name to call with."""
        return str(self.attributes.get("cnam") or "")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Headers for the INVITE. Raises OrderError for one whose name does not begin with X-."""
        given = {name.removeprefix(HEADER): value for name, value in self.attributes.items() if name.startswith(HEADER)}
        for name in given:
            if not name.lower().startswith("x-") or not _is_token(name):
                raise OrderError(f"attributes.{HEADER}{name}", f"header {name!r}; its name must begin with X-")
        return [(name, " ".join(str(value).split())) for name, value in given.items()]


def _is_token(name: str) -> bool:
    """Whether `name` can be a header's (RFC 3261 section 25.1)."""
    return name.isascii() and all(char.isalnum() or char in "-.!%*_+`'~" for char in name)
