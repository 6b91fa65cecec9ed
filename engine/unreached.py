"""Why no HTTP answer came, in words that need no knowledge of aiohttp."""

from __future__ import annotations

import os

import aiohttp


def why_unreached(error: Exception) -> str:
    """What the error says: which name has no address, which port nobody listens on, where TLS failed."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"no address for {error.os_error.strerror or error.os_error}"
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host}:{error.port} is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS with {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before an answer was there"
        case _:
            return f"{type(error).__name__}: {error}"


def _reason(error: OSError) -> str:
    """The system's own words, without the address that asyncio adds to them."""
    return os.strerror(error.errno) if error.errno else str(error)
