"""The jitter buffer: a ring of samples for each row, filled by RTP timestamp and emptied by the tick.

A packet's place depends on its timestamp alone, so packets of any length may come in any order. The first
packet of a source sets the play point `delay_ms` behind it; from then on only `headroom` moves it, and a
source that restarts (another SSRC, or timestamps that jump). With a regular source nothing ever moves,
and every sample comes out as it came in.

The ring keeps what has been played for a while, which is how a repeated packet is told from a late one.

A sample here is 1/8000 s whatever the codec: of `octets_per_tick` octets, and of `clock_hz` / 8000 units of
the RTP timestamp.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .headroom import Headroom
from .rows import FRAME_SAMPLES, RATE_HZ
from .rtp import TIMESTAMP_MODULUS, Flags, Indices, Integers, Octets, RtpBatch, rounds, timestamp_gap

AHEAD: Final = 48
"""Frames the ring holds before they are played: a packet further ahead belongs to another run of the source."""

BEHIND: Final = 16
"""Frames the ring remembers after they were played."""

FRAMES: Final = AHEAD + BEHIND
RING: Final = FRAMES * FRAME_SAMPLES

QUIET_TICKS: Final = 10
"""Without a packet for so long a source is silent or gone, and what is missing is not counted as concealed."""

MAX_DROPOUT: Final = 3000
"""How far sequence numbers may skip and still go on (RFC 3550 appendix A.1)."""

_NO_SSRC: Final = -1


class JitterBuffer:
    """Jitter buffers by row. `late`, `duplicates` count packets and `concealed` samples since the row opened."""

    def __init__(self, capacity: int, octets_per_tick: int = 1) -> None:
        """Make room for `capacity` rows of at most `octets_per_tick` octets a sample."""
        self.late: Integers = np.zeros(capacity, np.int64)
        self.duplicates: Integers = np.zeros(capacity, np.int64)
        self.concealed: Integers = np.zeros(capacity, np.int64)
        self.begun: Flags = np.zeros(capacity, np.bool_)  # a first sample has been pulled
        self._headroom: Headroom = Headroom(capacity)
        self._octets: Octets = np.zeros((capacity, FRAMES, FRAME_SAMPLES, octets_per_tick), np.uint8)
        self._filled: Flags = np.zeros((capacity, FRAMES, FRAME_SAMPLES), np.bool_)
        self._width: Integers = np.zeros(capacity, np.int64)  # octets a sample; 0 while closed
        self._units: Integers = np.ones(capacity, np.int64)  # of the RTP timestamp, a sample
        self._target: Integers = np.zeros(capacity, np.int64)  # samples the first packet waits
        self._head: Integers = np.zeros(capacity, np.int64)  # frame of the ring that is played next
        self._play: Integers = np.zeros(capacity, np.int64)  # RTP timestamp of its first sample
        self._lead: Integers = np.zeros(capacity, np.int64)  # samples to play before the source's first
        self._ssrc: Integers = np.full(capacity, _NO_SSRC, np.int64)
        self._sequence: Integers = np.zeros(capacity, np.int64)  # of the packet before
        self._stray: Flags = np.zeros(capacity, np.bool_)  # the packet before had no place
        self._quiet: Integers = np.zeros(capacity, np.int64)  # ticks since a packet came

    def open(self, row: int, *, octets_per_tick: int = 1, clock_hz: int = RATE_HZ, delay_ms: int = 40) -> None:
        """Wait on `row` for a source of `octets_per_tick` octets a sample, and count from zero."""
        widest = self._octets.shape[3]
        if not 1 <= octets_per_tick <= widest:
            raise ValueError(f"octets_per_tick is {octets_per_tick}, expected 1 to {widest}")
        self.late[row] = self.duplicates[row] = self.concealed[row] = 0
        self.begun[row] = False
        self._width[row] = octets_per_tick
        self._units[row] = clock_hz // RATE_HZ
        self._target[row] = delay_ms * RATE_HZ // 1000
        self._forget(row)

    def close(self, row: int) -> None:
        """Take nothing more on `row`."""
        self._width[row] = 0
        self._forget(row)

    def hasten(self, row: int, *, wanted: bool) -> None:
        """Let `row` have as little delay as it can do with, or not (see `haste`)."""
        self._headroom.haste.want(row, wanted=wanted)

    def push(self, batch: RtpBatch, now_tick: int, early: int = 0) -> None:
        """Place the audio packets of `batch`; those of closed rows are ignored.

        `now_tick` counts ticks; the packets came at least `early` samples before the next.
        """
        for turn in rounds(batch.rows):
            self._push_round(batch if turn.size == len(batch) else batch.where(turn), now_tick, early)

    def pull(self, rows: Indices, ahead: int = 0) -> tuple[Octets, Flags]:
        """Return the next frame of each row, and go on: octets uint8[n, 160 * octets per tick], have bool[n, 160].

        Octets mean something only where `have` is set. A row of fewer octets a sample than the buffer's
        widest has its octets at the beginning. With `ahead`, so many of the samples after the frame are seen, too.
        """
        heads = self._head[rows]
        octets = self._octets[rows, heads]
        have = seen = self._filled[rows, heads]
        if ahead:
            after = (heads + 1) % FRAMES
            octets = np.concatenate([octets, self._octets[rows, after, :ahead]], axis=1)
            seen = np.concatenate([have, self._filled[rows, after, :ahead]], axis=1)
        heard = (self._lead[rows] <= 0) & (self._quiet[rows] < QUIET_TICKS)
        came = have.view(np.uint8).sum(axis=1, dtype=np.uint8).astype(np.int64)  # 160 at most: bytes will do
        self.concealed[rows] += np.where(heard, FRAME_SAMPLES - came, 0)
        self.begun[rows] |= came > 0
        self._filled[rows, (heads + AHEAD) % FRAMES] = False
        self._head[rows] = (heads + 1) % FRAMES
        self._play[rows] = (self._play[rows] + FRAME_SAMPLES * self._units[rows]) % TIMESTAMP_MODULUS
        self._lead[rows] -= FRAME_SAMPLES
        self._quiet[rows] += 1
        return self._pack(octets, rows), seen

    def whole(self, rows: Indices) -> Flags:
        """Say of which of `rows` the next frame is all there."""
        return np.logical_and.reduce(self._filled[rows, self._head[rows]], axis=1)

    def delay(self, rows: Indices) -> Integers:
        """Return how many samples ago what is pulled next came, int[n]; to be asked once a tick (see `arrival`)."""
        return self._headroom.arrival.step(rows)

    def _push_round(self, batch: RtpBatch, now_tick: int, early: int) -> None:
        # No row occurs twice.
        samples = batch.length // np.maximum(self._width[batch.rows], 1)
        headroom = self._headroom_of(batch)
        batch, samples, headroom = _only(batch, samples, headroom, (self._width[batch.rows] > 0) & (samples > 0))
        batch, samples, headroom = _only(batch, samples, headroom, self._settle(batch, samples, headroom, now_tick))
        self._stray[batch.rows] = False
        self._quiet[batch.rows] = 0
        self._sequence[batch.rows] = batch.sequence
        fresh = self._is_fresh(batch, samples, headroom)
        self.duplicates[batch.rows[~fresh]] += 1
        batch, samples, headroom = _only(batch, samples, headroom, fresh)
        self.late[batch.rows] += headroom < 0
        shift = self._headroom.step(batch.rows, headroom, now_tick, early)
        for at in np.flatnonzero(shift).tolist():
            self._move(int(batch.rows[at]), int(shift[at]))
        self._place(batch, samples, headroom - shift)

    def _headroom_of(self, batch: RtpBatch) -> Integers:
        return timestamp_gap(batch.timestamp, self._play[batch.rows]) // self._units[batch.rows]

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
                self._stray[row] = True
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
        self._play[row] = (timestamp - target * int(self._units[row])) % TIMESTAMP_MODULUS
        self._headroom.open(row, target, now_tick)

    def _forget(self, row: int) -> None:
        self._filled[row] = False
        self._head[row] = 0
        self._ssrc[row] = _NO_SSRC
        self._stray[row] = False
        self._quiet[row] = QUIET_TICKS

    def _position(self, rows: Indices, headroom: Integers) -> Integers:
        return (self._head[rows] * FRAME_SAMPLES + headroom) % RING

    def _is_fresh(self, batch: RtpBatch, samples: Integers, headroom: Integers) -> Flags:
        first = self._position(batch.rows, headroom)
        last = (first + samples - 1) % RING
        filled = self._filled.reshape(-1, RING)
        return ~(filled[batch.rows, first] & filled[batch.rows, last])

    def _move(self, row: int, shift: int) -> None:
        """Move the play point `shift` samples forward, or back; what lies in the ring moves the other way."""
        octets = self._octets[row].reshape(RING, -1)
        filled = self._filled[row].reshape(RING)
        octets[:] = np.roll(octets, -shift, axis=0)
        filled[:] = np.roll(filled, -shift)
        head = int(self._head[row]) * FRAME_SAMPLES
        end = head + AHEAD * FRAME_SAMPLES  # where what is to come ends, and what has been begins
        if shift > 0:
            stale = np.arange(end - shift, end)
        else:
            stale = np.concatenate([np.arange(head, head - shift), np.arange(end, end - shift)])
        filled[stale % RING] = False
        self._play[row] = (int(self._play[row]) + shift * int(self._units[row])) % TIMESTAMP_MODULUS

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
                self._place_frames(rows, at // FRAME_SAMPLES, payload)
            else:
                self._place_samples(rows, at, payload)
            if alike.all():
                break
            batch, position, shape = batch.where(~alike), position[~alike], shape[:, ~alike]

    def _place_frames(self, rows: Indices, frame: Integers, payload: Octets) -> None:
        width = payload.shape[2]
        for number, start in enumerate(range(0, payload.shape[1], FRAME_SAMPLES)):
            at = (frame + number) % FRAMES
            self._octets[rows, at, :, :width] = payload[:, start : start + FRAME_SAMPLES]
            self._filled[rows, at] = True

    def _place_samples(self, rows: Indices, position: Integers, payload: Octets) -> None:
        _, count, width = payload.shape
        at = (position[:, None] + np.arange(count)) % RING
        frame, sample = at // FRAME_SAMPLES, at % FRAME_SAMPLES
        self._octets[rows[:, None], frame, sample, :width] = payload
        self._filled[rows[:, None], frame, sample] = True

    def _pack(self, octets: Octets, rows: Indices) -> Octets:
        count, samples, widest = octets.shape
        packed = octets.reshape(count, samples * widest)
        widths = self._width[rows]
        for width in range(1, widest):
            narrow = np.flatnonzero(widths == width)
            packed[narrow, : samples * width] = octets[narrow, :, :width].reshape(narrow.size, samples * width)
        return packed


def _only(
    batch: RtpBatch, samples: Integers, headroom: Integers, chosen: NDArray[np.bool_]
) -> tuple[RtpBatch, Integers, Integers]:
    return (batch, samples, headroom) if chosen.all() else (batch.where(chosen), samples[chosen], headroom[chosen])
