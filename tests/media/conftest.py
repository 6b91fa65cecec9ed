"""What tests of several media modules share: the captures that SIPp plays, as somebody else's RTP."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # key_signals lies beside this file

FOLDER = Path("/usr/share/sip-tester")
ETHERNET_IPV4_UDP = 14 + 20 + 8

Capture = list[tuple[float, bytes]]  # seconds, RTP packet


@pytest.fixture
def sipp_capture() -> Callable[[str], Capture]:
    """Return a reader of SIPp's captures by name; it skips the test where SIPp is not installed."""

    def read(name: str) -> Capture:
        path = FOLDER / name
        if not path.exists():
            pytest.skip(f"{path} is missing: install sip-tester")
        octets = path.read_bytes()
        order = "<" if octets[:4] == b"\xd4\xc3\xb2\xa1" else ">"
        packets: Capture = []
        at = 24
        while at < len(octets):
            seconds, micros, kept, _ = struct.unpack_from(order + "IIII", octets, at)
            packets.append((seconds + micros / 1e6, octets[at + 16 + ETHERNET_IPV4_UDP : at + 16 + kept]))
            at += 16 + kept
        return packets

    return read
