"""Hear keys in the audio itself: the tones of ITU-T Q.23, told from everything else as ITU-T Q.24 (annex A) asks.

Every 5 ms a Hann window of 25 ms is looked at, for all rows at once. It is clean when it holds one tone of each
group, both strong enough, not too unlike in level, close enough to their frequencies, and little else. A key is
pressed once ACCEPT clean windows of it came one after the other, and released after RELEASE windows without it.

It is done in steps. A matrix product gives the eight tones in the last window of each frame, and few of anything but
keys are likely after that; only there another gives them in all four windows, and only those that are likely are judged
closely. Where the peer has telephone events for its keys, and has sent none in the audio so far, that is done for
every other frame until a key may be there: one of 60 ms is not missed so. There the frequency of a tone comes from
how far its phase has turned since the window before, and what else there is from the energy that the tones do not
explain.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .dial_string import KEYPAD
from .events import DigitReceived, Event
from .rows import FRAME_SAMPLES, every
from .tone_bank import BANK, EARLY, GROUP, HOPS, LAST, LAST_WEIGHTS, TONES, WEIGHTS
from .tone_judge import (
    LEAST_SEEN,
    NONE,
    SHARE,
    Flags,
    Floats,
    Indices,
    Integers,
    Phasors,
    are_clean,
    dial_energy,
    keys_of,
    may_be_keys,
    mean_square,
    power_of,
)

ACCEPT: Final = 5
"""Windows. A tone that lasts for less than the window by a few ms still looks whole, so 5 of them are 28 to 36 ms."""

RELEASE: Final = 7
"""Windows. An interruption of 10 ms spoils 5 of them, one of 40 ms at least 8."""

QUIET_DBM0: Final = -46.0
"""A frame below this is not looked at: a quarter of a frame of the weakest tones would be above."""

SELDOM: Final = 2
"""Of so many frames one is looked at where keys are not to be expected."""

DIAL_SHARE: Final = 0.75
DIAL_FRAMES: Final = 10
"""After so many frames with at least this share of dial tone, what lies below DIAL_BAND_HZ is not held against a key.

