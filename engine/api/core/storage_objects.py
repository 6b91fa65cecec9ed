"""Containers and files of `/core/v2/storage` as the API's description has them, and what may be set of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ..objects import Created, OwnerSid, Sid
from .partner import PartnerSid

MOST_INTEGER = 2**53 - 1
"""As far as every JSON reader goes."""
Modified = Annotated[str, Field(description="When it was last changed: UTC, ISO 8601, with milliseconds.")]
Name = Annotated[str, Field(max_length=255, description="What people call it.")]
Quota = Annotated[
    Annotated[int, Field(ge=0, le=MOST_INTEGER)] | None,
    Field(description="How many octets its files may have together; null for any number."),
]
TextKey = Annotated[Annotated[str, Field(max_length=1024)] | None, Field(description="Whatever is to be kept with it.")]
NumberKey = Annotated[
    Annotated[int, Field(ge=-MOST_INTEGER, le=MOST_INTEGER)] | None, Field(description="Any number to be kept with it.")
]
Ttl = Annotated[
    Annotated[int, Field(ge=0, le=100 * 366 * 86400)] | None,
    Field(description="Seconds after its content was last written when `lifecycle_action` is due; null for never."),
]
Action = Annotated[Literal["delete"], Field(description="What happens then.")]
Account = Annotated[
    str | None,
    Field(description="Whose it is to be: the account's sid. Needed where the provider asks, else it is who asks."),
]


class ContainerChange(BaseModel):
    """What may be changed of a container."""

    name: Name = ""
    quota_bytes: Quota = None


class ContainerCreate(ContainerChange):
    """What may be set of a new container."""

    account_sid: Account = None


class ContainerObject(BaseModel):
    """A folder of an account's files."""

    account_sid: OwnerSid
    available_bytes: int | None = Field(description="How many octets there is room for; null for any number.")
    container_sid: Sid
    date_created: Created
    date_modified: Modified
    file_count: int = Field(description="How many files are in it.")
    is_default: bool = Field(description="Whether it takes the files that name no container.")
    name: Name
    partner_sid: PartnerSid
    quota_bytes: Quota
    used_bytes: int = Field(description="How many octets its files have together.")


class FileChange(BaseModel):
    """What may be changed of a file."""

    integer_key_1: NumberKey = None
    integer_key_2: NumberKey = None
    lifecycle_action: Action = "delete"
    lifecycle_ttl: Ttl = None
    name: Name = ""
    string_key_1: TextKey = None
    string_key_2: TextKey = None


class FileCreate(FileChange):
    """What may be set of a new file, beside its content."""

    account_sid: Account = None
    container_sid: str | None = Field(None, description="The container; the account's default one where it is missing.")


class FileObject(FileChange):
    """A file."""

    account_sid: OwnerSid
    bytes: int = Field(description="How long its content is, in octets.")
    container_sid: str = Field(description="The container that it is in: a UUID.")
    date_created: Created
    date_expires: str | None = Field(description="When `lifecycle_action` is due; null for never.")
    date_modified: str = Field(description="When its content was last written: UTC, ISO 8601, with milliseconds.")
    duration: float | None = Field(description="Its length in seconds; null where that is not known: of uploads.")
    file_sid: Sid
    format: str = Field(description="By its name or media type: `wav`, `mp3`, …; `bin` for what is no audio.")
    mime_type: str = Field(description="Its media type.")
    partner_sid: PartnerSid
    url: str = Field(description="Where its content is, for whoever knows the address.")
