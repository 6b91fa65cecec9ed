"""The cookies of one call, as they go to the hosts that have set them (RFC 6265)."""

from __future__ import annotations

from http.cookies import SimpleCookie

import aiohttp
from yarl import URL

from .flexml.fetch import Cookies


class CallCookies(Cookies):
    """The cookies of one call. Hosts named by address count too: applications are often in the same rack.

    Most applications set none, and a jar is dearer than all else of a request that is ours.
    """

    def __init__(self) -> None:
        self._jar: aiohttp.CookieJar | None = None

    def keep(self, cookies: SimpleCookie, url: URL) -> None:
        """Keep what an answer of that URL has set."""
        if not cookies:
            return
        if self._jar is None:
            self._jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        self._jar.update_cookies(_as_they_came(cookies), url)

    def header(self, url: URL) -> dict[str, str]:
        """What goes to that URL, written by nobody anew (RFC 6265 section 5.4)."""
        if self._jar is None:
            return {}
        pairs = [f"{morsel.key}={morsel.value}" for morsel in self._jar.filter_cookies(url).values()]
        return {"Cookie": "; ".join(pairs)} if pairs else {}


def _as_they_came(cookies: SimpleCookie) -> SimpleCookie:
    """Cookies whose values are what the header says: quotes are part of a value (RFC 6265 section 5.2)."""
    for morsel in cookies.values():  # their `set` would refuse names such as a[b], which PHP gives
        value = morsel.coded_value
        morsel.__setstate__({"key": morsel.key, "value": value, "coded_value": value})  # pyright: ignore[reportAttributeAccessIssue]
    return cookies
