"""Trunks: which of them a number may take, whether each can take a call now, and whose a call from outside is.

Pure routing and state: no socket, no clock; what has happened is told, with the time where it is kept. Times
are seconds since the epoch. A trunk gets calls while it is registered (where it has to be), answers OPTIONS
(where it is asked) and has room. docs/trunks.md tells the rules in words.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from ..config import Trunk
from .address import Address, caller_uri, parse_address, quoted
from .addresses import ip_address, ip_network
from .events import TrunkLine

NO_ANSWER: Final = 0
"""The status where nothing could be sent: no route, no transport, no connection."""

FAIL_OVER: Final = (
    (range(NO_ANSWER, 1), True),
    (range(401, 402), True),  # it does not take our credentials, and those are for this trunk
    (range(407, 408), True),
    (range(408, 409), True),  # a timeout, of ours or of a proxy on the way
    (range(300, 500), False),  # the number is what is wrong, or who calls: another trunk would say the same
    (range(500, 600), True),
    (range(600, 700), False),  # RFC 3261 section 21.6: no other place will do better
)
"""Whether a call that ended with a status before it was answered goes on to the next trunk; the first fit decides."""

DEAD: Final = frozenset({408, 502, 503, 504})
"""Answers to OPTIONS that say that no call can be taken. Any other, an error too, comes from a trunk that lives."""


def should_fail_over(status: int) -> bool:
    """Whether the next trunk is to be tried after `status`, the final one of an INVITE; 0 where it had no answer."""
    return next((decision for statuses, decision in FAIL_OVER if status in statuses), False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkState:
    """How a trunk is. `reachable` is None where it is not asked, `max_calls` 0 where there is no limit."""

    name: str
    uri: str
    register: bool
    registered_until: float | None
    reachable: bool | None
    calls: int
    max_calls: int
    failure: str
    failed: float | None


@dataclass(kw_only=True, slots=True)
class _Line:
    trunk: Trunk
    registered_until: float | None = None
    reachable: bool = True
    calls: set[Hashable] = field(default_factory=set[Hashable])
    failure: str = ""
    failed: float | None = None

    @property
    def has_room(self) -> bool:
        return not self.trunk.max_calls or len(self.calls) < self.trunk.max_calls

    @property
    def usable(self) -> bool:
        registered = not self.trunk.register or self.registered_until is not None
        return registered and self.reachable and self.has_room


class Trunks:
    """All trunks of the configuration, in its order."""

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        self._lines = {trunk.name: _Line(trunk=trunk) for trunk in trunks}

    @property
    def all(self) -> tuple[Trunk, ...]:
        """Every trunk."""
        return tuple(line.trunk for line in self._lines.values())

    @property
    def hosts(self) -> frozenset[str]:
        """Where the trunks are."""
        return frozenset(_address(line.trunk).host for line in self._lines.values())

    def states(self) -> list[TrunkState]:
        """How every trunk is."""
        return [_state(line) for line in self._lines.values()]

    def state(self, name: str) -> TrunkState:
        """How one trunk is."""
        return _state(self._lines[name])

    # ---- calls out --------------------------------------------------------------------------------------------

    def route(self, number: str) -> list[Trunk]:
        """The trunks that can take a call to `number` (E.164, with or without +) now, in the order to try them.

        The longest prefix first; of equal ones the first in the file.
        """
        digits = number.removeprefix("+")
        fits = [(length, line) for line in self._lines.values() if (length := _fit(line.trunk, digits)) is not None]
        fits.sort(key=lambda fit: -fit[0])
        return [line.trunk for _, line in fits if line.usable]

    def has_room(self, name: str) -> bool:
        """Whether one more call is within the trunk's limit."""
        return self._lines[name].has_room

    def is_usable(self, name: str) -> bool:
        """Whether the trunk can take a call out now."""
        return self._lines[name].usable

    def take(self, name: str, call: Hashable) -> None:
        """Count a call, in or out, until `release` of the same: a dialog's number, or whatever stands for one."""
        self._lines[name].calls.add(call)

    def release(self, call: Hashable) -> None:
        """A call is over; harmless for one that no trunk carried."""
        for line in self._lines.values():
            line.calls.discard(call)

    def carrier_of(self, call: Hashable) -> Trunk | None:
        """The trunk that carries a call; None where none does."""
        return next((line.trunk for line in self._lines.values() if call in line.calls), None)

    def failed(self, name: str, failure: str, at: float) -> None:
        """Keep what went wrong last, to be shown."""
        line = self._lines[name]
        line.failure, line.failed = failure, at

    # ---- registration and keep-alive --------------------------------------------------------------------------

    def registered(self, name: str, until: float) -> None:
        """The trunk has taken our registration."""
        self._lines[name].registered_until = until

    def unregistered(self, name: str) -> None:
        """There is no registration, or none any more."""
        self._lines[name].registered_until = None

    def set_reachable(self, name: str, reachable: bool) -> bool:
        """Whether the trunk lives; True where that is news."""
        line = self._lines[name]
        before, line.reachable = line.reachable, reachable
        return before != reachable

    # ---- calls in ---------------------------------------------------------------------------------------------

    def at_address(self, source: str) -> Trunk | None:
        """The trunk whose `addresses` hold `source` (`address:port`, an IPv6 address in brackets or bare)."""
        host = source.rpartition(":")[0].strip("[]")
        try:
            address = ip_address(host)
        except ValueError:
            return None
        for trunk in self.all:
            if any(address in ip_network(network) for network in trunk.addresses):
                return trunk
        return None

    def of_user(self, username: str) -> Trunk | None:
        """The trunk whose calls bring these credentials."""
        return next((trunk for trunk in self.all if username and trunk.inbound_username == username), None)

    def known_as(self, user: str) -> bool:
        """Whether a registrar knows us by `user`: calls to it are for whom To names."""
        return any(trunk.register and _user(trunk) == user for trunk in self.all)

    @property
    def any_digest(self) -> bool:
        """Whether a call can prove by digest whose it is."""
        return any(trunk.inbound_username for trunk in self.all)


