"""How much delay a jitter buffer needs, learnt from how early or late packets come.

Headroom is how many samples before its time a packet comes; one that comes too late has less than none.
The play point moves
- back, when packets come late again and again: as far as they are late, to at most 200 ms of delay;
- forward, when for 2 s every packet came more than 20 ms earlier than it had to: by the surplus; where there is
  haste, by more (see `haste`). What lies between is never heard, so it goes a frame at a time: at once while nothing
  but silence is heard, else some time apart, and no further once a packet comes late.
Headroom is known to the tick only, so a source whose packets waver by less than two ticks moves nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .arrival import Arrival, furthest
from .haste import REVIEW_TICKS, Haste, least_left
from .rows import FRAME_SAMPLES, RATE_HZ, elements
from .rtp import Indices, Integers

MAX_DELAY: Final = 200 * RATE_HZ // 1000
"""Samples; beyond this people begin to talk over each other, so late packets are rather lost."""

LATE_ENOUGH: Final = 2
"""Late packets within a review before the play point moves: one alone may be a freak."""

LATE_FOR_GOOD: Final = 5
"""Late packets without one in time between them: the way has become longer, what was before says nothing."""

ENOUGH: Final = 10
"""Packets in a review without which it says nothing about the network."""

STEP_TICKS: Final = 25
"""So far apart frames are left out of what is no silence: 0.5 s."""

SILENT: Final = 400
"""A frame no sample of which is as loud, as it is of a line's noise at -50 dBm0."""

_UNSEEN: Final = 1 << 40
"""Samples; further than any packet."""

_END, _SEEN, _LATE_RUN, _LEAST, _HASTE_LEAST, _MOST, _ARRIVAL_MOST, _ARRIVAL_MOVED = range(8)
"""The columns of the table."""


class Headroom:
    """Reviews of 2 s by row, and the moves that follow from them."""

    def __init__(self, capacity: int) -> None:
        self._table: Integers = np.zeros((capacity, 8), np.int64)  # what every packet changes
        self._records: NDArray[Any] = elements(self._table)
        columns = self._table.T
        self._end: Integers = columns[_END]  # tick at which the review is over
        self._seen: Integers = columns[_SEEN]  # packets
        self._late_run: Integers = columns[_LATE_RUN]  # packets
        self._least: Integers = columns[_LEAST]  # samples
        self._most: Integers = columns[_MOST]  # samples
        self.haste: Haste = Haste(capacity, columns[_HASTE_LEAST])
        self.arrival: Arrival = Arrival(capacity, columns[_ARRIVAL_MOST], columns[_ARRIVAL_MOVED])
        self._target: Integers = np.zeros(capacity, np.int64)  # samples
        self._late: Integers = np.zeros(capacity, np.int64)  # packets
        self._most_before: Integers = np.zeros(capacity, np.int64)  # samples, of the review before
        self._owed: Integers = np.zeros(capacity, np.int64)  # samples, to go forward yet
        self._owing: bool = False  # some row has such

    def open(self, row: int, target: int, now_tick: int) -> None:
        """Begin the first review of a source whose first packet has `target` samples of headroom."""
        self.arrival.open(row, target)
        self.haste.open(row)
        self._target[row] = target
        self._end[row] = now_tick + REVIEW_TICKS
        self._seen[row] = self._late[row] = self._late_run[row] = 0
        self.close(row)
        self._least[row] = _UNSEEN
        self._most[row] = self._most_before[row] = -_UNSEEN

    def close(self, row: int) -> None:
        """Go no further forward on `row`."""
        if self._owing:
            self._owe(row, 0)

    def heard(self, rows: Indices, frames: NDArray[np.float32]) -> None:
        """Take note of what was heard last, [n, 160] on the int16 scale: a frame left out of silence is not missed."""
        if self._owing:
            at = np.flatnonzero(self._owed[rows])
            silent = np.abs(frames[at]).max(axis=1) < SILENT
            self._end[rows[at[silent]]] = 0

    def step(self, rows: Indices, headroom: Integers, now_tick: int, early: int = 0) -> Integers:
        """Take one packet a row into account; return how many samples each play point must go forward.

        They came at least `early` samples before the next tick (see `haste`).
        """
        self.arrival.turn(now_tick)
        records = self._records.take(rows)
        now = records.view(np.int64).reshape(rows.size, 8)
        now[:, _ARRIVAL_MOST] = furthest(now[:, _ARRIVAL_MOST], now[:, _ARRIVAL_MOVED], headroom)
        shift = np.zeros(rows.size, np.int64)
        over = (now_tick >= now[:, _END]).nonzero()[0]
        if over.size:
            self._records[rows] = records
            shift[over] = self._conclude(rows[over], now_tick)
            headroom = headroom - shift
            now[over] = self._table[rows[over]]
        now[:, _SEEN] += 1
        now[:, _LEAST] = np.minimum(now[:, _LEAST], headroom)
        now[:, _HASTE_LEAST] = least_left(now[:, _HASTE_LEAST], headroom, early)
        now[:, _MOST] = np.maximum(now[:, _MOST], headroom)
        now[:, _LATE_RUN] += 1
        late = headroom < 0
        now[~late, _LATE_RUN] = 0
        self._records[rows] = records
        if np.count_nonzero(late):
            shift[late] -= self._make_room(rows[late], headroom[late])
        if np.count_nonzero(shift):
            self.arrival.move(rows, shift)
        return shift

    def _conclude(self, rows: Indices, now_tick: int) -> Integers:
        """End the review of `rows`, or what they go forward after one; return how far they go now, else 0."""
        owed, most = self._owed[rows], self._most[rows]
        going = owed > 0
        owed[~going] = self._surplus(rows[~going])
        shift = np.minimum(owed, FRAME_SAMPLES)
        self._owe(rows, owed - shift)
        self._end[rows] = now_tick + np.where(owed > shift, STEP_TICKS, REVIEW_TICKS)
        self._most_before[rows] = np.where(going, np.maximum(most, self._most_before[rows]), most) - shift
        self._seen[rows] = self._late[rows] = 0
        self._least[rows] = _UNSEEN
        self._most[rows] = -_UNSEEN
        return shift

    def _surplus(self, rows: Indices) -> Integers:
        """Return the surplus that `rows` have had throughout a review, else 0."""
        surplus = self._least[rows] - self._target[rows]
        surplus = np.maximum(np.where(surplus > FRAME_SAMPLES, surplus, 0), self.haste.review(rows))
        return np.where(self._seen[rows] >= ENOUGH, surplus, 0)

    def _owe(self, rows: Indices | int, samples: Integers | int) -> None:
        self._owed[rows] = samples
        self._owing = bool(np.count_nonzero(self._owed))

    def _make_room(self, rows: Indices, headroom: Integers) -> Integers:
        """Return how far late rows must go back, in whole frames as the lateness is only known to the tick."""
        self._late[rows] += 1
        self._owe(rows, 0)
        again = self._late[rows] >= LATE_ENOUGH
        most = np.maximum(self._most[rows], self._most_before[rows])
        most = np.where(self._late_run[rows] >= LATE_FOR_GOOD, headroom, most)
        needed = -(headroom // FRAME_SAMPLES) * FRAME_SAMPLES
        back = np.where(again, np.clip(MAX_DELAY - most, 0, needed), 0)
        moved = rows[back > 0]
        self._late[moved] = 0
        self.haste.disturb(moved)
        self._most[rows] = np.where(back > 0, most + back, self._most[rows])
        self._most_before[moved] = -_UNSEEN
        self._least[rows] += back
        return back
