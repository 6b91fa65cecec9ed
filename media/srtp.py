"""Secure RTP and RTCP by row (RFC 3711), between the transport and everything else, for the rows that have keys.

What comes in is checked and decrypted where it lies, before anyone looks at it: a packet that fails has no octets
left, and is counted with those that are no RTP. What goes out is protected last. A row without keys costs nothing;
one with keys never sends, or takes, a packet in clear. New keys begin new sessions, and what the old key still
brings counts for GRACE_S: packets under way when signalling changes it (RFC 4568 section 7.1.4).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .libsrtp import CONTROL_TRAILER, TAG_OCTETS, TRAILER, Session, SrtpError
from .protocol import SrtpKeys
from .rtp import MAX_PACKET
from .transport import Received

Indices = NDArray[np.intp]
Packets = NDArray[np.uint8]

GRACE_S: Final = 2.0
SOURCES: Final = 8
"""Streams that a peer may have at once; of more, the oldest is forgotten: nobody fills our memory with them."""

_LEAST: Final = 12
"""Octets of the RTP header, where the SSRC ends."""


@dataclass(slots=True)
class Inbound:
    """What comes in under one key. `rollovers` is how often sequence numbers may have wrapped before we listened."""

    session: Session
    rollovers: int = 0
    sources: list[int] = field(default_factory=list[int])
    until_s: float = 0.0  # once it has been replaced

    def open(self, address: int, length: int) -> int:
        """Unprotect the RTP packet at `address`; its new length, 0 if it is not the peer's."""
        if length < _LEAST:
            return 0
        ssrc = int.from_bytes(ctypes.string_at(address + 8, 4), "big")
        opened = self.session.unprotect(address, length)
        if not opened and self.rollovers and ssrc not in self.sources:
            opened = self._search(ssrc, address, length)
        if opened:
            self._admit(ssrc)
        return opened

    def open_control(self, address: int, length: int) -> int:
        """The same for RTCP, which carries its whole index."""
        opened = self.session.unprotect_control(address, length)
        if opened:
            self._admit(int.from_bytes(ctypes.string_at(address + 4, 4), "big"))
        return opened

    def highest_rollover(self) -> int:
        """The rollover counter of the source that has come furthest."""
        return max((self.session.rollover(ssrc) for ssrc in self.sources), default=0)

    def _admit(self, ssrc: int) -> None:
        if ssrc in self.sources:
            return
        if len(self.sources) == SOURCES:
            self.session.forget(self.sources.pop(0))
        self.sources.append(ssrc)

    def _search(self, ssrc: int, address: int, length: int) -> int:
        """Find the rollover counter of a stream that is heard from its middle on (RFC 3711 section 3.3.1)."""
        if not self.session.add(ssrc):
            return 0
        for rollovers in range(1, self.rollovers + 1):
            self.session.set_rollover(ssrc, rollovers)
            opened = self.session.unprotect(address, length)
            if opened:
                self.rollovers = 0
                return opened
        self.session.forget(ssrc)
        return 0


