"""What every stream sends: a packet every 20 ms, sound that goes round, and keys pressed (RFC 3550, RFC 4733).

Streams begin at different places of the sound. Keys: the first a second after the answer, then one a second, each an
event of 100 ms said eight times; the last so long before the call ends that it can be heard back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...codecs.g711 import encode_alaw, encode_ulaw
from ..dial_string import EVENT_DIGITS
from ..rows import FRAME_MS, FRAME_SAMPLES, RATE_HZ
from ..rtp import HEADER, build_batch
from ..telephone_event import END, PAYLOAD, VOLUME
from .messages import Plan

Octets = NDArray[np.uint8]
Rows = NDArray[np.intp]

TYPES: Final = {"PCMU": 0, "PCMA": 8}
KEY_FRAMES: Final = 1000 // FRAME_MS
"""From key to key, and from the answer to the first."""

EVENT_FRAMES: Final = 8
DURATION_FRAMES: Final = 5
"""An event lasts five frames, and its end is said three times (RFC 4733 section 2.5.1.4)."""

ECHO_FRAMES: Final = 2500 // FRAME_MS
"""What a key has until the call ends, to be played back."""

NOISE_S: Final = 10
NOISE_PEAK: Final = 4000
APART: Final = 37
"""Frames by which each stream is ahead of the one before."""


def sound(plan: Plan) -> Octets:
    """Return what is sent as payloads uint8[frames, 160]. OSError where the file cannot be read."""
    encode = encode_ulaw if plan.codec == "PCMU" else encode_alaw
    if plan.send == "file":
        samples = np.frombuffer(Path(plan.path).read_bytes(), "<i2")
    elif plan.send == "noise":
        samples = np.random.default_rng(1).integers(-NOISE_PEAK, NOISE_PEAK, NOISE_S * RATE_HZ).astype(np.int16)
    else:
        samples = np.zeros(FRAME_SAMPLES, np.int16)
    samples = np.pad(samples, (0, -samples.size % FRAME_SAMPLES))
    return encode(samples.astype(np.float32)).reshape(-1, FRAME_SAMPLES)


class Speaker:
    """The sending side of every stream, by row; writes packets into `packets` and their `lengths`."""

    def __init__(self, plan: Plan, packets: Octets, lengths: NDArray[np.uint64]) -> None:
        """`packets` is uint8[streams, 172]."""
        count = packets.shape[0]
        self._packets, self._lengths = packets, lengths
        self._sound: Octets = sound(plan)
        self._type: int = TYPES[plan.codec]
        self._event_type: int = plan.event_type
        self._keys: Octets = np.array([EVENT_DIGITS.index(key.upper()) for key in plan.digits], np.uint8)
        spoken = round(plan.hold_s * 1000 / FRAME_MS) - ECHO_FRAMES
        self._keys_a_call: int = max(0, spoken // KEY_FRAMES) if self._keys.size else 0
        random = np.random.default_rng()
        self._ssrc: NDArray[np.int64] = random.integers(1, 1 << 32, count)
        self._first: NDArray[np.int64] = random.integers(0, 1 << 16, (count, 2))  # sequence, timestamp
        self._frame: NDArray[np.int64] = np.zeros(count, np.int64)  # packets sent in this call
        self._open: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self._silent: bool = plan.send == "nothing"
        self.sent: int = 0
        self.digits_sent: NDArray[np.int64] = np.zeros(count, np.int64)

    def open(self, row: int) -> None:
        """Begin another call on `row`, as another source."""
        self._open[row] = True
        self._frame[row] = 0
        self._ssrc[row] = (self._ssrc[row] * 48271 + 1) & 0xFFFFFFFF

    def close(self, row: int) -> None:
        """Send no more on `row`."""
        self._open[row] = False

    def step(self, rows: Rows) -> Rows:
        """Write the next packet of each of `rows` that is in a call; return those that have one."""
        rows = rows[self._open[rows]]
        if not rows.size:
            return rows
        frame = self._frame[rows]
        self._frame[rows] += 1
        pressed = self._press(rows, frame)
        talks = ~pressed
        if self._silent:
            rows = rows[pressed]
        else:
            self._talk(rows[talks], frame[talks])
        self.sent += rows.size
        return rows

    def _talk(self, rows: Rows, frame: NDArray[np.int64]) -> None:
        payload = self._sound[(frame + rows * APART) % self._sound.shape[0]]
        self._write(rows, frame, payload, self._type, frame == 0, frame)

    def _press(self, rows: Rows, frame: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Write packets of events for those of `rows` on which a key is down at `frame`; return which those are."""
        if not self._keys_a_call:
            return np.zeros(rows.size, np.bool_)
        phase, key = frame % KEY_FRAMES, frame // KEY_FRAMES - 1
        pressed = (key >= 0) & (key < self._keys_a_call) & (phase < EVENT_FRAMES)
        if pressed.any():
            self._event(rows[pressed], frame[pressed], phase[pressed], key[pressed])
        return pressed

    def _event(self, rows: Rows, frame: NDArray[np.int64], phase: NDArray[np.int64], key: NDArray[np.int64]) -> None:
        duration = np.minimum(phase + 1, DURATION_FRAMES) * FRAME_SAMPLES
        payload = np.empty((rows.size, PAYLOAD), np.uint8)
        payload[:, 0] = self._keys[key % self._keys.size]
        payload[:, 1] = np.where(phase >= DURATION_FRAMES, END, 0) | VOLUME
        payload[:, 2], payload[:, 3] = duration >> 8, duration & 0xFF
        self._write(rows, frame, payload, self._event_type, phase == 0, frame - phase)
        self.digits_sent[rows[phase == 0]] += 1

    def _write(
        self,
        rows: Rows,
        frame: NDArray[np.int64],
        payload: Octets,
        payload_type: int,
        marker: NDArray[np.bool_],
        time: NDArray[np.int64],  # in frames
    ) -> None:
        sequence, timestamp = self._first[rows, 0] + frame, self._first[rows, 1] + time * FRAME_SAMPLES
        length = HEADER + payload.shape[1]
        packets = build_batch(payload, payload_type, marker, sequence, timestamp, self._ssrc[rows])
        self._packets[rows, :length] = packets
        self._lengths[rows] = length
