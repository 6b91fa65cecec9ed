"""libopus by ctypes: the few functions that a voice call needs, at 16 kHz, mono (RFC 6716).

The library decodes whatever octets it is given or says no; it neither waits nor allocates once a codec is made.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

RATE_HZ: Final = 16000
LIBRARY: Final = "libopus.so.0"
LONGEST: Final = RATE_HZ * 120 // 1000
"""Samples of the longest packet (RFC 6716 section 3.2.5)."""

LARGEST_PACKET: Final = 400
"""Octets of 20 ms; the bit rates used here stay far below."""

_APPLICATION_AUDIO: Final = 2049
"""Not VOIP, which filters music as if it were a poor microphone."""

_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_SET_INBAND_FEC: Final = 4012
_SET_PACKET_LOSS_PERCENT: Final = 4014


class OpusError(ValueError):
    """The library refused; the text says what it says."""


@cache
def library() -> ctypes.CDLL:
    """Return the library, loaded at first use. OpusError where it is not installed."""
    try:
        lib = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise OpusError(f"{LIBRARY} cannot be loaded: {error}") from error
    pointer, number, octets = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for kind, made_of in (("encoder", [number, number, number, pointer]), ("decoder", [number, number, pointer])):
        # By getattr: subscribing gives a new object each time, which would forget its types.
        create, destroy = getattr(lib, f"opus_{kind}_create"), getattr(lib, f"opus_{kind}_destroy")
        create.restype, create.argtypes = pointer, made_of
        destroy.restype, destroy.argtypes = None, [pointer]
    lib.opus_encode.argtypes = [pointer, pointer, number, pointer, ctypes.c_int32]
    lib.opus_decode.argtypes = [pointer, octets, ctypes.c_int32, pointer, number, number]
    lib.opus_strerror.restype = octets
    return lib


def _made(created: int | None, error: ctypes.c_int) -> int:
    if not created:
        raise OpusError(library().opus_strerror(error.value).decode())
    return created


class Encoder:
    """16 kHz mono to packets of 20 ms, with forward error correction for `loss_percent` of them lost."""

    def __init__(self, *, bit_rate: int, complexity: int, loss_percent: int) -> None:
        self._lib = library()
        error = ctypes.c_int()
        created = self._lib.opus_encoder_create(RATE_HZ, 1, _APPLICATION_AUDIO, ctypes.byref(error))
        self._state = ctypes.c_void_p(_made(created, error))
        self._packet = ctypes.create_string_buffer(LARGEST_PACKET)
        settings = (
            (_SET_BITRATE, bit_rate),
            (_SET_COMPLEXITY, complexity),
            (_SET_INBAND_FEC, 1),
            (_SET_PACKET_LOSS_PERCENT, loss_percent),
        )
        for request, value in settings:
            self._lib.opus_encoder_ctl(self._state, ctypes.c_int(request), ctypes.c_int(value))

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._lib.opus_encoder_destroy(self._state)

    def encode(self, samples: Samples) -> bytes:
        """Return the packet of contiguous `samples` int16[320]; nothing if the library fails."""
        count = self._lib.opus_encode(
            self._state, samples.ctypes.data, samples.size, self._packet, LARGEST_PACKET
        )  # fmt: skip
        return self._packet.raw[: max(0, count)]


class Decoder:
    """Packets of any length, mono or stereo, to 16 kHz mono."""

    def __init__(self) -> None:
        self._lib = library()
        error = ctypes.c_int()
        self._state = ctypes.c_void_p(_made(self._lib.opus_decoder_create(RATE_HZ, 1, ctypes.byref(error)), error))
        self._samples: Samples = np.zeros(LONGEST, np.int16)
        self._address: int = self._samples.ctypes.data

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._lib.opus_decoder_destroy(self._state)

    def decode(self, packet: bytes) -> Samples | None:
        """Return the audio of `packet`, None if it is broken. It is overwritten by the next call."""
        count = self._lib.opus_decode(self._state, packet, len(packet), self._address, LONGEST, 0)
        return self._samples[:count] if count > 0 else None

    def recover(self, packet: bytes, count: int) -> Samples:
        """Return the `count` samples before `packet` that it carries, or else as conceal does."""
        done = self._lib.opus_decode(self._state, packet, len(packet), self._address, count, 1)
        return self._samples[:done] if done > 0 else self.conceal(count)

    def conceal(self, count: int) -> Samples:
        """Return `count` samples, whole units of 2.5 ms, that may follow what was decoded before."""
        done = self._lib.opus_decode(self._state, None, 0, self._address, count, 0)
        if done <= 0:
            self._samples[:count] = 0
        return self._samples[:count]
