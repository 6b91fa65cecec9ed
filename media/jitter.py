"""The jitter buffer: a ring of samples for each row, filled by RTP timestamp and emptied by the tick.

A packet's place depends on its timestamp alone, so packets of any length may come in any order. The first
packet of a source sets the play point `delay_ms` behind it; from then on only `headroom` moves it, and a
source that restarts (another SSRC, or timestamps that jump). With a regular source nothing ever moves,
and every sample comes out as it came in.

The ring keeps what has been played for a while, which is how a repeated packet is told from a late one.

Nearly all packets are a frame that goes where nothing is yet, of a source that goes on or begins: those are placed
all at once (`_plain`), and each sample's flag is only kept of frames that are there in part. What a packet or a tick
changes lies in one table, a row of it a leg, so that the tick reads and writes it once.

A sample here is 1/8000 s whatever the codec: of `octets_per_tick` octets, and of `clock_hz` / 8000 units of
the RTP timestamp.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .frame_ring import AHEAD, BEHIND, FRAMES, RING, FrameRing
from .headroom import Headroom
from .rows import FRAME_SAMPLES, RATE_HZ, elements, every
from .rtp import HEADER, TIMESTAMP_MODULUS, Flags, Indices, Integers, Octets, RtpBatch, timestamp_gap

QUIET_TICKS: Final = 10
"""Without a packet for so long a source is silent or gone, and what is missing is not counted as concealed."""

MAX_DROPOUT: Final = 3000
"""How far sequence numbers may skip and still go on (RFC 3550 appendix A.1)."""

_NO_SSRC: Final = -1

_PLAY, _HEAD, _LEAD, _QUIET, _SSRC, _SEQUENCE, _STRAY, _SIZE = range(8)
"""The columns of the table. The first four go on with every tick, round and round within powers of two:"""
_STEP: Final = np.array([FRAME_SAMPLES, 1, -FRAME_SAMPLES, 1, 0, 0, 0, 0])
_WITHIN: Final = np.array([TIMESTAMP_MODULUS - 1, FRAMES - 1, *[-1] * 6])


class Drawn(NamedTuple):
    """A frame of each of n rows: octets uint8[n, 160 * octets per tick], have bool[n, 160], and which have all."""

    octets: Octets
    have: Flags
    whole: Flags


class JitterBuffer:
    """Jitter buffers by row. `late`, `duplicates` count packets and `concealed` samples since the row opened."""

    def __init__(self, capacity: int, octets_per_tick: int = 1) -> None:
        """Make room for `capacity` rows of at most `octets_per_tick` octets a sample."""
        self.late: Integers = np.zeros(capacity, np.int64)
        self.duplicates: Integers = np.zeros(capacity, np.int64)
        self.concealed: Integers = np.zeros(capacity, np.int64)
        self.begun: Flags = np.zeros(capacity, np.bool_)  # a first sample has been pulled
        self._headroom: Headroom = Headroom(capacity)
        self._widest: int = octets_per_tick
        self._ring: FrameRing = FrameRing(capacity, octets_per_tick)
        self._width: Integers = np.zeros(capacity, np.int64)  # octets a sample; 0 while closed
        self._units: Integers = np.ones(capacity, np.int64)  # of the RTP timestamp, a sample
        self._target: Integers = np.zeros(capacity, np.int64)  # samples the first packet waits
        self._excused: Integers = np.zeros(capacity, np.int64)  # RTP timestamp up to which audio need not be there
        self._table: Integers = np.zeros((capacity, 8), np.int64)
        self._records: NDArray[Any] = elements(self._table)
        self._step: Integers = np.tile(_STEP, (capacity, 1))  # as tables, added in a tenth of the time
        self._within: Integers = np.tile(_WITHIN, (capacity, 1))
        self._all: Flags = np.broadcast_to(np.True_, (capacity, FRAME_SAMPLES))
        columns = self._table.T
        self._play: Integers = columns[_PLAY]  # RTP timestamp of the first sample that is played next
        self._head: Integers = columns[_HEAD]  # frame of the ring where that lies
        self._lead: Integers = columns[_LEAD]  # samples to play before the source's first
        self._quiet: Integers = columns[_QUIET]  # ticks since a packet came
        self._ssrc: Integers = columns[_SSRC]
        self._sequence: Integers = columns[_SEQUENCE]  # of the packet before
        self._stray: Integers = columns[_STRAY]  # 1: the packet before had no place
        self._size: Integers = columns[_SIZE]  # octets of a frame whose unit is the sample, else -1
        self._ssrc[:] = self._size[:] = _NO_SSRC

    def open(self, row: int, *, octets_per_tick: int = 1, clock_hz: int = RATE_HZ, delay_ms: int = 40) -> None:
        """Wait on `row` for a source of `octets_per_tick` octets a sample, and count from zero."""
        if not 1 <= octets_per_tick <= self._widest:
            raise ValueError(f"octets_per_tick is {octets_per_tick}, expected 1 to {self._widest}")
        self.late[row] = self.duplicates[row] = self.concealed[row] = 0
        self.begun[row] = False
        self._width[row] = octets_per_tick
        self._size[row] = octets_per_tick * FRAME_SAMPLES if clock_hz == RATE_HZ else -1
        self._units[row] = clock_hz // RATE_HZ
        self._target[row] = delay_ms * RATE_HZ // 1000
        self._forget(row)

    def close(self, row: int) -> None:
        """Take nothing more on `row`."""
        self._width[row] = 0
        self._size[row] = -1
        self._forget(row)

    def hasten(self, row: int, *, wanted: bool) -> None:
        """Let `row` have as little delay as it can do with, or not (see `haste`)."""
        self._headroom.haste.want(row, wanted=wanted)

    def push(self, batch: RtpBatch, now_tick: int, early: int = 0) -> None:
        """Place the audio packets of `batch`; those of closed rows are ignored.

        `now_tick` counts ticks; the packets came at least `early` samples before the next.
        """
        for turn in batch.rounds():
            rest = self._plain(turn, now_tick, early) if self._widest == 1 else turn
            if rest is not None:
                self._push_round(rest, now_tick, early)

    def excuse(self, rows: Indices) -> None:
        """On `rows` something else has come in place of audio: what is missing up to there is no loss."""
        ahead = self._headroom.arrival.delay(rows) + FRAME_SAMPLES
        self._excused[rows] = (self._play[rows] + ahead * self._units[rows]) % TIMESTAMP_MODULUS

    def pull(self, rows: Indices, ahead: int = 0) -> tuple[Octets, Flags]:
        """Return what `draw` does, but for the last of it."""
        return self.draw(rows, ahead)[:2]

    def draw(self, rows: Indices, ahead: int = 0) -> Drawn:
        """Return the next frame of each row, and go on.

        Octets mean something only where `have` is set. A row of fewer octets a sample than the buffer's
        widest has its octets at the beginning. With `ahead`, so many of the samples after the frame are seen, too.
        """
        ring, records = self._ring, self._records.take(rows)
        now = records.view(np.int64).reshape(rows.size, 8)
        at = ring.places(rows, now[:, _HEAD])
        octets, whole = ring.octets(at), ring.whole(at)
        have = seen = self._all[: rows.size]
        if not every(whole):
            have = seen = have.copy()
            self._draw_part(have, at, np.flatnonzero(~whole), now, rows)
        if ahead:
            after = ring.places(rows, now[:, _HEAD] + 1)
            octets = np.concatenate([octets, ring.octets(after)[:, :ahead]], axis=1)
            seen = np.concatenate([have, ring.flags(after)[:, :ahead]], axis=1)
        self.begun[rows[whole]] = True
        ring.drop(ring.places(rows, now[:, _HEAD] + AHEAD))
        if self._widest > 1:
            now[:, _PLAY] += FRAME_SAMPLES * (self._units[rows] - 1)
        now += self._step[: rows.size]
        now &= self._within[: rows.size]
        self._records[rows] = records
        return Drawn(self._pack(octets, rows), seen, whole)

    def heard(self, rows: Indices, frames: NDArray[np.float32]) -> None:
        """Take note of what was drawn of `rows`, [n, 160] on the int16 scale (see `headroom`)."""
        self._headroom.heard(rows, frames)

    def whole(self, rows: Indices) -> Flags:
        """Say of which of `rows` the next frame is all there."""
        return self._ring.whole(self._ring.places(rows, self._head[rows]))

    def delay(self, rows: Indices) -> Integers:
        """Return how many samples ago what is pulled next came, int[n]; to be asked once a tick (see `arrival`)."""
        return self._headroom.arrival.step(rows)

    def _draw_part(self, have: Flags, at: Indices, short: Indices, now: Integers, rows: Indices) -> None:
        """Say in `have` which samples are there of those frames that are short of some, and count what is not."""
        have[short] = filled = self._ring.flags(at[short])
        came = np.count_nonzero(filled, axis=1)
        heard = (now[short, _LEAD] <= 0) & (now[short, _QUIET] < QUIET_TICKS)
        excused = timestamp_gap(self._excused[rows[short]], now[short, _PLAY])
        heard &= (excused <= 0) | (excused > RING * self._units[rows[short]])
        self.concealed[rows[short]] += np.where(heard, FRAME_SAMPLES - came, 0)
        self.begun[rows[short[came > 0]]] = True

    def _plain(self, batch: RtpBatch, now_tick: int, early: int) -> RtpBatch | None:
        """Place the packets that are a frame for an empty place, of a source that goes on or begins.

        Return the others, if any. No row occurs twice.
        """
        rows = batch.rows
        records = self._records.take(rows)
        now = records.view(np.int64).reshape(rows.size, 8)
        frames = (batch.length == now[:, _SIZE]) & (batch.start == HEADER)
        begins = (frames & (now[:, _SSRC] == _NO_SSRC)).nonzero()[0]
        for at in begins.tolist():
            self._restart(int(rows[at]), int(batch.ssrc[at]), int(batch.timestamp[at]), now_tick)
        if begins.size:
            return self._plain(batch, now_tick, early)
        headroom = (batch.timestamp - now[:, _PLAY]) & (TIMESTAMP_MODULUS - 1)  # one that is too late is far off
        frame, off = np.divmod(headroom, FRAME_SAMPLES)
        at = self._ring.places(rows, now[:, _HEAD] + frame)
        plain = frames & (off == 0) & (frame < AHEAD) & self._ring.empty(at) & (batch.ssrc == now[:, _SSRC])
        rest = None
        if not every(plain):
            rest, batch = batch.where(~plain), batch.where(plain)
            rows, records, headroom, at = batch.rows, records[plain], headroom[plain], at[plain]
            now = records.view(np.int64).reshape(rows.size, 8)
        now[:, _QUIET] = now[:, _STRAY] = 0
        now[:, _SEQUENCE] = batch.sequence
        self._records[rows] = records
        shift = self._headroom.step(rows, headroom, now_tick, early)
        if np.count_nonzero(shift):
            self._shift(batch, np.full(rows.size, FRAME_SAMPLES), headroom, shift)
        else:
            self._ring.take_over(at, batch.octets(FRAME_SAMPLES))
        return rest

    def _push_round(self, batch: RtpBatch, now_tick: int, early: int) -> None:
        # No row occurs twice.
        samples = batch.length // np.maximum(self._width[batch.rows], 1)
        headroom = timestamp_gap(batch.timestamp, self._play[batch.rows]) // self._units[batch.rows]
        batch, samples, headroom = _only(batch, samples, headroom, (self._width[batch.rows] > 0) & (samples > 0))
        batch, samples, headroom = _only(batch, samples, headroom, self._settle(batch, samples, headroom, now_tick))
        self._stray[batch.rows] = 0
        self._quiet[batch.rows] = 0
        self._sequence[batch.rows] = batch.sequence
        fresh = self._is_fresh(batch, samples, headroom)
        self.duplicates[batch.rows[~fresh]] += 1
        batch, samples, headroom = _only(batch, samples, headroom, fresh)
        self.late[batch.rows] += headroom < 0
        shift = self._headroom.step(batch.rows, headroom, now_tick, early)
        self._shift(batch, samples, headroom, shift)

    def _shift(self, batch: RtpBatch, samples: Integers, headroom: Integers, shift: Integers) -> None:
        """Move the play points, and place what came."""
        moved = np.flatnonzero(shift)
        rows, by = batch.rows[moved], shift[moved]
        self._head[rows] = self._ring.move(rows, self._head[rows], by)
        self._play[rows] = (self._play[rows] + by * self._units[rows]) % TIMESTAMP_MODULUS
        self._place(batch, samples, headroom - shift)

    def _settle(self, batch: RtpBatch, samples: Integers, headroom: Integers, now_tick: int) -> Flags:
        """Say which packets have a place in the ring, after restarting the rows whose source has restarted.

        `headroom` is brought up to date where that changes it.
        """
        fits = (headroom >= -BEHIND * FRAME_SAMPLES) & (headroom + samples <= AHEAD * FRAME_SAMPLES)
        fits &= self._ssrc[batch.rows] == batch.ssrc
        for at in np.flatnonzero(~fits).tolist():
            row = int(batch.rows[at])
            fits[at] = self._is_restart(batch, at, row)
            if fits[at]:
                self._restart(row, int(batch.ssrc[at]), int(batch.timestamp[at]), now_tick)
                headroom[at] = self._target[row]
            else:
                self._stray[row] = 1
                self.late[row] += 1
        return fits

    def _is_restart(self, batch: RtpBatch, at: int, row: int) -> bool:
        # An old packet gone astray must not upset a running source; but as in RFC 3550 appendix A.1, two in
        # a row are believed whatever their sequence numbers.
        skipped = (int(batch.sequence[at]) - int(self._sequence[row])) % 65536
        return bool(self._ssrc[row] != batch.ssrc[at] or 0 < skipped < MAX_DROPOUT or self._stray[row])

    def _restart(self, row: int, ssrc: int, timestamp: int, now_tick: int) -> None:
        self._forget(row)
        target = int(self._target[row])
        self._ssrc[row] = ssrc
        self._lead[row] = target
        self._play[row] = self._excused[row] = (timestamp - target * int(self._units[row])) % TIMESTAMP_MODULUS
        self._headroom.open(row, target, now_tick)

    def _forget(self, row: int) -> None:
        self._ring.clear(row)
        self._headroom.close(row)
        self._ssrc[row] = _NO_SSRC
        self._stray[row] = 0
        self._quiet[row] = QUIET_TICKS

    def _position(self, rows: Indices, headroom: Integers) -> Integers:
        return (self._head[rows] * FRAME_SAMPLES + headroom) % RING

    def _is_fresh(self, batch: RtpBatch, samples: Integers, headroom: Integers) -> Flags:
        first = self._position(batch.rows, headroom)
        last = (first + samples - 1) % RING
        return ~(self._ring.has(batch.rows, first) & self._ring.has(batch.rows, last))

    def _place(self, batch: RtpBatch, samples: Integers, headroom: Integers) -> None:
        """Copy payloads into the ring, packets of one shape at a time: nearly always there is one shape."""
        position = self._position(batch.rows, headroom)
        whole = (position % FRAME_SAMPLES == 0) & (samples % FRAME_SAMPLES == 0)
        shape = np.stack([samples, self._width[batch.rows], batch.start, whole])
        while shape.shape[1]:
            alike = (shape == shape[:, :1]).all(axis=0)
            count, width, start, aligned = shape[:, 0].tolist()
            rows, at = batch.rows[alike], position[alike]
            payload = batch.data[batch.index[alike], start : start + count * width].reshape(rows.size, count, width)
            if aligned:
                for start in range(0, count, FRAME_SAMPLES):
                    places = self._ring.places(rows, (at + start) // FRAME_SAMPLES)
                    self._ring.put(places, payload[:, start : start + FRAME_SAMPLES])
            else:
                self._ring.place(rows, at, payload)
            if alike.all():
                break
            batch, position, shape = batch.where(~alike), position[~alike], shape[:, ~alike]

    def _pack(self, octets: Octets, rows: Indices) -> Octets:
        count, samples, widest = octets.shape
        packed = octets.reshape(count, samples * widest)
        if widest == 1:
            return packed
        widths = self._width[rows]
        for width in range(1, widest):
            narrow = np.flatnonzero(widths == width)
            packed[narrow, : samples * width] = octets[narrow, :, :width].reshape(narrow.size, samples * width)
        return packed


def _only(
    batch: RtpBatch, samples: Integers, headroom: Integers, chosen: NDArray[np.bool_]
) -> tuple[RtpBatch, Integers, Integers]:
    return (batch, samples, headroom) if chosen.all() else (batch.where(chosen), samples[chosen], headroom[chosen])