class Srtp:
    """Sessions by row."""

    def __init__(self, capacity: int) -> None:
        self._keys: list[SrtpKeys | None] = [None] * capacity
        self._inbound: list[Inbound | None] = [None] * capacity
        self._replaced: list[Inbound | None] = [None] * capacity
        self._outbound: list[Session | None] = [None] * capacity
        self._tag: NDArray[np.int64] = np.zeros(capacity, np.int64)  # octets; 0 without keys
        self._rows: int = 0  # with keys
        self._control: Packets = np.zeros(MAX_PACKET + TRAILER, np.uint8)

    def set_keys(self, row: int, keys: SrtpKeys | None, now_s: float) -> None:
        """Use `keys` on `row` from now on, None for plain RTP. What stays the same goes on as it was.

        SrtpError, and nothing changed, for keys that cannot be used.
        """
        before = self._keys[row]
        if keys is None:
            self.close(row)
            return
        inbound, outbound = self._inbound[row], self._outbound[row]
        if before is None or (before.suite, before.theirs) != (keys.suite, keys.theirs):
            inbound = Inbound(Session(keys.suite, keys.theirs, inbound=True), keys.rollovers)
        if before is None or (before.suite, before.ours) != (keys.suite, keys.ours):
            outbound = Session(keys.suite, keys.ours, inbound=False)
        replaced = self._inbound[row]
        if replaced is not None and inbound is not None and replaced is not inbound:
            # RFC 3711 section 3.3.1 keeps the counter over a new key; most peers begin again at zero.
            inbound.rollovers = max(inbound.rollovers, replaced.highest_rollover())
            replaced.until_s = now_s + GRACE_S
            self._replaced[row] = replaced
        self._inbound[row], self._outbound[row] = inbound, outbound
        self._rows += before is None
        self._keys[row] = keys
        self._tag[row] = TAG_OCTETS[keys.suite]

    def close(self, row: int) -> None:
        """Forget the keys of `row`, if it has any."""
        if self._keys[row] is None:
            return
        self._rows -= 1
        self._keys[row] = self._inbound[row] = self._replaced[row] = self._outbound[row] = None
        self._tag[row] = 0

    def unprotect(self, received: Received, now_s: float) -> None:
        """Decrypt what came on rows with keys, in place; `lengths` of what is not the peer's become 0."""
        if not self._rows or not received.rows.size:
            return
        data, lengths = received.data, received.lengths
        base, stride = data.ctypes.data, data.strides[0]
        for index in np.flatnonzero(self._tag[received.rows]).tolist():
            row = int(received.rows[index])
            slot = index if received.slots is None else int(received.slots[index])
            lengths[index] = self._open(row, base + slot * stride, int(lengths[index]), now_s)

    def protect(self, rows: Indices, packets: Packets) -> list[tuple[Indices, Packets]]:
        """Return what is to be sent for `packets` uint8[n, L] of `rows`; those of rows with keys are longer."""
        if not self._rows:
            return [(rows, packets)]
        tags = self._tag[rows]
        groups: list[tuple[Indices, Packets]] = []
        for tag in np.unique(tags).tolist():
            chosen = tags == tag
            group = rows[chosen], packets[chosen]
            groups.append(self._close(*group, tag) if tag else group)
        return groups

    def unprotect_control(self, row: int, octets: bytes, now_s: float) -> bytes:
        """Return what the peer said by RTCP. ValueError if it was not the peer."""
        if not self._tag[row]:
            return octets
        for inbound in self._listening(row, now_s):
            at = self._write(octets)
            opened = inbound.open_control(at, len(octets)) if len(octets) > CONTROL_TRAILER else 0
            if opened:
                return self._control[:opened].tobytes()
        raise SrtpError(f"RTCP of {len(octets)} octets that is not authentic, or came before")

    def protect_control(self, row: int, octets: bytes) -> bytes:
        """Return RTCP as it is to be sent; nothing if it must not be."""
        session = self._outbound[row]
        if session is None or not octets:
            return octets
        length = session.protect_control(self._write(octets), len(octets))
        return self._control[:length].tobytes()

    def _open(self, row: int, address: int, length: int, now_s: float) -> int:
        for inbound in self._listening(row, now_s):
            opened = inbound.open(address, length)
            if opened:
                return opened
        return 0

    def _listening(self, row: int, now_s: float) -> list[Inbound]:
        """The sessions of `row` to try, the newest first."""
        inbound, replaced = self._inbound[row], self._replaced[row]
        if replaced is not None and now_s >= replaced.until_s:
            replaced = self._replaced[row] = None
        return [one for one in (inbound, replaced) if one is not None]

    def _close(self, rows: Indices, packets: Packets, tag: int) -> tuple[Indices, Packets]:
        count, length = packets.shape
        room = np.zeros((count, (length + TRAILER + 3) // 4 * 4), np.uint8)  # the library likes words
        room[:, :length] = packets
        base, stride = room.ctypes.data, room.strides[0]
        done = np.ones(count, np.bool_)
        for index, row in enumerate(rows.tolist()):
            session = self._outbound[row]
            done[index] = session is not None and session.protect(base + index * stride, length) == length + tag
        return rows[done], room[done, : length + tag]

    def _write(self, octets: bytes) -> int:
        self._control[: len(octets)] = np.frombuffer(octets, np.uint8)
        return self._control.ctypes.data
