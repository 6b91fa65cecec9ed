"""Messages of Sms: by SIP MESSAGE to a trunk (RFC 3428), or by an HTTP POST, whichever the account's route says.

A message is tried once, waited for within bounds, and comes to `sent` or `failed`; the call's timeline says why. Who
waits for it may be cancelled: the message goes out all the same, and its outcome is noted. Nothing here outlives
`close`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from .config import Trunk
from .errors import FetchError, FlexmlError, SipError
from .flexml.fetch import Fetcher
from .flexml.verb import MessageStatus
from .sip.address import normalise_number
from .sip.events import MessageAgent, MessageAnswered
from .sip.trunks import by_tcp, outgoing

log = logging.getLogger("flexml.messages")

Note = Callable[..., None]
"""`Call.note`: what, and details."""

MAX_CHARACTERS: Final = 1600
"""What networks take: ten parts of 160 characters."""
UDP_OCTETS: Final = 500
"""Of text by UDP: with its headers, credentials included, a request stays below 1,300 octets (RFC 3428 section 8)."""
ANSWER_S: Final = 10.0
"""How long a trunk may take to answer, a challenge included."""
CLOSE_S: Final = 3.0
"""How long the engine's end waits for messages that are under way."""
TRUNK: Final = "trunk:"
TOLD: Final = ("AccountSid", "ApiVersion", "CallSid", "PartnerSid", "EndpointSid")
"""What an HTTP route is told of the call besides the message."""

_NUMBER: Final = re.compile(r"[0-9]{3,15}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A text to a number. `facts` are what requests about the call say; `account` is a sid.

    `may_send` is False where the account may not show the sender.
    """

    text: str
    sender: str
    recipient: str
    account: str
    may_send: bool = True
    facts: Mapping[str, object] = field(default_factory=dict[str, object])


class _NotSent(FlexmlError):
    """The message was not taken, or could not even go out; `details` are for the timeline."""

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message)
        self.details = {**details, **({"error": message} if message else {})}


class Messages:
    """Sends messages.

    `route_of` gives an account's route by its sid: `trunk:NAME`, a URL, or nothing. `region` is the country of numbers
    that come without one, `host` our own address in From.
    """

    def __init__(
        self,
        *,
        agent: MessageAgent,
        fetcher: Fetcher,
        trunks: Iterable[Trunk],
        route_of: Callable[[str], str],
        region: str,
        host: str,
    ) -> None:
        self._agent, self._fetcher = agent, fetcher
        self._trunks = {trunk.name: trunk for trunk in trunks}
        self._route_of, self._region, self._host = route_of, region, host
        self._tasks: set[asyncio.Task[MessageStatus]] = set()

    async def close(self) -> None:
        """Wait a little for what is under way, then give it up."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CLOSE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, message: Message, note: Note) -> MessageStatus:
        """Send it, and wait for what comes of it; the message goes on where its sender is cancelled."""
        task = asyncio.create_task(self._send(message, note))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _send(self, message: Message, note: Note) -> MessageStatus:
        clock = asyncio.get_running_loop().time
        began = clock()

        def took() -> float:
            return round((clock() - began) * 1000, 1)

        try:
            status = await self._by_route(message, note)
        except _NotSent as error:
            note("message failed", to=message.recipient, **error.details, took_ms=took())
            return "failed"
        except Exception:
            log.exception("a message failed on an error of the engine's own")
            note("message failed", to=message.recipient, error="internal error", took_ms=took())
            return "failed"
        note("message sent", to=message.recipient, status=status, took_ms=took())
        return "sent"

    async def _by_route(self, message: Message, note: Note) -> int:
        """Send; the final status, a 2xx. Raises _NotSent."""
        route = self._route_of(message.account)
        if not route:
            raise _NotSent("the account has no sms_route")
        if not message.may_send:
            raise _NotSent(f"from: {message.sender} is neither a DID of the account nor in its caller_ids")
        if not message.text:
            raise _NotSent("there is no text")
        if (length := len(message.text)) > MAX_CHARACTERS:
            raise _NotSent(f"the text has {length} characters; allowed: {MAX_CHARACTERS}")
        message = replace(
            message, sender=self._number("from", message.sender), recipient=self._number("to", message.recipient)
        )
        if route.startswith(TRUNK):
            return await self._by_sip(route.removeprefix(TRUNK), message, note)
        return await self._by_http(route, message, note)

    def _number(self, what: str, found: str) -> str:
        number = normalise_number(found, self._region).removeprefix("+")
        if _NUMBER.fullmatch(number) is None:
            raise _NotSent(f"{what}: {found!r} is no telephone number")
        return number

    async def _by_sip(self, name: str, message: Message, note: Note) -> int:
        trunk = self._trunks.get(name)
        if trunk is None:
            raise _NotSent(f"there is no trunk {name!r}")
        octets = len(message.text.encode())
        placed = outgoing(trunk, message.recipient, caller=message.sender, host=self._host)
        target = by_tcp(placed.target) if octets > UDP_OCTETS else placed.target
        answered: asyncio.Future[MessageAnswered] = asyncio.get_running_loop().create_future()

        def told(answer: MessageAnswered) -> None:
            if not answered.done():
                answered.set_result(answer)

        note("> MESSAGE", to=target, **{"from": placed.from_uri}, trunk=name, octets=octets)
        try:
            self._agent.send_message(
                target, text=message.text, from_uri=placed.from_uri, headers=placed.headers, trunk=name, told=told
            )
            async with asyncio.timeout(ANSWER_S):
                answer = await answered
        except SipError as error:
            raise _NotSent(str(error)) from error
        except TimeoutError:
            raise _NotSent(f"no answer within {ANSWER_S:.0f} s") from None
        if not answer.received:
            raise _NotSent(f"not sent: {answer.reason}")
        if not 200 <= answer.status <= 299:
            raise _NotSent(status=answer.status, reason=answer.reason)
        return answer.status

    async def _by_http(self, url: str, message: Message, note: Note) -> int:
        data = {name: message.facts[name] for name in TOLD if name in message.facts}
        note("> POST", url=url, to=message.recipient, **{"from": message.sender})
        data |= {"From": message.sender, "To": message.recipient, "Text": message.text}
        try:
            answer = await self._fetcher.fetch(url, "POST", data, cookies=self._fetcher.cookies())
        except FetchError as error:
            raise _NotSent(str(error)) from error
        if answer.method != "POST":
            raise _NotSent(f"{answer.url}: a redirect has lost the message", status=answer.status)
        if not 200 <= answer.status <= 299:
            raise _NotSent(status=answer.status)
        return answer.status
