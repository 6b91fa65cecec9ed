"""The HTTP client that asks applications for documents and tells them what happened.

Reference: request methods of action URLs and status callbacks; redirects, retry and limits are decided in
the project's own rules. Always holds: one exchange (all redirects and the retry included) ends within
`timeout_s`, reads at most `max_body` octets, and every way of getting no answer is a FetchError that names
the URL. Redirects are followed here and not by aiohttp, so that each request is signed for the URL it
really goes to and gets the cookies of that host only.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from yarl import URL

from .cookies import CallCookies
from .errors import FetchError
from .flexml.fetch import Cookies, Fetched
from .names import HttpNames
from .sid import new_sid
from .unreached import why_unreached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
KEEPS_METHOD: Final = frozenset({307, 308})
"""RFC 9110 section 15.4: after these the method and the body stay; after the others a POST becomes a GET."""
_JSON: Final = msgspec.json.Encoder(enc_hook=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one exchange may take."""

    timeout_s: float = 10.0
    retries: int = 1
    redirects: int = 5
    max_body: int = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """One HTTP request as it goes out; `added` is how its URL ends with the data, where they are in it."""

    method: str
    url: URL
    added: str = ""
    body: bytes = b""
    delivery: str

    @property
    def asked(self) -> str:
        """The URL without the data: what the application is known by, and told of."""
        return str(self.url).removesuffix(self.added)


@dataclass(slots=True)
class _Course:
    """How one fetch goes: its cookies, when it began by the loop's time, what was done again.

    `begun` is the status of the answer whose body is being read.
    """

    cookies: CallCookies
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    retries: int = 0
    redirects: int = 0
    begun: int = 0

    def ms(self) -> float:
        """How long it has been under way."""
        return round((asyncio.get_running_loop().time() - self.began) * 1000, 1)


class Webhook:
    """Implements `flexml.fetch.Fetcher` with one keep-alive session for all calls.

    `secret` signs the requests; `clock` gives Unix time in seconds, for the timestamp that is signed.
    """

    def __init__(self, *, secret: str, clock: Callable[[], float], limits: Limits | None = None) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self._limits = limits or Limits()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session; needs the running loop. Cookies are kept by call, never by the session."""
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, resolver=HttpNames())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": "FlexML-Engine", "Accept": "application/xml, text/xml, */*;q=0.5"},
        )

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def cookies(self) -> CallCookies:
        """An empty cookie jar, for one call."""
        return CallCookies()

    async def fetch(
        self,
        url: str,
        method: str,
        data: Mapping[str, object],
        *,
        cookies: Cookies | None = None,
        delivery: str | None = None,
    ) -> Fetched:
        """Request `url` with `data` and give the answer, whatever its status. Raises FetchError.

        `delivery` identifies what is delivered over all attempts; without it the exchange gets its own.
        """
        request = _first_request(url, method.upper(), data, delivery or new_sid())
        course = _Course(cookies if isinstance(cookies, CallCookies) else CallCookies())
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._follow(request, course)
        except TimeoutError as error:
            why = f"no complete answer within {self._limits.timeout_s:g} s"
            raise FetchError(why, url=url, begun=course.begun) from error
        except aiohttp.InvalidURL as error:
            raise FetchError("not an http or https URL", url=url) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            times = f", {course.retries + 1} times" if course.retries else ""
            raise FetchError(f"{why_unreached(error)}{times}", url=url, begun=course.begun) from error

    async def _follow(self, request: _Request, course: _Course) -> Fetched:
        """Send the request, and those that redirects make of it."""
        first = request
        while True:
            answer, location = await self._send(request, course)
            if location is None:
                return answer
            if course.redirects == self._limits.redirects:
                many = f"more than {course.redirects} redirects, the last to {location!r}"
                raise FetchError(many, url=first.asked, status=answer.status)
            request = _redirected(request, answer.status, location)
            course.redirects += 1

    async def _send(self, request: _Request, course: _Course) -> tuple[Fetched, str | None]:
        """Send once, and again after a connection failure: then nothing, or nothing whole, was answered."""
        for attempts_left in range(self._limits.retries, -1, -1):
            try:
                return await self._exchange(request, course)
            except aiohttp.ClientConnectionError as error:
                if attempts_left == 0 or isinstance(error, TimeoutError):
                    raise
                course.retries += 1
        raise AssertionError("the last attempt returns or raises")

    async def _exchange(self, request: _Request, course: _Course) -> tuple[Fetched, str | None]:
        """One request and its response; the second value is where a redirect points to."""
        if self._session is None:
            raise FetchError("the HTTP client is not started", url=request.asked)
        course.begun = 0
        async with self._session.request(
            request.method,
            request.url,
            data=request.body or None,
            headers=self._headers(request) | course.cookies.header(request.url),
            allow_redirects=False,
        ) as response:
            first_ms = course.ms()
            course.cookies.keep(response.cookies, response.url)
            if response.status in REDIRECTS and "Location" in response.headers:
                return Fetched(url=request.asked, status=response.status, body=b""), response.headers["Location"]
            course.begun = response.status
            body = await self._read(response, request)
            return Fetched(
                url=request.asked,
                status=response.status,
                body=body,
                charset=response.charset or "",
                method=request.method,
                first_ms=first_ms,
                total_ms=course.ms(),
                retries=course.retries,
                redirects=course.redirects,
            ), None

    async def _read(self, response: aiohttp.ClientResponse, request: _Request) -> bytes:
        """The body, which stops being read as soon as it is longer than allowed."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._limits.max_body:
                raise FetchError(
                    f"the body is longer than the {self._limits.max_body} octets allowed",
                    url=request.asked,
                    status=response.status,
                    begun=response.status,
                )
        return bytes(body)

    def _headers(self, request: _Request) -> dict[str, str]:
        timestamp, url = str(int(self._clock())), str(request.url.with_user(None))
        headers = {
            "X-FlexML-Timestamp": timestamp,
            "X-FlexML-Delivery": request.delivery,
            "X-FlexML-Signature": sign(self._secret, timestamp, request.method, url, request.body),
        }
        if request.body:
            headers["Content-Type"] = "application/json"
        return headers


