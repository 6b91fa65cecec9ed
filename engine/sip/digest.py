"""Digest authentication of who calls: RFC 3261 section 22, with the arithmetic of RFC 7616 (MD5, qop "auth").

The server's side only; what we answer to a carrier's challenge is the SIP stack's. A nonce says when it was
made and cannot be made by others; it serves one request, within its lifetime. Header values come from peers,
so reading them never raises; octets that are no UTF-8 are hashed as they came.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Final, Literal

from .address import parse_address, user_part

LIFETIME_S: Final = 60
REALM: Final = "flexml"
Verdict = Literal["right", "wrong", "stale"]

_PARAMETER: Final = re.compile(r'(?<![A-Za-z])([A-Za-z]++)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """An Authorization header: its parameters, names in lower case."""

    parameters: Mapping[str, str]

    @property
    def username(self) -> str:
        """Who they say they are."""
        return self.parameters.get("username", "")


def read_credentials(headers: Iterable[tuple[str, str]], realm: str = REALM) -> Credentials | None:
    """The first digest Authorization for our realm; None without one."""
    for name, value in headers:
        if name.lower() != "authorization":
            continue
        scheme, _, rest = value.strip().partition(" ")
        if scheme.lower() != "digest":
            continue
        found = {match[1].lower(): re.sub(r"\\(.)", r"\1", match[2] or "") or match[3] or ""
                 for match in _PARAMETER.finditer(rest)}  # fmt: skip
        if found.get("realm") == realm:
            return Credentials(parameters=found)
    return None


class Challenger:
    """Makes challenges and judges what comes back. `clock` gives seconds; `secret` is known to nobody else."""

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._secret, self._clock = secret, clock
        self._used: dict[str, float] = {}

    def challenge(self, *, stale: bool = False) -> str:
        """The value of WWW-Authenticate."""
        again = ", stale=true" if stale else ""
        return f'Digest realm="{REALM}", nonce="{self._nonce(self._now_ms())}", algorithm=MD5, qop="auth"{again}'

    def judge(self, given: Credentials, *, method: str, request_uri: str, password: str) -> Verdict:
        """Whether `given` proves to know `password`; `stale` where it does, but with a nonce past its time or used."""
        told = given.parameters
        if told.get("algorithm", "MD5").upper() != "MD5" or told.get("qop", "").lower() != "auth":
            return "wrong"
        # A proxy on the way may change the host of the Request-URI, and some peers leave out the user; one that is
        # there says whom the call was meant for.
        meant = parse_address(told.get("uri", ""))
        if meant is None or meant.user not in ("", user_part(request_uri)):
            return "wrong"
        expected = response(told, method=method, password=password)
        if not hmac.compare_digest(expected.encode(), _octets(told.get("response", "").lower())):
            return "wrong"
        return "right" if self._spend(told.get("nonce", "")) else "stale"

    def _spend(self, nonce: str) -> bool:
        """True once for each nonce of ours that is young enough."""
        now = self._now_ms()
        made, _, _ = nonce.partition("-")
        if not re.fullmatch(r"[0-9]{1,16}", made) or not hmac.compare_digest(
            _octets(nonce), self._nonce(int(made)).encode()
        ):
            return False
        oldest = now - LIFETIME_S * 1000
        self._used = {used: at for used, at in self._used.items() if at >= oldest}
        if int(made) < oldest or nonce in self._used:
            return False
        self._used[nonce] = int(made)
        return True

    def _nonce(self, made_ms: int) -> str:
        return f"{made_ms}-{hmac.new(self._secret, str(made_ms).encode(), sha256).hexdigest()[:32]}"

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def response(told: Mapping[str, str], *, method: str, password: str) -> str:
    """The `response` that fits the other parameters (RFC 7616 section 3.4.1)."""

    def digest(*parts: str) -> str:
        return md5(_octets(":".join(parts)), usedforsecurity=False).hexdigest()

    def get(name: str) -> str:
        return told.get(name, "")

    secret = digest(get("username"), get("realm"), password)
    message = digest(method, get("uri"))
    return digest(secret, get("nonce"), get("nc"), get("cnonce"), get("qop"), message)


def _octets(text: str) -> bytes:
    """A header's text as it came: the SIP stack gives octets that are no UTF-8 as lone surrogates (PEP 383)."""
    return text.encode(errors="surrogateescape")
