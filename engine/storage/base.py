"""What a storage is to those who record: a place that says beforehand whether it will take a file, and takes it.

Files bear the fields of the reference's File object that Record's attributes speak of. A storage keeps their
content; whose they are, how long they live and how they are called is in the database whatever the storage.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from ..errors import ContainerFullError

MIME_TYPES: Final = {
    "aac": "audio/aac",
    "al": "audio/x-alaw-basic",
    "flac": "audio/flac",
    "g722": "audio/g722",
    "mp3": "audio/mpeg",
    "mp4": "audio/mp4",
    "ogg": "audio/ogg",
    "ul": "audio/basic",
    "wav": "audio/wav",
}
"""By file format. `audio/basic` is 8 kHz mono mu-law without a header (RFC 2046 section 4.3)."""
ALIASES: Final = {"alaw": "al", "m4a": "mp4", "mp4a": "mp4", "ulaw": "ul"}
"""Other names of formats (reference: Play, Supported File Formats)."""
UNKNOWN: Final = "bin"
_BY_MIME: Final = {mime: name for name, mime in MIME_TYPES.items()} | {
    "audio/mp3": "mp3", "audio/pcma": "al", "audio/pcmu": "ul", "audio/wave": "wav", "audio/x-wav": "wav",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A folder of an account's files. `quota_bytes` is what it may hold, None for no limit."""

    sid: str
    account: str
    name: str
    quota_bytes: int | None = None
    created: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file. `duration` in seconds, times in Unix seconds; it lives `lifecycle_ttl` seconds from `updated` on."""

    sid: str
    container: str
    account: str
    name: str
    format: str
    mime: str
    bytes: int = 0
    duration: float = 0.0
    string_key_1: str | None = None
    string_key_2: str | None = None
    integer_key_1: int | None = None
    integer_key_2: int | None = None
    lifecycle_action: str = "delete"
    lifecycle_ttl: int | None = None
    created: float = 0.0
    updated: float = 0.0

    @property
    def expires(self) -> float | None:
        """When its lifecycle action is due, None for never."""
        return None if self.lifecycle_ttl is None else self.updated + self.lifecycle_ttl


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a new content is to be stored as: in the file `file_sid`, or a new one called `name` in `container_sid`.

    Without a container it is in the account's default one; without a name it is called by its sid and format. `append`
    adds to a file that is there; a content that is made for that begins with the file's, as it was in `behind`.
    """

    name: str = ""
    format: str
    file_sid: str = ""
    container_sid: str = ""
    append: bool = True
    string_key_1: str | None = None
    string_key_2: str | None = None
    integer_key_1: int | None = None
    integer_key_2: int | None = None
    lifecycle_action: str = "delete"
    lifecycle_ttl: int | None = None
    behind: StoredFile | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What a container may hold, and what others of its files take of that, in octets."""

    container: str
    quota: int
    used: int

    def check(self, size: int) -> None:
        """Raise ContainerFullError where a file of that size does not fit."""
        if self.used + size > self.quota:
            raise ContainerFullError(
                f"container {self.container} is full: {self.used} of {self.quota} bytes taken, {size} wanted",
                free=max(0, self.quota - self.used),
            )


class Storage(Protocol):
    """Where contents are kept."""

    async def reserve(self, account: str, wanted: Wanted) -> StoredFile:
        """Return the file that is meant, as it is, or as it will be: nothing is stored yet, `bytes` is 0.

        Raises StorageError where the file or container does not exist, is another account's, or is full.
        """
        ...

    async def check(self, account: str, wanted: Wanted) -> None:
        """Raise StorageError as `reserve` does, but for a container that is full: it may not be by then."""
        ...

    async def content(self, sid: str) -> tuple[StoredFile, Path]:
        """Return a file as it is now, and a copy of its content on this machine. Raises StorageError."""
        ...

    async def put(self, file: StoredFile, content: Path, into: Wanted | None = None) -> None:
        """Store `file` with `content`, which is moved: whole or not at all. Once more does nothing more.

        With `into` it is what was wanted of a file that was there, and is changed in nothing else. Raises StorageError
        where it cannot be, a container that is full and a file that has been deleted meanwhile included, and
        FileChangedError where somebody else has stored something in the file that the content is to begin with.
        """
        ...


def format_of(name: str, mime: str) -> str:
    """The format of a file, by its name or else its media type; `bin` for what is none of them."""
    suffix = PurePosixPath(name).suffix.lower().removeprefix(".")
    known = ALIASES.get(suffix, suffix)
    return known if known in MIME_TYPES else _BY_MIME.get(mime.partition(";")[0].strip().lower(), UNKNOWN)


def canonical_sid(sid: str) -> str:
    """Return a sid in the form that is stored: lower case with dashes; "" if it is none."""
    try:
        return str(uuid.UUID(sid.strip()))
    except ValueError:
        return ""