def sign(secret: bytes, timestamp: str, method: str, url: str, body: bytes) -> str:
    """HMAC-SHA256 in hexadecimal over timestamp, method and URL, each ended by a line feed, and the body.

    None of the first three can contain a line feed, so no two different requests sign the same octets.
    """
    signing = _signing(secret).copy()
    signing.update(f"{timestamp}\n{method}\n{url}\n".encode() + body)
    return signing.hexdigest()


@lru_cache(1)
def _signing(secret: bytes) -> hmac.HMAC:
    """What has taken the key: that takes longer than to sign."""
    return hmac.new(secret, digestmod="sha256")


def _first_request(url: str, method: str, data: Mapping[str, object], delivery: str) -> _Request:
    try:
        target = URL(url.strip()).with_fragment(None)
    except ValueError as error:
        raise FetchError(f"not a URL: {error}", url=url) from error
    if target.scheme not in {"http", "https"} or not target.host:
        raise FetchError("expected an absolute http or https URL", url=url)
    if method == "GET":
        pairs = [(name, _query_value(value)) for name, value in data.items()]
        extended = target.extend_query(pairs)
        return _Request(method="GET", url=extended, added=str(extended).removeprefix(str(target)), delivery=delivery)
    if method != "POST":
        raise FetchError(f"method {method!r}; allowed: POST, GET", url=url)
    return _Request(method="POST", url=target, body=_as_json(data), delivery=delivery)


def _as_json(data: Mapping[str, object]) -> bytes:
    """As JSON. What only `json` bears, lone surrogates for one, takes eight times as long."""
    try:
        return _JSON.encode(data)
    except ValueError:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str).encode(errors="replace")


def _redirected(request: _Request, status: int, location: str) -> _Request:
    """What a redirect makes of a request. Within its origin user name and password stay, however it is written."""
    try:
        target = request.url.join(URL(location)).with_fragment(None)
    except ValueError as error:
        raise FetchError(f"redirect to {location!r}, which is not a URL", url=request.asked, status=status) from error
    if target.scheme not in {"http", "https"} or not target.host:
        raise FetchError(f"redirect to {location!r}; expected http or https", url=request.asked, status=status)
    if target.user is None and target.origin() == request.url.origin():
        target = target.with_user(request.url.user).with_password(request.url.password)
    if status in KEEPS_METHOD:
        return replace(request, url=target)
    return replace(request, method="GET", url=target, body=b"")


def _query_value(value: object) -> str:
    """A value as it stands in a query string: text as it is, null empty, everything else as JSON has it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)
