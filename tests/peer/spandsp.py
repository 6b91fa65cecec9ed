"""Somebody else's ear for keys: the DTMF receiver of spandsp (Debian's libspandsp2), through ctypes."""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

LIBRARY: Final = "libspandsp.so.2"
FRAME: Final = 160
MOST_KEYS: Final = 128


@cache
def library() -> ctypes.CDLL | None:
    """spandsp, or None where it is not installed."""
    try:
        found = ctypes.CDLL(find_library("spandsp") or LIBRARY)
    except OSError:
        return None
    found.dtmf_rx_init.restype = ctypes.c_void_p
    found.dtmf_rx_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    found.dtmf_rx.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    found.dtmf_rx_get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    found.dtmf_rx_get.restype = ctypes.c_size_t
    found.dtmf_rx_free.argtypes = [ctypes.c_void_p]
    return found


def keys_in(samples: NDArray[np.floating]) -> str:
    """The keys that spandsp hears, with its own defaults, in `samples` at 8 kHz on the int16 scale."""
    spandsp = library()
    assert spandsp is not None, f"{LIBRARY} is missing: install libspandsp2"
    whole = np.ascontiguousarray(np.clip(np.rint(samples), -32768, 32767), np.int16)
    state = spandsp.dtmf_rx_init(None, None, None)
    heard = ""
    try:
        for start in range(0, len(whole), FRAME):
            frame = whole[start : start + FRAME]
            spandsp.dtmf_rx(state, frame.ctypes.data, len(frame))
            keys = ctypes.create_string_buffer(MOST_KEYS + 1)
            spandsp.dtmf_rx_get(state, keys, MOST_KEYS)
            heard += keys.value.decode()
    finally:
        spandsp.dtmf_rx_free(state)
    return heard
