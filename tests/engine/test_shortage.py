"""A loop that is out of descriptors says so once a minute, and everything else as ever."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket

import pytest
from flexml.engine.shortage import Shortage


def test_a_lack_of_descriptors_is_said_once_and_other_errors_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(Shortage())
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with socket.socket() as listener:
            out = {"message": "out of system resource", "exception": error, "socket": listener}
            for _ in range(1000):
                loop.call_exception_handler(out)
        loop.call_exception_handler({"message": "a task", "exception": ValueError("broken")})
        loop.call_exception_handler({"message": "a file", "exception": error})

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    said = [(record.name, record.getMessage()) for record in caplog.records]
    assert said == [
        ("flexml.app", "no connection to [http] can be taken (said once a minute): Too many open files"),
        ("asyncio", "a task"),
        ("asyncio", "a file"),
    ]
