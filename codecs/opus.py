"""Opus by row: packets of 2.5 to 120 ms, in-band error correction, concealment by libopus (RFC 6716, RFC 7587).

Opus packets are not made of samples, but where a packet belongs and which are missing is the same question as
ever. So `keep` stores packets and returns tokens, one for each tick of audio: which packet, and which tick of
it. They go through the jitter buffer as octets do, and `decode` gets from them what to play when.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .coder import FRAME, Flags, Frames, Indices, Integers, Octets
from .g711 import AnySamples, whole
from .libopus import LARGEST_PACKET, RATE_HZ, Decoder, Encoder, Samples

BIT_RATE: Final = 36000
"""Wideband speech and its error correction; below it, music suffers."""

COMPLEXITY: Final = 2
"""Of 10. With error correction more of it costs up to twice as much, and makes music no better."""

LOSS_PERCENT: Final = 10
"""What the error correction is made for; with 0 the encoder leaves it out."""

SLOTS: Final = 512
"""Packets kept a row: more than the jitter buffer can hold of the shortest."""

UNIT: Final = 20
"""Ticks of 2.5 ms, what concealed audio is made in."""

LONGEST: Final = 960
"""Ticks of the longest packet."""

GONE: Final = 50
"""Frames without a packet after which a row is silent: a peer that says nothing for a while sends some at 400 ms."""

TOKEN: Final = np.dtype([("slot", "<u2"), ("tick", "<u2")])

_SILK_TICKS: Final = (80, 160, 320, 480)
_HYBRID_TICKS: Final = (80, 160)
_CELT_TICKS: Final = (20, 40, 80, 160)
_FRAME_TICKS: Final = np.array(_SILK_TICKS * 3 + _HYBRID_TICKS * 2 + _CELT_TICKS * 4)
"""Ticks of a frame by the configuration number of RFC 6716 section 3.1, table 2."""


class Kept(NamedTuple):
    """Packets that were stored: how long each lasts, 0 if it is none, and so many tokens as octets at least."""

    ticks: Integers  # [n]
    tokens: Octets  # [n, 4 * the longest]


class _Run(NamedTuple):
    """Part of a frame that is of one packet, or missing (`slot` None); `tick` is where in the packet it begins."""

    begin: int
    end: int
    slot: int | None
    tick: int


class _Leg:
    """The codec of one row, and its packets."""

    def __init__(self) -> None:
        self.encoder: Encoder = Encoder(bit_rate=BIT_RATE, complexity=COMPLEXITY, loss_percent=LOSS_PERCENT)
        self.decoder: Decoder = Decoder()
        self.packets: list[bytes] = [b""] * SLOTS
        self.next_slot: int = 0
        self.slot: int = -1  # whose audio is in `audio`
        self.audio: Samples = np.zeros(0, np.int16)
        self.missed: int = GONE  # frames since there was a packet

    def store(self, packet: bytes) -> int:
        """Keep `packet` in place of the oldest; return its slot."""
        slot, self.next_slot = self.next_slot, (self.next_slot + 1) % SLOTS
        self.packets[slot] = packet
        if self.slot == slot:
            self.slot = -1
        return slot


class Opus:
    """See Coder. `broken` counts packets that turned out not to be Opus, by row."""

    rate_hz: int = RATE_HZ
    octets_per_tick: int = TOKEN.itemsize
    ahead: int = 1
    conceals: bool = True

    def __init__(self, capacity: int) -> None:
        self._legs: list[_Leg | None] = [None] * capacity
        self.broken: NDArray[np.int64] = np.zeros(capacity, np.int64)

    def open(self, row: int) -> None:
        """See Coder. OpusError without libopus."""
        self._legs[row] = _Leg()
        self.broken[row] = 0

    def close(self, row: int) -> None:
        """See Coder."""
        self._legs[row] = None

    def keep(self, packets: list[bytes], rows: Indices) -> Kept:
        """Store the packets that came on `rows`, in that order."""
        ticks = durations(packets)
        longest = int(ticks.max(initial=0))
        tokens = np.zeros((rows.size, longest), TOKEN)
        tokens["tick"] = np.arange(longest)
        for at, (row, packet) in enumerate(zip(rows.tolist(), packets, strict=True)):
            leg = self._legs[row]
            if leg is not None:
                tokens["slot"][at] = leg.store(packet)
        return Kept(ticks, tokens.view(np.uint8).reshape(rows.size, -1))

    def decode(self, octets: Octets, have: Flags, rows: Indices) -> Frames:
        """See Coder; the octets are tokens."""
        tokens = np.ascontiguousarray(octets).view(TOKEN)
        single = _single(tokens, have).tolist()
        frames = np.zeros((rows.size, 2 * FRAME), np.float32)
        for at, row in enumerate(rows.tolist()):
            leg = self._legs[row]
            if leg is None:
                continue
            leg.missed = 0 if have[at, :FRAME].any() else leg.missed + 1
            if leg.missed <= GONE:
                runs = _whole(tokens[at, 0]) if single[at] else _runs(tokens[at], have[at])
                self._play(leg, row, runs, frames[at])
        return frames

    def encode(self, frames: AnySamples, rows: Indices) -> tuple[Octets, Integers]:
        """See Coder."""
        samples = whole(frames)
        octets = np.zeros((rows.size, LARGEST_PACKET), np.uint8)
        lengths = np.zeros(rows.size, np.int64)
        for at, row in enumerate(rows.tolist()):
            leg = self._legs[row]
            if leg is not None:
                packet = leg.encoder.encode(samples[at])
                octets[at, : len(packet)] = np.frombuffer(packet, np.uint8)
                lengths[at] = len(packet)
        return octets[:, : lengths.max(initial=0)], lengths

    def _play(self, leg: _Leg, row: int, runs: list[_Run], frame: NDArray[np.float32]) -> None:
        """Put the audio of `runs` into `frame`; the last run is only seen ahead, and not played."""
        for run, following in pairwise(runs):
            count = 2 * (run.end - run.begin)
            if run.slot is None:
                audio = _made_up(leg, count, following)
            else:
                self._load(leg, row, run.slot)
                audio = leg.audio[2 * run.tick :]
            audio = audio[:count]
            frame[2 * run.begin : 2 * run.begin + audio.size] = audio

    def _load(self, leg: _Leg, row: int, slot: int) -> None:
        if leg.slot == slot:
            return
        audio = leg.decoder.decode(leg.packets[slot])
        if audio is None:
            self.broken[row] += 1
            audio = leg.decoder.conceal(2 * FRAME)
        leg.slot, leg.audio = slot, audio.copy()


def durations(packets: list[bytes]) -> Integers:
    """Return how many ticks of 8 kHz each packet lasts, 0 for what cannot be Opus (RFC 6716 sections 3.1 and 3.2)."""
    return np.array([_duration(packet) for packet in packets], np.int64)


def _duration(packet: bytes) -> int:
    if not packet:
        return 0
    code = packet[0] & 3
    if code < 3:
        frames = 1 if code == 0 else 2
    else:
        frames = packet[1] & 0x3F if len(packet) > 1 else 0
    ticks = int(_FRAME_TICKS[packet[0] >> 3]) * frames
    return ticks if ticks <= LONGEST else 0


def _made_up(leg: _Leg, count: int, following: _Run) -> Samples:
    """Return at least `count` samples for a gap: from the packet that follows it, if that begins there."""
    units = -(-count // (2 * UNIT)) * 2 * UNIT
    if following.slot is not None and following.tick == 0 and following.slot != leg.slot:
        return leg.decoder.recover(leg.packets[following.slot], units)
    return leg.decoder.conceal(units)


def _single(tokens: NDArray[np.void], have: Flags) -> Flags:
    """Say which frames are of one packet from end to end, as nearly all are."""
    slot, tick = tokens["slot"], tokens["tick"].astype(np.int64)
    last = FRAME - 1
    whole = np.count_nonzero(have[:, :FRAME], axis=1) == FRAME
    return whole & (slot[:, 0] == slot[:, last]) & (tick[:, last] - tick[:, 0] == last)


def _whole(token: np.void) -> list[_Run]:
    return [_Run(0, FRAME, int(token["slot"]) % SLOTS, int(token["tick"])), _Run(FRAME, FRAME + 1, None, 0)]


def _runs(tokens: NDArray[np.void], have: Flags) -> list[_Run]:
    """Divide a frame, and the tick after it, into runs; the last is that tick alone."""
    slot = np.where(have, tokens["slot"].astype(np.int64) % SLOTS, -1)
    change = np.flatnonzero(np.diff(slot[:FRAME])) + 1
    edges = [0, *change.tolist(), FRAME, FRAME + 1]
    ticks = tokens["tick"][edges[:-1]].tolist()
    slots = slot[edges[:-1]].tolist()
    return [
        _Run(begin, end, None if number < 0 else number, tick)
        for begin, end, number, tick in zip(edges, edges[1:], slots, ticks, strict=False)
    ]
