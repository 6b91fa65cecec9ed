"""Decide frame by frame whether somebody speaks, in either of two ways of one shape.

`EnergyVoice` compares a frame's level with the noise floor of the row, for all rows at once. The threshold is
MARGIN_DB above the floor but within THRESHOLD_DBM0; a row begins at -45 dBm0. The floor follows the level:
downwards fast, as a line is as quiet as its quietest moments, upwards slowly, as a word is no noise. Silence
made up where no packet came (or sent as plain zeros) says little of the line, and moves it as a level of
QUIETEST_DBM0 does.

`WebRtcVoice` asks WebRTC's voice activity detector, which looks at the spectrum and is not taken in by steady
noise; a row at a time, so it is for the few rows that are watched. It goes on for up to WEBRTC_HANGOVER_MS
after the voice has ended.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from .rows import FRAME_MS, RATE_HZ
from .tones import amplitude

Frames = NDArray[np.float32]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

FULL_SCALE_DB: Final = 20 * float(np.log10(amplitude(0.0) / np.sqrt(2)))
"""The RMS of a sine of 0 dBm0 on the int16 scale, in dB."""

QUIETEST_DBM0: Final = -70.0
"""A lower level is taken as this."""

FLOOR_DBM0: Final = -55.0
"""The noise floor that a row begins with."""

MARGIN_DB: Final = 10.0
"""How far above the floor voice begins."""

THRESHOLD_DBM0: Final = (-50.0, -30.0)
"""Where the threshold stays, so that silence is not too quiet a thing and long tones remain something heard."""

FALL_DB: Final = 10.0 * FRAME_MS / 1000
RISE_DB: Final = 2.0 * FRAME_MS / 1000
"""How far the floor moves in a frame: 10 dB/s down, 2 dB/s up."""

WEBRTC_MODE: Final = 2
"""0 lets most pass as voice, 3 least."""

WEBRTC_HANGOVER_MS: Final = 100
"""Five frames in this mode; three after voice of up to 120 ms."""


class Voice(Protocol):
    """Something that knows voice from silence, by row."""

    hangover_ms: int
    """For how long it goes on saying voice after the voice has ended."""

    def close(self, row: int) -> None:
        """Forget what was learned of `row`."""
        ...

    def step(self, frames: Frames, rows: Indices) -> Flags:
        """Hear a frame of each of `rows`, none of them twice; return where there is voice, bool[n].

        `frames` is float32[n, 160] on the int16 scale.
        """
        ...


class EnergyVoice:
    """Voice is what is well above the noise floor."""

    def __init__(self, capacity: int) -> None:
        self.hangover_ms: int = 0
        self._floor: NDArray[np.float32] = np.full(capacity, FLOOR_DBM0, np.float32)  # dBm0

    def close(self, row: int) -> None:
        """Forget the noise floor of `row`."""
        self._floor[row] = FLOOR_DBM0

    def step(self, frames: Frames, rows: Indices) -> Flags:
        """Hear a frame of each of `rows`; return where there is voice."""
        level = level_dbm0(frames)
        floor = self._floor[rows]
        self._floor[rows] = floor + np.clip(level - floor, -FALL_DB, RISE_DB)
        return level > np.clip(floor + MARGIN_DB, *THRESHOLD_DBM0)


class WebRtcVoice:
    """Voice is what WebRTC's detector says."""

    def __init__(self, capacity: int) -> None:
        self.hangover_ms: int = WEBRTC_HANGOVER_MS
        self._detector: list[webrtcvad.Vad | None] = [None] * capacity

    def close(self, row: int) -> None:
        """Give up the detector of `row`."""
        self._detector[row] = None

    def step(self, frames: Frames, rows: Indices) -> Flags:
        """Hear a frame of each of `rows`; return where there is voice."""
        samples = np.clip(np.rint(frames), -32768, 32767).astype("<i2")
        said = [
            self._of(row).is_speech(one.tobytes(), RATE_HZ) for row, one in zip(rows.tolist(), samples, strict=True)
        ]
        return np.array(said, np.bool_)

    def _of(self, row: int) -> webrtcvad.Vad:
        detector = self._detector[row]
        if detector is None:
            detector = self._detector[row] = webrtcvad.Vad(WEBRTC_MODE)
        return detector


def level_dbm0(frames: Frames) -> NDArray[np.float32]:
    """Return the level of each of `frames` float32[n, 160] on the int16 scale; at least QUIETEST_DBM0."""
    power = np.einsum("ij,ij->i", frames, frames) / frames.shape[-1]
    return np.maximum(10 * np.log10(np.maximum(power, 1e-3)) - FULL_SCALE_DB, QUIETEST_DBM0).astype(np.float32)
