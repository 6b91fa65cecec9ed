"""libsrtp 2 by ctypes: sessions of RFC 3711 that protect and unprotect one packet at a time, in place.

A session is one direction under one master key; each SSRC has its own rollover counter and replay list in it. The
library reads any octets it is given and answers with a status; it neither waits nor raises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Final

LIBRARY: Final = "libsrtp2.so.1"
KEY_OCTETS: Final = 30
"""A master key of 16 octets and a master salt of 14 (RFC 4568 section 6.2)."""

TRAILER: Final = 144
"""Octets that the library may write behind a packet that it protects (SRTP_MAX_TRAILER_LEN); what it adds is less."""

TAG_OCTETS: Final = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
"""Suites by name, and what each adds to an RTP packet (RFC 4568 section 6.2)."""

CONTROL_TRAILER: Final = 14
"""What either suite adds to RTCP: the index, and a tag of 80 bits (RFC 4568 section 6.2.2)."""

_FILL: Final = {
    "AES_CM_128_HMAC_SHA1_80": "srtp_crypto_policy_set_rtp_default",
    "AES_CM_128_HMAC_SHA1_32": "srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32",
}
_SSRC_SPECIFIC: Final = 1
_ANY_INBOUND: Final = 2
_ANY_OUTBOUND: Final = 3
_WINDOW: Final = 1024
"""Packets that may come late and still be told from replays; what the jitter buffer can use is far less."""


class SrtpError(ValueError):
    """The library is missing, or refused what it was given."""


class _CryptoPolicy(ctypes.Structure):
    _fields_ = (
        ("cipher_type", ctypes.c_uint32),
        ("cipher_key_len", ctypes.c_int),
        ("auth_type", ctypes.c_uint32),
        ("auth_key_len", ctypes.c_int),
        ("auth_tag_len", ctypes.c_int),
        ("sec_serv", ctypes.c_int),
    )


class _Policy(ctypes.Structure):
    _fields_ = (
        ("ssrc_type", ctypes.c_int),
        ("ssrc_value", ctypes.c_uint),
        ("rtp", _CryptoPolicy),
        ("rtcp", _CryptoPolicy),
        ("key", ctypes.c_char_p),
        ("keys", ctypes.c_void_p),
        ("num_master_keys", ctypes.c_ulong),
        ("deprecated_ekt", ctypes.c_void_p),
        ("window_size", ctypes.c_ulong),
        ("allow_repeat_tx", ctypes.c_int),
        ("enc_xtn_hdr", ctypes.c_void_p),
        ("enc_xtn_hdr_count", ctypes.c_int),
        ("next", ctypes.c_void_p),
    )


@cache
def library() -> ctypes.CDLL:
    """Return the library, loaded and initialised at first use. SrtpError where that cannot be."""
    try:
        lib = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise SrtpError(f"{LIBRARY} cannot be loaded: {error}") from error
    session, number = ctypes.c_void_p, ctypes.c_int
    for name in ("protect", "unprotect", "protect_rtcp", "unprotect_rtcp"):
        getattr(lib, f"srtp_{name}").argtypes = [session, ctypes.c_void_p, ctypes.POINTER(number)]
    for fill in (*_FILL.values(), "srtp_crypto_policy_set_rtcp_default"):
        getattr(lib, fill).argtypes = [ctypes.POINTER(_CryptoPolicy)]
    lib.srtp_create.argtypes = [ctypes.POINTER(session), ctypes.POINTER(_Policy)]
    lib.srtp_dealloc.argtypes = [session]
    lib.srtp_add_stream.argtypes = [session, ctypes.POINTER(_Policy)]
    lib.srtp_remove_stream.argtypes = [session, ctypes.c_uint]
    lib.srtp_set_stream_roc.argtypes = [session, ctypes.c_uint32, ctypes.c_uint32]
    lib.srtp_get_stream_roc.argtypes = [session, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]
    if status := lib.srtp_init():
        raise SrtpError(f"{LIBRARY} did not start: status {status}")
    return lib


class Session:
    """One direction under `key`, 30 octets, with `suite`. SrtpError if either is not as it must be."""

    def __init__(self, suite: str, key: bytes, *, inbound: bool) -> None:
        if suite not in TAG_OCTETS:
            raise SrtpError(f"suite: expected {' or '.join(TAG_OCTETS)}, found {suite!r}")
        if len(key) != KEY_OCTETS:
            raise SrtpError(f"key: expected {KEY_OCTETS} octets, found {len(key)}")
        lib = self._lib = library()
        policy = self._policy = _Policy(key=key, window_size=_WINDOW)
        policy.ssrc_type = _ANY_INBOUND if inbound else _ANY_OUTBOUND
        getattr(lib, _FILL[suite])(ctypes.byref(policy.rtp))
        lib.srtp_crypto_policy_set_rtcp_default(ctypes.byref(policy.rtcp))
        self._session = ctypes.c_void_p()
        if status := lib.srtp_create(ctypes.byref(self._session), ctypes.byref(policy)):
            raise SrtpError(f"{LIBRARY} made no session: status {status}")
        self._length = ctypes.c_int()
        self._length_at = ctypes.byref(self._length)

    def __del__(self) -> None:
        if getattr(self, "_session", None):
            self._lib.srtp_dealloc(self._session)

    def protect(self, address: int, length: int) -> int:
        """Protect the RTP packet of `length` octets at `address`, with TRAILER octets free behind; its new length.

        0 if it must not be sent.
        """
        return self._call(self._lib.srtp_protect, address, length)

    def unprotect(self, address: int, length: int) -> int:
        """Check and decrypt the packet at `address`; its new length, or 0 for forgeries, replays and rubbish."""
        return self._call(self._lib.srtp_unprotect, address, length)

    def protect_control(self, address: int, length: int) -> int:
        """As `protect`, for an RTCP compound packet."""
        return self._call(self._lib.srtp_protect_rtcp, address, length)

    def unprotect_control(self, address: int, length: int) -> int:
        """As `unprotect`, for an RTCP compound packet."""
        return self._call(self._lib.srtp_unprotect_rtcp, address, length)

    def add(self, ssrc: int) -> bool:
        """Expect `ssrc` before it is heard, so that its rollover counter can be set."""
        self._policy.ssrc_type, self._policy.ssrc_value = _SSRC_SPECIFIC, ssrc
        return self._lib.srtp_add_stream(self._session, ctypes.byref(self._policy)) == 0

    def forget(self, ssrc: int) -> None:
        """Drop what is known of `ssrc`."""
        self._lib.srtp_remove_stream(self._session, _network_order(ssrc))

    def set_rollover(self, ssrc: int, rollovers: int) -> None:
        """Take it that the sequence numbers of `ssrc`, added before, have wrapped so many times."""
        self._lib.srtp_set_stream_roc(self._session, ssrc, rollovers)

    def rollover(self, ssrc: int) -> int:
        """How often the sequence numbers of `ssrc` have wrapped; 0 if it is not known."""
        found = ctypes.c_uint32()
        return 0 if self._lib.srtp_get_stream_roc(self._session, ssrc, ctypes.byref(found)) else found.value

    def _call(self, function: Callable[..., Any], address: int, length: int) -> int:
        self._length.value = length
        return 0 if function(self._session, address, self._length_at) else self._length.value


def _network_order(ssrc: int) -> int:
    """`srtp_remove_stream` alone wants it as it lies in the packet."""
    return int.from_bytes(ssrc.to_bytes(4, "big"), "little")