def _fit(trunk: Trunk, digits: str) -> int | None:
    """The length of the trunk's longest prefix of `digits`; None where it takes no such numbers."""
    if not trunk.prefixes:
        return 0
    return max((len(prefix) for prefix in trunk.prefixes if digits.startswith(prefix)), default=None)


def _state(line: _Line) -> TrunkState:
    trunk = line.trunk
    return TrunkState(
        name=trunk.name,
        uri=trunk.uri,
        register=trunk.register,
        registered_until=line.registered_until,
        reachable=line.reachable if trunk.options_s else None,
        calls=len(line.calls),
        max_calls=trunk.max_calls,
        failure=line.failure,
        failed=line.failed,
    )


# ---- what goes to a trunk -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """How a call is placed on a trunk: arguments of `SipAgent.invite`."""

    target: str
    from_uri: str
    display_name: str
    headers: tuple[tuple[str, str], ...]


def outgoing(trunk: Trunk, number: str, *, caller: str, name: str = "", host: str) -> Outgoing:
    """Say how `number` is called on `trunk`, for `caller` with the display `name`.

    `host` is our own address: who calls is an address of the carrier's only where it knows us as a user.
    """
    shown = caller if trunk.caller_id == "as_is" else trunk.caller_id
    domain = _domain(trunk) if trunk.username else host
    from_uri = caller_uri(shown, domain)
    shown_as = f"{quoted(name)}<{from_uri}>"
    headers = {
        "none": (),
        "pai": (("P-Asserted-Identity", shown_as),),
        "rpid": (("Remote-Party-ID", f"{shown_as};party=calling;privacy=off;screen=yes"),),
    }[trunk.identity if shown else "none"]
    target = _with_user(trunk.uri, quote(number, safe="+*#"))
    return Outgoing(target=target, from_uri=from_uri, display_name=name, headers=headers)


def by_tcp(target: str) -> str:
    """Say how `target` is reached with what is too long for UDP (RFC 3261 section 18.1.1)."""
    address = parse_address(target)
    if address is None or address.scheme != "sip" or address.params.get("transport", "udp").lower() != "udp":
        return target
    return re.sub(";transport=udp", "", target, flags=re.IGNORECASE) + ";transport=tcp"


def line_of(trunk: Trunk) -> TrunkLine:
    """What the SIP agent has to know of a trunk."""
    return TrunkLine(
        name=trunk.name,
        uri=_with_user(trunk.uri, ""),
        identity=f"{trunk.uri.partition(':')[0]}:{quote(_user(trunk), safe='+*#')}@{_domain(trunk)}",
        username=trunk.username,
        password=trunk.password,
        register=trunk.register,
        expires_s=trunk.expires_s,
        answer_s=trunk.answer_s,
    )


def _user(trunk: Trunk) -> str:
    """Who we are there: the user in the trunk's URI, or else the username."""
    return _address(trunk).user or trunk.username or "flexml"


def _with_user(uri: str, user: str) -> str:
    scheme, _, rest = uri.partition(":")
    place = rest.rpartition("@")[2]
    return f"{scheme}:{user}@{place}" if user else f"{scheme}:{place}"


def _address(trunk: Trunk) -> Address:
    return parse_address(trunk.uri) or Address(scheme="sip", user="", host=trunk.uri.partition(":")[2])


def _domain(trunk: Trunk) -> str:
    """Whose users we are: the host in the trunk's URI. From and To carry no port (RFC 3261 section 19.1.1)."""
    host = _address(trunk).host
    return f"[{host}]" if ":" in host else host
