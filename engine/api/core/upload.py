"""Uploads: a form whose last part is the file, or a body that is the file, with what is to be kept in the query.

The fields come first because the container decides how much may come. A body goes to disk while it comes in.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from ...directory import Directory
from ...errors import ContainerFullError, StorageError
from ...storage.base import MIME_TYPES, UNKNOWN, Container, StoredFile, format_of
from ...storage.incoming import Incoming, incoming
from ...storage.local import LocalStorage
from ...tokens import Token
from ..body import checked
from ..collection import Collection, Reader
from ..multipart import Form, MultipartError
from ..problem import Fault, Problem, conflict, invalid
from .containers import CONTAINERS, owner
from .storage_objects import FileCreate

FORM: Final = "multipart/form-data"
FILE: Final = "file"
MOST_TEXT: Final = 4096
"""Octets of a field that is no file."""
NO_FIELDS: Final = frozenset({"include_fields", "exclude_fields"})
ANY_TYPE: Final = "application/octet-stream"
_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)


class Uploads:
    """What takes them. `collection` are the files, for which fields they have."""

    def __init__(
        self, reader: Reader, storage: LocalStorage, directory: Directory, collection: Collection
    ) -> None:  # fmt: skip
        self._reader, self._storage, self._directory = reader, storage, directory
        self._known = collection.by_name

    async def take(self, request: Request, token: Token) -> StoredFile:
        """Store what a request brings. Raises Problem."""
        said = request.headers.get("content-type", "")
        given = {name: value for name, value in request.query_params.items() if name not in NO_FIELDS}
        try:
            if _media_type(said) == FORM:
                return await self._take_form(request, token, given)
            file = await self._file(token, given, mime=said, called="")
            async with incoming(self._storage, file) as coming:
                coming.announce(_announced(request))
                await _pour(request.stream(), coming)
                return await coming.store()
        except ContainerFullError as error:
            raise _full(error) from None
        except StorageError as error:
            raise conflict(None, str(error)) from None
        except MultipartError as error:
            raise Problem(400, "no form could be decoded", [Fault(None, str(error))]) from None
        except ClientDisconnect:
            raise Problem(400, "the client has gone") from None
        except OSError as error:
            raise Problem(507, "the file cannot be kept", [Fault(FILE, error.strerror or "the disk fails")]) from None

    async def _take_form(self, request: Request, token: Token, given: dict[str, str]) -> StoredFile:
        form = Form(aiter(request.stream()), request.headers["content-type"])
        while (part := await form.part()) is not None and part.name != FILE:
            given[part.name] = await form.text(MOST_TEXT)
        if part is None:
            raise invalid(Fault(FILE, "expected a part of that name, with the content"))
        file = await self._file(token, given, mime=part.media_type, called=part.file_name or "")
        async with incoming(self._storage, file) as coming:
            await _pour(form.content(), coming)
            if (after := await form.part()) is not None:
                raise invalid(Fault(after.name[:40], "fields go before the file"))
            return await coming.store()

    async def _file(self, token: Token, given: dict[str, str], *, mime: str, called: str) -> StoredFile:
        """The file that is about to come; `called` is its name where none is given. Raises Problem 422."""
        sent: dict[str, Any] = {name: value for name, value in given.items() if value or name == "name"}
        wanted = checked(FileCreate, sent, self._known)
        account, container = await self._place(token, wanted)
        name = wanted.name or called.replace("\\", "/").rpartition("/")[2][:255]
        file = self._storage.new_file(account, container, name, _mime(mime, name, called))
        kept = wanted.model_dump(exclude={"account_sid", "container_sid", "name"})
        return replace(file, **kept)

    async def _place(self, token: Token, wanted: FileCreate) -> tuple[str, Container]:
        if not wanted.container_sid:
            account = owner(self._directory, token, wanted.account_sid)
            return account, await self._storage.default_container(account)
        try:
            row = await self._reader.row(CONTAINERS, token, wanted.container_sid)
        except Problem:
            said = f"found {wanted.container_sid[:40]!r}; expected the sid of a container"
            raise invalid(Fault("container_sid", said)) from None
        if wanted.account_sid and owner(self._directory, token, wanted.account_sid) != row["account"]:
            raise invalid(Fault("account_sid", "the container is another account's"))
        return row["account"], await self._storage.open_container(row["account"], row["sid"])


async def _pour(chunks: AsyncIterator[bytes], coming: Incoming) -> None:
    async for octets in chunks:
        await coming.write(octets)


def _announced(request: Request) -> int:
    """What Content-Length says; 0 where it says nothing."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _media_type(text: str) -> str:
    """The type without parameters; empty where it is none."""
    bare = text.partition(";")[0].strip().lower()
    return bare if _MEDIA_TYPE.fullmatch(bare) else ""


def _mime(said: str, *names: str) -> str:
    """The media type: as it is said, else as the first of the names says that does."""
    bare = _media_type(said)
    if bare and bare != ANY_TYPE:
        return bare
    return next(filter(None, map(_mime_of, names)), ANY_TYPE)


def _mime_of(name: str) -> str | None:
    known = format_of(name, "")
    return MIME_TYPES[known] if known != UNKNOWN else mimetypes.guess_type(name)[0]


def _full(error: ContainerFullError) -> Problem:
    return Problem(413, "no room", [Fault(FILE, f"the container has {error.free} bytes free")])
