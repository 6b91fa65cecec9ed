"""The objects of `/flexml/v1` as the API's description has them, and what a client may set of each.

A model of what may be set has the defaults that an object gets where a PUT leaves a field out.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..flexml.attributes import clean_url

MOST_DELAY_S: Final = 366 * 86400
LONGEST_URL: Final = 2048
WANTED_URL: Final = "expected an absolute http or https URL"


def _web_url(value: str | None) -> str | None:
    """The URL as it is requested; an empty one is none."""
    if not value or not value.strip():
        return None
    url = clean_url(value)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not _names_host(parts):
        raise ValueError(WANTED_URL)
    if len(url.encode()) > LONGEST_URL:
        raise ValueError(f"expected at most {LONGEST_URL} octets")
    return url


def _names_host(parts: SplitResult) -> bool:
    """Whether there is a host that may be looked up, and no port that there cannot be."""
    host = (parts.hostname or "").removesuffix(".")
    try:
        return parts.port != 0 and all(host.split(".")) and "%" not in host
    except ValueError:
        return False


def _some_web_url(value: str) -> str:
    """The URL as it is requested; there has to be one."""
    url = _web_url(value)
    if url is None:
        raise ValueError(WANTED_URL)
    return url


def _nothing_required(schema: dict[str, Any]) -> None:
    """`include_fields` and `exclude_fields` may leave out any field."""
    schema.pop("required", None)


SHOWN: Final = ConfigDict(json_schema_extra=_nothing_required)
"""The configuration of what is shown."""
MethodName = Literal["POST", "GET"]
WebUrl = Annotated[Annotated[str, Field(max_length=LONGEST_URL)] | None, AfterValidator(_web_url)]
Method = Annotated[MethodName, Field(description="How the URL is requested.")]
Sid = Annotated[str, Field(description="Identifies it: a UUID.")]
OwnerSid = Annotated[str, Field(description="The account whose it is.")]
Created = Annotated[str, Field(description="When it was made: UTC, ISO 8601, with milliseconds.")]
Attributes = Annotated[
    dict[str, Any],
    Field(
        default_factory=dict,
        description="`cnam` is the name shown to whom is called, `sip_header_X-…` are headers of the INVITE; "
        "others are kept, and mean nothing to the engine.",
    ),
]


class AccountChange(BaseModel):
    """What may be changed of an account."""

    error_handler: Literal["basic", "none"] = Field(
        "basic", description="What callers get when the application fails: a spoken apology, or what the carrier does."
    )
    method: Method = "POST"
    name: str = Field("", max_length=255, description="What people call it.")
    url: WebUrl = Field(None, description="The document for calls of numbers that have none of their own.")


class AccountObject(AccountChange):
    """An account: whose numbers and calls they are, and where its application is."""

    model_config = SHOWN

    account_sid: Sid
    date_created: Created
    login: str = Field(description="The user name of its requests.")


class DidChange(BaseModel):
    """What may be changed of a number."""

    method: Method = "POST"
    status_callback_method: Method = "POST"
    status_callback_url: WebUrl = Field(None, description="Told how each call of the number ended.")
    url: WebUrl = Field(None, description="The document for its calls; without one that of the account.")


class DidObject(DidChange):
    """A telephone number of the account."""

    model_config = SHOWN

    account_sid: OwnerSid
    country_code: str | None = Field(description="Its country, by ISO 3166-1 alpha-3; null where it is no country's.")
    did_sid: Sid
    in_country_format: str = Field(description="As it is written in its country.")
    international_format: str = Field(description="As it is written elsewhere.")
    phonenumber: str = Field(description="E.164, without the plus.")


class _CallSettings(BaseModel):
    called_did: str = Field(min_length=1, max_length=255, description="Whom to call: a number, or a SIP URI.")
    calling_did: str = Field(min_length=1, max_length=255, description="As whom: a DID of the account.")
    url: WebUrl = Field(None, description="The document that runs on answer; without one the DID's or account's.")
    method: Method = "POST"
    status_callback_url: WebUrl = Field(None, description="Told how the call ended; without one the DID's is.")
    status_callback_method: Method = "POST"
    attributes: Attributes


class CallChange(_CallSettings):
    """What may be set of a call that is not placed yet."""

    delay: float = Field(
        0,
        strict=True,
        ge=0,
        le=MOST_DELAY_S,
        allow_inf_nan=False,
        description="Seconds from now until it is placed.",
    )


class CallMove(BaseModel):
    """Where a live call goes on."""

    url: Annotated[str, AfterValidator(_some_web_url)] = Field(
        max_length=LONGEST_URL, description="The document that runs from now on."
    )
    method: Method = "POST"


class CallObject(_CallSettings):
    """A call: one that came in, or one that the engine places. From `state` on, only for `include_fields`."""

    model_config = SHOWN

    account_sid: OwnerSid
    call_sid: Sid
    date_created: Created
    delay: int = Field(description="Whole seconds that are left until it is placed; 0 once it is.")
    state: Literal["scheduled", "live", "ended"] | None = Field(None, description="Where in its life it is.")
    status: str | None = Field(
        None, description="How it ended: completed, busy, noanswer, failed, cancel; null before that."
    )
    direction: Literal["inbound", "outbound"] | None = Field(None, description="Who placed it: somebody else, or we.")
    duration: int | None = Field(None, description="Whole seconds from the answer to the end.")
    date_answered: str | None = Field(None, description="When it was answered; null before that.")
    date_ended: str | None = Field(None, description="When it ended; null before that.")


class Step(BaseModel):
    """A line of a call's timeline."""

    at: str = Field(description="When: UTC, ISO 8601, with milliseconds.")
    what: str = Field(description="What happened; docs/timeline.md explains each.")
    details: dict[str, Any] = Field(description="More about it, by name.")


class Steps(BaseModel):
    """A call's timeline."""

    items: list[Step] = Field(description="In the order in which it happened.")
