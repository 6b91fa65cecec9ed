"""The rows of accounts, numbers, calls and callbacks: frozen dataclasses whose fields are the columns.

Times are Unix seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final, Literal

from .redact import storable_text
from .tables import INDEXED_OCTETS

LONGEST_NUMBER: Final = 255
"""Characters that are kept of a number: peers may send thousands, which no index takes."""
CallbackState = Literal["pending", "delivered", "failed"]


# ---- what the configuration names ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountEntry:
    """An account as the configuration file has it."""

    login: str
    password: str
    name: str = ""
    url: str | None = None
    method: str = "POST"
    error_handler: str = "basic"
    fallback_url: str | None = None
    caller_ids: tuple[str, ...] = ()
    detector: str = ""
    no_answer: str = "noanswer"
    sms_route: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DidEntry:
    """A number as the configuration file has it; `account` is a login."""

    phonenumber: str
    account: str
    url: str | None = None
    method: str = "POST"
    status_callback_url: str | None = None
    status_callback_method: str = "POST"
    fallback_url: str | None = None


# ---- rows ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account. `password_hash` is what `password.verify_password` takes."""

    sid: str
    login: str
    password_hash: str = field(repr=False)
    name: str = ""
    url: str | None = None
    method: str = "POST"
    error_handler: str = "basic"
    fallback_url: str | None = None
    caller_ids: tuple[str, ...] = ()
    detector: str = ""
    no_answer: str = "noanswer"
    """How that status is spelt to this account's applications: `noanswer`, or `no-answer` for old ones."""
    sms_route: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Did:
    """A phone number; `account` is the sid of its account."""

    sid: str
    phonenumber: str
    account: str
    url: str | None = None
    method: str = "POST"
    status_callback_url: str | None = None
    status_callback_method: str = "POST"
    fallback_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """A call: scheduled, live or ended. `created` is when it was asked for, `due` when it is to be placed.

    `duration_s` counts from the answer. `callback` is url, method and data of the status callback that is due if the
    process dies before the call ends, `order` the order of a call that the engine places.
    """

    sid: str
    account: str
    direction: str
    from_number: str
    to_number: str
    state: str
    started: float
    created: float = 0.0
    due: float | None = None
    answered: float | None = None
    ended: float | None = None
    status: str | None = None
    duration_s: int = 0
    callback: dict[str, Any] | None = None
    order: dict[str, Any] | None = None
    owner: str = ""
    """The engine that it lives on, or ended on; nobody's while it waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """A request that must reach the application; `sid` is its delivery id, the same over all attempts."""

    sid: str
    url: str
    method: str
    data: dict[str, Any]
    created: float
    state: CallbackState = "pending"
    attempts: int = 0
    error: str = ""


# ---- as they are written ------------------------------------------------------------------------------------


def call_row(call: CallRecord) -> dict[str, Any]:
    """What is kept of a call: all of it, and what its order says once more, as lists are filtered by it.

    Whom it calls is kept as a number, or as the SIP URI that the order has: what is shown can be ordered again.
    """
    order = call.order or {}
    called = str(order.get("called_did", ""))
    return {
        **columns(call),
        "from_number": storable_text(call.from_number)[:LONGEST_NUMBER],
        "to_number": storable_text(called if called.lower().startswith("sip") else call.to_number)[:LONGEST_NUMBER],
        "url": order.get("url"),
        "method": order.get("method", "POST"),
        "status_callback_url": order.get("status_callback_url"),
        "status_callback_method": order.get("status_callback_method", "POST"),
        **_indexed(as_texts(order.get("attributes", {}))),
    }


def _indexed(attributes: Any) -> dict[str, Any]:
    """The attributes in the column that indexes have, or in the other one where they are too long for that."""
    is_long = bool(attributes) and len(json.dumps(attributes, ensure_ascii=False).encode()) > INDEXED_OCTETS
    return {"attributes": None if is_long else attributes, "attributes_long": attributes if is_long else None}


def columns(row: CallRecord | Callback) -> dict[str, Any]:
    """The row's fields as they are: `asdict` would copy all that is in them."""
    return {name: getattr(row, name) for name in _names(type(row))}


@cache
def _names(kind: type[CallRecord | Callback]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def as_texts(value: Any) -> Any:
    """An object with every value in it as text, as filters compare it, in every database alike; null stays null."""
    if isinstance(value, dict):
        return {storable_text(name): as_texts(part) for name, part in value.items()}
    if value is None:
        return None
    if isinstance(value, str):
        return storable_text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