The share is no nearer to 1 since its two tones beat within a window.
"""

KEYS: Final = "".join(KEYPAD)

_QUIETEST: Final = mean_square(QUIET_DBM0)
_QUIET: Final = FRAME_SAMPLES * _QUIETEST


class ToneReceiver:
    """Hears keys on all rows that may send them in-band."""

    def __init__(self, capacity: int) -> None:
        self._open: Flags = np.zeros(capacity, np.bool_)
        self._listening: Flags = np.zeros(capacity, np.bool_)  # open and not muted
        self._events: Flags = np.zeros(capacity, np.bool_)  # the peer can send telephone events
        self._played: Flags = np.zeros(capacity, np.bool_)  # it has sent a key in the audio
        self._turn: int = 0  # counts steps
        self._before: Floats = np.zeros((1, FRAME_SAMPLES), np.float32)  # the frames of the step before
        self._rows_before: Indices = np.zeros(0, np.intp)
        self._place_before: Indices = np.full(capacity, NONE)  # of a row in them
        self._lively: Flags = np.zeros(capacity, np.bool_)  # something below is to be gone on with
        self._phasors: Phasors = np.zeros((capacity, TONES), np.complex64)  # of the window before
        self._dial: Integers = np.zeros(capacity, np.int64)  # frames of dial tone
        self._seen: Integers = np.full(capacity, NONE)  # key in the window before
        self._run: Integers = np.zeros(capacity, np.int64)  # windows of it, one after the other
        self._held: Integers = np.full(capacity, NONE)  # key that is pressed
        self._missed: Integers = np.zeros(capacity, np.int64)  # windows since it was seen

    def open(self, row: int) -> None:
        """Begin to listen on `row`."""
        self._open[row] = self._listening[row] = True
        self._events[row] = self._played[row] = False
        self.forget(row)

    def close(self, row: int) -> None:
        """Listen no more on `row`."""
        self._open[row] = self._listening[row] = False

    def mute(self, row: int) -> None:
        """Do not listen on `row` for now: its peer sends telephone events, and a key must not count twice."""
        self._listening[row] = False

    def tune(self, row: int, *, events: bool) -> None:
        """Listen again on `row`: there may be another peer now, which can send telephone `events` or cannot."""
        self._listening[row], self._events[row] = self._open[row], events

    def forget(self, rows: Indices | int) -> None:
        """Let what comes next on `rows` follow nothing that was heard before."""
        for state in (self._phasors, self._dial, self._run, self._missed):
            state[rows] = 0
        self._place_before[rows] = self._seen[rows] = self._held[rows] = NONE
        self._lively[rows] = False

    def attentive(self) -> Flags:
        """Say on which rows keys in the audio count, bool[capacity].

        Who can send telephone events sends keys so; that one who has done otherwise does it again is to be expected.
        """
        return self._listening & (~self._events | self._played)

    def step(self, frames: Floats, rows: Indices, begun: Flags) -> list[tuple[int, Event]]:
        """Hear a frame, float32[n, 160] on the int16 scale, of each of `rows`; return the keys newly pressed.

        Once a tick: of a row that is left out, silence came before the next. The frames are not to be written to until
        then.
        """
        wanted = self._listening[rows] & begun
        if not every(wanted):
            frames, rows = frames[wanted], rows[wanted]
        if not rows.size:
            return []
        self._turn += 1
        keen = self.attentive()[rows]
        if self._turn % SELDOM == 0 or every(keen):
            events = self._listen(frames, rows, keen)
        else:
            at = (keen | self._lively[rows]).nonzero()[0]
            events = self._listen(frames.take(at, axis=0), rows[at], keen[at]) if at.size else []
        self._keep(frames, rows)
        return events

    def _keep(self, frames: Floats, rows: Indices) -> None:
        """Have `frames` of `rows` at hand, and no others."""
        self._place_before[self._rows_before] = NONE
        self._place_before[rows] = np.arange(rows.size)
        self._before, self._rows_before = frames, rows

    def _recent(self, rows: Indices, samples: int) -> Floats:
        """Return the last `samples` of the frame before of each of `rows`; where there was none, silence."""
        place = self._place_before[rows]
        recent = self._before[:, -samples:].take(place, axis=0)
        known = place != NONE
        if not every(known):
            recent[~known] = 0
        return recent

    def _listen(self, frames: Floats, rows: Indices, keen: Flags) -> list[tuple[int, Event]]:
        loud, lively = np.vecdot(frames, frames) > _QUIET, self._lively[rows]
        concerned = loud | lively
        if 2 * np.count_nonzero(concerned) < rows.size:  # else to take all costs less than to pick those
            self._dial[rows[~concerned]] = 0
            at = concerned.nonzero()[0]
            frames, rows, keen, loud, lively = frames.take(at, axis=0), rows[at], keen[at], loud[at], lively[at]
        if not rows.size:
            return []
        found, energy = self._last_windows(frames, rows)
        power = power_of(*found)
        dialling = self._hear_dial_tone(power[TONES:], energy, rows, loud)
        at = (self._occupied(rows) | loud & self._may_press(power[:TONES], energy, dialling)).nonzero()[0]
        events = self._count(self._keys(frames, rows, at, loud, dialling), rows[at]) if at.size else []
        self._phasors[rows[lively]] = 0
        self._lively[rows] = lively = (loud & keen) | self._occupied(rows)
        at = (loud & lively).nonzero()[0]
        self._phasors[rows[at]] = found[0, :TONES, at] + 1j * found[1, :TONES, at]
        return events

    def _last_windows(self, frames: Floats, rows: Indices) -> tuple[Floats, Floats]:
        """Return what finds the tones in the last window of each frame, [2, 11, n], and the windows' energy, [n]."""
        early = self._recent(rows, EARLY)
        found: Floats = np.matmul(early, LAST[:EARLY]) + np.matmul(frames, LAST[EARLY:])
        energy = np.square(early) @ LAST_WEIGHTS[:EARLY] + np.square(frames) @ LAST_WEIGHTS[EARLY:]
        return np.ascontiguousarray(found.T).reshape(2, found.shape[1] // 2, rows.size), energy

    def _occupied(self, rows: Indices) -> Flags:
        """Say on which rows there was a key in the last window, or one is pressed."""
        return (self._seen[rows] != NONE) | (self._held[rows] != NONE)

    def _may_press(self, power: Floats, energy: Floats, dialling: Flags) -> Flags:
        """Say which frames a key may be in, by the `power` float32[8, n] of the tones in their last windows.

        Of ACCEPT windows in a row one is the last of a frame. So where that is no key, and follows none, none of the
        frame's makes a press, and no other is looked at.
        """
        may = may_be_keys(power)
        at = may.nonzero()[0]
        share = power[:GROUP, at].max(axis=0) + power[GROUP:, at].max(axis=0)
        may[at] = dialling[at] | (share > SHARE * LEAST_SEEN * energy[at])
        return may

    def _keys(self, frames: Floats, rows: Indices, at: Indices, loud: Flags, dialling: Flags) -> Integers:
        """Return the key in each window of `frames[at]`, int[4, m], or NONE, as there is in what is not loud."""
        keys = np.full((HOPS, at.size), NONE)
        heard = loud[at].nonzero()[0]
        if heard.size:
            at = at[heard]
            span = np.concatenate([self._recent(rows[at], FRAME_SAMPLES), frames[at]], axis=1)
            keys[:, heard] = self._look(span, rows[at], dialling[at])
        return keys

    def _look(self, span: Floats, rows: Indices, dialling: Flags) -> Integers:
        """Return the key in each window of `span` float32[n, 320], int[4, n], or NONE."""
        found = np.ascontiguousarray((span @ BANK).T).reshape(2, TONES, HOPS, rows.size)
        power = power_of(*found)
        keys = np.where(may_be_keys(power), keys_of(power), NONE)
        hop, row = np.nonzero(keys != NONE)
        if row.size:
            phasors = found[0] + 1j * found[1]
            before = np.concatenate([self._phasors[rows].T[:, None], phasors[:, :-1]], axis=1)
            key = keys[hop, row]
            pair = np.stack([key // GROUP, GROUP + key % GROUP], axis=1)
            at = pair, hop[:, None], row[:, None]
            others = (np.square(span) @ WEIGHTS)[row, hop]
            besides = np.flatnonzero(dialling[row])
            if besides.size:
                others[besides] -= dial_energy(span, row[besides], hop[besides])
            clean = are_clean(power[at], phasors[at] * np.conj(before[at]), pair, others)
            keys[hop, row] = np.where(clean, key, NONE)
        return keys

    def _hear_dial_tone(self, power: Floats, energy: Floats, rows: Indices, loud: Flags) -> Flags:
        """Return whether there is dial tone on `rows`; once there is, keys do not end it, but its own end does."""
        dial = np.maximum(power[0] + power[1], power[2])
        alone = dial > DIAL_SHARE * energy
        frames = self._dial[rows]
        dialling = frames >= DIAL_FRAMES
        self._dial[rows] = np.where(loud & (alone | dialling & (dial > _QUIETEST)), frames + 1, 0)
        return dialling

    def _count(self, keys: Integers, rows: Indices) -> list[tuple[int, Event]]:
        """Take the windows of a frame, int[4, n], in turn; return the keys newly pressed."""
        last, run, held, missed = self._seen[rows], self._run[rows], self._held[rows], self._missed[rows]
        events: list[tuple[int, Event]] = []
        for now in keys:
            run = np.where(now == last, run + 1, 1)
            last = now
            missed = np.where(now == held, 0, missed + 1)
            held = np.where(missed >= RELEASE, NONE, held)
            for at in np.flatnonzero((now != NONE) & (now != held) & (run >= ACCEPT)).tolist():
                held[at], missed[at] = now[at], 0
                self._played[rows[at]] = True
                events.append((int(rows[at]), DigitReceived(digit=KEYS[now[at]], source="inband")))
        self._seen[rows], self._run[rows], self._held[rows], self._missed[rows] = last, run, held, missed
        return events
