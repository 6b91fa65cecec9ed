"""Where the stack sends what is for a host name (RFC 3263 section 4.2), found without anybody waiting.

Left to itself pjsip asks for addresses on the thread that calls it, so a name server that does not answer would hold up
every call. It asks an external resolver instead where it has one, as built here for names only. pjsua2 has no words
for that: these are pjsip's own structures. As pjsip by itself, this looks for addresses only, not for SRV records.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import _pjsua2
import pjsua2 as pj

from ...names import Addresses, Names
from .binding import guarded

log = logging.getLogger("flexml.sip")

UNRESOLVED: Final = 70018
"""PJ_ERESOLVE, of which the stack makes 502."""
MOST: Final = 8
"""PJSIP_MAX_RESOLVED_ADDRESSES of scripts/config_site.h: pjsip copies as many, however few there are."""

_LIBRARY: Final = ctypes.CDLL(_pjsua2.__file__)
_LIBRARY.pjsua_get_pjsip_endpt.restype = ctypes.c_void_p
_LIBRARY.pjsip_endpt_set_ext_resolver.argtypes = [ctypes.c_void_p, ctypes.c_void_p]


class _Text(ctypes.Structure):
    """pj_str_t."""

    _fields_ = (("at", ctypes.c_void_p), ("length", ctypes.c_ssize_t))


class _Target(ctypes.Structure):
    """pjsip_host_info."""

    _fields_ = (("flag", ctypes.c_uint), ("type", ctypes.c_int), ("host", _Text), ("port", ctypes.c_int))


class _Place(ctypes.Structure):
    """pjsip_server_address_record; `address` is a sockaddr_in or sockaddr_in6."""

    _fields_ = (
        ("name", _Text), ("type", ctypes.c_int), ("priority", ctypes.c_uint), ("weight", ctypes.c_uint),
        ("address", ctypes.c_uint8 * 28), ("length", ctypes.c_int),
    )  # fmt: skip


class _Places(ctypes.Structure):
    """pjsip_server_addresses."""

    _fields_ = (("count", ctypes.c_uint), ("entry", _Place * MOST))


_TELL: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Places))
_RESOLVE: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_Target), ctypes.c_void_p, ctypes.c_void_p
)


class _External(ctypes.Structure):
    """pjsip_ext_resolver."""

    _fields_ = (("resolve", _RESOLVE),)


class Resolver:
    """Keep it for as long as the stack: that has its address."""

    def __init__(self) -> None:
        self._names = Names()
        self._asking: set[asyncio.Task[None]] = set()
        self._external = _External(_RESOLVE(self._asked))

    def attach(self) -> None:
        """Answer the stack from now on; it has to be initialised."""
        _LIBRARY.pjsip_endpt_set_ext_resolver(_LIBRARY.pjsua_get_pjsip_endpt(), ctypes.byref(self._external))

    def close(self) -> None:
        """Answer nothing any more: who has asked is being freed."""
        for task in self._asking:
            task.cancel()

    @guarded
    def _asked(self, _resolver: int, _pool: int, target: Any, token: int, tell: int) -> None:
        """Find where `target` is, and `tell`."""
        wanted: _Target = target.contents
        host = ctypes.string_at(wanted.host.at, wanted.host.length).decode(errors="surrogateescape")
        transport, port, told = _transport(wanted), wanted.port & 0xFFFF, _TELL(tell)

        def answer(found: Addresses) -> None:
            places = _places(host, transport, port, found)
            told(0, token, ctypes.byref(places))

        family = socket.AF_INET6 if transport & pj.PJSIP_TRANSPORT_IPV6 else socket.AF_UNSPEC
        asking = asyncio.get_running_loop().create_task(
            self._find(host, family, answer, lambda: told(UNRESOLVED, token, None))
        )
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _find(
        self, host: str, family: int, answer: Callable[[Addresses], None], fail: Callable[[], None]
    ) -> None:
        try:
            answer(await self._names.addresses(host, family))
        except OSError as error:
            log.warning("nothing can be sent to a host: %s", error)
            fail()


def _transport(wanted: _Target) -> int:
    """By which transport, where the URI does not say: the one that does what it asks for."""
    if wanted.type != pj.PJSIP_TRANSPORT_UNSPECIFIED:
        return wanted.type
    if wanted.flag & pj.PJSIP_TRANSPORT_SECURE:
        return pj.PJSIP_TRANSPORT_TLS
    return pj.PJSIP_TRANSPORT_TCP if wanted.flag & pj.PJSIP_TRANSPORT_RELIABLE else pj.PJSIP_TRANSPORT_UDP


def _places(host: str, transport: int, port: int, found: Sequence[tuple[socket.AddressFamily, str]]) -> _Places:
    """The addresses as the stack takes them; port 0 is the transport's own."""
    name = ctypes.create_string_buffer(host.encode(errors="surrogateescape"))
    places = _Places(count=min(len(found), MOST))
    places.name = name  # kept as long as what points to it
    for place, (family, address) in zip(places.entry, found, strict=False):
        version = pj.PJSIP_TRANSPORT_IPV6 if family == socket.AF_INET6 else 0
        place.type = transport & ~pj.PJSIP_TRANSPORT_IPV6 | version
        place.name = _Text(ctypes.addressof(name), len(name) - 1)
        wire = _wire(family, address, port or _LIBRARY.pjsip_transport_get_default_port_for_type(place.type))
        place.length = len(wire)
        ctypes.memmove(place.address, wire, len(wire))
    return places


def _wire(family: int, address: str, port: int) -> bytes:
    """A sockaddr_in, or a sockaddr_in6 (RFC 3493 section 3.3)."""
    plain, _, interface = address.partition("%")
    head = family.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big")
    octets = socket.inet_pton(family, plain)
    if family == socket.AF_INET:
        return head + octets + bytes(8)
    return head + bytes(4) + octets + (socket.if_nametoindex(interface) if interface else 0).to_bytes(4, sys.byteorder)
