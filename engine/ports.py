"""RTP ports: pairs of an even port for RTP and the odd one above it for RTCP (RFC 3550 section 11).

Ports are given out least recently used first, so that stray packets of a call that has ended do not reach the
next one.
"""

from __future__ import annotations

from collections import deque

from .errors import MediaError


class PortPool:
    """The even ports of a range, both ends included."""

    def __init__(self, first: int, last: int) -> None:
        self._free = deque(range(first + first % 2, last, 2))
        self._range = f"{first} to {last}"

    def __len__(self) -> int:
        return len(self._free)

    def take(self) -> int:
        """Take a port. Raises MediaError where none is left."""
        if not self._free:
            raise MediaError(f"no RTP port left in {self._range}")
        return self._free.popleft()

    def give_back(self, port: int) -> None:
        """Return a port that was taken."""
        self._free.append(port)
