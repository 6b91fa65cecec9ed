"""Addresses of host names, asked for without waiting in anybody's turn.

A name server may take ten seconds to say nothing. Each question has a thread of its own while it is open, so it holds
up neither the event loop nor what the loop's own threads do; whoever asks the same meanwhile waits for the same answer.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MOST: Final = 128
"""Questions that are open at the same time; one more is refused."""
Addresses = Sequence[tuple[socket.AddressFamily, str]]
"""Each with its family, the preferred one first."""


class Names:
    """Asks the system by `ask`, so all that it goes by holds: /etc/hosts, search domains, several name servers."""

    def __init__(self, ask: Callable[..., Sequence[Any]] = socket.getaddrinfo, *, most: int = MOST) -> None:
        self._ask, self._most = ask, most
        self._open: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def addresses(self, host: str, family: int = socket.AF_UNSPEC) -> Addresses:
        """The addresses of `host`, of one family or any. Raises OSError where there are none, or too much is open."""
        answer = self._open.get((host, family))
        if answer is None:
            if len(self._open) >= self._most:
                raise OSError(f"{host}: {self._most} other names are being looked up")
            answer = self._open[host, family] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: self._answered(host, family, done))
            threading.Thread(target=_look_up, args=(self._ask, host, family, answer), daemon=True).start()
        return await asyncio.shield(answer)

    def _answered(self, host: str, family: int, answer: asyncio.Future[Addresses]) -> None:
        del self._open[host, family]
        if not answer.cancelled():
            answer.exception()  # seen, even when all who asked have left


class HttpNames(AbstractResolver):
    """The same for aiohttp, whose own resolver shares a few threads with all that touches files."""

    def __init__(self, names: Names | None = None) -> None:
        self._names = names or Names()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in await self._names.addresses(host, family)
        ]

    async def close(self) -> None:
        """Nothing has to be closed: a question that is open ends by itself, and keeps no process from its end."""


def _look_up(ask: Callable[..., Sequence[Any]], host: str, family: int, answer: asyncio.Future[Addresses]) -> None:
    """Answer in a thread; there is nobody to tell once the loop is closed."""
    found: Addresses | OSError
    try:
        said = ask(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = [(kind, _shown(place)) for kind, _, _, _, place in said]
    except (OSError, UnicodeError) as error:
        found = OSError(f"{host}: {error}")
    with suppress(RuntimeError):
        answer.get_loop().call_soon_threadsafe(_settle, answer, found)


def _shown(place: tuple[object, ...]) -> str:
    """The address in text, with the interface where it is one of a link only."""
    return socket.getnameinfo(place, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]  # pyright: ignore[reportArgumentType]


def _settle(answer: asyncio.Future[Addresses], found: Addresses | OSError) -> None:
    if answer.done():
        return
    if isinstance(found, OSError):
        answer.set_exception(found)
    else:
        answer.set_result(found)
