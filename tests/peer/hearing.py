"""What a peer makes of what it heard: levels, tones and when they sounded, the pitch of a voice."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from g711 import Samples

RATE_HZ: Final = 8000
FRAME: Final = 160
QUIET_DBOV: Final = -45.0
SHORTEST_S: Final = 0.06
"""What is shorter is the border between two tones, not a tone."""
PURE: Final = 0.6
"""The share of a frame's energy that makes it a tone."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `start` to `end` (seconds) there was a tone of `hz`, to the nearest 50; 0 is sound that is no tone."""

    hz: int
    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


def loud_part(audio: Samples, threshold: float = 0.01) -> Samples:
    """From the first to the last sample above `threshold`."""
    loud = np.flatnonzero(np.abs(audio) > threshold)
    return audio[loud[0] : loud[-1] + 1] if len(loud) else audio[:0]


def level_dbov(audio: Samples) -> float:
    """RMS level; full scale is 0."""
    return float(20 * np.log10(max(1e-9, np.sqrt(np.mean(audio**2))))) if len(audio) else -180.0


def share_at(audio: Samples, hz: float, width_hz: float = 30.0) -> float:
    """How much of the energy lies within `width_hz` of `hz`, 0..1; 0 where there is no audio."""
    if not len(audio):
        return 0.0
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(audio), 1 / RATE_HZ) - hz) <= width_hz
    return float(power[near].sum() / max(1e-12, power.sum()))


def level_at(audio: Samples, hz: float) -> float:
    """The level in dBov of what lies within 30 Hz of `hz`."""
    return level_dbov(audio) + 10 * float(np.log10(max(1e-9, share_at(audio, hz))))


def between(audio: Samples, start: float, end: float) -> Samples:
    """The part from `start` to `end`, in seconds."""
    return audio[round(start * RATE_HZ) : round(end * RATE_HZ)]


def tones(audio: Samples) -> list[Span]:
    """The tones of `audio` in order, to 20 ms, and what is loud without being one."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return []
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), 10 * FRAME, axis=-1)) ** 2
    hz = np.fft.rfftfreq(10 * FRAME, 1 / RATE_HZ)
    peak = hz[np.argmax(power, axis=-1)]
    share = np.where(np.abs(hz - peak[:, None]) <= 100, power, 0).sum(-1) / np.maximum(power.sum(-1), 1e-12)
    loud = 20 * np.log10(np.maximum(np.sqrt((frames**2).mean(-1)), 1e-9)) > QUIET_DBOV
    heard = np.where(loud, np.where(share > PURE, np.round(peak / 50) * 50, 0), -1).astype(int)
    return _spans(heard)


def _spans(heard: np.ndarray) -> list[Span]:
    borders = [0, *(np.flatnonzero(np.diff(heard)) + 1), len(heard)]
    frame_s = FRAME / RATE_HZ
    spans = [Span(hz=int(heard[a]), start=float(a * frame_s), end=float(b * frame_s)) for a, b in pairwise(borders)]
    return _joined([span for span in spans if span.hz >= 0 and span.length > SHORTEST_S])


def _joined(spans: list[Span]) -> list[Span]:
    """Without the frame at a border, one tone may have come out as two."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1].hz == span.hz and span.start - joined[-1].end <= SHORTEST_S:
            span = Span(hz=span.hz, start=joined.pop().start, end=span.end)
        joined.append(span)
    return joined


def ringback_s(audio: Samples) -> float:
    """For how long the ringing tone of North America was heard, 440 and 480 Hz: two beats of it are 50 ms."""
    frames = audio[: len(audio) // 400 * 400].reshape(-1, 400)
    power = np.abs(np.fft.rfft(frames * np.hanning(400), axis=-1)) ** 2
    hz = np.fft.rfftfreq(400, 1 / RATE_HZ)
    share = power[:, (hz >= 400) & (hz <= 520)].sum(-1) / np.maximum(power.sum(-1), 1e-12)
    loud = np.sqrt((frames**2).mean(-1)) > 10 ** (QUIET_DBOV / 20)
    return float(((share > 0.8) & loud).sum() * 400 / RATE_HZ)


def utterances(audio: Samples, gap_s: float = 0.7) -> list[tuple[float, float]]:
    """When something was said: start and end in seconds of loud stretches that silence of `gap_s` parts."""
    loud = np.flatnonzero(np.abs(audio) > 0.01)
    if not len(loud):
        return []
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > gap_s * RATE_HZ) + 1)
    return [(float(part[0] / RATE_HZ), float(part[-1] / RATE_HZ)) for part in parts]


def pitch_hz(audio: Samples) -> float:
    """The median fundamental frequency of a voice, 70 to 350 Hz, by autocorrelation."""
    size = RATE_HZ // 25
    frames = audio[: len(audio) // size * size].reshape(-1, size)
    frames = frames[np.sqrt((frames**2).mean(-1)) > 0.03]
    spectrum = np.abs(np.fft.rfft(frames - frames.mean(-1, keepdims=True), 2 * size)) ** 2
    correlation = np.fft.irfft(spectrum)
    shortest, longest = RATE_HZ // 350, RATE_HZ // 70
    lags = shortest + np.argmax(correlation[:, shortest:longest], axis=-1)
    voiced = correlation[np.arange(len(lags)), lags] > 0.4 * correlation[:, 0]
    assert voiced.any(), "no voice in what was heard"
    return float(RATE_HZ / np.median(lags[voiced]))
