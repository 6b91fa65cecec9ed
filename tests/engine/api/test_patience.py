"""Clients that do not finish what they begin."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from fastapi import Request
from flexml.engine.api.body import SLOWEST_S, read_object
from flexml.engine.api.patience import PatientProtocol
from flexml.engine.api.problem import Problem

from ..virtual_time import run
from .served import Served


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientProtocol, "patience_s", 0.1)
    return


def until_closed(api: Served, *sent: bytes) -> bytes:
    """What comes back on a connection until the server closes it."""
    with socket.create_connection(api.address, timeout=5) as connection:
        received = b""
        for part in sent:
            connection.sendall(part)
        while more := connection.recv(65536):
            received += more
        return received


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: x\r\n"], ids=repr)
def test_a_connection_whose_headers_never_end_is_closed(api: Served, sent: bytes) -> None:
    assert until_closed(api, sent) == b""


@pytest.mark.usefixtures("impatient")
def test_so_is_one_that_had_an_answer_before(api: Served) -> None:
    answer = until_closed(api, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHo")
    assert answer.count(b"HTTP/1.1 200 OK") == 1


def test_a_body_that_does_not_come_is_408_after_its_time() -> None:
    async def never() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> float:
        request = Request({"type": "http", "method": "POST", "headers": []}, never)
        with pytest.raises(Problem, match="no whole body within 30 s") as raised:
            await read_object(request)
        assert raised.value.status == 408
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(SLOWEST_S)


def test_a_client_that_goes_away_in_its_body_is_no_error_of_ours(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /flexml/v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nAuthorization: Basic "
    with caplog.at_level(logging.ERROR), socket.create_connection(api.address, timeout=5) as connection:
        connection.sendall(head + b"ZmxleG1sX3VzZXJfMTIzOnF3ZXJ0eTEyMw==\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        assert api.me.get("/dids").status == 200
    assert [record.getMessage() for record in caplog.records] == []
