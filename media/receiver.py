"""What legs say, from RTP packets to audio: jitter buffer, decoder, concealment of what is missing.

All that listens gets 8 kHz. A codec that carries 16 kHz is decoded and mended there, and brought down then; the
16 kHz audio is handed on beside it. Codecs of one octet a tick have one jitter buffer, those of more another,
so that the many rows that need little have little. What nobody listens to can be taken as it came (see `passthrough`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codecs.bank import Bank
from ..codecs.catalog import Codec
from ..codecs.coder import Coder
from ..codecs.opus import Opus
from ..codecs.plc import FRAMES_KEPT, Concealer
from ..codecs.resample import NARROW, WIDE, Downsampler
from .jitter import Drawn, JitterBuffer
from .rows import RATE_HZ, elements, every
from .rtp import Flags, Indices, Integers, Octets, RtpBatch

Frames = NDArray[np.float32]

WIDEST: Final = 4
"""Octets a tick of 8 kHz: two samples of L16 at 16 kHz, or a token of an Opus packet."""


class Heard(NamedTuple):
    """A tick of what legs say: `frames` [n, 160] of all, and `wide` [m, 320] of those `at`, which say it at 16 kHz."""

    frames: Frames
    at: Indices
    wide: Frames


class Counts(NamedTuple):
    """Packets that came late, twice or broken, and samples made up, since a row opened."""

    late: int = 0
    duplicates: int = 0
    malformed: int = 0
    concealed: int = 0


_NOTHING_WIDE: Final = np.zeros((0, WIDE), np.float32)
_NOWHERE: Final = np.zeros(0, np.intp)


class Receiver:
    """The stages from packet to audio, by row; which codec a row has is the bank's affair."""

    def __init__(self, capacity: int, bank: Bank, delay_ms: int) -> None:
        self._bank: Bank = bank
        self._delay_ms: int = delay_ms
        self._narrow: JitterBuffer = JitterBuffer(capacity)
        self._broad: JitterBuffer = JitterBuffer(capacity, WIDEST)
        self._in_broad: Flags = np.zeros(capacity, np.bool_)
        self._broad_rows: int = 0
        self._coder: list[Coder | None] = [None] * capacity
        self._counts: list[Counts] = [Counts()] * capacity  # with the codecs before the present one
        self._malformed: Integers = np.zeros(capacity, np.int64)
        self._concealer: Concealer = Concealer(capacity)
        self._wide_concealer: Concealer = Concealer(capacity, 16000)
        self._downsampler: Downsampler = Downsampler(capacity)
        self._taken: Integers = np.zeros(capacity, np.int64)  # frames kept since the concealer was told
        self._recent: Octets = np.zeros((capacity * FRAMES_KEPT, NARROW), np.uint8)  # the last of them, by number
        self._recent_frames: NDArray[Any] = elements(self._recent)

    def open(self, row: int, codec: Codec, coder: Coder) -> None:
        """Wait on `row` for a source of `codec`; what was counted before goes on."""
        if self._coder[row] is not None:
            self._counts[row] = self.counts(row)
            self._leave(row)
        buffer = self._narrow if coder.octets_per_tick == 1 else self._broad
        if buffer is self._broad:
            self._in_broad[row] = True
            self._broad_rows += 1
        buffer.open(row, octets_per_tick=coder.octets_per_tick, clock_hz=codec.clock_hz, delay_ms=self._delay_ms)
        self._coder[row] = coder
        self._concealer.open(row)
        self._taken[row] = 0
        if coder.rate_hz > RATE_HZ:
            self._wide_concealer.open(row)
            self._downsampler.open(row)

    def close(self, row: int) -> None:
        """Take nothing more on `row`, and forget what was counted."""
        self._leave(row)
        self.hasten(row, wanted=False)
        self._concealer.close(row)
        self._coder[row], self._counts[row] = None, Counts()

    def counts(self, row: int) -> Counts:
        """Return what was counted on `row`."""
        before, buffer, coder = self._counts[row], self._buffer(row), self._coder[row]
        broken = int(coder.broken[row]) if isinstance(coder, Opus) else 0
        return Counts(
            before.late + int(buffer.late[row]),
            before.duplicates + int(buffer.duplicates[row]),
            before.malformed + int(self._malformed[row]) + broken,
            before.concealed + int(buffer.concealed[row]),
        )

    def begun(self, rows: Indices) -> Flags:
        """Say on which of `rows` audio has come."""
        begun = self._narrow.begun[rows]
        return begun | self._broad.begun[rows] if self._broad_rows else begun

    def delay(self, rows: Indices) -> Integers:
        """Return how many samples ago what is pulled next came, int[n]; to be asked once a tick, of what is pulled."""
        delay = self._narrow.delay(rows)
        if self._broad_rows:
            at = np.flatnonzero(self._in_broad[rows])
            delay[at] = self._broad.delay(rows[at])
        return delay

    def hasten(self, row: int, *, wanted: bool) -> None:
        """Let `row` have as little delay as it can do with, or not."""
        for buffer in (self._narrow, self._broad):
            buffer.hasten(row, wanted=wanted)

    def excuse(self, rows: Indices) -> None:
        """Telephone events have come in place of audio on `rows`: what is missing of that is not counted as made up."""
        self._narrow.excuse(rows)
        if self._broad_rows:
            self._broad.excuse(rows)

    def push(self, batch: RtpBatch, now_tick: int, early: int = 0) -> None:
        """Take audio packets; those that cannot be the row's codec are counted as malformed.

        They came at least `early` samples before the next tick, `now_tick`.
        """
        if self._broad_rows:
            broad = self._in_broad[batch.rows]
            if broad.any():
                self._push_broad(batch.where(broad), now_tick, early)
                batch = batch.where(~broad)
        self._narrow.push(batch, now_tick, early)

    def pull(self, rows: Indices) -> Heard:
        """Return the next 20 ms of each of `rows`."""
        frames: Frames | None = None
        wide: list[tuple[Indices, Frames]] = []
        for coder, at in self._bank.groups(rows):
            own = rows if at.size == rows.size else rows[at]
            buffer = self._narrow if coder.octets_per_tick == 1 else self._broad
            drawn = buffer.draw(own, coder.ahead)
            octets, have = drawn.octets, drawn.have
            said = coder.decode(octets[:, : have.shape[1] * coder.octets_per_tick], have, own)
            if coder.rate_hz > RATE_HZ:
                said = said if coder.conceals else self._wide_concealer.step(said, np.repeat(have, 2, axis=1), own)
                wide.append((at, said))
                said = self._downsampler.step(said, own)
            elif coder.octets_per_tick == 1:
                self._mend(coder, drawn, said, own)
            else:
                said = self._concealer.step(said, have, own)
            buffer.heard(own, said)
            if at.size == rows.size:
                frames = said
            else:
                frames = np.zeros((rows.size, NARROW), np.float32) if frames is None else frames
                frames[at] = said
        if frames is None:
            frames = np.zeros((rows.size, NARROW), np.float32)
        return Heard(frames, *_together(wide))

    def whole(self, rows: Indices) -> Flags:
        """Say of which of `rows`, which have G.711, the next 20 ms can be taken: nothing in it is to be made up."""
        return self._narrow.whole(rows) & self._concealer.settled(rows)

    def take(self, rows: Indices) -> Octets:
        """Return the next 20 ms of each of `rows`, which are whole, as it came: uint8[n, 160]."""
        octets, _ = self._narrow.pull(rows)
        self._narrow.delay(rows)  # a recording may begin at any time, and wants to know
        self._keep(octets, rows)
        return octets

    def _mend(self, coder: Coder, drawn: Drawn, said: Frames, rows: Indices) -> None:
        """Make up in `said`, the audio of what was drawn, what is missing. What needs nothing is kept as octets."""
        fine = drawn.whole & self._concealer.settled(rows)
        if every(fine):
            self._keep(drawn.octets, rows)
            return
        self._keep(drawn.octets[fine], rows[fine])
        rest = ~fine
        self._recall(coder, rows[rest])
        said[rest] = self._concealer.step(said[rest], drawn.have[rest], rows[rest])

    def _keep(self, octets: Octets, rows: Indices) -> None:
        taken = self._taken[rows]
        self._recent_frames[rows * FRAMES_KEPT + taken % FRAMES_KEPT] = elements(octets)
        self._taken[rows] = taken + 1

    def _recall(self, coder: Coder, rows: Indices) -> None:
        """Let the concealer know of what was kept last, for the case that what follows is missing."""
        taken = self._taken[rows]
        if not taken.any():
            return
        for ago in range(FRAMES_KEPT, 0, -1):
            known = rows[taken >= ago]
            octets = self._recent[known * FRAMES_KEPT + (self._taken[known] - ago) % FRAMES_KEPT]
            self._concealer.remember(coder.decode(octets, np.ones(octets.shape, np.bool_), known), known)
        self._taken[rows] = 0

    def _buffer(self, row: int) -> JitterBuffer:
        return self._broad if self._in_broad[row] else self._narrow

    def _leave(self, row: int) -> None:
        buffer = self._buffer(row)
        buffer.close(row)
        buffer.begun[row] = False
        buffer.late[row] = buffer.duplicates[row] = buffer.concealed[row] = 0
        self._broad_rows -= int(self._in_broad[row])
        self._in_broad[row] = False
        self._malformed[row] = 0

    def _push_broad(self, batch: RtpBatch, now_tick: int, early: int) -> None:
        for coder, at in self._bank.groups(batch.rows):
            own = batch.where(at)
            if isinstance(coder, Opus):
                own = self._tokens(own, coder)
            else:
                own = self._checked(own, own.length % 2 == 0)
            self._broad.push(own, now_tick, early)

    def _tokens(self, batch: RtpBatch, coder: Opus) -> RtpBatch:
        """Store Opus packets, and return tokens as if they were what had come."""
        packets = [
            batch.data[index, start : start + length].tobytes()
            for index, start, length in zip(
                batch.index.tolist(), batch.start.tolist(), batch.length.tolist(), strict=True
            )
        ]
        kept = coder.keep(packets, batch.rows)
        count = len(batch)
        tokens = RtpBatch(
            index=np.arange(count),
            rows=batch.rows,
            payload_type=batch.payload_type,
            marker=batch.marker,
            sequence=batch.sequence,
            timestamp=batch.timestamp,
            ssrc=batch.ssrc,
            start=np.zeros(count, np.int64),
            length=kept.ticks * coder.octets_per_tick,
            data=kept.tokens,
        )
        return self._checked(tokens, kept.ticks > 0)

    def _checked(self, batch: RtpBatch, good: Flags) -> RtpBatch:
        if good.all():
            return batch
        np.add.at(self._malformed, batch.rows[~good], 1)
        return batch.where(good)


def _together(parts: list[tuple[Indices, Frames]]) -> tuple[Indices, Frames]:
    if not parts:
        return _NOWHERE, _NOTHING_WIDE
    return np.concatenate([at for at, _ in parts]), np.concatenate([frames for _, frames in parts])
