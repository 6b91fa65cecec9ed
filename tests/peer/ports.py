"""Ports for the programs of the tests: each is given out once, and none is one that the kernel gives to others.

A port that was only tried is anybody's until the program binds it: SIPp takes its time, and two dozen of them start at
once. So each of the following goes on where the last one ended, below the ports that `bind` to port 0 and connections
get (32768 and up, /proc/sys/net/ipv4/ip_local_port_range).
"""

import os
import socket
import threading
from contextlib import ExitStack, suppress
from typing import Final

FIRST: Final = 10000
LAST: Final = 19999
FIRST_RTP: Final = 20000
LAST_RTP: Final = 32000
RTP_PORTS: Final = 400

_giving: Final = threading.Lock()
_next: Final = [FIRST + os.getpid() * 37 % (LAST - FIRST)]
_next_rtp: Final = [FIRST_RTP + os.getpid() % 30 * RTP_PORTS]


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """A port of 127.0.0.1 that nobody has."""
    return _free((kind,))


def free_block(count: int) -> int:
    """An even port from which on `count` are free: SIPp binds RTP and RTCP for audio and for video in a row."""
    return _free(*[(socket.SOCK_DGRAM,)] * count, even=True)


def free_sip_port(address: str = "127.0.0.1") -> int:
    """A port that is free for UDP and for TCP, and the next one for TCP: baresip takes that for TLS."""
    return _free((socket.SOCK_DGRAM, socket.SOCK_STREAM), (socket.SOCK_STREAM,), address=address)


def rtp_block(count: int) -> int:
    """The first of `count` ports that no engine has which was made lately."""
    with _giving:
        first = _next_rtp[0] if _next_rtp[0] + count <= LAST_RTP else FIRST_RTP
        _next_rtp[0] = first + count
    return first


def _free(*wanted: tuple[int, ...], even: bool = False, address: str = "127.0.0.1") -> int:
    """The first of ports in a row, each free for the kinds of socket that are wanted of it."""
    for _ in range(FIRST, LAST):
        with _giving:
            first = _next[0] + (_next[0] % 2 if even else 0)
            first = first if first + len(wanted) <= LAST else FIRST
            _next[0] = first + len(wanted)
        with ExitStack() as probes, suppress(OSError):
            for port, kinds in enumerate(wanted, first):
                for kind in kinds:
                    probes.enter_context(socket.socket(socket.AF_INET, kind)).bind((address, port))
            return first
    raise AssertionError(f"no {len(wanted)} ports in a row are free from {FIRST} to {LAST}")
