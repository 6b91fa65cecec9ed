"""What legs hear, from audio to RTP payloads: brought to the rate of the codec, encoded, cut into packets."""

from __future__ import annotations

import numpy as np

from ..codecs.bank import Bank
from ..codecs.catalog import Codec
from ..codecs.coder import Coder
from ..codecs.g711 import AnySamples
from ..codecs.resample import WIDE, Upsampler
from .packetizer import Outgoing, Packetizer
from .playout import Frames, Spoken
from .receiver import WIDEST
from .rows import FRAME_MS, RATE_HZ, every
from .rtp import Flags, Indices, Integers, Octets


class Sender:
    """The stages from audio to payload, by row; which codec a row has is the bank's affair."""

    def __init__(self, capacity: int, bank: Bank) -> None:
        self._bank: Bank = bank
        self._upsampler: Upsampler = Upsampler(capacity)
        self._packetizer: Packetizer = Packetizer(capacity, WIDEST)

    def open(self, row: int, codec: Codec, coder: Coder) -> None:
        """Begin on `row` with another codec; what waits for a full packet is of the one before."""
        self._packetizer.drop(row)
        if coder.rate_hz > RATE_HZ:
            self._upsampler.open(row)

    def tune(self, row: int, codec: Codec, ptime: int) -> None:
        """Send packets of (about) `ptime` ms, as far as the codec allows."""
        if codec.octets_per_tick:
            width = codec.octets_per_tick * codec.clock_hz // RATE_HZ
            units = codec.clock_hz * FRAME_MS // 1000
            self._packetizer.open(row, ptime, octets_per_tick=width, frame_units=units)
        else:
            self._packetizer.close(row)

    def close(self, row: int) -> None:
        """Forget `row`."""
        self._packetizer.close(row)

    def drop(self, rows: Indices | int) -> None:
        """Drop what waits for a full packet on `rows`: other packets take the place of the audio."""
        self._packetizer.drop(rows)

    def pass_on(self, rows: Indices, octets: Octets, timestamp: Integers) -> list[Outgoing]:
        """Return the packets due on `rows` after a tick of `octets` (uint8[n, 160]) that are what their codec makes."""
        return self._packetizer.step(rows, octets, timestamp)

    def step(self, rows: Indices, spoken: Spoken, audio: Flags, timestamp: Integers) -> list[Outgoing]:
        """Return the packets due after this tick on those of `rows` that `audio` says; `timestamp` is its beginning."""
        outgoing: list[Outgoing] = []
        for coder, at in self._bank.groups(rows):
            if coder.rate_hz > RATE_HZ:
                frames = self._raised(rows, spoken, at)
            else:
                frames = spoken.frames if at.size == rows.size else spoken.frames[at]
            if at.size == rows.size and every(audio):
                outgoing += self._packets(coder, rows, frames, timestamp)
                continue
            sent = audio[at]
            at, frames = at[sent], frames[sent]
            if at.size:
                outgoing += self._packets(coder, rows[at], frames, timestamp[at])
        return outgoing

    def _raised(self, rows: Indices, spoken: Spoken, at: Indices) -> Frames:
        """Return what `rows[at]` hear at 16 kHz. Also what is not sent goes through, for the next frame to follow."""
        frames = self._upsampler.step(spoken.base[at].astype(np.float32, copy=False), rows[at])
        if spoken.at.size:
            wide = np.zeros((rows.size, WIDE), np.float32)
            wide[spoken.at] = spoken.wide
            frames += wide[at]
        return frames

    def _packets(self, coder: Coder, rows: Indices, frames: AnySamples, timestamp: Integers) -> list[Outgoing]:
        octets, lengths = coder.encode(frames, rows)
        if lengths is None:
            return self._packetizer.step(rows, octets, timestamp)
        made = np.flatnonzero(lengths)
        return [Outgoing(rows[made], octets[made], timestamp[made], lengths[made])] if made.size else []
