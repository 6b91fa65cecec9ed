"""The channel between control and a media worker: an AF_UNIX SOCK_SEQPACKET pair, some messages a datagram.

What waits for a flush goes out together: each datagram wakes the other process. Neither end ever waits. What the
kernel does not take at once is queued, in order and bounded; each end watches `fileno()` with whatever loop it has,
calls `receive()` when it is readable and `flush()` when it is writable and `pending`. The end of the peer shows as
`ended`, after the last message it sent.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Generic, TypeVar

import msgspec

from .events import Event, decode_events
from .protocol import MAX_DATAGRAM, Command, Message, decode_commands, encode

Incoming = TypeVar("Incoming")

BUFFER_OCTETS: Final = 1 << 20
"""Kernel buffer each way: some thousand messages, more than a second of any load."""

TOGETHER: Final = 8
"""Messages in one datagram at most."""

QUEUE_MESSAGES: Final = 20_000
"""Queued beyond that, the peer has stopped reading for good; further messages are counted and dropped."""


class Channel(Generic[Incoming]):
    """One end. `decode` reads what the other end sends; errors of the peer's process end the channel."""

    def __init__(
        self, end: socket.socket, decode: Callable[[bytes], list[Incoming]], limit: int = QUEUE_MESSAGES
    ) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_OCTETS)
        self.ended: bool = False
        self.dropped: int = 0
        self.malformed: int = 0
        self._end: socket.socket = end
        self._decode: Callable[[bytes], list[Incoming]] = decode
        self._limit: int = limit
        self._queue: deque[Message] = deque()

    def fileno(self) -> int:
        """Return the descriptor to watch; -1 once closed."""
        return self._end.fileno()

    @property
    def pending(self) -> int:
        """How many messages wait for the kernel to take them."""
        return len(self._queue)

    def send(self, message: Message, *, now: bool = True) -> None:
        """Send `message` or queue it behind those that wait; dropped and counted if the queue is full.

        Unless it is to go `now` it waits for the next `flush`.
        """
        if self.ended:
            self.dropped += 1
            return
        if len(self._queue) >= self._limit:
            self.flush()
        if len(self._queue) >= self._limit:
            self.dropped += 1
            return
        self._queue.append(message)
        if now:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the kernel, as far as it takes it now."""
        queue = self._queue
        try:
            while queue:
                together = list(islice(queue, TOGETHER))
                octets = encode(together)
                if len(octets) > MAX_DATAGRAM:
                    together = together[:1]
                    octets = encode(together)
                self._end.send(octets)
                for _ in together:
                    queue.popleft()
        except BlockingIOError:
            return
        except OSError:  # the other process is gone: EPIPE, ECONNRESET
            self._lose()

    def receive(self, limit: int = 256) -> list[Incoming]:
        """Return messages that have come, no more datagrams once there are `limit`.

        A datagram that cannot be read is counted, not raised.
        """
        messages: list[Incoming] = []
        while len(messages) < limit and not self.ended:
            try:
                octets = self._end.recv(MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:  # reset: the other process ended with messages of ours unread
                self._lose()
                break
            if not octets:
                self._lose()
                break
            try:
                messages += self._decode(octets)
            except msgspec.DecodeError:
                self.malformed += 1
        return messages

    def close(self) -> None:
        """Close this end; the other sees `ended`. Closing twice is harmless."""
        self._lose()
        self._end.close()

    def _lose(self) -> None:
        self.ended = True
        self.dropped += len(self._queue)
        self._queue.clear()


def pair() -> tuple[Channel[Event], Channel[Command]]:
    """Return the two ends: control's, which receives events, and the worker's, which receives commands."""
    control, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(control, decode_events), Channel(worker, decode_commands)


def worker_end(descriptor: int) -> Channel[Command]:
    """Return the worker's end from an inherited descriptor. It gets the lowest number that is free, for select(2)."""
    low = os.dup(descriptor)
    os.close(descriptor)
    return Channel(socket.socket(fileno=low), decode_commands)
