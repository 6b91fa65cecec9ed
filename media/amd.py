"""Tell a human from an answering machine by when the other party speaks and for how long (reference, section Amd).

The rule is that of the well-known Asterisk application, so that `status` and `cause` are its own: a frame is
silence when the mean of its absolute samples is below a threshold, and the lengths of silence and voice
decide. Only frames of audio count; before any has come, the time since the start does, which also ends a
detection that hears nothing. All detections take a frame at once, as columns of one structured array.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .events import AmdState, Event, MachineDetected
from .protocol import StartAmd
from .rows import FRAME_MS, FRAME_SAMPLES

Flags = NDArray[np.bool_]

STATES: Final = ("NO_AUDIO", "INITIAL_SILENCE", "GREETING", "SILENCE", "WORD", "END")
"""What is told of a detection: nothing heard yet, nobody speaks yet, the first word, a pause, a further word, over."""

NO_AUDIO, INITIAL_SILENCE, GREETING, SILENCE, WORD, END = range(len(STATES))

OUTCOMES: Final = (
    ("NOTSURE", "TOOLONG-{total}"),
    ("MACHINE", "INITIALSILENCE-{silence}-{initial_silence}"),
    ("HUMAN", "HUMAN-{silence}-{after_greeting_silence}"),
    ("MACHINE", "MAXWORDLENGTH-{voice_run}"),
    ("MACHINE", "MAXWORDS-{words}-{maximum_number_of_words}"),
    ("MACHINE", "LONGGREETING-{voice_total}-{greeting}"),
    ("NOTSURE", "NOAUDIODATA-{total}"),
    ("NOTSURE", "TOOLONG-{total}"),
)
"""Status and cause, in the order in which they are looked for: the first that holds is the result."""

PARAMETERS: Final = (
    "initial_silence",
    "greeting",
    "after_greeting_silence",
    "total_analysis_time",
    "minimum_word_length",
    "between_word_silence",
    "maximum_number_of_words",
    "silence_threshold",
    "maximum_word_length",
)
MEASURES: Final = (
    "job",
    "wall",  # ms since the start
    "total",  # ms of audio
    "silence",  # ms of silence without a break, up to now
    "voice_run",  # ms of voice since the last silence that parts words
    "voice_total",  # ms of voice
    "words",  # counted after silences only: who speaks from the first frame is not counted for that
    "state",  # index into STATES
    "since",  # `wall` when it became that
)
FLAGS: Final = (
    "heard",  # audio has come
    "parted",  # the last thing was a silence that parts words, rather than a word; not so at the start
    "greeted",  # a first word was long enough: the initial silence is over and the greeting has begun
)
DETECTION: Final = np.dtype(
    [(name, np.int64) for name in (*PARAMETERS, *MEASURES)] + [(name, np.bool_) for name in FLAGS]
)
LIMIT: Final = 1 << 31
"""Larger parameters are taken as this: none is ever reached."""


class Amd:
    """At most one detection a row."""

    def __init__(self, capacity: int) -> None:
        self._running: Flags = np.zeros(capacity, np.bool_)
        self._detections: NDArray[Any] = np.zeros(capacity, DETECTION)

    def open(self, row: int) -> None:
        """Begin on `row`, with nothing to detect."""
        self._running[row] = False

    def close(self, row: int) -> None:
        """End what goes on on `row`."""
        self._running[row] = False

    def start(self, row: int, message: StartAmd) -> None:
        """Begin to detect on `row`, in place of a detection that runs there."""
        detection = np.zeros((), DETECTION)
        for name in PARAMETERS:
            detection[name] = min(max(getattr(message, name), 0), LIMIT)
        detection["job"] = message.job
        self._detections[row] = detection
        self._running[row] = True

    def stop(self, row: int, job: int) -> None:
        """End the detection `job`; nothing happens where there is none."""
        if self._detections[row]["job"] == job:
            self._running[row] = False

    def attentive(self) -> Flags:
        """Say on which rows a detection runs, bool[capacity]; not to be written to."""
        return self._running

    def step(
        self, frames: NDArray[np.float32], rows: NDArray[np.intp], begun: NDArray[np.bool_]
    ) -> list[tuple[int, Event]]:
        """Hear a frame of each of `rows`; return what was found out."""
        chosen = self._running[rows].nonzero()[0]
        if not chosen.size:
            return []
        rows = rows[chosen]
        now = self._detections[rows]
        events = _begin(now, rows, begun[chosen])
        level_sum = np.abs(frames[chosen]).sum(axis=-1)
        holds = _count(now, level_sum < now["silence_threshold"] * FRAME_SAMPLES)
        decided = holds.any(axis=0)
        events += _change(now, rows, np.where(decided, END, _state(now)))
        self._detections[rows] = now
        self._running[rows[decided]] = False
        return events + _conclude(now[decided], rows[decided], holds.argmax(axis=0)[decided])


def _begin(now: NDArray[Any], rows: NDArray[np.intp], begun: Flags) -> list[tuple[int, Event]]:
    """Let the audio begin where it does; a leg that falls silent later, or changes its codec, has begun already."""
    first = begun & ~now["heard"]
    now["heard"] |= begun
    return _change(now, rows, np.where(first, INITIAL_SILENCE, now["state"])) if first.any() else []


def _count(now: NDArray[Any], silent: Flags) -> Flags:
    """Add a frame to every detection; return which of OUTCOMES hold, bool[outcomes, n]."""
    audio = now["heard"]
    silent, voice = audio & silent, audio & ~silent
    now["wall"] += FRAME_MS
    now["total"] += FRAME_MS * audio
    now["silence"] = np.where(silent, now["silence"] + FRAME_MS, 0)
    now["voice_run"] += FRAME_MS * voice
    now["voice_total"] += FRAME_MS * voice

    parting = silent & (now["silence"] >= now["between_word_silence"])
    now["parted"] |= parting
    now["voice_run"][parting] = 0
    word = voice & (now["voice_run"] >= now["minimum_word_length"])
    now["words"] += word & now["parted"]
    now["parted"] &= ~word

    greeted = now["greeted"].copy()  # the word that begins the greeting is judged as part of it from the next frame on
    now["greeted"] |= word
    expired = now["wall"] >= now["total_analysis_time"]
    return np.stack(
        [
            audio & (now["total"] >= now["total_analysis_time"]),
            silent & ~greeted & (now["silence"] >= now["initial_silence"]),
            silent & greeted & (now["silence"] >= now["after_greeting_silence"]),
            voice & (now["voice_run"] >= now["maximum_word_length"]),
            voice & (now["words"] > now["maximum_number_of_words"]),
            voice & greeted & (now["voice_total"] >= now["greeting"]),
            expired & ~audio,
            expired,
        ]
    )


def _state(now: NDArray[Any]) -> NDArray[np.int64]:
    """Return what each detection is in, as an index into STATES."""
    first_word = now["state"] <= GREETING
    heard = np.where(now["parted"], SILENCE, np.where(first_word, GREETING, WORD))
    return np.where(now["heard"], np.where(now["greeted"], heard, INITIAL_SILENCE), NO_AUDIO)


def _change(now: NDArray[Any], rows: NDArray[np.intp], state: NDArray[np.int64]) -> list[tuple[int, Event]]:
    """Let every detection be in `state`; return an event for each to which that is new."""
    events: list[tuple[int, Event]] = []
    for at in np.flatnonzero(state != now["state"]).tolist():
        one = now[at]
        lasted = int(one["wall"] - one["since"])
        name = STATES[int(state[at])]
        events.append((int(rows[at]), AmdState(job=int(one["job"]), state=name, at=int(one["total"]), lasted=lasted)))
        now["since"][at] = one["wall"]
    now["state"] = state
    return events


def _conclude(decided: NDArray[Any], rows: NDArray[np.intp], outcome: NDArray[np.intp]) -> list[tuple[int, Event]]:
    """Word the results."""
    events: list[tuple[int, Event]] = []
    for row, detection, index in zip(rows.tolist(), decided, outcome.tolist(), strict=True):
        status, cause = OUTCOMES[index]
        measured = {name: int(detection[name]) for name in (*PARAMETERS, *MEASURES)}
        found = MachineDetected(job=measured["job"], status=status, cause=cause.format_map(measured))
        events.append((row, found))
    return events
