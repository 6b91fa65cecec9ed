"""The objects of `/core/v2` as the API's description has them, and what may be set of each.

What the reference's endpoint has, and this engine does not, is there all the same, so that clients find it: empty.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ...provisioning import read_login, read_number
from ..objects import SHOWN, DidChange, DidObject, Sid
from .partner import PartnerSid

Password = Annotated[str, Field(min_length=8, max_length=255)]
EndpointSid = Annotated[str, Field(description="The endpoint whose it is: a UUID.")]


class NewProperties(BaseModel):
    """How the account of a new endpoint logs in."""

    model_config = ConfigDict(extra="forbid")

    login: Annotated[str, AfterValidator(read_login)] | None = Field(
        None, description="Visible ASCII characters other than a colon; made up where it is missing."
    )
    password: Password | None = Field(None, description="8 to 255 characters; made up where it is missing.")


class ChangedProperties(BaseModel):
    """What may be changed of how an account logs in."""

    model_config = ConfigDict(extra="forbid")

    password: Password | None = Field(None, description="A new one, 8 to 255 characters; without it the old one stays.")


class EndpointChange(BaseModel):
    """What may be changed of an endpoint."""

    attributes: dict[str, Any] = Field(
        default_factory=dict, description="Whatever is to be kept with it; means nothing to the engine."
    )
    name: str = Field("", max_length=255, description="What people call it; the name of its account, too.")
    properties: ChangedProperties = Field(
        ChangedProperties(password=None), description="How its account logs in from now on."
    )


class EndpointCreate(BaseModel):
    """What may be set of a new endpoint."""

    attributes: dict[str, Any] = Field(
        default_factory=dict, description="Whatever is to be kept with it; means nothing to the engine."
    )
    name: str = Field("", max_length=255, description="What people call it; the name of its account, too.")
    properties: NewProperties = Field(
        NewProperties(login=None, password=None), description="How its account is to log in."
    )
    type: Literal["flexml"] = Field(description="What answers its calls: this engine has FlexML, and nothing else.")


class EndpointProperties(BaseModel):
    """The account of an endpoint."""

    account_sid: str = Field(description="The account: the same UUID as the endpoint's.")
    api_url: str = Field(description="Where the account finds its API.")
    container_sid: str | None = Field(
        description="The container for files that name none: a UUID; null while it has none."
    )
    login: str = Field(description="The user name of its requests.")
    password: str | None = Field(
        description="Its password, where this request has set it; null in all other answers: only a hash is kept."
    )


class EndpointObject(BaseModel):
    """An endpoint: an account, as the provider sees it."""

    model_config = SHOWN

    addresses: list[str] = Field(description="Always empty: an endpoint is reached by its numbers.")
    attributes: dict[str, Any] = Field(description="What was kept with it.")
    capacity: int = Field(description="Always 0: calls are not limited by endpoint.")
    endpoint_sid: Sid
    name: str = Field(description="What people call it.")
    out_sip_password: str | None = Field(description="Always null: calls go out by the engine's trunks.")
    out_sip_username: str | None = Field(description="Always null, for the same reason.")
    partner_sid: PartnerSid
    properties: EndpointProperties = Field(description="Its account.")
    transformations: list[str] = Field(description="Always empty: numbers are used as they are.")
    type: Literal["flexml"] = Field(description="What answers its calls.")
    voip_token: str | None = Field(description="Always null: the engine has no such tokens.")


class CoreDidChange(DidChange):
    """What may be changed of a number."""

    endpoint_sid: EndpointSid


class CoreDidCreate(CoreDidChange):
    """What may be set of a new number."""

    phonenumber: Annotated[str, AfterValidator(read_number)] = Field(
        max_length=16, description="E.164: 3 to 15 digits, with or without a plus."
    )


class CoreDidObject(DidObject):
    """A telephone number, and whose it is."""

    endpoint_sid: EndpointSid
