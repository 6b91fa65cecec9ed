"""What the application is told about the call (reference, sections Request Data; decisions, section 3).

Pure functions over `CallFacts`: the same call gives the same fields in every request, action data and
storage on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from ..redact import without_user_info
from ..sid import PARTNER_SID

API_VERSION: Final = "2.0"

_URLS: Final = ("RequestUrl", "PlaybackUrl", "ErrorUrl")
"""URLs that the host which is told them may not know the password of."""

_TOLD_HEADERS: Final = MappingProxyType({"call-id": "Call-ID", "i": "Call-ID", "contact": "Contact", "m": "Contact"})
"""Headers told beside every X- header, and their compact forms (RFC 3261 section 7.3.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFacts:
    """What is known about a call when a request is made.

    `from_` and `to` are E.164 without the plus, or the user part; the `original_` ones are as received.
    `sip_headers` is what `told_headers` makes of the INVITE's, for an inbound call. `results` are verbs' results that
    later requests carry, `storage` is what Store keeps. `no_answer` is how the status `noanswer` is spelled.
    """

    sid: str
    direction: Literal["inbound", "outbound"]
    from_: str
    to: str
    original_from: str
    original_to: str
    caller_name: str = ""
    forwarded_from: str = ""
    partner_sid: str = PARTNER_SID
    endpoint_sid: str = ""
    no_answer: str = "noanswer"
    sip_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    results: Mapping[str, object] = field(default_factory=dict[str, object])
    storage: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a call ended. `play_offset_ms` is where the last play was when it did; None if nothing was played."""

    status: Literal["busy", "cancel", "completed", "failed", "noanswer"]
    duration_s: int
    playback_url: str = ""
    play_offset_ms: int | None = None


def request_data(facts: CallFacts, *, request_url: str, data: Mapping[str, object] | None = None) -> dict[str, object]:
    """What a request for a document carries; `request_url` is the document that ran, `data` the verb's own."""
    told: dict[str, object] = {
        "AccountSid": "",
        "ApiVersion": API_VERSION,
        "CallerName": facts.caller_name,
        "CallSid": facts.sid,
        "CallStatus": "completed",
        "Direction": facts.direction,
        "From": facts.from_,
        "OriginalFrom": facts.original_from,
        "OriginalTo": facts.original_to,
        "RequestUrl": request_url,
        "To": facts.to,
        "PartnerSid": facts.partner_sid,
        "EndpointSid": facts.endpoint_sid,
    }
    if facts.forwarded_from:
        told["ForwardedFrom"] = facts.forwarded_from
    told.update(facts.sip_headers)
    told.update(facts.results)
    told.update({f"Storage_{name}": value for name, value in facts.storage.items()})
    told.update(data or {})
    if told["CallStatus"] == "noanswer":
        told["CallStatus"] = facts.no_answer
    told.update({name: without_user_info(str(told[name])) for name in _URLS if name in told})
    return told


def status_callback_data(
    facts: CallFacts, ending: Ending, *, request_url: str, request_method: str
) -> dict[str, object]:
    """What the status callback carries; `request_url` and `request_method` are the call's first."""
    data: dict[str, object] = {
        "CallStatus": ending.status,
        "CallDuration": ending.duration_s,
        "RequestMethod": request_method,
    }
    if ending.play_offset_ms is not None:
        data["PlaybackUrl"] = ending.playback_url
        data["PlayOffset"] = ending.play_offset_ms // 1000
    return request_data(facts, request_url=request_url, data=data)


def told_headers(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """`SipHeader_<Name>` for the headers that are told; repeated ones joined as RFC 3261 section 7.3.1 allows."""
    told: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower not in _TOLD_HEADERS and not lower.startswith("x-"):
            continue
        key = spelling.setdefault(lower, f"SipHeader_{_TOLD_HEADERS.get(lower, name)}")
        told[key] = f"{told[key]}, {value}" if key in told else value
    return told
