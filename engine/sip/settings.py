"""How the SIP agent is set up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How the agent listens. `listen` holds `transport:address:port`, transports udp, tcp and tls.

    `hundred_rel` (RFC 3262) and `session_timer` (RFC 4028) are off, optional or required. With `tls_ca`, a PEM file,
    those that we connect to by TLS have to prove who they are.
    """

    listen: tuple[str, ...]
    public_address: str = ""
    user_agent: str = "flexml-engine"
    max_calls: int = 2000
    hundred_rel: str = "optional"
    session_timer: str = "optional"
    log_level: int = 1
    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""
