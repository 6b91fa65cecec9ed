"""Telephone events, RFC 4733: hear the keys that a peer presses, and press keys for a leg.

An event is known by its RTP timestamp, that of its start, which all packets of it carry (section 2.2.2).
Neither the marker nor any single packet is needed to hear it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dial_string import EVENT_DIGITS, Kind, Program, Step, compile_digits, tone
from .rows import FRAME_SAMPLES, RATE_HZ
from .rtp import TIMESTAMP_MODULUS, Indices, Integers, Octets, RtpBatch

PAYLOAD: Final = 4
"""Octets: event, end flag and volume, duration (section 2.3)."""

VOLUME: Final = 10
"""-dBm0 that a gateway may play an event with."""

END: Final = 0x80

SEGMENT: Final = 0x8000
"""RTP ticks; an event that goes on from here is in segments, which are 65,535 long (section 2.5.1.3).

Half of that is asked for, so that a segment is known as one though its last packets were lost.
"""

SEGMENT_SLACK: Final = 1600
"""Samples of 8 kHz by which the next segment may begin after the last duration heard."""

SEGMENT_LENGTH: Final = 0xFFFF
"""RTP ticks: what the field for the duration holds."""

MEMORY: Final = 16000
"""Samples of 8 kHz; what is older than this and a segment is no straggler but a clock that was set back."""


@dataclass(slots=True)
class _Press:
    """The event heard last on a row."""

    ssrc: int
    timestamp: int
    event: int
    duration: int
    ended: bool


class EventReceiver:
    """Hears keys. There is at most one event at a time on a row, so little goes on that arrays could speed up."""

    def __init__(self, capacity: int) -> None:
        self._open: list[bool] = [False] * capacity
        self._units: list[int] = [1] * capacity  # of the RTP timestamp in 1/8000 s
        self._last: list[_Press | None] = [None] * capacity

    def open(self, row: int) -> None:
        """Begin to listen on `row`."""
        self._open[row] = True
        self._last[row] = None

    def count_by(self, row: int, clock_hz: int) -> None:
        """Take timestamps of `row` as counting `clock_hz` from here on."""
        self._units[row] = clock_hz // RATE_HZ

    def close(self, row: int) -> None:
        """Listen no more on `row`."""
        self._open[row] = False

    def push(self, batch: RtpBatch) -> list[tuple[int, str]]:
        """Take event packets; return (row, digit) for each key newly pressed, in order.

        Packets of other events (flash, tones), of closed rows, or too short to be an event are ignored.
        """
        pressed: list[tuple[int, str]] = []
        keep = np.flatnonzero(batch.length >= PAYLOAD)
        index, start = batch.index[keep], batch.start[keep]
        fields = zip(
            batch.rows[keep].tolist(),
            batch.ssrc[keep].tolist(),
            batch.timestamp[keep].tolist(),
            batch.marker[keep].tolist(),
            batch.data[index[:, None], start[:, None] + np.arange(PAYLOAD)].tolist(),
            strict=True,
        )
        for row, ssrc, timestamp, marker, (event, flags, high, low) in fields:
            if not self._open[row] or event >= len(EVENT_DIGITS):
                continue
            press = _Press(ssrc, timestamp, event, high << 8 | low, bool(flags & END))
            if self._is_new(row, press, marker=marker):
                pressed.append((row, EVENT_DIGITS[event]))
        return pressed

    def _is_new(self, row: int, press: _Press, *, marker: bool) -> bool:
        last = self._last[row]
        if last is None or last.ssrc != press.ssrc:
            self._last[row] = press
            return True
        gap = (press.timestamp - last.timestamp + TIMESTAMP_MODULUS // 2) % TIMESTAMP_MODULUS - TIMESTAMP_MODULUS // 2
        if gap == 0:
            last.duration = max(last.duration, press.duration)
            last.ended |= press.ended
            return False
        units = self._units[row]
        if -SEGMENT_LENGTH - MEMORY * units <= gap < 0:
            return False
        self._last[row] = press
        segment = not marker and not last.ended and press.event == last.event and gap >= SEGMENT
        return not (segment and gap <= last.duration + SEGMENT_SLACK * units)


@dataclass(frozen=True, slots=True)
class EventTick:
    """What the keys pressed for our legs amount to in one tick; `at` and `tone_at` are positions in the rows stepped.

    Those `at` are sent an event packet instead of audio, with sequence numbers that go on as ever:

        build_batch(tick.payload, event_type[rows[at]], tick.marker, sequence[rows[at]],
                    timestamp[rows[at]] - tick.age, ssrc[rows[at]])

    where `timestamp` is that of the audio this tick would have sent; it goes on by a frame all the same.
    Those `tone_at` are sent `tones` instead of what they would hear: `frames[tick.tone_at] = tick.tones`.
    """

    at: Indices  # [p]
    payload: Octets  # [p, 4]
    marker: NDArray[np.bool_]  # [p]
    age: Integers  # [p] units of the timestamp since the key was pressed, or its segment began
    tone_at: Indices  # [t]
    tones: NDArray[np.float32]  # [t, 160], the silence between tones included
    finished: list[tuple[int, int]]  # row, job: all its keys went out before this tick


class Clocks(NamedTuple):
    """Units of the RTP timestamp and of the duration of events in 1/8000 s.

    They are the same, as one source has one clock (RFC 4733 section 2.1), but for peers that have Opus
    at 48 kHz and offer events at 8 kHz only: of those the timestamps are the audio's.
    """

    timestamp: int = 1
    duration: int = 1


class Report(NamedTuple):
    """What one packet says: `age` in units of the timestamp, the payload, and whether the event begins with it."""

    age: int
    payload: tuple[int, int, int, int]
    begins: bool


@dataclass(slots=True)
class _Job:
    number: int
    program: Program
    tick: int = 0


class EventSender:
    """Presses keys: jobs of a row one after the other, each a program that says what to do at every tick."""

    def __init__(self, capacity: int) -> None:
        self._jobs: list[deque[_Job]] = [deque() for _ in range(capacity)]
        self._busy: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._clocks: list[Clocks] = [Clocks()] * capacity

    def count_by(self, row: int, clock_hz: int, event_hz: int) -> None:
        """Let timestamps of `row` count `clock_hz`, and durations of its events `event_hz`."""
        self._clocks[row] = Clocks(clock_hz // RATE_HZ, event_hz // RATE_HZ)

    def start(self, row: int, job: int, digits: str, on_ms: int, off_ms: int, inband: bool) -> None:
        """Press `digits` on `row` after what is being pressed there. ValueError as compile_digits has it."""
        self._jobs[row].append(_Job(job, compile_digits(digits, on_ms, off_ms, inband=inband)))
        self._busy[row] = True

    def stop(self, row: int) -> list[int]:
        """Press no more on `row`; return the jobs cut short, which are not reported as finished."""
        short = [job.number for job in self._jobs[row]]
        self._jobs[row].clear()
        self._busy[row] = False
        return short

    @property
    def busy(self) -> NDArray[np.bool_]:
        """Which rows keys are pressed on, bool[capacity]; not to be written to."""
        return self._busy

    def step(self, rows: Indices) -> EventTick:
        """Return what to send on `rows` in this tick, and go on. Rows that are not stepped stand still."""
        busy = self._busy[rows]
        if not np.count_nonzero(busy):
            return _NOTHING
        finished: list[tuple[int, int]] = []
        steps = [(at, self._advance(int(rows[at]), finished)) for at in np.flatnonzero(busy).tolist()]
        reports = [(at, _report(step, self._clocks[int(rows[at])])) for at, step in steps if step.kind is Kind.REPORT]
        tones = [(at, step) for at, step in steps if step.kind in (Kind.TONE, Kind.REST)]
        return _event_tick(reports, tones, finished)

    def _advance(self, row: int, finished: list[tuple[int, int]]) -> Step:
        """Return this tick's step of the row's program; jobs with none left are finished in passing."""
        jobs = self._jobs[row]
        while jobs and jobs[0].tick == len(jobs[0].program):
            finished.append((row, jobs.popleft().number))
        if not jobs:
            self._busy[row] = False
            return Step(Kind.AUDIO)
        jobs[0].tick += 1
        return jobs[0].program[jobs[0].tick - 1]


def _event_tick(
    reports: list[tuple[int, Report]], tones: list[tuple[int, Step]], finished: list[tuple[int, int]]
) -> EventTick:
    frames = [tone(step.event, step.age) if step.kind is Kind.TONE else _SILENCE for _, step in tones]
    return EventTick(
        at=np.array([at for at, _ in reports], np.intp),
        payload=np.array([report.payload for _, report in reports], np.uint8).reshape(-1, PAYLOAD),
        marker=np.array([report.begins for _, report in reports], np.bool_),
        age=np.array([report.age for _, report in reports], np.int64),
        tone_at=np.array([at for at, _ in tones], np.intp),
        tones=np.array(frames, np.float32).reshape(-1, FRAME_SAMPLES),
        finished=finished,
    )


def _report(step: Step, clocks: Clocks) -> Report:
    """Return the packet of `step`; an event too long for its duration goes on in segments (section 2.5.1.3).

    The packet of the tick in which a segment fills up is its last: it says that it is full, and never that it ends.
    """
    total = step.duration * clocks.duration
    before = (total - 1) // SEGMENT_LENGTH * SEGMENT_LENGTH  # in the segments that are over
    duration, end = total - before, step.end
    if before and step.age < step.duration and duration < FRAME_SAMPLES * clocks.duration:
        before, duration, end = before - SEGMENT_LENGTH, SEGMENT_LENGTH, False
    age = step.age * clocks.timestamp - before * clocks.timestamp // clocks.duration
    flags = (END if end else 0) | VOLUME
    return Report(age, (step.event, flags, duration >> 8, duration & 0xFF), step.age == 0)


_SILENCE: Final = np.zeros(FRAME_SAMPLES, np.float32)
_NOTHING: Final = _event_tick([], [], [])
