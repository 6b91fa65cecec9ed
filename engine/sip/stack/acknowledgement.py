"""What ACK says, which brings the answer to an offer that our 2xx to a re-INVITE made (RFC 3261 section 13.2.1).

pjsua2 shows an ACK only where it is the first of its dialog, and of later answers no more than that there was one. So
requests are looked at here before the stack takes them, as one of its own modules does that, while a dialog needs it.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import _pjsua2
import pjsua2 as pj

PRIORITY: Final = 12
"""Behind the transports (8), before the transactions (16): nobody has taken the request yet."""

_LIBRARY: Final = ctypes.CDLL(_pjsua2.__file__)
_LIBRARY.pjsua_get_pjsip_endpt.restype = ctypes.c_void_p
_LIBRARY.pjsip_endpt_register_module.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_LIBRARY.pjsip_rx_data_get_info.argtypes = [ctypes.c_void_p]
_LIBRARY.pjsip_rx_data_get_info.restype = ctypes.c_char_p
_READ: Final = _LIBRARY._ZN2pj9SipRxData6fromPjER13pjsip_rx_data  # pj::SipRxData::fromPj
_READ.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_READ.restype = None

_TAKE: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class _Module(ctypes.Structure):
    """pjsip_module."""

    _fields_ = (
        ("previous", ctypes.c_void_p), ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p), ("name_length", ctypes.c_ssize_t),
        ("id", ctypes.c_int), ("priority", ctypes.c_int),
        ("load", ctypes.c_void_p), ("start", ctypes.c_void_p), ("stop", ctypes.c_void_p), ("unload", ctypes.c_void_p),
        ("on_rx_request", _TAKE), ("on_rx_response", ctypes.c_void_p),
        ("on_tx_request", ctypes.c_void_p), ("on_tx_response", ctypes.c_void_p), ("on_tsx_state", ctypes.c_void_p),
    )  # fmt: skip


class Acknowledgement:
    """Keep it for as long as the stack: that has its address."""

    def __init__(self) -> None:
        name = b"mod-flexml-ack"
        self._module = _Module(
            name=name, name_length=len(name), id=-1, priority=PRIORITY, on_rx_request=_TAKE(self._look)
        )
        self.expected: set[int] = set()
        """Dialogs in which an ACK may bring an answer; while there are none, no ACK is read."""
        self.latest = ""
        """The text of the ACK that came last, which is the one that the stack is at."""

    def attach(self) -> None:
        """Look at requests from now on; the stack has to be initialised."""
        _LIBRARY.pjsip_endpt_register_module(_LIBRARY.pjsua_get_pjsip_endpt(), ctypes.byref(self._module))

    def _look(self, request: int) -> int:
        """Leave every request to the others."""
        if self.expected and _LIBRARY.pjsip_rx_data_get_info(request).startswith(b"Request msg ACK/"):
            read: Any = pj.SipRxData()
            _READ(int(read.this), request)
            self.latest = read.wholeMsg
        return 0
