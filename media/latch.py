"""Decide which packets belong to a leg, and where its media comes from (symmetric RTP, RFC 4961).

Behind a NAT the address a peer signals is not the one its packets come from. So each time signalling
changes the address, the leg latches once: to the source of the first packet with a negotiated payload
type. From then on every other source is refused, so that nobody can inject audio into a call, or draw
it away, by guessing a port; but for CERTAIN_S the address that was signalled still wins over whoever was first.
The source from before a change counts until the new one is heard, for GRACE_S at most, but cannot be latched to: its
last packets are still on the way when the change takes effect.

Once a source is certain its socket is connected to it, and the kernel refuses the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import every
from .transport import Address

GRACE_S: Final = 0.5
CERTAIN_S: Final = 10.0
"""How long after a source was heard from elsewhere the signalled one may still take its place: the first may have been
a stranger, a call before on the same port, or an announcement that another machine made."""

NOT_NEGOTIATED: Final = -1
"""A payload type no packet has."""


class Accepted(NamedTuple):
    """Which packets of a batch to take."""

    mask: NDArray[np.bool_]  # from the right source
    foreign: NDArray[np.bool_]  # from another, or with a payload type nobody negotiated
    heard: list[tuple[int, Address]]  # rows whose first packet this is, and where from
    certain: list[tuple[int, Address]]  # rows that take media from there only, from now on
    changed: list[tuple[int, int]]  # rows with packets of a codec that the peer may change to, and their payload type


def source_key(address: Address) -> int:
    """Return a number that stands for `address` in an array (64 bits; keyed, so nobody can make two collide)."""
    return hash(address[:2])


class Latch:
    """The source of each leg. All arrays are by row."""

    def __init__(self, capacity: int) -> None:
        self._known: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # remote set
        self._free: NDArray[np.bool_] = np.zeros(capacity, np.bool_)  # may still latch
        self._heard: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._certain: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._certain_s: NDArray[np.float64] = np.zeros(capacity, np.float64)  # when what was heard is
        self._right: NDArray[np.int64] = np.zeros(capacity, np.int64)  # the source that was signalled
        self._source: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self._previous: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self._until_s: NDArray[np.float64] = np.zeros(capacity, np.float64)  # grace of the previous source
        self._signalled: list[Address | None] = [None] * capacity
        self._heard_from: list[Address | None] = [None] * capacity
        self.audio_type: NDArray[np.int64] = np.full(capacity, NOT_NEGOTIATED, np.int64)
        self.event_type: NDArray[np.int64] = np.full(capacity, NOT_NEGOTIATED, np.int64)
        self._own_types: NDArray[np.int64] = np.full((2, capacity), NOT_NEGOTIATED, np.int64)  # of audio, of events
        self._renumbered: set[int] = set()  # rows with any of these
        self._others: dict[int, Sequence[int]] = {}  # payload types by row

    def number(
        self,
        row: int,
        audio: int,
        event: int,
        *,
        own: tuple[int | None, int | None] = (None, None),
        others: Sequence[int] = (),
    ) -> None:
        """Take packets of these payload types; with those of `own` that are not None, which the peer may use, too.

        Packets of `others` are the peer's as well, and told of.
        """
        self.audio_type[row], self.event_type[row] = audio, event
        self._others.pop(row, None)
        if others:
            self._others[row] = others
        if own != (None, None):
            self._own_types[:, row] = [NOT_NEGOTIATED if one is None else one for one in own]
            self._renumbered.add(row)
        elif row in self._renumbered:
            self._own_types[:, row] = NOT_NEGOTIATED
            self._renumbered.remove(row)

    def set_remote(self, row: int, address: Address, *, latch: bool, now_s: float) -> bool:
        """Expect media from `address`, or from where it comes first; False if that is what was expected already."""
        if self._signalled[row] == address:
            return False
        if self._heard[row]:
            self._previous[row], self._until_s[row] = self._source[row], now_s + GRACE_S
        self._signalled[row] = address
        self._source[row] = self._right[row] = source_key(address)
        self._known[row], self._free[row], self._heard[row], self._certain[row] = True, latch, False, False
        self._heard_from[row] = None
        return True

    def host(self, row: int) -> str | None:
        """Return the host that media of `row` comes from; None before any has come."""
        address = self._heard_from[row]
        return None if address is None else address[0]

    def close(self, row: int) -> None:
        """Take nothing more on `row`."""
        self._signalled[row] = self._heard_from[row] = None
        self._known[row] = self._free[row] = self._heard[row] = False
        self._until_s[row] = 0.0
        self.number(row, NOT_NEGOTIATED, NOT_NEGOTIATED)

    def step(
        self, rows: NDArray[np.intp], payload_type: NDArray[np.integer[Any]], sources: list[Address], now_s: float
    ) -> Accepted:
        """Judge a batch, in the order the packets came; latch what may be latched.

        Each `payload_type` becomes the one that the peer has for it. `sources` are those of the first packets; the
        packets after them came on connected sockets, from whom is right.
        """
        if self._renumbered:
            self._renumber(rows, payload_type)
        count = len(sources)
        known, negotiated = self._known[rows], payload_type == self.audio_type[rows]
        if not count and every(known) and every(negotiated):
            return Accepted(known, ~known, [], [], [])
        negotiated |= payload_type == self.event_type[rows]
        others = self._find_others(rows, payload_type, negotiated) if self._others else []
        right, old = np.ones(rows.size, np.bool_), np.zeros(rows.size, np.bool_)
        if count:
            own, key = rows[:count], np.fromiter((hash(source[:2]) for source in sources), np.int64, count)
            old[:count] = (key == self._previous[own]) & (now_s < self._until_s[own])
            self._latch(np.flatnonzero(self._free[own] & negotiated[:count] & ~old[:count]), own, key)
            signalled = (key == self._right[own]) & (key != self._source[own]) & ~self._certain[own]
            self._turn(np.flatnonzero(signalled & negotiated[:count]), own, key)
            right[:count] = key == self._source[own]
        mask = known & (right | old)
        candidates = np.flatnonzero((mask & right & negotiated)[:count] & ~self._certain[rows[:count]])
        heard, certain = self._hear(candidates, rows, sources, now_s)
        changed = {int(rows[index]): int(payload_type[index]) for index in others if mask[index]}
        return Accepted(mask, known & ~(mask & negotiated), heard, certain, list(changed.items()))

    def _find_others(
        self, rows: NDArray[np.intp], payload_type: NDArray[np.integer[Any]], negotiated: NDArray[np.bool_]
    ) -> list[int]:
        """Return which packets are of another codec that the peer may send, and let them be `negotiated`."""
        found = [
            index
            for index in np.flatnonzero(~negotiated).tolist()
            if int(payload_type[index]) in self._others.get(int(rows[index]), ())
        ]
        negotiated[found] = True
        return found

    def _renumber(self, rows: NDArray[np.intp], payload_type: NDArray[np.integer[Any]]) -> None:
        came = payload_type.copy()
        for own, theirs in zip(self._own_types, (self.audio_type, self.event_type), strict=True):
            at = came == own[rows]
            payload_type[at] = theirs[rows[at]]

    def _hear(
        self, candidates: NDArray[np.intp], rows: NDArray[np.intp], sources: list[Address], now_s: float
    ) -> tuple[list[tuple[int, Address]], list[tuple[int, Address]]]:
        """Return the rows that hear their source for the first time, and those that are certain of it now."""
        heard: list[tuple[int, Address]] = []
        certain: list[tuple[int, Address]] = []
        for index in candidates.tolist():
            row = int(rows[index])
            if not self._heard[row]:
                self._heard[row], self._free[row] = True, False
                self._heard_from[row] = sources[index]
                self._until_s[row] = 0.0  # two sources in turn would be none that can be understood
                self._certain_s[row] = now_s if self._source[row] == self._right[row] else now_s + CERTAIN_S
                heard.append((row, sources[index]))
            if not self._certain[row] and now_s >= self._certain_s[row]:
                self._certain[row] = True
                certain.append((row, sources[index]))
        return heard, certain

    def _latch(self, candidates: NDArray[np.intp], rows: NDArray[np.intp], key: NDArray[np.int64]) -> None:
        for index in candidates.tolist():
            row = rows[index]
            if self._free[row]:
                self._source[row], self._free[row] = key[index], False

    def _turn(self, candidates: NDArray[np.intp], rows: NDArray[np.intp], key: NDArray[np.int64]) -> None:
        """Go over to the source that was signalled from one that was heard before it."""
        for index in candidates.tolist():
            self._source[rows[index]], self._heard[rows[index]] = key[index], False
