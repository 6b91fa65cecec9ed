"""Codecs as a media line names them: payload numbers, `a=rtpmap` and the static numbers of RFC 3551."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import msgspec

from ...codecs.catalog import AUDIO, TELEPHONE_EVENT, Codec
from .sdp import Attribute, Media

_FIRST_DYNAMIC: Final = 96
_TELEPHONE_EVENT_TYPE: Final = 101
_STATIC: Final = {str(codec.static_type): codec for codec in AUDIO if codec.static_type is not None}


class Format(msgspec.Struct, frozen=True):
    """A codec under the payload number it has in one description."""

    number: int
    codec: Codec

    def attributes(self) -> Iterator[Attribute]:
        """Its lines: `a=rtpmap`, and `a=fmtp` where the codec has parameters."""
        yield Attribute("rtpmap", f"{self.number} {self.codec.rtpmap}")
        if self.codec.fmtp:
            yield Attribute("fmtp", f"{self.number} {self.codec.fmtp}")


def formats_of(media: Media) -> Iterator[Format]:
    """The formats of a media line that have a codec we could name, by `a=rtpmap` or by RFC 3551's static numbers."""
    split = [value.split(maxsplit=1) for value in media.values("rtpmap")]
    maps = {parts[0]: parts[1] for parts in split if len(parts) == 2}
    for text in media.formats:
        if not (text.isascii() and text.isdigit() and int(text) < 128):
            continue
        codec = _codec_named(maps[text]) if text in maps else _STATIC.get(text)
        if codec is not None:
            yield Format(int(text), codec)


@lru_cache(256)
def _codec_named(rtpmap: str) -> Codec | None:
    """The codec of an rtpmap value (`opus/48000/2`); encoding names do not distinguish case."""
    name, _, rest = rtpmap.strip().partition("/")
    clock, _, channels = rest.partition("/")
    if not (clock.isascii() and clock.isdigit() and len(clock) < 7):
        return None
    if name.lower() == TELEPHONE_EVENT.name:
        return replace(TELEPHONE_EVENT, clock_hz=int(clock))
    wanted = (name.upper(), clock, channels or "1")
    return next((codec for codec in AUDIO if _as_written(codec) == wanted), None)


def _as_written(codec: Codec) -> tuple[str, str, str]:
    return codec.name.upper(), str(codec.clock_hz), str(codec.channels)


def find(codec: Codec, among: Iterable[Codec]) -> Codec | None:
    """Return the one `among` ours that is `codec`, with our parameters; None if we do not have it."""
    for own in among:
        if own.name == codec.name and own.clock_hz == codec.clock_hz and own.channels == codec.channels:
            return own
    return None


def event_of(formats: Iterable[Format], codec: Codec) -> Format | None:
    """Return telephone-event at the clock of `codec`, else at 8 kHz, else None."""
    events = {one.codec.clock_hz: one for one in formats if one.codec.name == TELEPHONE_EVENT.name}
    return events.get(codec.clock_hz) or events.get(TELEPHONE_EVENT.clock_hz)


def numbered(codecs: Sequence[Codec]) -> Iterator[Format]:
    """Our payload numbers: static where RFC 3551 has one, telephone-event/8000 by custom 101, the rest from 96 up."""
    taken = {_TELEPHONE_EVENT_TYPE}
    free = (number for number in range(_FIRST_DYNAMIC, 128) if number not in taken)
    for codec in codecs:
        yield Format(codec.static_type if codec.static_type is not None else next(free), codec)
    for clock in dict.fromkeys(codec.clock_hz for codec in codecs):
        number = _TELEPHONE_EVENT_TYPE if clock == TELEPHONE_EVENT.clock_hz else next(free)
        yield Format(number, replace(TELEPHONE_EVENT, clock_hz=clock))
