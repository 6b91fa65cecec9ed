"""Ports for SIPp: a whole block of them must be free, whatever else is in use."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest
from flexml.engine.errors import LoadError
from flexml.engine.load import run

plain_bound = run._bound  # pyright: ignore[reportPrivateUsage]


def test_a_block_with_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def bound(address: str, port: int) -> socket.socket:
        asked.append(port)
        if port and asked.count(0) < 3:
            raise OSError("Address already in use")
        return plain_bound(address, port)

    monkeypatch.setattr(run, "_bound", bound)
    base = run.free_ports("127.0.0.1", run.SIPP_MEDIA_PORTS)
    assert asked.count(0) == 3
    assert base % 2 == 0
    with ExitStack() as sockets:
        for port in range(base, base + run.SIPP_MEDIA_PORTS):
            sockets.enter_context(plain_bound("127.0.0.1", port))


def test_where_no_block_is_free_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def bound(address: str, port: int) -> socket.socket:
        raise OSError("Address already in use")

    monkeypatch.setattr(run, "_bound", bound)
    with pytest.raises(LoadError, match="fewer --calls"):
        run.free_ports("127.0.0.1", run.SIPP_MEDIA_PORTS)
