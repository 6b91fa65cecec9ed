"""RTP ports: pairs of an even port for RTP and the odd one above it for RTCP (RFC 3550 section 11).

Ports are given out least recently used first, so that stray packets of a call that has ended do not reach the
next one. The answer to an INVITE names the port before a worker binds it, so a pair is tried when it is given out, and
passed over while another program has one of the two.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import Final

from .errors import MediaError

TRIED: Final = 64
"""Pairs that are looked at for one call at most: some 20 us each, for which everything else waits."""


class PortPool:
    """The even ports of a range, both ends included; tried at `address`, or not at all."""

    def __init__(self, first: int, last: int, address: str = "") -> None:
        self._free = deque(range(first + first % 2, last, 2))
        self._range = f"{first} to {last}"
        self._address = address

    def __len__(self) -> int:
        return len(self._free)

    def take(self) -> int:
        """Take a port. Raises MediaError where none is left, or none can be tried."""
        for _ in range(min(TRIED, len(self._free))):
            port = self._free[0]
            try:
                is_free = not self._address or not is_taken(self._address, port)
            except OSError as error:
                raise MediaError(f"no RTP port can be tried: {error.strerror}") from error
            self._free.rotate(-1)
            if is_free:
                return self._free.pop()
        raise MediaError(f"no RTP port left in {self._range}")

    def give_back(self, port: int) -> None:
        """Return a port that was taken."""
        self._free.append(port)


def is_taken(address: str, port: int) -> bool:
    """Whether another program has one of the pair. What else may be wrong with it is not found here.

    Raises OSError where there are no descriptors left.
    """
    for each in (port, port + 1):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, each))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return True
    return False
