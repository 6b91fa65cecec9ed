"""Who may call: an INVITE is a trunk's by the address it comes from or by its digest credentials (RFC 3261 section 22).

With `[sip] inbound = "trunks"` whatever is nobody's gets 403, or a challenge where a trunk has credentials that it
could prove. With "any" it is admitted too. Calls of a trunk count against its limit: one too many gets 503, on
which a carrier goes elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from .config import Trunk
from .registry import Refusal, Registry
from .sip.digest import Challenger, read_credentials
from .sip.events import Invited, LiveCall
from .sip.trunks import Trunks

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NO_ROOM: Final = 503

Admit = Callable[[Invited], LiveCall | Refusal]


class TrunkGate:
    """Stands before `admit`."""

    def __init__(self, trunks: Trunks, challenger: Challenger, admit: Admit, *, anybody: bool) -> None:
        self._trunks, self._challenger, self._admit, self._anybody = trunks, challenger, admit, anybody

    def admit(self, invite: Invited) -> LiveCall | Refusal:
        """Admit an INVITE, or say why not. Raises what `admit` raises."""
        trunk = self._trunks.at_address(invite.source) or self._by_digest(invite)
        if isinstance(trunk, Refusal):
            return trunk
        if trunk is None:
            return self._admit(invite)
        if not self._trunks.has_room(trunk.name):
            return Refusal(status=NO_ROOM, why=f"trunk {trunk.name} has its {trunk.max_calls} calls")
        self._trunks.take(trunk.name, invite.dialog)  # until the dialog ends, refused or not
        return self._admit(invite)

    def _by_digest(self, invite: Invited) -> Trunk | Refusal | None:
        """The trunk that the credentials prove; None for nobody where anybody may call."""
        if not self._trunks.any_digest:
            return None if self._anybody else Refusal(status=FORBIDDEN, why="no trunk has this address")
        given = read_credentials(invite.headers)
        trunk = self._trunks.of_user(given.username) if given else None
        if given and trunk:
            verdict = self._challenger.judge(
                given, method="INVITE", request_uri=invite.request_uri, password=trunk.inbound_password
            )
            if verdict == "right":
                return trunk
            if verdict == "stale":
                return self._challenge("the nonce is past its time", stale=True)
        if self._anybody:
            return None
        if given:
            return Refusal(status=FORBIDDEN, why=f"wrong credentials for {given.username!r}")
        return self._challenge("credentials are asked for")

    def _challenge(self, why: str, *, stale: bool = False) -> Refusal:
        header = self._challenger.challenge(stale=stale)
        return Refusal(status=UNAUTHORIZED, why=why, headers={"WWW-Authenticate": header})


def guard(registry: Registry, trunks: Trunks, *, anybody: bool, clock: Callable[[], float]) -> None:
    """Put a gate before what `registry` admits, and take calls off their trunks when they are over."""
    challenger = Challenger(secrets.token_bytes(32), clock)
    registry.admit = TrunkGate(trunks, challenger, registry.admit, anybody=anybody).admit
    registry.ended = trunks.release
