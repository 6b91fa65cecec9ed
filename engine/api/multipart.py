"""Forms of media type multipart/form-data (RFC 7578, RFC 2046 section 5.1), read while they come in.

`Multipart` is the protocol: octets in, events out, whatever pieces they come in. `Form` reads it from a stream,
part by part; what is in a part is never held whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from email.message import Message
from enum import Enum, auto
from typing import Final

MOST_HEADER: Final = 8192
"""Octets of a part's header fields."""
MOST_PARTS: Final = 64


class MultipartError(ValueError):
    """It is no such form."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part begins. `file_name` is None where it is no file, `media_type` is empty where none is said."""

    name: str
    file_name: str | None
    media_type: str


@dataclass(frozen=True, slots=True)
class Octets:
    """Some of the content of the part that has begun."""

    octets: bytes


class End(Enum):
    """What ends."""

    PART = auto()
    FORM = auto()


Event = Part | Octets | End


class _State(Enum):
    BEFORE = auto()  # the first delimiter
    DELIMITER = auto()  # has been; what follows tells whether it was the last
    HEADER = auto()
    CONTENT = auto()
    OVER = auto()


class Multipart:
    """The protocol, with the boundary of a Content-Type."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")  # the first delimiter may be what the body begins with
        self._state, self._parts = _State.BEFORE, 0

    def feed(self, octets: bytes) -> list[Event]:
        """What comes to light with these octets. Raises MultipartError."""
        self._buffer += octets
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def close(self) -> None:
        """No more comes. Raises MultipartError where the end is missing."""
        if self._state is not _State.OVER:
            raise MultipartError("the form ends before its last delimiter")

    def _step(self, events: list[Event]) -> bool:
        """Go on by one state; False where more octets are needed."""
        match self._state:
            case _State.BEFORE | _State.CONTENT:
                return self._to_delimiter(events)
            case _State.DELIMITER:
                return self._behind_delimiter(events)
            case _State.HEADER:
                return self._header(events)
            case _State.OVER:
                self._buffer.clear()
                return False

    def _to_delimiter(self, events: list[Event]) -> bool:
        at = self._buffer.find(self._delimiter)
        sure = at if at >= 0 else len(self._buffer) - len(self._delimiter) + 1  # the rest may be half of one
        if sure > 0:
            if self._state is _State.CONTENT:
                events.append(Octets(bytes(self._buffer[:sure])))
            del self._buffer[:sure]
        if at < 0:
            return False
        del self._buffer[: len(self._delimiter)]
        if self._state is _State.CONTENT:
            events.append(End.PART)
        self._state = _State.DELIMITER
        return True

    def _behind_delimiter(self, events: list[Event]) -> bool:
        if self._buffer.startswith(b"--"):
            events.append(End.FORM)
            self._state = _State.OVER
            return True
        line = self._buffer.find(b"\r\n")
        if line < 0 and len(self._buffer) < MOST_HEADER:
            return False
        if line < 0 or self._buffer[:line].strip(b" \t"):
            raise MultipartError("a delimiter is followed by something that may not be there")
        del self._buffer[:line]  # the line's end stays: a part without header fields has nothing but that
        self._state = _State.HEADER
        return True

    def _header(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > MOST_HEADER or (end < 0 and len(self._buffer) > MOST_HEADER):
            raise MultipartError(f"header fields of more than {MOST_HEADER} octets")
        if end < 0:
            return False
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise MultipartError(f"more than {MOST_PARTS} parts")
        events.append(_part(bytes(self._buffer[:end])))
        del self._buffer[: end + 4]
        self._state = _State.CONTENT
        return True


def _part(header: bytes) -> Part:
    try:
        lines = header.decode().strip().split("\r\n")
    except UnicodeDecodeError:
        raise MultipartError("header fields that are not UTF-8") from None
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    disposition = Message()
    disposition["Content-Disposition"] = fields.get("content-disposition", "")
    name = disposition.get_param("name", header="content-disposition")
    if disposition.get_content_disposition() != "form-data" or not isinstance(name, str):
        raise MultipartError("a part without a Content-Disposition that names it")
    return Part(name, disposition.get_filename(), fields.get("content-type", ""))


def boundary(content_type: str) -> str:
    """The boundary that a Content-Type names. Raises MultipartError."""
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_boundary() or ""
    if not 1 <= len(found) <= 70 or not found.isascii() or not found.isprintable():
        raise MultipartError("a Content-Type without a boundary of 1 to 70 characters")
    return found


class Form:
    """A form as it comes in by `chunks`."""

    def __init__(self, chunks: AsyncIterator[bytes], content_type: str) -> None:
        self._chunks, self._parser = chunks, Multipart(boundary(content_type))
        self._events: deque[Event] = deque()

    async def part(self) -> Part | None:
        """The next part, whatever was left of the one before; None behind the last. Raises MultipartError."""
        while True:
            event = await self._next()
            if isinstance(event, Part):
                return event
            if event is End.FORM:
                return None

    async def content(self) -> AsyncGenerator[bytes]:
        """The content of the part, as it comes. Raises MultipartError."""
        while isinstance(event := await self._next(), Octets):
            yield event.octets

    async def text(self, most: int) -> str:
        """The content of the part, as text. Raises MultipartError where it is none, or more than `most` octets."""
        octets = bytearray()
        async for some in self.content():
            octets += some
            if len(octets) > most:
                raise MultipartError(f"a field of more than {most} octets")
        try:
            return octets.decode()
        except UnicodeDecodeError:
            raise MultipartError("a field that is not UTF-8") from None

    async def _next(self) -> Event:
        while not self._events:
            try:
                self._events.extend(self._parser.feed(await anext(self._chunks)))
            except StopAsyncIteration:
                self._parser.close()
                return End.FORM
        return self._events.popleft()
