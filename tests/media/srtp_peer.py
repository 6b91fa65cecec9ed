"""The other end of SRTP, by `openssl` and Python's hmac: RFC 3711 once more, sharing nothing with libsrtp.

AES in counter mode is a process for each packet, so it is for tests of few packets. `python -m pytest
tests/media/test_srtp.py` holds it against the vectors of RFC 3711 appendix B.
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
import subprocess
from typing import Final

import pytest

TAG_OCTETS: Final = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
CONTROL_TAG: Final = 10
RTP_HEADER: Final = 12
RTCP_HEADER: Final = 8


def need_openssl() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")


def counter_mode(key: bytes, start: int, data: bytes) -> bytes:
    """AES-CM (section 4.1.1): the keystream that counts up from the 128 bits `start`, over `data`."""
    command = ["openssl", "enc", "-aes-128-ctr", "-K", key.hex(), "-iv", start.to_bytes(16, "big").hex()]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def derive(master: bytes, label: int, octets: int) -> bytes:
    """A session key (section 4.3.1), with a key derivation rate of 0."""
    key, salt = master[:16], int.from_bytes(master[16:], "big")
    return counter_mode(key, (salt ^ label << 48) << 16, bytes(octets))


class SrtpPeer:
    """Protects with one master key and salt (30 octets), unprotects with the other."""

    def __init__(self, suite: str, *, ours: bytes, theirs: bytes) -> None:
        self._tag = TAG_OCTETS[suite]
        self._ours = [derive(ours, label, octets) for label, octets in enumerate((16, 20, 14, 16, 20, 14))]
        self._theirs = [derive(theirs, label, octets) for label, octets in enumerate((16, 20, 14, 16, 20, 14))]
        self._control_index = 0

    def protect(self, packet: bytes, rollovers: int = 0) -> bytes:
        """An RTP packet without CSRC and extension, as it goes over the wire."""
        body = packet[:RTP_HEADER] + self._crypt(self._ours[:3], packet, rollovers)
        return body + _tag(self._ours[1], body + rollovers.to_bytes(4, "big"))[: self._tag]

    def unprotect(self, packet: bytes, rollovers: int = 0) -> bytes:
        body, tag = packet[: -self._tag], packet[-self._tag :]
        assert tag == _tag(self._theirs[1], body + rollovers.to_bytes(4, "big"))[: self._tag]
        return body[:RTP_HEADER] + self._crypt(self._theirs[:3], body, rollovers)

    def protect_control(self, packet: bytes) -> bytes:
        self._control_index += 1
        return self.control(packet, self._control_index)

    def control(self, packet: bytes, index: int) -> bytes:
        """A compound packet under `index` (section 3.4)."""
        payload = _crypt(self._ours[3:], packet[4:8], index, packet[RTCP_HEADER:])
        body = packet[:RTCP_HEADER] + payload + (1 << 31 | index).to_bytes(4, "big")
        return body + _tag(self._ours[4], body)[:CONTROL_TAG]

    def unprotect_control(self, packet: bytes) -> tuple[bytes, int]:
        """The compound packet and its index."""
        body, tag = packet[:-CONTROL_TAG], packet[-CONTROL_TAG:]
        assert tag == _tag(self._theirs[4], body)[:CONTROL_TAG]
        flagged = int.from_bytes(body[-4:], "big")
        assert flagged >> 31, "RTCP goes out in clear"
        index = flagged & 0x7FFFFFFF
        return body[:RTCP_HEADER] + _crypt(self._theirs[3:], body[4:8], index, body[RTCP_HEADER:-4]), index

    def _crypt(self, keys: list[bytes], packet: bytes, rollovers: int) -> bytes:
        index = rollovers << 16 | int.from_bytes(packet[2:4], "big")
        return _crypt(keys, packet[8:12], index, packet[RTP_HEADER:])


def _crypt(keys: list[bytes], ssrc: bytes, index: int, payload: bytes) -> bytes:
    key, _, salt = keys
    start = int.from_bytes(salt, "big") << 16 ^ int.from_bytes(ssrc, "big") << 64 ^ index << 16
    return counter_mode(key, start, payload)


def _tag(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha1).digest()
