"""Watch legs for noise and for silence, and tell once there has been as much of it as asked for.

Noise is a run of voice; gaps of less than PAUSE_MS, as between words, are part of it. Silence is counted from
the end of the voice, or from the start of the watch, and voice of less than VOICE_MS (a click) does not break
it: only when voice has lasted so long does it count, and then from its beginning. A leg from which nothing
comes is silent. All watches take a frame at once, as columns of one structured array.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .events import Event, NoiseDetected, SilenceDetected
from .protocol import Detector
from .rows import FRAME_MS
from .voice import EnergyVoice, Voice, WebRtcVoice

PAUSE_MS: Final = 300
"""A silence so long ends a noise."""

VOICE_MS: Final = 4 * FRAME_MS
"""Less voice is a click: one of just under 40 ms may reach into three frames."""

DETECTORS: Final[tuple[Detector, ...]] = ("energy", "webrtc")

WATCH: Final = np.dtype(
    [
        ("row", np.intp),
        ("job", np.int64),
        ("detector", np.intp),  # index into DETECTORS
        ("hangover", np.int64),  # ms that the detector goes on after the voice
        ("wants_noise", np.bool_),
        ("wants_silence", np.bool_),
        ("noise_ms", np.int64),
        ("silence_ms", np.int64),
        ("run", np.int64),  # ms of voice without a break, up to now
        ("noise", np.int64),  # ms of the last noise; 0 before the first
        ("quiet", np.int64),  # ms since its end, or since the start
    ]
)


class Watches:
    """Any number of watches a row, each known by its job."""

    def __init__(self, capacity: int) -> None:
        self._watches: NDArray[Any] = np.zeros(0, WATCH)
        self._voices: tuple[Voice, ...] = (EnergyVoice(capacity), WebRtcVoice(capacity))  # as DETECTORS
        self._place: NDArray[np.intp] = np.zeros(capacity, np.intp)  # of a row in what a step is given, or -1

    def open(self, row: int) -> None:
        """Begin on `row`, with nothing to watch for."""
        self.close(row)

    def close(self, row: int) -> None:
        """End all watches on `row`."""
        if self._watches.size:
            self._keep(self._watches["row"] != row)
        for voice in self._voices:
            voice.close(row)

    def start(self, row: int, job: int, *, noise_ms: int | None, silence_ms: int | None, detector: Detector) -> None:
        """Watch `row` for noise, or silence, or noise and then silence; for neither, do nothing."""
        self.stop(row, job)
        if noise_ms is None and silence_ms is None:
            return
        watch = np.zeros(1, WATCH)
        watch["row"], watch["job"] = row, job
        watch["detector"] = kind = DETECTORS.index(detector)
        watch["hangover"] = self._voices[kind].hangover_ms
        watch["wants_noise"], watch["noise_ms"] = noise_ms is not None, noise_ms or 0
        watch["wants_silence"], watch["silence_ms"] = silence_ms is not None, silence_ms or 0
        self._watches = np.concatenate([self._watches, watch])

    def stop(self, row: int, job: int) -> None:
        """End the watch `job`; nothing happens where there is none."""
        self._keep((self._watches["row"] != row) | (self._watches["job"] != job))

    def attentive(self) -> NDArray[np.bool_]:
        """Say which rows are watched, bool[capacity]."""
        attentive = np.zeros(self._place.size, np.bool_)
        attentive[self._watches["row"]] = True
        return attentive

    def step(
        self, frames: NDArray[np.float32], rows: NDArray[np.intp], begun: NDArray[np.bool_]
    ) -> list[tuple[int, Event]]:
        """Hear a frame of each of `rows`; return what was detected."""
        del begun  # what has not begun is silent
        if not self._watches.size:
            return []
        self._place.fill(-1)
        self._place[rows] = np.arange(rows.size)
        place = self._place[self._watches["row"]]
        heard = np.flatnonzero(place >= 0)
        now = self._watches[heard]
        _count(now, self._voice(frames, now, place[heard]))
        events, done = _detect(now)
        self._watches[heard] = now
        self._keep(~np.isin(np.arange(self._watches.size), heard[done]))
        return events

    def _voice(self, frames: NDArray[np.float32], now: NDArray[Any], place: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Say for each watch whether its detector hears voice. Each detector hears each row once."""
        voice = np.zeros(now.size, np.bool_)
        for kind, detector in enumerate(self._voices):
            mine = now["detector"] == kind
            if mine.any():
                rows, first, which = np.unique(now["row"][mine], return_index=True, return_inverse=True)
                voice[mine] = detector.step(frames[place[mine][first]], rows)[which]
        return voice

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        if not kept.all():
            self._watches = self._watches[kept]


def _count(now: NDArray[Any], voice: NDArray[np.bool_]) -> None:
    """Add a frame to every watch."""
    now["run"] = np.where(voice, now["run"] + FRAME_MS, 0)
    now["quiet"] += FRAME_MS
    certain = now["run"] >= VOICE_MS
    before = now["quiet"] - now["run"]  # of silence, when the voice began
    anew = (now["noise"] == 0) | (before + now["hangover"] >= PAUSE_MS)
    noise = np.where(anew, now["run"], now["noise"] + now["quiet"])
    now["noise"] = np.where(certain, noise, now["noise"])
    now["quiet"][certain] = 0


def _detect(now: NDArray[Any]) -> tuple[list[tuple[int, Event]], NDArray[np.bool_]]:
    """Return what is to be told, and which watches are done. Noise that was told of is not watched for any more."""
    events: list[tuple[int, Event]] = []
    noisy = now["wants_noise"] & (now["noise"] >= now["noise_ms"])
    # What has been taken for voice until its end was not all voice. A click may be the beginning of a word.
    quiet = now["quiet"] + np.where((now["noise"] > 0) & (now["quiet"] > 0), now["hangover"], 0)
    silent = ~now["wants_noise"] & now["wants_silence"] & (quiet >= now["silence_ms"]) & (now["run"] == 0)
    events += [
        (int(now["row"][at]), NoiseDetected(job=int(now["job"][at]), duration=int(now["noise"][at])))
        for at in np.flatnonzero(noisy)
    ]
    events += [
        (int(now["row"][at]), SilenceDetected(job=int(now["job"][at]), duration=int(quiet[at])))
        for at in np.flatnonzero(silent)
    ]
    now["wants_noise"] &= ~noisy
    return events, silent | (noisy & ~now["wants_silence"])
