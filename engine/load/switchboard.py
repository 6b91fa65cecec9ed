"""Passes on what SIPp says of calls to the process of their streams, and keeps count."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...media.load.messages import Aim, Command, Down, Up
from .sipp import Answered, ErrorReader, LogReader, Moved, Over

READ_OCTETS = 1 << 16


class Switchboard:
    """Calls by the RTP ports that are ours. Times are ns since 1970."""

    def __init__(self, ports: list[int], say: Callable[[Command], None]) -> None:
        """Give commands for the streams of `ports` to `say`."""
        self._streams = {port: stream for stream, port in enumerate(ports)}
        self._say = say
        self._calls: dict[int, int] = {}  # SIPp's number of a live call: the stream
        self._live: dict[int, int] = {}  # and the other way round
        self._log = LogReader()
        self._errors = ErrorReader()
        self.answers: list[tuple[int, float]] = []  # when, ms
        self.cut_short = 0

    @property
    def live(self) -> int:
        """How many calls there are."""
        return len(self._calls)

    @property
    def reasons(self) -> dict[str, int]:
        """Why calls failed, and how many."""
        return self._errors.reasons

    def log(self, octets: bytes) -> None:
        """Take what the scenario wrote down."""
        for event in self._log.feed(octets):
            stream = self._streams.get(event.local_port)
            if stream is None:
                continue
            match event:
                case Answered():
                    self._up(stream, event)
                case Moved():
                    if event.host:
                        self._say(Aim(stream=stream, host=event.host, port=event.port))
                case Over():
                    self.cut_short += event.by_server and stream in self._live
                    self._down(stream, event.at_ns)

    def errors(self, octets: bytes) -> None:
        """Take what SIPp wrote of errors."""
        self._give_up(self._errors.feed(octets))

    def finish(self) -> int:
        """SIPp has ended; how many calls were still up."""
        self._give_up(self._errors.finish())
        left = list(self._live)
        for stream in left:
            self._down(stream)
        return len(left)

    def _up(self, stream: int, event: Answered) -> None:
        self.answers.append((event.answered_ns, event.answer_ms))
        self._down(stream)
        self._calls[event.call] = stream
        self._live[stream] = event.call
        self._say(Up(stream=stream, host=event.host or "0.0.0.0", port=event.port, at_ns=event.answered_ns))

    def _down(self, stream: int, at_ns: int = 0) -> None:
        call = self._live.pop(stream, None)
        if call is not None:
            del self._calls[call]
            self._say(Down(stream=stream, at_ns=at_ns))

    def _give_up(self, calls: list[int]) -> None:
        for call in calls:
            if (stream := self._calls.get(call)) is not None:
                self._down(stream)


class Pipe:
    """A named pipe that another process takes for a file. What is written into it goes to `take` at once."""

    def __init__(self, path: Path, take: Callable[[bytes], None]) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # for writing too, so that it has no end
        self._take = take
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def read(self) -> None:
        """Pass on what is there."""
        with suppress(BlockingIOError):
            while octets := os.read(self._descriptor, READ_OCTETS):
                self._take(octets)

    def close(self) -> None:
        """Pass on what is there, and go."""
        self.read()
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
