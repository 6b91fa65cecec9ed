"""Addresses of host names, asked for in threads of their own."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from flexml.engine.names import HttpNames, Names

PATIENCE_S = 10.0


class NameServer:
    """Instead of `getaddrinfo`: knows every name, but answers only once it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Event()

    def __call__(self, host: str, *_: object, **__: object) -> list[Any]:
        self.asked.append(host)
        assert self.answers.wait(PATIENCE_S)
        if host == "nobody.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
        return [six, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]


def test_a_slow_name_server_holds_up_neither_the_loop_nor_its_threads() -> None:
    server = NameServer()

    async def run() -> None:
        names = Names(server)
        asked = [asyncio.create_task(names.addresses(f"host{number}.example")) for number in range(40)]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.to_thread(int)
        server.answers.set()
        for task in asked:
            assert await task == [(socket.AF_INET6, "::1"), (socket.AF_INET, "192.0.2.7")]

    asyncio.run(run())


def test_a_name_is_asked_for_once_by_all_who_ask_meanwhile() -> None:
    server = NameServer()

    async def run() -> None:
        names = Names(server)
        first, second = (asyncio.create_task(names.addresses("a.example")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        server.answers.set()
        assert (await second)[1] == (socket.AF_INET, "192.0.2.7")
        assert server.asked == ["a.example"]
        await names.addresses("a.example")
        assert server.asked == ["a.example"] * 2

    asyncio.run(run())


def test_too_many_open_questions_are_refused_and_so_is_what_nobody_knows() -> None:
    server = NameServer()

    async def run() -> None:
        names = Names(server, most=1)
        unknown = asyncio.create_task(names.addresses("nobody.example"))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="1 other names"):
            await names.addresses("b.example")
        server.answers.set()
        with pytest.raises(OSError, match=r"nobody\.example: .*not known"):
            await unknown
        assert await names.addresses("b.example")

    asyncio.run(run())


@pytest.mark.parametrize("host", [f"{'a' * 64}.example", "a..example", "\udcff.example"])
def test_what_can_be_no_name_has_no_address(host: str) -> None:
    with pytest.raises(OSError, match="example: "):
        asyncio.run(Names().addresses(host))


def test_an_http_client_is_given_addresses_with_the_port() -> None:
    server = NameServer()
    server.answers.set()
    six, four = asyncio.run(HttpNames(Names(server)).resolve("a.example", 8080, socket.AF_UNSPEC))
    assert (six["host"], six["port"], six["family"]) == ("::1", 8080, socket.AF_INET6)
    assert (four["host"], four["hostname"], four["family"]) == ("192.0.2.7", "a.example", socket.AF_INET)
