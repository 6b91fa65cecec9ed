"""What legs hear: layers of sounds at 8 and at 16 kHz and the others of their rooms, or the tones of keys instead.

A leg whose codec carries 16 kHz hears what was made at 16 kHz as it is, and the rest brought up. Recordings, and
legs that carry less, get 16 kHz brought down. Legs that never had a 16 kHz sound have no part in any of that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codecs.g711 import AnySamples
from ..codecs.resample import WIDE, Downsampler
from .mixer import add, mix
from .player import Player
from .protocol import Layer
from .rooms import NOBODY, Others
from .rows import RATE_HZ
from .rtp import Flags, Indices
from .sound import Sounds

Frames = NDArray[np.float32]

WIDE_HZ: Final = 16000
RATES_HZ: Final = (RATE_HZ, WIDE_HZ)
LAYERS: Final[tuple[Layer, ...]] = ("foreground", "background", "aside")


class Spoken(NamedTuple):
    """A tick of what legs hear. The first three are [n, 160], for all rows."""

    recorded: AnySamples  # without what is not for recordings
    frames: AnySamples  # all of it, at 8 kHz
    base: AnySamples  # the part of it that was made at 8 kHz
    at: Indices  # positions of rows with
    wide: Frames  # [m, 320] the part of it that was made at 16 kHz


_NOWHERE: Final = np.zeros(0, np.intp)
_NOTHING_WIDE: Final = np.zeros((0, WIDE), np.float32)


class Playout:
    """The players by layer and rate. A row has one play a layer, whatever its rate."""

    def __init__(self, capacity: int, sounds: Sounds) -> None:
        self.players: dict[tuple[Layer, int], Player] = {
            (layer, rate_hz): Player(capacity, sounds, rate_hz) for layer in LAYERS for rate_hz in RATES_HZ
        }
        self._wide: Flags = np.zeros(capacity, np.bool_)  # has had a sound at 16 kHz
        self._any_wide: bool = False  # a row has had, if perhaps none has any more
        self._recorded_down: Downsampler = Downsampler(capacity)
        self._aside_down: Downsampler = Downsampler(capacity)

    def claim(self, row: int, layer: Layer, rate_hz: int) -> Player:
        """Return the player of `layer` for a sound of `rate_hz`; what plays there at another rate is replaced."""
        for (other, other_hz), player in self.players.items():
            if other == layer and other_hz != rate_hz:
                player.replace(row)
        if rate_hz == WIDE_HZ:
            self._wide[row] = self._any_wide = True
        return self.players[layer, rate_hz]

    def playing(self) -> Flags:
        """Say which rows something plays on, bool[capacity]."""
        return np.logical_or.reduce([player.running for player in self.players.values()])

    def close(self, row: int) -> None:
        """End what plays on `row`."""
        for player in self.players.values():
            player.close(row)
        if self._wide[row]:
            self._recorded_down.open(row)
            self._aside_down.open(row)
            self._wide[row] = False

    def step(self, rows: Indices, tone_at: Indices, tones: Frames, others: Others = NOBODY) -> Spoken:
        """Return the next 20 ms of all that plays on `rows`, and of `others`; those `tone_at` hear `tones` instead."""
        played = self._played(rows, tone_at, tones)
        if not others.at.size:
            return played
        return _joined(played, _without(others, tone_at) if tone_at.size else others)

    def _played(self, rows: Indices, tone_at: Indices, tones: Frames) -> Spoken:
        """Return the next 20 ms of all that plays on `rows`; those `tone_at` hear `tones` instead."""
        said = self._mixed(rows, RATE_HZ, "foreground", "background")
        aside = self.players["aside", RATE_HZ].step(rows)
        if tone_at.size:
            said = said.astype(np.float32)
            said[tone_at] = tones
            if aside is not None:
                aside = aside.copy()
                aside[tone_at] = 0
        base = said if aside is None else mix(said, aside)
        at = np.flatnonzero(self._wide[rows]) if self._any_wide else _NOWHERE
        if not at.size:
            return Spoken(said, base, base, at, _NOTHING_WIDE)
        own = rows[at]
        wide = self._mixed(own, WIDE_HZ, "foreground", "background").astype(np.float32)
        wide_aside = self._mixed(own, WIDE_HZ, "aside").astype(np.float32)
        silent = np.isin(at, tone_at)
        wide[silent] = wide_aside[silent] = 0.0
        down, down_aside = self._recorded_down.step(wide, own), self._aside_down.step(wide_aside, own)
        recorded, frames = said.astype(np.float32), base.astype(np.float32)
        recorded[at] = mix(said[at], down)
        frames[at] = mix(base[at], down, down_aside)
        return Spoken(recorded, frames, base, at, wide + wide_aside)

    def _mixed(self, rows: Indices, rate_hz: int, *layers: Layer) -> AnySamples:
        """Return the sum of `layers`, which is not to be written to: it may be the sound itself."""
        players = [self.players[layer, rate_hz] for layer in layers]
        heard = [frames for player in players if (frames := player.step(rows)) is not None]
        return mix(*heard) if heard else np.zeros((rows.size, players[0].frame_samples), np.int16)


def _without(others: Others, tone_at: Indices) -> Others:
    """Return `others` for all but those `tone_at`."""
    kept, wide_kept = np.isin(others.at, tone_at, invert=True), np.isin(others.wide_at, tone_at, invert=True)
    frames = others.frames[kept]
    base = frames if others.base is others.frames else others.base[kept]
    return Others(others.at[kept], frames, base, others.wide_at[wide_kept], others.wide[wide_kept])


def _joined(played: Spoken, others: Others) -> Spoken:
    """Return what is `played`, and what `others` say on top."""
    recorded = add(played.recorded, others.at, others.frames)
    frames = recorded if played.frames is played.recorded else add(played.frames, others.at, others.frames)
    alike = played.base is played.frames and others.base is others.frames
    base = frames if alike else add(played.base, others.at, others.base)
    if not others.wide_at.size:
        return Spoken(recorded, frames, base, played.at, played.wide)
    at = np.union1d(played.at, others.wide_at)
    wide = np.zeros((at.size, WIDE), np.float32)
    wide[np.searchsorted(at, played.at)] = played.wide
    wide[np.searchsorted(at, others.wide_at)] += others.wide
    return Spoken(recorded, frames, base, at, wide)
