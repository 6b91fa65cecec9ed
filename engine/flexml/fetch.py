"""Fetching documents, as the interpreter sees it: the seam between FlexML and HTTP.

`webhook.Webhook` implements `Fetcher` over aiohttp; test doubles answer from a table. A status other than
2xx is an answer like any other, because a valid document in it is still carried out; only when there is no
usable answer at all is FetchError raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What came back. `url` is the one that served it, after redirects: relative URLs in `body` start there.

    So it has the user name and password that it was asked for with, and not the data that were added for GET.
    `charset` is what the answer says that `body` is written in, empty where it says nothing. `method` is how that URL
    was requested: a redirect can make a GET, without the data, of a POST.
    `first_ms` is how long it took until the headers of that answer were there, `total_ms` until all was.
    """

    url: str
    status: int
    body: bytes
    charset: str = ""
    method: str = "POST"
    first_ms: float = 0.0
    total_ms: float = 0.0
    retries: int = 0
    redirects: int = 0


class Cookies(Protocol):
    """The cookies of one call, opaque to everybody but the Fetcher that made them."""


class Fetcher(Protocol):
    """Who asks the application."""

    def cookies(self) -> Cookies:
        """An empty cookie jar, for one call."""
        ...

    async def fetch(
        self, url: str, method: str, data: Mapping[str, object], *, cookies: Cookies | None = None
    ) -> Fetched:
        """Request `url` with `data`: a JSON object for POST, added to the query for GET. Raises FetchError."""
        ...
